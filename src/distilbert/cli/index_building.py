"""How ``distilbert index`` builds: rows are read, encoded and added, and kept in ``OUTPUT.part`` on the way."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.content_hash import hash_files
from ..core.errors import DataError, InputError, Interrupted, UsageError
from ..data.row_stream import RowStream
from ..data.row_windows import InputRow, UnusableRows, gather_windows
from ..data.task_inputs import SENTENCE, TaskInputs
from ..embedding.index_encoder import TextEncoder, open_encoder
from ..embedding.index_export import format_of_export
from ..embedding.index_folder import INDEX_FILE, can_hold_index, delete_index
from ..embedding.vector_index import EXACT_ENTRIES, Index
from ..tasks.registry import task_spec
from .failures import OK, warn
from .run.input_rows import open_input
from .run.options import default_model
from .run.row_progress import RowProgress

TASK = "feature-extraction"
KEEP_ROWS = 16_384  # after so many rows, what is done is written into OUTPUT.part


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

    def source(self) -> dict[str, Any]:
        """Return what the entries depend on, with a hash of the input as it is now."""
        names = ("column", "id_column", "metadata", "format", "delimiter", "encoding", "add", "on_error")
        values = {name: getattr(self, name) for name in names}
        if self.input is not None:
            values |= {"input": str(Path(self.input).resolve()), "content": content_of(self.input)}
        return values


def content_of(path: str) -> str:
    """Return a hash of a file; empty where there is none."""
    return hash_files([Path(path)]) if Path(path).is_file() else ""


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
    warn(f"{path}: {len(index):,} entries.")
    return OK


def build(plan: IndexPlan) -> tuple[int, bool]:
    """Build an index, or add to one.

    Returns:
        How many entries it has, and whether any row could be used.

    Raises:
        UsageError: the output exists, or options contradict each other.
        DataError: a row cannot be used, and the work stops there; or the input was changed meanwhile.
        Interrupted: Ctrl-C; the message says what is kept.
    """
    base = check_output(plan)
    source = plan.source()  # before the file is opened, so that a change while it is read shows in the end
    with open_input(plan.input, plan.format, plan.delimiter, plan.encoding) as stream:
        columns = RowColumns(plan, stream)
        index = unfinished_index(plan, base, source)
        unusable = UnusableRows(plan.on_error, warn)
        done = int(index.source["rows"]) if plan.resume else 0
        kept = rows = done
        try:
            with RowProgress(stream, sys.stderr.isatty() if plan.progress is None else plan.progress) as progress:
                progress.skip(done)
                for window in gather_windows(stream, columns.inputs, unusable, done=done):
                    add_rows(index, base, columns, window, unusable)
                    rows += len(window)
                    progress.add(len(window))
                    if rows - kept >= KEEP_ROWS and plan.input is not None:
                        keep(plan, index, source, rows)
                        kept = rows
        except KeyboardInterrupt:
            raise Interrupted(kept_message("interrupted.", plan, index, source, rows)) from None
        except DataError as error:
            raise DataError(kept_message(str(error), plan, index, source, rows)) from None
    if is_changed(plan, source):
        raise DataError(without_kept(plan))
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
    index.note_source({})
    index.save(plan.output)
    if plan.unfinished.exists():
        delete_index(plan.unfinished)
    was_of_use = unusable.summarize(rows + unusable.count)
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
    return Index.load(output, encoder_of(plan)) if plan.add else None


def encoder_of(plan: IndexPlan) -> TextEncoder | None:
    """Return the encoder that the command line names; None where it names none."""
    options = {name: value for name, value in plan.loading.items() if value is not None}
    return None if plan.model is None else open_encoder(plan.model, **options)


def unfinished_index(plan: IndexPlan, base: Index | None, source: dict[str, Any]) -> Index:
    """Return the index that rows are added to: a new one, or the one of an interrupted run.

    Raises:
        UsageError: that run had another input or other options.
    """
    encoder = base.encoder() if base is not None else encoder_of(plan)
    if plan.resume:
        index = Index.load(plan.unfinished, encoder)
        noted = {name: value for name, value in index.source.items() if name != "rows"}
        if differences := [name for name, value in source.items() if noted.get(name) != value]:
            raise UsageError(
                f"--resume: the run before had another {differences[0].replace('content', 'content of the input')}. "
                "--overwrite starts again."
            )
        return index
    return Index.for_encoder(encoder, method=plan.method or "exact")


def keep(plan: IndexPlan, index: Index, source: dict[str, Any], rows: int) -> None:
    """Write what is done into OUTPUT.part."""
    index.note_source({**source, "rows": rows})
    index.save(plan.unfinished)


def is_changed(plan: IndexPlan, source: dict[str, Any]) -> bool:
    """Whether the input is another one than before it was read."""
    return plan.input is not None and content_of(plan.input) != source["content"]


def without_kept(plan: IndexPlan) -> str:
    """Delete what is kept of an input that was changed meanwhile, as it may be of both, and say so in a message."""
    if plan.unfinished.exists():
        delete_index(plan.unfinished)
    return f"{plan.input} was changed while it was read. Nothing was written: index it again."


def kept_message(message: str, plan: IndexPlan, index: Index, source: dict[str, Any], rows: int) -> str:
    """Keep what is done, and say in a message how to go on."""
    if plan.input is None or not len(index):
        return f"{message} Nothing was written."
    if is_changed(plan, source):
        return f"{message} {without_kept(plan)}"
    keep(plan, index, source, rows)
    return (
        f"{message} {rows:,} rows are done and kept in {plan.unfinished}: the same command with --resume goes on from "
        "there."
    )


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
        self._text = plan.column.partition("=")[2] or plan.column if plan.column else ""
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
        columns = self.inputs.as_columns(row.row.value)
        if self._plan.metadata is not None:
            return {name: columns.get(name) for name in self._plan.metadata}
        text = self._text or next((name for name, value in columns.items() if value == row.item), "")
        return {name: value for name, value in columns.items() if name not in (text, self._plan.id_column)}


def add_rows(
    index: Index, base: Index | None, columns: RowColumns, window: list[InputRow], unusable: UnusableRows
) -> None:
    """Encode the rows of a window and add them.

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
    try:
        index.add([row.item for row in rows], ids=ids, metadata=[columns.metadata_of(row) for row in rows])
    except InputError as error:
        raise DataError(f"{rows[0].row.place} to {rows[-1].row.place}: {error}") from None
