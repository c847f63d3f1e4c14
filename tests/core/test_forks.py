"""Locks at a fork: free in the child whoever held them, or waited for."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilbert import DistilBertTokenizerFast
from distilbert.core.forks import ForkSafeLock, PerProcess
from tests.behaviour.make_models import make
from tests.scripts import run_until_done

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there"),
    # Python warns from 3.12 on; that such a child works is what is tested.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def exit_code_of_child(work: Callable[[], Any], patience: float = 20) -> int | None:
    """Return the exit code of a forked child that does something; None if it did not end, and was killed."""
    process = os.fork()
    if process == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return None


def held_by_another_thread(lock: ForkSafeLock) -> tuple[threading.Thread, threading.Event]:
    holds, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            holds.set()
            may_end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(20)
    return thread, may_end


def take(lock: ForkSafeLock) -> None:
    with lock, lock:
        pass


def test_a_lock_that_another_thread_holds_is_free_in_the_child() -> None:
    lock = ForkSafeLock()
    thread, may_end = held_by_another_thread(lock)
    assert exit_code_of_child(lambda: take(lock)) == 0
    may_end.set()
    thread.join()
    take(lock)


def test_a_lock_held_by_the_thread_that_forks() -> None:
    for lock in (ForkSafeLock(), ForkSafeLock(forks_wait=True)):
        with lock:
            process = os.fork()
        if process == 0:
            try:
                take(lock)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        take(lock)


def test_a_fork_waits_for_what_cannot_be_left_half_done() -> None:
    lock = ForkSafeLock(forks_wait=True)
    thread, may_end = held_by_another_thread(lock)
    threading.Timer(0.3, may_end.set).start()
    began = time.monotonic()
    assert exit_code_of_child(lambda: take(lock)) == 0
    assert time.monotonic() - began >= 0.3
    thread.join()
    take(lock)


def test_forks_of_two_threads() -> None:
    locks = [ForkSafeLock(forks_wait=True) for _ in range(8)]
    codes: list[int | None] = []

    def fork_often() -> None:
        for _ in range(5):
            codes.append(exit_code_of_child(lambda: [take(lock) for lock in locks]))

    threads = [threading.Thread(target=fork_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert codes == [0] * 10


def test_a_lock_keeps_threads_apart() -> None:
    lock = ForkSafeLock()
    thread, may_end = held_by_another_thread(lock)
    taken = threading.Event()
    waiting = threading.Thread(target=lambda: (take(lock), taken.set()))
    waiting.start()
    assert not taken.wait(0.1)
    may_end.set()
    assert taken.wait(20)
    thread.join()
    waiting.join()


def test_copies_are_locks_of_their_own() -> None:
    lock = ForkSafeLock(forks_wait=True)
    thread, may_end = held_by_another_thread(lock)
    for other in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
        assert other.forks_wait
        take(other)
    may_end.set()
    thread.join()


def test_a_tokenizer_while_another_thread_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = DistilBertTokenizerFast.from_pretrained(make(tmp_path, "labels"))
    build, builds, may_end = tokenizer._build, threading.Event(), threading.Event()

    def slow_build(split_special: bool) -> Any:
        builds.set()
        may_end.wait(60)
        return build(split_special)

    monkeypatch.setattr(tokenizer, "_build", slow_build)
    thread = threading.Thread(target=lambda: tokenizer("a good film", truncation=True, max_length=4))
    thread.start()
    assert builds.wait(20)

    def answer() -> None:
        monkeypatch.setattr(tokenizer, "_build", build)
        assert len(tokenizer("a good film", truncation=True, max_length=4)["input_ids"]) == 4

    assert exit_code_of_child(answer) == 0
    may_end.set()
    thread.join()


THREADS_IN_A_CHILD = """
import os
import sys
import threading

from distilbert import pipeline

import torch

TEXTS = ["a good film " * 15] * 16
task = pipeline("text-classification", sys.argv[1], runner=sys.argv[2], threads=2)
task(TEXTS)


def answer(errors, start):
    start.wait()
    try:
        task(TEXTS)
    except BaseException as error:
        errors.append(error)


for _ in range(12):
    child = os.fork()
    if child == 0:
        errors, start = [], threading.Barrier(4)
        threads = [threading.Thread(target=answer, args=(errors, start)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(*errors, end="", file=sys.stderr, flush=True)
        os._exit(len(errors))
    assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.parametrize("runner", ["engine", "pytorch"])
def test_threads_of_a_child_that_compute_first_at_the_same_time(tmp_path: Path, runner: str) -> None:
    run_until_done(tmp_path, THREADS_IN_A_CHILD, str(make(tmp_path, "labels")), runner)


class WithThreads:
    """Stands for an object whose end would wait for ever in a child."""

    process = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.process:
            os._exit(3)


def test_a_child_makes_another_object_and_leaves_its_parents_alone() -> None:
    made: list[int] = []

    def make() -> WithThreads:
        made.append(os.getpid())
        return WithThreads()

    each = PerProcess(make)
    assert each() is each()
    holders = [each]

    def use_in_child() -> None:
        holders[0]().process = os.getpid()
        assert made == [os.getppid(), os.getpid()]
        assert holders[0]() is holders[0]()
        holders.clear()
        gc.collect()

    del each
    assert exit_code_of_child(use_in_child) == 0
    assert made == [os.getpid()]


def test_a_fork_waits_for_an_object_that_is_being_made() -> None:
    has_begun, steps = threading.Event(), []

    def make() -> str:
        has_begun.set()
        time.sleep(0.3)
        steps.append("made")
        return "object"

    each = PerProcess(make)
    thread = threading.Thread(target=each)
    thread.start()
    assert has_begun.wait(20)

    def check() -> None:
        assert steps == ["made"]
        assert each() == "object"

    assert exit_code_of_child(check) == 0
    thread.join()


def test_an_object_that_cannot_be_made_is_tried_again() -> None:
    outcomes = [ValueError("no"), None]

    def make() -> str:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return "object"

    each = PerProcess(make)
    with pytest.raises(ValueError, match="no"):
        each()
    assert each() == "object"


def test_locks_are_made_while_processes_are_forked() -> None:
    is_over = threading.Event()
    failures: list[Any] = []

    def make_locks() -> None:
        kept = [ForkSafeLock() for _ in range(2000)]  # so many that other threads get their turn before the last
        while not is_over.is_set():
            kept.append(ForkSafeLock())
            if len(kept) > 3000:
                del kept[2000:]

    threads = [threading.Thread(target=make_locks) for _ in range(2)]
    before, sys.unraisablehook = sys.unraisablehook, failures.append  # where errors before a fork go
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        assert [exit_code_of_child(lambda: None) for _ in range(30)] == [0] * 30
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        sys.unraisablehook = before
        sys.setswitchinterval(interval)
    assert failures == []
