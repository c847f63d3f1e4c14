"""Unfinished output: JSON lines beside the final name, with a note of the command, so that ``--resume`` can go on."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from ..core.errors import DataError, UsageError
from ..core.files import write_json
from .records import encode_lines
from .writing import publish


class Part:
    """``OUTPUT.part``, which becomes ``OUTPUT`` when it is complete, and its note ``OUTPUT.part.json``.

    Rows are counted from 0 among those that could be read. A row that the task refused has no line; its number stands
    in the note, which is written before the lines that follow it.

    Args:
        output: the final name.
        kind: its format, one of ``writing.OUTPUTS``.
    """

    def __init__(self, output: Path, kind: str) -> None:
        self.output, self.kind = output, kind
        self.path = output.with_name(output.name + ".part")
        self.note = output.with_name(output.name + ".part.json")
        self.rows = 0
        self._command: Mapping[str, Any] = {}
        self._refused: list[int] = []
        self._file: IO[bytes] | None = None

    def check(self, *, overwrite: bool, resume: bool) -> None:
        """Check, before any work, that nothing is in the way.

        Raises:
            UsageError: the output is there already, or unfinished work is.
        """
        if self.output.is_dir():
            raise UsageError(f"{self.output} is a folder; name a file to write.")
        if self.output.exists() and not overwrite:
            raise UsageError(f"{self.output} is there already; name another file, or replace it with --overwrite.")
        if not self.output.parent.is_dir():
            raise UsageError(f"There is no folder {self.output.parent} to write {self.output.name} into.")
        if self.path.exists() and not resume and not overwrite:
            raise UsageError(
                f"{self.path} holds unfinished work: go on with --resume, or start again with --overwrite."
            )

    def start(self, command: Mapping[str, Any], *, resume: bool, boundary: Callable[[int], int]) -> int:
        """Open for writing.

        Args:
            command: what the results depend on; kept in the note and compared on ``resume``.
            resume: go on after the lines that are there; without any, start.
            boundary: returns the last end of a window at or before a number of rows. Going on there means that every
                window holds the same rows as in one run, so that the results are equal to the last digit.

        Returns:
            How many rows are done.

        Raises:
            UsageError: the unfinished work is that of another command.
        """
        self._command = command
        if resume and self.path.exists():
            self._compare()
            self._cut(boundary)
        else:
            self.path.unlink(missing_ok=True)
            self._write_note()
        self._file = self.path.open("ab")
        return self.rows

    def _compare(self) -> None:
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            before, self._refused = note["command"], sorted(note["refused"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.note} is missing or broken, so that nobody can say what {self.path} holds; "
                "start again with --overwrite."
            ) from None
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

    def _cut(self, boundary: Callable[[int], int]) -> None:
        """Drop what follows the last whole window."""
        ends = [0]
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
        rows = len(ends) - 1
        for number in self._refused:  # each one before the last line stands for a row without a line
            if number < rows:
                rows += 1
        self.rows = boundary(rows)
        self._refused = self._refused[: bisect_left(self._refused, self.rows)]
        os.truncate(self.path, ends[self.rows - len(self._refused)])
        self._write_note()

    def _write_note(self) -> None:
        write_json(self.note, {"command": self._command, "refused": self._refused})

    def write(self, records: list[Any], refused: list[int]) -> None:
        """Append the records of a window, down to the disk.

        Args:
            records: one for each row that was answered.
            refused: places, within the window, of the rows that were not.
        """
        assert self._file is not None
        if refused:
            self._refused += [self.rows + place for place in refused]
            self._write_note()
        self._file.write(encode_lines(records))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows += len(records) + len(refused)

    def finish(self) -> None:
        """Make the final file and remove the unfinished ones."""
        assert self._file is not None
        self._file.close()
        try:
            publish(self.path, self.output, self.kind)
        except DataError as error:
            raise DataError(f"{error} All results are kept in {self.path}, as JSON lines.") from None
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop; what is done stays, and nothing stays if nothing is done."""
        if self._file is None:
            return
        self._file.close()
        if self.rows == 0:
            self.path.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)
