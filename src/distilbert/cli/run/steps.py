"""The steps of ``distilbert run``: plan the output, open the input, match columns, load, answer, write.

``--source`` takes the same steps; there sentences are ranked in place of being answered row by row.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ...core.counted import counted
from ...core.errors import DataError, InputError, Interrupted, MissingExtraError, UnknownArgumentError, UsageError
from ...core.extras import require
from ...core.files import DISK_ERRORS
from ...data.output_files import NPY, output_format
from ...data.row_stream import RowStream
from ...data.row_windows import UnusableRows
from ...data.task_inputs import SENTENCE, TaskInputs
from ...tasks.registry import task_spec
from ..failures import FAILED, OK, warn
from .answering import answer_rows
from .content_hashes import ContentHashes
from .input_rows import open_input
from .parameter_types import check_names, check_types
from .partial_output import PartialOutput
from .plan import RunPlan
from .result_writers import LinesWriter, PartialOutputWriter, ResultWriter, TableWriter
from .row_progress import RowProgress
from .sentence_ranking import rank_rows


def run(plan: RunPlan) -> int:
    """Do what was asked for and return the exit code.

    Raises:
        DistilBertError: it cannot be done; the message says why.
        Interrupted: Ctrl-C; the message says what is kept.
    """
    output = plan_output(plan)
    answer = answer_rows if plan.source is None else rank_rows
    with open_input(plan.input, plan.format, plan.delimiter, plan.encoding) as stream:
        inputs = match_columns(plan, plan.task, stream) if plan.task else None
        hashing = ContentHashes(plan) if output is not None and plan.can_resume else None
        noted = output.noted_precision() if output is not None and plan.resume else ""
        task = load(plan, noted)
        if output is not None:
            output.precision = getattr(getattr(task, "runner", None), "precision", None) or ""
            if hashing is not None:
                plan.contents = hashing.result()
        inputs = inputs or match_columns(plan, task.task, stream)
        unusable = UnusableRows(plan.on_error, warn, can_be_null=plan.output_format != NPY)
        writer = PartialOutputWriter(output, plan.keep_input) if output else printer(plan, task.task)
        try:
            try:
                with RowProgress(stream, shows_progress(plan)) as progress:
                    answer(plan, stream, inputs, unusable, task, writer, output, progress)
            except DataError as error:
                raise DataError(_with_what_is_kept(str(error), output, plan)) from None
            if output is not None:
                output.finish()
        except OSError as error:
            if output is None or error.errno not in DISK_ERRORS:
                raise
            message = f"{error.filename or output.path}: {error.strerror}"
            raise DataError(_with_what_is_kept(message, output, plan)) from None
        except KeyboardInterrupt:
            raise Interrupted(_with_what_is_kept("interrupted", output, plan)) from None
        finally:
            if output is not None:
                output.close()
    if not progress.rows + unusable.count:
        warn(f"{stream.name} has no rows.")
    was_of_use = unusable.summarize(progress.rows)
    if output is not None and sys.stderr.isatty():
        warn(f"{plan.output}: {progress.pace()}")
    return OK if was_of_use else FAILED


def plan_output(plan: RunPlan) -> PartialOutput | None:
    """Check the output before anything is read or loaded.

    Returns:
        Where the results are collected; None if they are printed.

    Raises:
        UsageError: the output exists, is the input, or cannot be written.
    """
    if plan.output is None:
        if plan.overwrite:
            raise UsageError("--overwrite goes with --output.")
        return None
    format = plan.output_format or output_format(plan.output, plan.format)
    output = PartialOutput(Path(plan.output), format, plan.vector_name)
    if output.format == "parquet":
        try:
            require("pyarrow.parquet", "parquet")
        except MissingExtraError as error:
            raise UsageError(str(error)) from None
    output.check(overwrite=plan.overwrite, resume=plan.resume, input=plan.input)
    return output


def match_columns(plan: RunPlan, task: str, stream: RowStream) -> TaskInputs:
    """Return what makes inputs of rows; where the columns are known already, match them to the task's arguments.

    Raises:
        UsageError: the columns do not fit the task.
    """
    forms = () if plan.source is None else (SENTENCE,)
    inputs = TaskInputs(task_spec(task), plan.column, forms)
    if stream.columns is not None:
        pairs = inputs.match(stream.columns, stream.unnamed, stream.repeated, stream.name)
        stream.columns_to_read = None if plan.keep_input else list(dict.fromkeys(column for _, column in pairs))
    return inputs


def load(plan: RunPlan, noted_precision: str = "") -> Any:
    """Load the model and check the parameters, before the first row.

    Args:
        plan: the command line.
        noted_precision: the one that an earlier run chose, where the command line leaves the choice.

    Raises:
        UsageError: no model is named, or the task has no such parameter, or not with that value.
    """
    if not plan.loading.get("model"):
        raise UsageError("Name a model: --model FOLDER, or a name on the hub.")
    from ...tasks.loading import pipeline

    options = {name: value for name, value in plan.loading.items() if value is not None}
    if noted_precision and options.get("precision", "auto") == "auto":
        options["precision"] = noted_precision
    task = pipeline(plan.task, options.pop("model"), **options)
    parameters = plan.parameters_of(task.task)
    check_names(task.task, parameters)
    try:
        task([], **parameters)
    except (InputError, UnknownArgumentError) as error:
        raise UsageError(str(error)) from None
    except (TypeError, AttributeError):
        check_types(task.task, parameters)  # the usual reason, which these errors do not tell
        raise
    check_types(task.task, parameters)
    return task


def printer(plan: RunPlan, task: str) -> ResultWriter:
    """Return what prints results: a view on a terminal, a table for ``--format csv``, elsewhere JSON lines."""
    if plan.format in ("csv", "tsv"):
        return TableWriter(plan.format, plan.keep_input)
    if sys.stdout.isatty() and plan.format not in ("json", "jsonl"):
        from .terminal_views import RankingWriter, TerminalWriter

        return TerminalWriter(task) if plan.source is None else RankingWriter()
    return LinesWriter(plan.keep_input)


def shows_progress(plan: RunPlan) -> bool:
    """Tell whether to draw a progress bar: by default on a terminal on which no answers appear meanwhile."""
    if plan.progress is not None:
        return plan.progress
    answers_appear = plan.output is None and plan.source is None and sys.stdout.isatty()
    return sys.stderr.isatty() and not answers_appear


def _with_what_is_kept(message: str, output: PartialOutput | None, plan: RunPlan) -> str:
    """Add to a message what is kept, and how to go on."""
    if output is None:
        return message
    message += "" if message.endswith((".", ")")) else "."
    if not output.rows:
        return f"{message} Nothing was written."
    if not plan.can_resume:
        return f"{message} The results of {counted(output.rows, 'row')} are kept in {output.path}, as JSON lines."
    return (
        f"{message} {counted(output.rows, 'row is', 'rows are')} done and kept in {output.path}: "
        "the same command with --resume goes on from there."
    )
