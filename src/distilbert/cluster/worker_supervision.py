"""A worker that outlives its process: the process is started again when it dies, and the row that kills it is found.

A process that died may have been killed by chance, for example because another program took the memory. So the shard
is tried again. If the process dies in the same window again, the rows of that window are tried in pieces of their
square root, and then one by one. A row that was alone when the process died is the cause: it gets no answer, and the
reason stands among the rejects. That takes four starts for a window of any size.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

from ..core.errors import DataError, LostProcessError
from .answer_settings import AnswerSettings
from .manifest import InputFile, Shard
from .shard_answering import ShardTry, SuspectRows
from .shard_outputs import ShardRecord

MOST_RESTARTS = 24  # of one shard: six rows that kill their process
MOST_STARTS = 3  # without a process that has loaded the model
COMMAND = (sys.executable, "-m", "distilbert.cluster.shard_process")

OnEvent = Callable[[Mapping[str, Any]], None]
OnWorkerEvent = Callable[[str, Mapping[str, Any]], None]  # name of a worker, what it reports


class SupervisedWorker:
    """Answers shards in a process of its own.

    Args:
        settings: how rows are read, answered and written.
        output: path or address of the output folder.
        threads: that the model computes with.
        name: of the worker, for records and messages.
        on_event: receives what the process reports, see :class:`.shard_answering.ShardAnswerer`; and ``restarts`` when
            the process has died.
        command: that starts the process; the number of the descriptor for its reports is added; default:
            ``COMMAND``.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        output: str,
        threads: int,
        name: str,
        on_event: OnEvent,
        command: tuple[str, ...] = (),
    ) -> None:
        self._settings, self._output, self._threads, self.name = settings, output, threads, name
        self._on_event, self._command = on_event, command or COMMAND
        self._process: subprocess.Popen[str] | None = None
        self._events: IO[str] | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    @property
    def process_id(self) -> int:
        """Of the process that runs now; 0 if none does."""
        return self._process.pid if self._process is not None else 0

    def answer(self, shard: Shard, file: InputFile) -> ShardRecord:
        """Answer a shard, however often the process dies meanwhile.

        Raises:
            DataError: the shard cannot be answered; the message says why.
            LostProcessError: the process died too often, or the worker was stopped.
        """
        rejected: dict[str, str] = {}
        dead_in: set[int] = set()  # windows
        suspects: SuspectRows | None = None
        for restarts in range(MOST_RESTARTS + 1):
            last: dict[str, Any] = {}
            self._send(ShardTry(shard, file, rejected, suspects).as_dict())
            for event in self._reports():
                if "record" in event:
                    return replace(ShardRecord(**event["record"]), restarts=restarts)
                if "failed" in event:
                    raise self._failure(event)
                if "window" in event or "piece" in event:
                    last = event
                self._on_event(event)
            reason = self._end()
            self._on_event({"restarts": 1, "reason": reason})
            if "piece" in last and last["rows"] == 1:
                rejected[last["row"]] = f"the process that answered it ended: {reason}"
                suspects = None
            elif "piece" in last and suspects is not None:
                suspects = SuspectRows(suspects.window, last["piece"], last["rows"])
            elif "window" in last and last["window"] in dead_in:
                suspects = SuspectRows(last["window"], 0, last["rows"])
            elif "window" in last:
                dead_in.add(last["window"])
        raise LostProcessError(
            f"The process of worker {self.name} died {MOST_RESTARTS} times in shard {shard.number} of {file.name}, the "
            f"last time because of {reason}; no single row is the cause."
        )

    def stop(self) -> None:
        """End the process; :meth:`answer` in another thread then fails."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process, which has nothing to do any more."""
        self.stop()
        with suppress(LostProcessError):
            self._end()

    def _send(self, command: dict[str, Any]) -> None:
        for _ in range(MOST_STARTS):
            if self._process is None:
                self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps(command) + "\n")
                self._process.stdin.flush()
                return
            except BrokenPipeError:
                self._end()
        raise LostProcessError(f"The process of worker {self.name} ends as soon as it is started.")

    def _start(self) -> None:
        """Start a process that has loaded the model.

        Raises:
            DataError: the model cannot be loaded.
            LostProcessError: the process dies while it loads.
        """
        reason = ""
        for _ in range(MOST_STARTS):
            readable, writable = os.pipe()
            with self._lock:
                if self._is_stopped:
                    os.close(readable)
                    os.close(writable)
                    raise LostProcessError(f"Worker {self.name} was stopped.")
                self._process = subprocess.Popen(
                    [*self._command, str(writable)],
                    stdin=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    pass_fds=(writable,),
                    env=os.environ | self._environment(),
                    start_new_session=True,  # Ctrl-C is for the owner, which then ends its workers
                )
            os.close(writable)
            self._events = os.fdopen(readable, encoding="utf-8")
            hello = {
                "settings": self._settings.as_dict(),
                "output": self._output,
                "threads": self._threads,
                "worker": self.name,
            }
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps(hello) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                reason = self._end()
                continue
            for event in self._reports():
                if "failed" in event:
                    raise self._failure(event)
                return
            reason = self._end()
        raise LostProcessError(
            f"The process of worker {self.name} died {MOST_STARTS} times while it loaded the model: {reason}."
        )

    def _environment(self) -> dict[str, str]:
        """Return the variables that keep libraries to the threads of this worker."""
        return {name: str(self._threads) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}

    def _reports(self) -> Iterator[dict[str, Any]]:
        """Yield what the process reports, until it ends."""
        assert self._events is not None
        for line in self._events:
            if line.endswith("\n"):  # the last line of a process that was killed may be cut
                yield json.loads(line)

    def _failure(self, event: Mapping[str, Any]) -> Exception:
        self._end()
        return DataError(f"{event['failed']}")

    def _end(self) -> str:
        """Wait for the end of the process, and return in words how it ended."""
        process, self._process = self._process, None
        if self._events is not None:
            self._events.close()
            self._events = None
        if process is None:
            return ""
        assert process.stdin is not None
        with suppress(OSError):  # what the process did not read any more cannot be sent
            process.stdin.close()
        code = process.wait()
        if self._is_stopped:
            raise LostProcessError(f"Worker {self.name} was stopped.")
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
