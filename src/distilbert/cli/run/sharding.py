"""``distilbert run`` into a folder of shards: many files, many rows, on several processes or on Ray."""

from __future__ import annotations

import sys
from pathlib import Path

from ...cluster.answer_settings import SHARD_FORMATS, AnswerSettings
from ...cluster.local_workers import LocalWorkers
from ...cluster.manifest import Manifest
from ...cluster.run_progress import duration
from ...cluster.shard_outputs import OutputFolder
from ...cluster.sharded_run import SHARD_ROWS, Workers, run_sharded
from ...core.counted import counted
from ...core.errors import UsageError
from ...core.extras import require
from ...data.addresses import find_files, is_address
from ...data.file_formats import format_of
from ...data.output_files import FORMATS
from ...data.row_windows import LARGEST_WINDOW
from ..failures import FAILED, OK, warn
from .content_hashes import ContentHashes
from .plan import RunPlan
from .steps import load


def run_in_shards(plan: RunPlan) -> int:
    """Do what was asked for and return the exit code.

    Raises:
        DistilBertError: it cannot be done; the message says why.
        Interrupted: Ctrl-C; the message says what is kept.
    """
    input, output = _check(plan)
    names = find_files(input)
    if plan.ray is not None:  # whose workers run in another folder
        names = [name if is_address(name) else str(Path(name).resolve()) for name in names]
        output = output if is_address(output) else str(Path(output).resolve())
    workers = _workers(plan)
    folder = OutputFolder(output, plan.shard_format or SHARD_FORMATS[0])
    folder.check(overwrite=plan.overwrite, resume=plan.resume)
    noted = ""
    if plan.resume and folder.manifest.exists():
        noted = Manifest.load(folder.manifest).settings.loading.get("precision") or ""
    settings = _settings(plan, noted)
    summary = run_sharded(
        settings,
        names,
        output,
        workers,
        shard_rows=SHARD_ROWS if plan.shard_rows is None else plan.shard_rows,
        resume=plan.resume,
        overwrite=plan.overwrite,
        shown=_shown(plan),
        notice=warn,
    )
    rejects = summary["rejects"]
    rates = ", ".join(
        f"worker {name} {worker['tokens_per_second']:,.0f} tokens/s" for name, worker in summary["workers"].items()
    )
    warn(
        f"{output}: {counted(summary['rows'], 'row')} in {counted(summary['shards'], 'shard')}, "
        + duration(summary["seconds"])
        + (f"; {rates}" if rates else "")
    )
    if rejects:
        warn(f"{counted(rejects, 'row has', 'rows have')} no answer: see rejects.jsonl in {output}.")
    if summary["rows"] and not summary["answered"]:
        warn("no row could be answered.")
        return FAILED
    return OK


def _check(plan: RunPlan) -> tuple[str, str]:
    """Return the input and the output of a sharded run.

    Raises:
        UsageError: one is not given, or the output is the name of a single file; or an option does not go with shards.
    """
    if plan.source is not None:
        raise UsageError("--source ranks the sentences of one file; it does not go with a folder of shards.")
    if plan.input is None:
        raise UsageError("A run in shards reads files: name them with --input, such as 'dir/*.jsonl'.")
    if plan.output is None:
        raise UsageError("A run in shards writes a folder: name it with --output.")
    if plan.format == "pipe":
        raise UsageError("--format pipe reads standard input; leave it out.")
    if format_of(plan.output, FORMATS).format and not plan.output.endswith("/"):
        raise UsageError(
            f"A run in shards writes a folder, and {plan.output!r} is the name of a file. Name a folder, such as "
            f"answers/, and choose the format of its files with --shard-format {'|'.join(SHARD_FORMATS)}."
        )
    if plan.shard_format == "parquet":
        require("pyarrow.parquet", "parquet")
    return plan.input, plan.output


def _workers(plan: RunPlan) -> Workers:
    threads = plan.loading.get("threads")
    if plan.ray is None:
        return LocalWorkers(plan.workers, threads)
    from ...cluster.ray_workers import RayWorkers

    return RayWorkers(plan.ray, plan.workers, threads)


def _settings(plan: RunPlan, noted_precision: str) -> AnswerSettings:
    """Load the model once, which checks the parameters, and return what all workers get."""
    hashing = ContentHashes(plan)
    task = load(plan, noted_precision)
    loading = {name: value for name, value in plan.loading.items() if value is not None and name != "threads"}
    loading["precision"] = getattr(task.runner, "precision", None) or loading.get("precision")
    for name in ("model", "config", "tokenizer"):
        if name in loading and Path(loading[name]).exists():
            loading[name] = str(Path(loading[name]).resolve())
    return AnswerSettings(
        task=task.task,
        loading=loading,
        parameters=plan.parameters_of(task.task),
        column=plan.column,
        format="" if plan.format in ("infer", "json") else plan.format,
        delimiter=plan.delimiter,
        encoding=plan.encoding,
        keep_input=plan.keep_input,
        on_error=plan.on_error,
        shard_format=plan.shard_format or SHARD_FORMATS[0],
        largest_window=min(LARGEST_WINDOW, getattr(task, "chunk_size", LARGEST_WINDOW)),
        model_content=hashing.result()["content of the model"],
    )


def _shown(plan: RunPlan) -> str:
    """Return how to show progress: as a view on a terminal, and as JSON lines where --progress asks for it."""
    if plan.progress is False:
        return ""
    return "live" if sys.stderr.isatty() else "log" if plan.progress else ""
