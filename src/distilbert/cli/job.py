"""The work of ``distilbert run``: rows to inputs, inputs to answers, answers to where they belong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import DataError, InputError, MissingExtraError, UnknownArgumentError, UsageError
from ..core.extras import require
from ..data.row_streams import Source, open_source
from .columns import Columns, canonical_task
from .failures import OK, Interrupted, warn
from .part import Part
from .progress import Progress
from .sinks import Answered, FileSink, LinesSink, Sink, TableSink
from .windows import LARGEST, Entry, Skipped, boundary, windows
from .writing import output_format


@dataclass
class Job:
    """What was asked for on the command line; see ``run.py`` for each field."""

    task: str | None = None
    input: str | None = None
    output: str | None = None
    column: str | None = None
    format: str = "infer"
    source: str | None = None
    overwrite: bool = False
    resume: bool = False
    keep_input: bool = False
    skip: bool = False
    progress: bool | None = None
    top_k: int | None = None
    loading: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task is not None:
            self.task = canonical_task(self.task)
        if self.source is not None and self.task not in (None, "sentence-similarity"):
            raise UsageError(f"--source ranks sentences: it goes with --task sentence-similarity, not {self.task}.")
        if self.resume and (self.input is None or self.output is None or self.source is not None):
            raise UsageError("--resume goes with --input and --output, and not with --source.")

    @property
    def command(self) -> dict[str, Any]:
        """What the results depend on, besides the input's content."""
        names = ("task", "column", "format", "keep_input", "loading", "params")
        values = {name: getattr(self, name) for name in names}
        if self.input is None:
            return {"input": None} | values
        path = Path(self.input).resolve()
        return {"input": str(path), "size": path.stat().st_size} | values


def load(job: Job) -> Any:
    """Load the model and check the parameters before the first row.

    Raises:
        UsageError: no model is named, or the task has no such parameter, or not with that value.
    """
    if not job.loading.get("model"):
        raise UsageError("Name a model: --model FOLDER, or a name on the hub.")
    from ..tasks.loading import pipeline

    task_name = job.task or ("sentence-similarity" if job.source is not None else None)
    given = {name: value for name, value in job.loading.items() if value is not None}
    task = pipeline(task_name, given.pop("model"), **given)
    try:
        task([], **job.params)
    except (InputError, UnknownArgumentError) as error:
        raise UsageError(str(error)) from None
    return task


def run(job: Job) -> int:
    """Do the work and return the exit code.

    Raises:
        DistilBertError: what was asked for cannot be done; the message says why.
        Interrupted: Ctrl-C; the message says what is kept.
    """
    part = plan_output(job)
    with open_source(job.input, job.format) as source:
        columns = settled(Columns(job.task, job.column), source, job.keep_input) if job.task else None
        task = load(job)
        columns = columns or settled(Columns(task.task, job.column), source, job.keep_input)
        skipped = Skipped(source, not job.skip, warn)
        try:
            pace = _work(job, part, source, columns, skipped, task)
        except KeyboardInterrupt:
            raise Interrupted(_kept("interrupted", part, job)) from None
        except DataError as error:
            raise DataError(_kept(str(error), part, job)) from None
        finally:
            if part is not None:
                part.close()
    skipped.summarize()
    if part is not None and sys.stderr.isatty():
        warn(f"{job.output}: {pace}")
    return OK


def _work(job: Job, part: Part | None, source: Source, columns: Columns, skipped: Skipped, task: Any) -> str:
    """Answer every row; return how many there were, and how fast."""
    largest = min(LARGEST, getattr(task, "window", LARGEST))
    done = 0
    if part is not None:
        done = part.start(job.command, resume=job.resume, boundary=partial(boundary, largest=largest))
    sink = FileSink(part, job.keep_input) if part else printer(job, task.task)
    shown = sys.stderr.isatty() and (part is not None or not sys.stdout.isatty())
    with Progress(source, shown if job.progress is None else job.progress) as progress:
        progress.skip(done)
        for window in windows(source, columns, skipped, done=done, largest=largest):
            answered, refused = _answer(window, task, job, columns)
            sink.write(answered, list(refused) if job.skip else [])
            for place, reason in refused.items():
                skipped.add(window[place].row, reason)
            progress.add(len(window))
    if part is not None:
        part.finish()
    return progress.pace()


def plan_output(job: Job) -> Part | None:
    """Check the output before anything is read or loaded."""
    if job.output is None:
        if job.overwrite:
            raise UsageError("--overwrite goes with --output.")
        return None
    part = Part(Path(job.output), output_format(job.output, job.format))
    if part.kind == "parquet":
        try:
            require("pyarrow.parquet", "parquet")
        except MissingExtraError as error:
            raise UsageError(str(error)) from None
    part.check(overwrite=job.overwrite, resume=job.resume)
    if job.input is not None and Path(job.input).resolve() == part.output.resolve():
        raise UsageError(f"{job.output} is the input; name another file.")
    return part


def settled(columns: Columns, source: Source, keep_input: bool) -> Columns:
    """Match columns to a header, where there is one, before anything slow happens."""
    if source.header is not None:
        _, pairs = columns.settle(source.header)
        source.only = None if keep_input else list(dict.fromkeys(column for _, column in pairs))
    return columns


def printer(job: Job, task: str) -> Sink:
    """Return what prints results: a view on a terminal, a table for ``--format csv``, else a JSON object a line."""
    if job.format in ("csv", "tsv"):
        return TableSink(job.format, job.keep_input)
    if sys.stdout.isatty() and job.format not in ("json", "jsonl"):
        from .show import TerminalSink

        return TerminalSink(task)
    return LinesSink(job.keep_input)


def _answer(window: list[Entry], task: Any, job: Job, columns: Columns) -> tuple[list[Answered], dict[int, str]]:
    """Answer a window, up to the first row that the task refuses unless such rows are skipped.

    Refused rows are found by halving, so that the others stay fast.

    Returns:
        The answers, and the reason for each place of the window that was refused.
    """
    answered: list[Answered] = []
    refused: dict[int, str] = {}
    for place, answer in halve(window, 0, lambda items: task(items, **job.params)):
        row, item = window[place]
        if isinstance(answer, InputError):
            refused[place] = str(answer).replace("inputs[0]", "the input")
            if not job.skip:
                break
        else:
            answered.append(Answered(columns.as_columns(row.value), item, answer))
    return answered, refused


def halve(window: list[Entry], start: int, call: Callable[[list[Any]], list[Any]]) -> Iterator[tuple[int, Any]]:
    """Yield place and answer, or place and error, of every row of a window."""
    try:
        yield from enumerate(call([entry.item for entry in window]), start)
    except InputError as error:
        if len(window) == 1:
            yield start, error
            return
        middle = len(window) // 2
        yield from halve(window[:middle], start, call)
        yield from halve(window[middle:], start + middle, call)


def _kept(message: str, part: Part | None, job: Job) -> str:
    """Add to a message what is kept and how to go on."""
    if part is None:
        return message
    if not part.rows:
        return f"{message}{'' if message.endswith(('.', ')')) else '.'} Nothing was written."
    stop = "" if message.endswith((".", ")")) else "."
    if job.input is None:
        return f"{message}{stop} The results of {part.rows:,} rows are kept in {part.path}, as JSON lines."
    return (
        f"{message}{stop} {part.rows:,} rows are done and kept in {part.path}: "
        "the same command with --resume goes on from there."
    )
