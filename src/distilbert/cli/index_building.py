"""How ``distilbert index`` builds: rows are read, encoded and added, and kept in ``OUTPUT.part`` on the way."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.counted import counted
from ..core.errors import DataError, InputError, Interrupted, UsageError
from ..data.row_stream import RowStream
from ..data.row_windows import InputRow, UnusableRows, gather_windows
from ..data.task_inputs import SENTENCE, TaskInputs
from ..embedding.index_encoder import TextEncoder, open_encoder
from ..embedding.index_export import format_of_export
from ..embedding.index_folder import INDEX_FILE, can_hold_index, delete_index, read_state
from ..embedding.vector_index import EXACT_ENTRIES, Index
from ..tasks.registry import task_spec
from .failures import OK, explain, warn
from .index_interruptions import Interruptions
from .index_model import open_index
from .index_snapshot import Change, InputSnapshot
from .run.input_rows import open_input
from .run.options import default_model
from .run.row_progress import RowProgress

TASK = "feature-extraction"
# What is done is written into OUTPUT.part after so many rows, or after so many seconds, whichever comes first.
KEEP_ROWS, KEEP_SECONDS = 16_384, 15.0
IDENTITY = "work"  # a note in an index, of the work that its newest entries come from
LEAST_WORK = 20  # times as long as the last writing took: so much time passes before the clock asks for the next one


@dataclass
class IndexPlan:
    """The command line of ``distilbert index``; the attributes are its options."""

    input: str | None
    output: str
    model: str | None = None
    column: str | None = None
    id_column: str | None = None
    metadata: list[str] | None = None
    add: bool = False
    overwrite: bool = False
    resume: bool = False
    method: str | None = None
    format: str = "infer"
    delimiter: str = ""
    encoding: str = ""
    loading: dict[str, Any] = field(default_factory=dict)
    on_error: str = "skip"
    progress: bool | None = None

    @property
    def unfinished(self) -> Path:
        """The folder of what is done before the end."""
        return Path(f"{self.output.rstrip('/')}.part")

    def source(self, snapshot: InputSnapshot | None) -> dict[str, Any]:
        """Return what the entries depend on: options, and the input."""
        names = ("column", "id_column", "metadata", "format", "delimiter", "encoding", "add")
        values = {name: getattr(self, name) for name in names} | {"method": self.method or "exact"}
        if snapshot is not None:
            input = str(Path(snapshot.path).resolve())
            values |= {"input": input, "content": snapshot.content, "size": snapshot.size}
        return values

    def snapshot(self) -> InputSnapshot | None:
        """Return the input as it is now, or as it was when the work began that is resumed; None for a pipe."""
        if self.input is None:
            return None
        size = read_state(self.unfinished).source.get("size") if self.resume else None
        return InputSnapshot.of(self.input, self.format, self.encoding, size if isinstance(size, int) else None)


def export_index(folder: str, path: str, overwrite: bool) -> int:
    """Write an index as one file; return the exit code."""
    try:
        format_of_export(Path(path))
    except InputError as error:
        raise UsageError(str(error).replace("or state format=", "or use Index.export in Python")) from None
    if Path(path).exists() and not overwrite:
        raise UsageError(f"{path} exists; --overwrite replaces it.")
    index = Index.load(folder)
    index.export(path)
    warn(f"{path}: {counted(len(index), 'entry', 'entries')}.")
    return OK


def build(plan: IndexPlan) -> tuple[int, bool]:
    """Build an index, or add to one.

    Returns:
        How many entries it has, and whether any row could be used.

    Raises:
        UsageError: the output exists, or options contradict each other.
        DataError: a row cannot be used, and the work stops there; or the input was changed meanwhile; or the index
            cannot be saved. The message says what is kept.
        Interrupted: Ctrl-C or SIGTERM; the message says what is kept.
    """
    base = check_output(plan)
    snapshot = plan.snapshot()  # before the file is opened, so that a change while it is read shows in the end
    with Interruptions() as interruptions, open_input(plan.input, plan.format, plan.delimiter, plan.encoding) as stream:
        columns = RowColumns(plan, stream)
        if snapshot is not None:
            if snapshot.is_passed(stream):
                raise DataError(
                    f"{plan.input} has grown, and it is so short that its new rows cannot be told from "
                    "the others. --overwrite starts again."
                )
            stream.rows = snapshot.rows(stream.rows, stream.position)
        work = started_work(plan, base, snapshot)
        if base is not None and work.is_saved_in(base):
            work.forget()
            return len(base), True
        unusable = UnusableRows(plan.on_error, warn, can_be_null=False)
        change = Change.none
        try:
            with RowProgress(stream, sys.stderr.isatty() if plan.progress is None else plan.progress) as progress:
                progress.skip(work.rows)
                for window in gather_windows(stream, columns.inputs, unusable, done=work.rows):
                    add_rows(work, base, columns, window, unusable, interruptions)
                    progress.add(len(window))
                    with interruptions.held_back():
                        work.keep_if_due()
            change = Change.none if snapshot is None else snapshot.change()
            interruptions.ignore()  # all that is missing is to save the index
            if change is not Change.other:
                index = save(work, base)
        except KeyboardInterrupt as error:
            received = error.signal if isinstance(error, Interrupted) else signal.SIGINT
            raise Interrupted(work.kept("interrupted."), received) from None
        except DataError as error:
            interruptions.ignore()
            raise DataError(work.kept(str(error))) from None
        if change is Change.other:
            raise DataError(work.dropped())
        work.forget()
    was_of_use = unusable.summarize(work.rows + unusable.count)
    if change is Change.growth and snapshot is not None:
        warn(
            f"{plan.input} has grown since the work began: the index holds the rows of its first {snapshot.size:,} "
            "bytes, and not those that came later."
        )
    if len(index) > EXACT_ENTRIES and index.method == "exact":
        warn(f"more than {EXACT_ENTRIES:,} entries: --method hnsw searches faster, and misses a few results.")
    return len(index), was_of_use


def check_output(plan: IndexPlan) -> Index | None:
    """Check the output before anything is read.

    Returns:
        The index that is added to, if there is one.

    Raises:
        UsageError: it is in the way, or not there.
    """
    output = Path(plan.output)
    is_index = (output / INDEX_FILE).is_file()
    if plan.add and plan.overwrite:
        raise UsageError("--add and --overwrite exclude each other.")
    if plan.add and not is_index:
        raise UsageError(f"There is no index in {output} to add to; leave --add out.")
    if plan.add and plan.method is not None:
        raise UsageError("--method belongs to a new index; leave it out with --add.")
    if not plan.add and not can_hold_index(output):
        raise UsageError(f"{output} is not the folder of an index: choose another name.")
    if is_index and not plan.add and not plan.overwrite and not plan.resume:
        raise UsageError(f"{output} exists. --add adds to it, --overwrite replaces it.")
    if plan.resume and plan.input is None:
        raise UsageError("--resume needs a file: standard input cannot be read again.")
    has_unfinished = can_hold_index(plan.unfinished) and (plan.unfinished / INDEX_FILE).is_file()
    if has_unfinished and not plan.resume:
        if not plan.overwrite:
            raise UsageError(
                f"{plan.unfinished} holds the work of a run that was interrupted. --resume goes on with it, "
                "--overwrite starts again."
            )
        delete_index(plan.unfinished)
    if not can_hold_index(plan.unfinished):
        raise UsageError(
            f"{plan.unfinished} holds other files, and what is done would be kept there: move it away, or choose "
            "another name."
        )
    if plan.resume and not has_unfinished:
        raise UsageError(f"There is nothing to resume: {plan.unfinished} does not exist.")
    if plan.model is None and not plan.add:
        plan.model = default_model(TASK)
    return open_index(plan.output, plan.model, plan.loading) if plan.add else None


def encoder_of(plan: IndexPlan) -> TextEncoder:
    """Return the encoder of a new index."""
    options = {name: value for name, value in plan.loading.items() if value is not None}
    return open_encoder(plan.model, **options)


def started_work(plan: IndexPlan, base: Index | None, snapshot: InputSnapshot | None) -> IndexWork:
    """Return the work to go on with: that of an interrupted run, or a new one.

    Raises:
        UsageError: the run before had another input or other options.
    """
    encoder = base.encoder() if base is not None else encoder_of(plan)
    source = plan.source(snapshot)
    if not plan.resume:
        return IndexWork(plan, Index.for_encoder(encoder, method=plan.method or "exact"), source, snapshot)
    index = Index.load(plan.unfinished, encoder)
    noted = dict(index.source)
    if differences := [name for name, value in source.items() if noted.get(name) != value]:
        raise UsageError(
            f"--resume: the run before had another {differences[0].replace('content', 'content of the input')}. "
            "--overwrite starts again."
        )
    return IndexWork(plan, index, source, snapshot, rows=int(noted["rows"]), identity=str(noted.get(IDENTITY, "")))


class IndexWork:
    """The entries that are made, which are kept in ``OUTPUT.part`` so that another run can go on.

    Args:
        plan: the command line.
        index: of the new entries alone.
        source: what they depend on.
        snapshot: of the input; None for a pipe, which cannot be read again: nothing is kept then.
        rows: see below.
        identity: what tells this work from every other one; a new one by default.

    Attributes:
        rows: how many rows of the input are in the index.
    """

    def __init__(
        self,
        plan: IndexPlan,
        index: Index,
        source: dict[str, Any],
        snapshot: InputSnapshot | None,
        rows: int = 0,
        identity: str = "",
    ) -> None:
        self.plan, self.index, self.rows = plan, index, rows
        self._source, self._snapshot = source, snapshot
        self._identity = identity or uuid.uuid4().hex
        self._kept_rows, self._kept_at, self._seconds = rows, time.monotonic(), 0.0
        self._has_kept = plan.resume

    def keep(self) -> None:
        """Write what is done into ``OUTPUT.part``.

        Raises:
            UsageError: another command has begun to do so meanwhile.
        """
        if self._is_of_another():
            raise UsageError(
                f"Another command keeps its work for {self.plan.output} in {self.plan.unfinished}. Wait for it, or "
                "name another output."
            )
        started = time.monotonic()
        self.index.note_source({**self._source, "rows": self.rows, IDENTITY: self._identity})
        self.index.save(self.plan.unfinished)
        self._kept_rows, self._kept_at, self._has_kept = self.rows, time.monotonic(), True
        self._seconds = self._kept_at - started

    def save_in(self, index: Index) -> None:
        """Save the index that has the new entries, and that it has them."""
        index.note_source({IDENTITY: self._identity})
        index.save(self.plan.output)

    def is_saved_in(self, index: Index) -> bool:
        """Whether an index has the new entries: the run before was killed after it had saved them."""
        return bool(index.source.get(IDENTITY) == self._identity)

    def forget(self) -> None:
        """Delete what is kept."""
        if self.plan.unfinished.exists() and not self._is_of_another():
            delete_index(self.plan.unfinished)

    def _is_of_another(self) -> bool:
        return not self._has_kept and (self.plan.unfinished / INDEX_FILE).is_file()

    def keep_if_due(self) -> None:
        """Keep what is done, if that is long ago or many rows were added since."""
        seconds = time.monotonic() - self._kept_at
        is_time = seconds >= max(KEEP_SECONDS, LEAST_WORK * self._seconds)
        if self._snapshot is not None and (is_time or self.rows - self._kept_rows >= KEEP_ROWS):
            self.keep()

    def kept(self, message: str) -> str:
        """Keep what is done, and say in a message how to go on."""
        message += "" if message.endswith((".", ")")) else "."
        if self._snapshot is None or not len(self.index):
            return f"{message} Nothing was written."
        self.keep()  # first of all, as there may be little time
        if self._snapshot.change() is Change.other:
            return f"{message} {self.dropped()}"
        rows = counted(self.rows, "row is", "rows are")
        return (
            f"{message} {rows} done and kept in {self.plan.unfinished}: the same command with --resume goes on from "
            "there."
        )

    def dropped(self) -> str:
        """Delete what is kept of an input that was changed meanwhile, as it may be of both, and say so."""
        self.forget()
        return f"{self.plan.input} was changed while it was read. Nothing was written: index it again."


def save(work: IndexWork, base: Index | None) -> Index:
    """Save the new entries, in the index that they are added to if there is one, and return it.

    Raises:
        DataError: it cannot be saved.
    """
    plan, index = work.plan, work.index
    try:
        if base is not None:
            added = list(index)
            if added:
                base.add(
                    [record["text"] for record in added],
                    vectors=[vector for block in index.vectors() for vector in block],
                    ids=None if plan.id_column is None else [record["id"] for record in added],
                    metadata=[record["metadata"] for record in added],
                )
            index = base
        work.save_in(index)
    except (InputError, OSError) as error:
        raise DataError(explain(error)) from None
    return index


class RowColumns:
    """Which columns of the rows are texts, ids and metadata.

    Args:
        plan: names them.
        stream: the rows; the columns that are not used are not read.

    Raises:
        UsageError: a column does not exist, or that of the texts cannot be guessed.
    """

    def __init__(self, plan: IndexPlan, stream: RowStream) -> None:
        self.inputs = TaskInputs(task_spec(TASK), plan.column, (SENTENCE,))
        self._plan = plan
        self._text = ""  # the column of a table; a row of JSON may have other columns than the one before
        others = [*([plan.id_column] if plan.id_column else []), *(plan.metadata or [])]
        if stream.columns is None:
            return
        ((_, self._text),) = self.inputs.match(stream.columns, stream.unnamed, stream.repeated)
        for name in others:
            if name not in stream.columns:
                raise UsageError(f"There is no column {name!r}. Columns found: {', '.join(stream.columns)}.")
        if plan.metadata is not None:
            stream.columns_to_read = list(dict.fromkeys([self._text, *others]))

    @property
    def has_ids(self) -> bool:
        """Whether ids come from a column."""
        return self._plan.id_column is not None

    def id_of(self, row: InputRow) -> Any:
        """Return the id of a row.

        Raises:
            DataError: it has none.
        """
        value = row.row.value.get(self._plan.id_column) if isinstance(row.row.value, dict) else None
        if value is None or value == "":
            raise DataError(f"{row.row.place}: there is no id in the column {self._plan.id_column!r}.")
        return value

    def metadata_of(self, row: InputRow) -> dict[str, Any]:
        """Return the metadata of a row."""
        columns = row.row.value if isinstance(row.row.value, Mapping) else {}  # a line is a text and nothing else
        if self._plan.metadata is not None:
            return {name: columns.get(name) for name in self._plan.metadata}
        text = self._text or (self.inputs.match(columns)[0][1] if columns else "")
        return {name: value for name, value in columns.items() if name not in (text, self._plan.id_column)}


def add_rows(
    work: IndexWork,
    base: Index | None,
    columns: RowColumns,
    window: list[InputRow],
    unusable: UnusableRows,
    interruptions: Interruptions,
) -> None:
    """Encode the rows of a window, add them and count them.

    Raises:
        DataError: an id is missing, or comes twice.
    """
    rows = []
    for row in window:
        if row.item:
            rows.append(row)
        else:
            unusable.add(row.row, "an empty text")
    unusable.answered += len(rows)
    ids = None
    if columns.has_ids:
        ids = [columns.id_of(row) for row in rows]
        known = {identifier: row for identifier, row in zip(ids, rows, strict=True) if base and identifier in base}
        for identifier, row in known.items():
            raise DataError(f"{row.row.place}: the id {identifier!r:.80} is in the index already.")
    texts = [row.item for row in rows]
    try:
        vectors: Any = work.index.encoder().encode_document(texts) if rows else []
        with interruptions.held_back():
            work.index.add(texts, vectors=vectors, ids=ids, metadata=[columns.metadata_of(row) for row in rows])
            work.rows += len(window)
    except InputError as error:
        raise DataError(f"{rows[0].row.place} to {rows[-1].row.place}: {error}") from None
