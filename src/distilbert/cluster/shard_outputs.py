"""The output folder of a sharded run: a file and a record for each shard, and what is written at the end.

The file of a shard is written under a temporary name, synced and renamed. Only then the record is written, in the same
way. So a shard is done if there is a record and the file is as the record says.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..core.errors import UsageError
from ..core.files import lock_file, sync_to_disk, writing
from ..data.addresses import path_of
from ..data.json_lines import encode_lines
from ..data.output_files import publish

MANIFEST, RECORDS, LOCK = "_manifest.json", "_shards", "_lock"
SUMMARY, SUCCESS, REJECTS = "_summary.json", "_SUCCESS", "rejects.jsonl"
TEMPORARY = ".tmp"
SHARD = r"shard-\d{5,}\.\w+(\.gz)?"
UNFINISHED = re.compile(rf"\..*\{TEMPORARY}|\.[0-9a-f]{{8}}\.{SHARD}")  # names under which a shard is written


@dataclass(frozen=True)
class ShardRecord:
    """What became of a shard.

    Attributes:
        number: of the shard.
        rows: how many it has: those with an answer or null, and those that were left out.
        answered: how many have an answer.
        results: how many lines were written.
        rejects: the rows without an answer, each ``{"row": place, "reason": ...}``.
        size: bytes of the output.
        content: hash of the output.
        tokens: that the model computed.
        seconds: that it took, without loading the model.
        worker: who answered it.
        restarts: how often the process of the worker died meanwhile.
    """

    number: int
    rows: int
    answered: int
    results: int
    rejects: list[dict[str, str]]
    size: int
    content: str
    tokens: int
    seconds: float
    worker: str
    restarts: int = 0


OnRecord = Callable[[ShardRecord], None]


class OutputFolder:
    """The folder that a sharded run writes, on this machine or at an address.

    Args:
        name: its path or address.
        shard_format: of the files, one of ``answer_settings.SHARD_FORMATS``.
    """

    def __init__(self, name: str, shard_format: str) -> None:
        self.name, self.shard_format = name, shard_format
        self.path = path_of(name)
        self.manifest = self.path / MANIFEST
        self._is_local = isinstance(self.path, Path)

    def check(self, *, overwrite: bool, resume: bool) -> None:
        """Check, before any work, that the folder can be written.

        Raises:
            UsageError: it is a file, or holds a run or other files, and the options do not say what to do with it.
        """
        if self.path.is_file():
            raise UsageError(f"{self.name} is a file; a sharded run writes a folder.")
        if resume and overwrite:
            raise UsageError("--resume goes on with a run and --overwrite starts it anew: choose one.")
        if not self.path.is_dir() or resume or overwrite:
            return
        if (self.path / SUCCESS).exists():
            raise UsageError(f"{self.name} holds a complete run; name another folder, or replace it with --overwrite.")
        if self.manifest.exists():
            raise UsageError(
                f"{self.name} holds an unfinished run: go on with --resume, or start again with --overwrite."
            )
        if any(path.name not in (LOCK, RECORDS) for path in self.path.iterdir()):
            raise UsageError(f"{self.name} holds other files; name a folder that is empty or does not exist.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and keep other runs out of it. At an address there are no locks.

        Raises:
            UsageError: another run is writing it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / RECORDS).mkdir(exist_ok=True)
        if not self._is_local:
            yield
            return
        with (self.path / LOCK).open("ab") as file:
            if not lock_file(file):
                raise UsageError(f"Another run is writing {self.name}. Wait for it, or name another folder.")
            try:
                yield
            finally:
                (self.path / LOCK).unlink(missing_ok=True)
                with suppress(OSError):  # they are not empty: the run has begun
                    (self.path / RECORDS).rmdir()
                    self.path.rmdir()

    def clear(self) -> None:
        """Remove an earlier run; files that no run wrote stay."""
        for name in (SUCCESS, MANIFEST, SUMMARY, REJECTS):
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
        for path in [*(self.path / RECORDS).iterdir(), *self.path.iterdir()]:
            if re.fullmatch(SHARD, path.name) or path.parent.name == RECORDS:
                path.unlink()
        self.remove_temporary()

    def remove_temporary(self) -> None:
        """Remove what killed processes left half written."""
        for path in [*(self.path / RECORDS).iterdir(), *self.path.iterdir()]:
            if UNFINISHED.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    path.unlink()

    def file_of(self, number: int) -> Path:
        """Return the output of a shard."""
        return self.path / f"shard-{number:05d}.{self.shard_format}"

    def _record_of(self, number: int) -> Path:
        return self.path / RECORDS / f"{number:05d}.json"

    def done(self, numbers: Iterable[int]) -> dict[int, ShardRecord]:
        """Return the records of the shards that are done; a file that is not as its record says is not done."""
        records = {}
        for number in numbers:
            with suppress(OSError, ValueError, TypeError, KeyError):
                record = ShardRecord(**json.loads(self._record_of(number).read_text(encoding="utf-8")))
                path = self.file_of(number)
                if record.number == number and path.stat().st_size == record.size and _hash(path) == record.content:
                    records[number] = record
        return records

    @contextmanager
    def results_of(self, number: int, first: int) -> Iterator[ShardResults]:
        """Yield what takes the results of a shard; its output appears when the block is left without an error.

        Args:
            number: of the shard.
            first: number of its first row in the file, counted from 1.
        """
        target = self.file_of(number)
        folder = self.path if self._is_local else Path(tempfile.mkdtemp(prefix="distilbert-shard-"))
        lines, output = (folder / f".{target.name}.{secrets.token_hex(4)}{kind}{TEMPORARY}" for kind in ("", ".out"))
        # The format of an output is told by the end of its name.
        shaped = folder / f".{secrets.token_hex(4)}.{target.name}"
        try:
            with writing(target if self._is_local else lines):
                with lines.open("wb") as file:
                    results = ShardResults(file)
                    yield results
                if not publish(lines, shaped, self.shard_format.removesuffix(".gz"), first):
                    lines.unlink()
                shaped.replace(output)
                results.size, results.content = output.stat().st_size, _hash(output)
                sync_to_disk(output)
                self._publish(output, target)
        finally:
            for path in (lines, shaped, output):
                path.unlink(missing_ok=True)
            if not self._is_local:
                shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, complete: Path, target: Path) -> None:
        """Give a complete file its name. At an address it is first sent under another name."""
        if self._is_local:
            complete.replace(target)
            sync_to_disk(target.parent)
            return
        remote: Any = target
        aside = remote.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
        remote.fs.put_file(str(complete), aside.path)
        remote.fs.mv(aside.path, remote.path)

    def write_record(self, record: ShardRecord) -> None:
        """Write that a shard is done."""
        self._write(self._record_of(record.number), json.dumps(asdict(record), ensure_ascii=False, indent=1) + "\n")

    def finish(self, records: list[ShardRecord], summary: dict[str, Any]) -> None:
        """Write the rejects, the summary, and last that the run is complete."""
        rejects = [reject for record in records for reject in record.rejects]
        if rejects:
            self._write(self.path / REJECTS, encode_lines(rejects).decode("utf-8"))
        self._write(self.path / SUMMARY, json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
        self._write(self.path / SUCCESS, "")

    def _write(self, target: Path, text: str) -> None:
        folder = target.parent if self._is_local else Path(tempfile.mkdtemp(prefix="distilbert-shard-"))
        temporary = folder / f".{target.name}.{secrets.token_hex(4)}{TEMPORARY}"
        try:
            with writing(target if self._is_local else temporary):
                temporary.write_text(text, encoding="utf-8")
                sync_to_disk(temporary)
                self._publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
            if not self._is_local:
                shutil.rmtree(folder, ignore_errors=True)


class ShardResults:
    """Takes the results of a shard, a window at a time.

    Attributes:
        count: results so far.
        size: bytes of the output, once it is there.
        content: hash of the output, once it is there.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = self.size = 0
        self.content = ""

    def write(self, results: list[Any]) -> None:
        """Append results."""
        self._file.write(encode_lines(results))
        self.count += len(results)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
