"""Workers on Ray: an actor for each, which owns the process that computes, as a thread does on one machine.

The process of a worker dies with a bad row, its actor does not. An actor dies with its machine: then its shard is
answered by another one, a limited number of times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import DataError, DistilBertError, LostProcessError, UsageError
from ..core.extras import require
from .answer_settings import AnswerSettings
from .manifest import InputFile, Manifest, Shard
from .shard_outputs import OnRecord, ShardRecord
from .worker_supervision import OnWorkerEvent, SupervisedWorker

MOST_LOSSES = 3  # of actors while they answer one shard
START_SECONDS = 300.0  # for the actors to start
POLL_SECONDS = 0.5  # between questions how far the workers are


class ShardActor:
    """What runs in an actor: a supervised worker, and the events that it has reported.

    Args:
        settings: how rows are read, answered and written.
        output: path or address of the output folder.
        threads: that the model computes with.
        name: of the worker.
        command: that starts its process; empty for the usual one.
    """

    def __init__(
        self, settings: Mapping[str, Any], output: str, threads: int, name: str, command: tuple[str, ...] = ()
    ) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=1000)
        self._worker = SupervisedWorker(
            AnswerSettings.from_dict(dict(settings)), output, threads, name, self._take, command
        )

    def _take(self, event: Mapping[str, Any]) -> None:
        self._events.append(dict(event))

    def start(self) -> bool:
        """Do nothing, so that the caller knows that the actor runs."""
        return True

    def answer(self, shard: Shard, file: InputFile) -> ShardRecord | str:
        """Answer a shard, and return its record, or in words why it cannot be answered."""
        try:
            return self._worker.answer(shard, file)
        except DistilBertError as error:
            return str(error)

    def events(self) -> list[dict[str, Any]]:
        """Return what was reported since the last call."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events


