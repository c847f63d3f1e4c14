"""Forked children of a process that has computed: the threads of OpenMP, and the memory of MKL.

PyTorch, oneDNN and our kernels share the threads of GNU OpenMP. A child has none of its parent's threads, but a copy of
the list of them, and would wait for them for ever. So the threads end before each fork. Parent and child start new ones
when they compute next, which takes a tenth of a millisecond.

A thread that ends gives its buffers back to MKL's allocator. A child that is made in the same moment finds the lock of
that allocator held by a thread that it does not have, and waits for ever too. So MKL takes its memory from the system
instead. It reads that from the environment when PyTorch is loaded, so ``import distilbert`` says it (see there). In a
program that imports PyTorch first, a child that is forked while a thread ends may still hang.
"""

from __future__ import annotations

import ctypes
import functools
import os

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
    os.register_at_fork(before=lambda: pause(SOFT_PAUSE))
