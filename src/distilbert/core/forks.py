"""Forked children of a process that has computed: its locks, the threads of OpenMP, and the memory of MKL.

A lock that another thread holds at the fork stays locked in the child, where nobody can release it. So every lock of
this package is a :class:`ForkSafeLock`, which is free in the child. Objects of other libraries have locks and threads
of their own: what does not survive a fork is in a :class:`PerProcess`, which makes another one in the child.

PyTorch and oneDNN share the threads of GNU OpenMP. A child has none of its parent's threads, but a copy of the list of
them, and would wait for them for ever. So the threads end before each fork. Parent and child start new ones
when they compute next, which takes a tenth of a millisecond. The engine's own threads need none of this
(``engine/kernels/pool.h``).

A thread that ends gives its buffers back to MKL's allocator. A child that is made in the same moment finds the lock of
that allocator held by a thread that it does not have, and waits for ever too. So MKL takes its memory from the system
instead. It reads that from the environment when PyTorch is loaded, so ``import distilbert`` says it (see there). In a
program that imports PyTorch first, a child that is forked while a thread ends may still hang.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

SOFT_PAUSE = 1  # omp_pause_soft of OpenMP 5.0: end the threads, keep the settings


@functools.cache
def end_threads_before_forks() -> None:
    """Make later forks safe. Other implementations of OpenMP than GNU's do this by themselves."""
    try:
        # Only the library that is loaded already: another one would have threads of its own.
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        pause = library.omp_pause_resource_all
    except (AttributeError, OSError):
        return
    os.register_at_fork(before=lambda: pause(SOFT_PAUSE), after_in_child=_renew_pool_of_torch)


def _renew_pool_of_torch() -> None:
    """Make PyTorch replace its thread pool now, while the child has one thread.

    PyTorch replaces the pool of its parent when it computes next. Two threads that compute first at the same time then
    meet a pool that is half replaced: ``INTERNAL ASSERT FAILED ... Invalid thread pool!``.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(torch.get_num_threads())


class ForkSafeLock:
    """A lock that a thread may take again while it holds it, and that is free in a forked child.

    What it guards must be whole at every moment at which another thread may fork: fill an object first, then assign it.

    Args:
        forks_wait: a fork waits until the lock is free; for what is not whole while the lock is held.
    """

    def __init__(self, forks_wait: bool = False) -> None:
        self.forks_wait = forks_wait
        self._lock = threading.RLock()
        _LOCKS[id(self)] = self

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # it is a new one, because the process forked inside the block
            self._lock.release()

    def __reduce__(self) -> tuple[type[ForkSafeLock], tuple[bool]]:
        """A copy, also one in another process, is a new lock."""
        return ForkSafeLock, (self.forks_wait,)

    def renew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()


class PerProcess(Generic[T]):
    """An object that does not survive a fork, such as one with threads: a forked child makes another at its first use.

    The one that a child inherits is neither used nor destroyed there, since it would wait for threads of the parent. A
    fork waits while one is being made.

    Args:
        make: makes one; called at first use in each process.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = ForkSafeLock(forks_wait=True)
        _PER_PROCESS[id(self)] = self

    def __call__(self) -> T:
        """Return the object of this process."""
        made = self._made
        if not made:
            with self._lock:
                made = self._made
                if not made:
                    made.append(self._make())
        return made[0]

    def forget(self) -> None:
        """Leave the object as it is, for ever."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._made))
        self._made = []


_LOCKS: weakref.WeakValueDictionary[int, ForkSafeLock] = weakref.WeakValueDictionary()
_PER_PROCESS: weakref.WeakValueDictionary[int, PerProcess[Any]] = weakref.WeakValueDictionary()
_fork = threading.Lock()  # one fork at a time
_held: list[ForkSafeLock] = []  # during a fork


def _before_fork() -> None:
    _fork.acquire()
    for lock in _alive(_LOCKS):
        if lock.forks_wait:
            lock.__enter__()
            _held.append(lock)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().__exit__(None, None, None)
    _fork.release()


def _after_fork_in_child() -> None:
    _held.clear()
    _fork.release()
    for lock in _alive(_LOCKS):
        lock.renew()
    for each in _alive(_PER_PROCESS):
        each.forget()


def _alive(objects: weakref.WeakValueDictionary[int, T]) -> list[T]:
    """Return the objects, to which other threads may be adding."""
    return [each for reference in objects.valuerefs() if (each := reference()) is not None]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