class RayWorkers:
    """Actors on a Ray cluster.

    Args:
        address: of the cluster, such as ``ray://head:10001`` or ``auto``; ``local`` starts one on this machine.
        workers: how many; None: as many as the CPUs of the cluster are enough for.
        threads: that each computes with, and CPUs that it asks for; None: 1.
        command: that starts the process of a worker; empty for the usual one.

    Raises:
        UsageError: a number is less than 1.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self, address: str, workers: int | None = None, threads: int | None = None, command: tuple[str, ...] = ()
    ) -> None:
        for option, value in (("--workers", workers), ("--threads", threads)):
            if value is not None and value < 1:
                raise UsageError(f"{option} must be at least 1, got {value}.")
        require("ray", "ray")
        self.address, self.count, self.threads, self._command = address, workers, threads or 1, command

    def run(
        self, manifest: Manifest, output: str, shards: Sequence[Shard], on_record: OnRecord, on_event: OnWorkerEvent
    ) -> None:
        """Answer shards; see :meth:`.local_workers.LocalWorkers.run`."""
        with connected(self.address) as ray:
            room = workers_that_fit(ray.nodes(), self.threads)
            count = min(self.count or room, len(shards))
            check_layout(count, self.threads, room)
            _ActorPool(ray, self._command, self.threads, manifest, output, on_record, on_event).run(count, shards)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster and return Ray; a connection that was there already stays.

    Args:
        address: see :class:`RayWorkers`.

    Raises:
        UsageError: there is no such cluster.
        MissingExtraError: Ray is not installed.
    """
    ray: Any = require("ray", "ray")
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"--ray {address}: {reason} Use --ray local to start Ray on this machine.") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def workers_that_fit(nodes: Sequence[Mapping[str, Any]], threads: int) -> int:
    """Return how many workers the machines of a cluster have CPUs for.

    Args:
        nodes: as ``ray.nodes()`` describes them.
        threads: CPUs of a worker, which must all be on one machine.
    """
    return sum(int(node["Resources"].get("CPU", 0)) // threads for node in nodes if node["Alive"])


def check_layout(workers: int, threads: int, room: int) -> None:
    """Refuse a layout that Ray would wait for without end.

    Raises:
        UsageError: the cluster has no CPUs for so many workers.
    """
    if room == 0:
        raise UsageError(f"No machine of this cluster has {threads} CPUs for a worker: lower --threads.")
    if workers > room:
        raise UsageError(
            f"{workers} workers of {threads} CPUs do not fit into this cluster, and Ray would wait for them without "
            f"end. There is room for {room}: --workers {room}, or fewer --threads."
        )


class _ActorPool:
    """The actors of one run, and the shards that wait for them."""

    def __init__(
        self,
        ray: Any,
        command: tuple[str, ...],
        threads: int,
        manifest: Manifest,
        output: str,
        on_record: OnRecord,
        on_event: OnWorkerEvent,
    ) -> None:
        self._ray, self._command, self._threads = ray, command, threads
        self._manifest, self._output = manifest, output
        self._on_record, self._on_event = on_record, on_event
        self._actors: dict[str, Any] = {}
        self._losses: dict[int, int] = {}

    def run(self, count: int, shards: Sequence[Shard]) -> None:
        """Answer shards with so many actors."""
        ray = self._ray
        waiting = deque(shards)
        for number in range(1, count + 1):
            self._actors[str(number)] = self._start(str(number))
        try:
            self._wait_for_start()
            running: dict[Any, tuple[str, Shard]] = {}
            for name in self._actors:
                if waiting:
                    self._submit(name, waiting.popleft(), running)
            while running:
                done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                self._ask_for_events([name for name, _ in running.values()])
                for reference in done:
                    name, shard = running.pop(reference)
                    try:
                        answer = ray.get(reference)
                    except ray.exceptions.RayActorError as error:
                        self._lose(name, shard, error)
                        waiting.appendleft(shard)
                    else:
                        if isinstance(answer, str):
                            raise DataError(answer)
                        self._on_record(answer)
                    if waiting:
                        self._submit(name, waiting.popleft(), running)
        finally:
            for actor in self._actors.values():
                ray.kill(actor)

    def _start(self, name: str) -> Any:
        # One thread answers, and one tells how far the other is.
        actor = self._ray.remote(num_cpus=self._threads, max_restarts=0, max_concurrency=2)(ShardActor)
        return actor.remote(self._manifest.settings.as_dict(), self._output, self._threads, name, self._command)

    def _wait_for_start(self) -> None:
        started = [actor.start.remote() for actor in self._actors.values()]
        _, missing = self._ray.wait(started, num_returns=len(started), timeout=START_SECONDS)
        if missing:
            raise LostProcessError(
                f"{len(missing)} of {len(started)} workers did not start in {START_SECONDS:.0f} seconds: other work "
                "may hold the CPUs of the cluster. Ask for fewer --workers, or try again later."
            )

    def _submit(self, name: str, shard: Shard, running: dict[Any, tuple[str, Shard]]) -> None:
        reference = self._actors[name].answer.remote(shard, self._manifest.files[shard.file])
        running[reference] = (name, shard)

    def _ask_for_events(self, names: Sequence[str]) -> None:
        references = {name: self._actors[name].events.remote() for name in names}
        done, _ = self._ray.wait(list(references.values()), num_returns=len(references), timeout=POLL_SECONDS)
        for name, reference in references.items():
            if reference in done:
                try:
                    events = self._ray.get(reference)
                except self._ray.exceptions.RayActorError:
                    continue  # the answer of the actor fails in the same way, and is dealt with
                for event in events:
                    self._on_event(name, event)

    def _lose(self, name: str, shard: Shard, error: Exception) -> None:
        """Put another actor in the place of one that died.

        Raises:
            LostProcessError: too many died at the same shard.
        """
        self._losses[shard.number] = self._losses.get(shard.number, 0) + 1
        if self._losses[shard.number] > MOST_LOSSES:
            reason = str(error).partition("\n")[0]
            raise LostProcessError(f"{MOST_LOSSES + 1} actors died while they answered shard {shard.number}: {reason}")
        self._on_event(name, {"restarts": 1, "reason": "its actor died"})
        self._actors[name] = self._start(name)
        started = self._actors[name].start.remote()
        done, _ = self._ray.wait([started], timeout=START_SECONDS)
        if not done:
            raise LostProcessError(f"An actor in the place of worker {name} did not start: its machine may be gone.")
