"""The options of ``distilbert run``, and the plan that they make."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from ...core.errors import InputError, UsageError
from ..failures import warn
from ..name_completion import complete_model, complete_task

EXAMPLE = r"""
printf 'a red car\ta crimson automobile\n' | \
  distilbert run --task sentence-similarity --model models/minilm
"""


class FormatOption(StrEnum):
    """Values of ``--format``."""

    infer = "infer"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    txt = "txt"
    parquet = "parquet"
    pipe = "pipe"


class PrecisionOption(StrEnum):
    """Values of ``--precision``."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class RunnerOption(StrEnum):
    """Values of ``--runner``."""

    engine = "engine"
    pytorch = "pytorch"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


class FrameworkOption(StrEnum):
    """Values of ``--framework``."""

    pt = "pt"
    tf = "tf"
    flax = "flax"


class ShardFormatOption(StrEnum):
    """Values of ``--shard-format``."""

    jsonl = "jsonl"
    jsonl_gz = "jsonl.gz"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


class OnErrorOption(StrEnum):
    """Values of ``--on-error``."""

    null = "null"
    stop = "stop"
    skip = "skip"


def _option(name: str, text: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    return typer.Option(name, help=text, show_default=False, autocompletion=complete)


_TASK = _option(
    "--task", "What to do, such as text-classification; default: what the model was made for.", complete_task
)
_MODEL = _option(
    "--model", "Folder of the model, or its name: installed or on the hub. Default: that of the task.", complete_model
)
_INPUT = _option(
    "--input",
    "File to read: .json .jsonl .csv .tsv .txt (also .gz, .zst), .parquet; for shards also a folder or a pattern.",
)
_OUTPUT = _option("--output", "File to write: .json .jsonl .csv .tsv (also .gz), .parquet; or a folder, for shards.")
_COLUMN = _option("--column", "Columns to use: a,b in the task's order, or argument=column,...")
_FORMAT = _option("--format", "Format of an input whose name does not tell it; json also prints JSON.")
_CONFIG = _option("--config", "Where the configuration is, if not with the model.")
_TOKENIZER = _option("--tokenizer", "Where the tokenizer is, if not with the model.")
_DEVICE = _option("--device", "-1 or cpu, 0 or cuda:0, mps, ...")
_PRECISION = _option("--precision", "Type that the model computes in; default: auto, the fastest that is as good.")
_RUNNER = _option("--runner", "What computes: engine (default on a CPU), pytorch, onnxruntime or openvino.")
_THREADS = _option("--threads", "Threads on a CPU.")
_FRAMEWORK = _option("--framework", "What loads the model: pt (PyTorch), tf (Keras on TensorFlow), flax (JAX).")
_BATCH_TOKENS = _option("--batch-tokens", "Tokens of a batch, padding included.")
_OVERWRITE = _option("--overwrite", "Replace the output if it exists.")
_RESUME = _option("--resume", "Go on after an interruption (OUTPUT.part).")
_KEEP_INPUT = _option("--keep-input", "Write each result joined to its row.")
_DELIMITER = _option("--delimiter", "Separator of columns; default: the one that the format or the header shows.")
_ENCODING = _option("--encoding", "Encoding of text, such as windows-1252 or utf-16; default: utf-8.")
_ON_ERROR = _option(
    "--on-error",
    "A row without an answer, such as an empty text: null in its place (default with --input), skip it, or stop there.",
)
_PROGRESS = _option("--progress/--no-progress", "Draw a progress bar; default: on a terminal.")
_TOP_K = _option("--top-k", "How many answers a row; with --source, how many sentences.")
_SOURCE = _option("--source", "Rank the sentences of the input by their similarity to this one.")
_CANDIDATE_LABELS = _option("--candidate-labels", "Labels of zero-shot classification: a,b,c.")
_AGGREGATION_STRATEGY = _option("--aggregation-strategy", "Tokens into entities: none, simple, first, average, max.")
_STRIDE = _option("--stride", "Tokens that two windows of a long text share.")
_WORKERS = _option("--workers", "Answer in this many processes; --output is a folder. Default there: one a core.")
_RAY = _option("--ray", "Answer on this Ray cluster, such as ray://head:10001 or auto; local starts one here.")
_SHARD_ROWS = _option("--shard-rows", "Rows of a shard, an output file in a folder; default: 20,000.")
_SHARD_FORMAT = _option("--shard-format", "Format of the files of a folder; default: jsonl.")
_PARAM = _option("--param", "Another parameter of the task, NAME=VALUE (JSON or text); repeatable.")


def command(
    task: Annotated[str | None, _TASK] = None,
    model: Annotated[str | None, _MODEL] = None,
    input: Annotated[str | None, _INPUT] = None,
    output: Annotated[str | None, _OUTPUT] = None,
    column: Annotated[str | None, _COLUMN] = None,
    format: Annotated[FormatOption, _FORMAT] = FormatOption.infer,
    delimiter: Annotated[str, _DELIMITER] = "",
    encoding: Annotated[str, _ENCODING] = "",
    config: Annotated[str | None, _CONFIG] = None,
    tokenizer: Annotated[str | None, _TOKENIZER] = None,
    device: Annotated[str | None, _DEVICE] = None,
    precision: Annotated[PrecisionOption | None, _PRECISION] = None,
    framework: Annotated[FrameworkOption | None, _FRAMEWORK] = None,
    runner: Annotated[RunnerOption | None, _RUNNER] = None,
    threads: Annotated[int | None, _THREADS] = None,
    batch_tokens: Annotated[int | None, _BATCH_TOKENS] = None,
    overwrite: Annotated[bool, _OVERWRITE] = False,
    resume: Annotated[bool, _RESUME] = False,
    keep_input: Annotated[bool, _KEEP_INPUT] = False,
    on_error: Annotated[OnErrorOption | None, _ON_ERROR] = None,
    progress: Annotated[bool | None, _PROGRESS] = None,
    top_k: Annotated[int | None, _TOP_K] = None,
    source: Annotated[str | None, _SOURCE] = None,
    candidate_labels: Annotated[str | None, _CANDIDATE_LABELS] = None,
    aggregation_strategy: Annotated[str | None, _AGGREGATION_STRATEGY] = None,
    stride: Annotated[int | None, _STRIDE] = None,
    workers: Annotated[int | None, _WORKERS] = None,
    ray: Annotated[str | None, _RAY] = None,
    shard_rows: Annotated[int | None, _SHARD_ROWS] = None,
    shard_format: Annotated[ShardFormatOption | None, _SHARD_FORMAT] = None,
    param: Annotated[list[str] | None, _PARAM] = None,
) -> int:
    """Run a task over a file, a pipe or what is typed.

    Without --input, lines come from standard input; a tab separates columns, and blank lines are left out.
    With --input, every row of the file has its line in the output: an empty text has the answer null.
    Without --output, results are printed: for people on a terminal, elsewhere as one JSON value a line.

    A file is read in little memory. Its output appears under its name only when it is complete; until then the
    results are in OUTPUT.part, and --resume goes on from there.

    Many files, or many rows, go into a folder: --input 'dir/*.parquet' --output answers/ --workers 4. Each shard of
    rows has its own file there, and --resume goes on after any death.
    """
    from .plan import RunPlan
    from .sharding import run_in_shards
    from .steps import run

    loading = {
        "model": model,
        "config": config,
        "tokenizer": tokenizer,
        "device": _device(device),
        "precision": precision.value if precision else None,
        "runner": runner.value if runner else None,
        "threads": threads,
        "framework": framework.value if framework else None,
        "batch_tokens": batch_tokens,
    }
    task_options = {
        "--top-k": top_k if source is None else None,
        "--candidate-labels": candidate_labels,
        "--aggregation-strategy": aggregation_strategy,
        "--stride": stride,
    }
    plan = RunPlan(
        task=task,
        input=input,
        output=output,
        column=column,
        format=format.value,
        source=source,
        overwrite=overwrite,
        resume=resume,
        keep_input=keep_input,
        delimiter=delimiter,
        encoding=encoding,
        on_error=on_error.value if on_error else "",
        progress=progress,
        top_k=top_k,
        loading=loading,
        task_options={option: value for option, value in task_options.items() if value is not None},
        parameters=_parameters(param or []),
        workers=workers,
        ray=ray,
        shard_rows=shard_rows,
        shard_format=shard_format.value if shard_format else None,
    )
    if model is None and plan.task is not None:
        loading["model"] = default_model(plan.task)
    return run_in_shards(plan) if plan.is_sharded else run(plan)


def default_model(task: str) -> str:
    """Return the folder of the default model of a task, and say which model it is."""
    from ...tasks.loading import installed_or_downloaded_default

    try:
        name, folder = installed_or_downloaded_default(task, "--model")
    except InputError as error:
        raise UsageError(str(error)) from None
    warn(f"no --model, so the default of {task} is used: {name}")
    return str(folder)


def _device(name: str | None) -> str | int | None:
    """Return what ``pipeline`` takes: a number counts accelerators, and -1 is the CPU."""
    if name is None or not name.removeprefix("-").isdecimal():
        return name
    number = int(name)
    if number < -1:
        raise UsageError(f"--device must be -1 or cpu, 0 or cuda:0, mps, ..., got {name}.")
    return "cpu" if number < 0 else number


def _parameters(options: list[str]) -> dict[str, Any]:
    """Return the parameters that ``--param`` states; a value is JSON, or else text."""
    import json

    parameters: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {option!r} is not of the form NAME=VALUE.")
        name = name.replace("-", "_")
        if name in parameters:
            raise UsageError(f"--param {name} is given twice.")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
        except RecursionError:
            raise UsageError(f"--param {name}: its JSON is nested too deeply.") from None
    return parameters
