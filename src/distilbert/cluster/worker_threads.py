"""A thread for each worker, which takes one piece of work after the other until none is left or something fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ..core.errors import DistilBertError

POLL_SECONDS = 0.2  # so often the main thread looks for Ctrl-C


class Stoppable(Protocol):
    """A worker that another thread can stop."""

    def stop(self) -> None:
        """End at once, so that what it does in its own thread fails."""

    def close(self) -> None:
        """End, when there is nothing left to do."""


Worker = TypeVar("Worker", bound=Stoppable)


def run_workers(workers: Sequence[Worker], work: Callable[[Worker], bool], stopped: str) -> None:
    """Call ``work`` with each worker, in a thread of its own, until it returns False; then close the worker.

    Args:
        workers: what works.
        work: does one piece of work; False: there is none left.
        stopped: message of the error if this is interrupted.

    Raises:
        BaseException: the first that ``work`` raised, after all workers were stopped.
    """
    failures: list[BaseException] = []

    def serve(worker: Worker) -> None:
        try:
            while not failures and work(worker):
                pass
        except BaseException as error:
            failures.append(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=serve, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not failures:
            for thread in threads:
                thread.join(POLL_SECONDS / len(threads))
    finally:
        if any(thread.is_alive() for thread in threads):
            failures.append(DistilBertError(stopped))
            for worker in workers:
                worker.stop()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
