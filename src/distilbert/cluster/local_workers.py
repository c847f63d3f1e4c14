"""Workers on this machine: a thread of this process for each, which owns the process that computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import UsageError
from ..engine.precision import count_cores
from .manifest import Manifest, Shard
from .shard_outputs import OnRecord
from .worker_supervision import OnWorkerEvent, SupervisedWorker
from .worker_threads import run_workers


class LocalWorkers:
    """Processes of this machine.

    Args:
        workers: how many; None: one for each core that this process may use.
        threads: that each computes with; None: the cores shared out among them.

    Raises:
        UsageError: a number is less than 1.
    """

    def __init__(self, workers: int | None = None, threads: int | None = None) -> None:
        for option, value in (("--workers", workers), ("--threads", threads)):
            if value is not None and value < 1:
                raise UsageError(f"{option} must be at least 1, got {value}.")
        cores = count_cores()
        self.count = workers or max(1, cores // (threads or 1))
        self.threads = threads or max(1, cores // self.count)

    def run(
        self, manifest: Manifest, output: str, shards: Sequence[Shard], on_record: OnRecord, on_event: OnWorkerEvent
    ) -> None:
        """Answer shards.

        Args:
            manifest: of the run.
            output: path or address of the output folder.
            shards: those to answer, the first ones first.
            on_record: called for each shard that is done, by one thread at a time.
            on_event: called with what workers report, by one thread at a time.

        Raises:
            DistilBertError: a shard cannot be answered, or a worker dies too often; all workers are stopped then.
        """
        waiting: queue.SimpleQueue[Shard] = queue.SimpleQueue()
        for shard in shards:
            waiting.put(shard)
        lock = threading.Lock()
        count = min(self.count, len(shards))

        def answer_next(worker: SupervisedWorker) -> bool:
            try:
                shard = waiting.get_nowait()
            except queue.Empty:
                return False
            record = worker.answer(shard, manifest.files[shard.file])
            with lock:
                on_record(record)
            return True

        def listener(name: str) -> Callable[[Mapping[str, Any]], None]:
            def listen(event: Mapping[str, Any]) -> None:
                with lock:
                    on_event(name, event)

            return listen

        workers = [
            SupervisedWorker(manifest.settings, output, self.threads, name, listener(name))
            for name in (str(number) for number in range(1, count + 1))
        ]
        run_workers(workers, answer_next, "The run was stopped.")
