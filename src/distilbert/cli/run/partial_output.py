"""Partial output: JSON lines beside the final name, with a note of the command, so that ``--resume`` can go on."""

from __future__ import annotations

import hashlib
import io
import json
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import DataError, UsageError
from ...core.files import lock_file, replacing, sync_to_disk
from ...data.json_lines import encode_lines
from ...data.output_files import publish


class PartialOutput:
    """``OUTPUT.part``, which becomes ``OUTPUT`` when it is complete, and its note ``OUTPUT.part.json``.

    Rows are counted from 0, and only those that could be read. A row that the task refused has no line; its number
    stands in the note. The note is written after each window, with a hash of itself and of the lines so far: a resume
    goes on after lines that are those that were written, or not at all. Lines after the last note are computed again.

    Args:
        output: the final name.
        format: its format, one of ``output_files.FORMATS``, or ``NPY``.
        vectors: the key under which a result has its vector; empty: it has none.

    Attributes:
        rows: how many are done.
        rows_without_answer: how many of those that an earlier run has done have the answer null.
        precision: the one that the model runs in, kept in the note; empty if it is not known.
    """

    def __init__(self, output: Path, format: str, vectors: str = "") -> None:
        self.output, self.format, self._vectors = output, format, vectors
        self.path = output.with_name(output.name + ".part")
        self.note = output.with_name(output.name + ".part.json")
        self.rows = self.rows_without_answer = 0
        self.precision = ""
        self._overwrite = False
        self._command: Mapping[str, Any] = {}
        self._refused: list[int] = []
        self._lines, self._bytes = hashlib.sha256(), 0  # of what is written, and its size
        self._file: io.FileIO | None = None

    def check(self, *, overwrite: bool, resume: bool, input: str | None = None) -> None:
        """Check, before any work, that the output can be written.

        Args:
            overwrite: the output may be replaced.
            resume: there may be unfinished work.
            input: the file that is read; it must be none of those that are written.

        Raises:
            UsageError: the output exists already, or unfinished work does, or another command is at it.
        """
        self._overwrite = overwrite
        for path in (self.output, self.path, self.note):
            if input is not None and _is_same_file(path, Path(input)):
                what = "the input" if path == self.output else "the input, which would be lost"
                raise UsageError(f"{path} is {what}; name another output.")
        if self.output.is_dir():
            raise UsageError(f"{self.output} is a folder; name a file to write.")
        if self.output.exists() and not overwrite:
            raise UsageError(f"{self.output} exists already; name another file, or replace it with --overwrite.")
        if not self.output.parent.is_dir():
            raise UsageError(f"There is no folder {self.output.parent} to write {self.output.name} into.")
        if self.path.exists():
            with self.path.open("rb") as file:
                if not lock_file(file):
                    raise self._is_busy()
        if self.path.exists() and not resume and not overwrite:
            raise UsageError(
                f"{self.path} holds unfinished work: go on with --resume, or start again with --overwrite."
            )

    def start(self, command: Mapping[str, Any], *, resume: bool, window_end: Callable[[int], int]) -> int:
        """Open for writing.

        Args:
            command: what the results depend on; kept in the note and compared on ``resume``.
            resume: go on after the lines that an earlier run wrote; start if there are none.
            window_end: returns the last end of a window at or before a number of rows. The work goes on there, so that
                every window has the rows that it has in one run, and the results are equal to the last digit.

        Returns:
            How many rows are done.

        Raises:
            UsageError: another command left the unfinished work, is at the same output now, or has written it.
        """
        self._command = command
        resume = resume and self.path.exists()
        file = self._open_locked()
        try:
            if self.output.exists() and not self._overwrite:  # another command was quicker
                if not resume:
                    self.path.unlink(missing_ok=True)
                raise UsageError(f"{self.output} exists already; name another file, or replace it with --overwrite.")
            if resume:
                size = self._compare()
                self._cut(size, window_end)
            else:
                file.truncate(0)
                self._write_note()
        except BaseException:
            file.close()
            raise
        self._file = file
        return self.rows

    def noted_precision(self) -> str:
        """Return the precision that an earlier run noted; empty if it noted none."""
        try:
            return str(json.loads(self.note.read_text(encoding="utf-8"))["precision"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def _open_locked(self) -> io.FileIO:
        """Open ``OUTPUT.part``, so that no other command can."""
        while True:
            file = io.FileIO(self.path, "ab")
            if not lock_file(file):
                file.close()
                raise self._is_busy()
            try:
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    return file
            except FileNotFoundError:
                pass
            file.close()  # the command before it finished in between, and took the file away

    def _is_busy(self) -> UsageError:
        return UsageError(
            f"Another distilbert run is writing {self.output} (it holds {self.path}). "
            "Wait for it, or name another output."
        )

    def _compare(self) -> int:
        """Compare the unfinished work with its note and the note with this command; return the size of the lines."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            before, self._refused, size = note["command"], sorted(note["refused"]), note["bytes"]
            is_intact = note["hash"] == _hash_of(_hash_lines(self.path, size), note)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise UsageError(
                f"{self.note} is missing or broken, so it is unknown what {self.path} holds; "
                "start again with --overwrite."
            ) from None
        if not is_intact:
            raise UsageError(
                f"{self.path} or {self.note.name} was changed or damaged after it was written; "
                "start again with --overwrite."
            )
        now = json.loads(json.dumps(self._command))
        changes = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]
        if changes:
            raise UsageError(
                f"{self.path} is the unfinished work of another command: {'; '.join(changes)}. "
                "Give that command again, or start this one with --overwrite."
            )
        return int(size)

    def _cut(self, size: int, window_end: Callable[[int], int]) -> None:
        """Drop what follows the last whole window of the first ``size`` bytes."""
        ends, nulls = [0], [0]
        with self.path.open("rb") as file:
            while ends[-1] < size:
                line = file.readline()
                ends.append(ends[-1] + len(line))
                nulls.append(nulls[-1] + (line == b"null\n" or line.endswith(b'"result": null}\n')))
        rows = len(ends) - 1
        for number in self._refused:  # a refused row before the last line has no line of its own
            if number < rows:
                rows += 1
        self.rows = window_end(rows)
        self._refused = self._refused[: bisect_left(self._refused, self.rows)]
        lines = self.rows - len(self._refused)
        self.rows_without_answer = nulls[lines]
        os.truncate(self.path, ends[lines])
        self._lines, self._bytes = _hash_lines(self.path, ends[lines]), ends[lines]
        self._write_note()

    def _write_note(self) -> None:
        note = {
            "command": dict(self._command),
            "refused": self._refused,
            "precision": self.precision,
            "bytes": self._bytes,
        }
        with replacing(self.note) as temporary:
            temporary.write_text(json.dumps(note | {"hash": _hash_of(self._lines, note)}, indent=2) + "\n", "utf-8")
            sync_to_disk(temporary)  # without it, a power cut could leave an empty note

    def write(self, results: list[Any], refused: list[int]) -> None:
        """Append the results of a window, and wait until they are on the disk.

        Args:
            results: one for each row that was answered.
            refused: the places within the window of the rows that were not.
        """
        assert self._file is not None
        self._refused += [self.rows + place for place in refused]
        rows = len(results) + len(refused)
        self.rows += rows  # before they are on the disk: Ctrl-C meanwhile must not discard them
        try:
            encoded = encode_lines(results)
            lines = memoryview(encoded)
            while lines:
                lines = lines[self._file.write(lines) or 0 :]
            os.fsync(self._file.fileno())
            self._lines.update(encoded)
            self._bytes += len(encoded)
            self._write_note()
        except OSError:
            self.rows -= rows
            raise

    def finish(self) -> None:
        """Make the final file and remove the partial ones."""
        assert self._file is not None
        if os.name == "nt":  # there an open file can be neither renamed nor removed, and nobody else can either
            self._file.close()
        try:
            is_moved = publish(self.path, self.output, self.format, vectors=self._vectors)
        except DataError as error:
            raise DataError(f"{error} All results are kept in {self.path}, as JSON lines.") from None
        self.note.unlink(missing_ok=True)
        if not is_moved:
            self.path.unlink(missing_ok=True)
        self._file.close()  # the lock ends here, when nothing is left to do
        self._file = None

    def close(self) -> None:
        """Close the file; what is done is kept, and no file is left if nothing is done."""
        if self._file is None:
            return
        if self.rows == 0 and os.name != "nt":
            self.note.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        self._file.close()
        self._file = None


def _hash_lines(path: Path, size: int) -> hashlib._Hash:
    """Return the hash of the first ``size`` bytes of a file; ValueError if it has fewer."""
    lines, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left > 0:
            block = file.read(min(left, 1 << 20))
            if not block:
                raise ValueError
            lines.update(block)
            left -= len(block)
    return lines


def _hash_of(lines: hashlib._Hash, note: Mapping[str, Any]) -> str:
    """Return the hash of some lines and their note."""
    both = lines.copy()
    both.update(json.dumps({name: note[name] for name in note if name != "hash"}, sort_keys=True).encode())
    return both.hexdigest()


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist
        return path.resolve() == other.resolve()
