"""``distilbert run``: a task over a file, a pipe or what is typed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ..core.errors import InputError, UsageError
from .failures import warn

EXAMPLE = r"""
printf 'a red car\ta crimson automobile\n' | \
  distilbert run --task sentence-similarity --model models/minilm
"""


class Format(StrEnum):
    """Values of ``--format``."""

    infer = "infer"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    txt = "txt"
    parquet = "parquet"
    pipe = "pipe"


class Precision(StrEnum):
    """Values of ``--precision``."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Runner(StrEnum):
    """Values of ``--runner``."""

    engine = "engine"
    pytorch = "pytorch"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


class Framework(StrEnum):
    """Values of ``--framework``."""

    pt = "pt"
    tf = "tf"
    flax = "flax"


class OnError(StrEnum):
    """Values of ``--on-error``."""

    stop = "stop"
    skip = "skip"


Text = str | None


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False)


_TASK = _option("--task", "What to do, such as text-classification; default: what the model is for.")
_MODEL = _option("--model", "Folder of the model, or its name: installed or on the hub. Default: that of the task.")
_INPUT = _option("--input", "File to read: .json .jsonl .csv .tsv .txt (also .gz), .parquet.")
_OUTPUT = _option("--output", "File to write: .json .jsonl .csv .tsv (also .gz), .parquet.")
_COLUMN = _option("--column", "Columns to use: a,b in the task's order, or argument=column,...")
_FORMAT = _option("--format", "Format of an input whose name does not tell; json also prints JSON.")
_CONFIG = _option("--config", "Where the configuration is, if not with the model.")
_TOKENIZER = _option("--tokenizer", "Where the tokenizer is, if not with the model.")
_DEVICE = _option("--device", "-1 or cpu, 0 or cuda:0, mps, ...")
_PRECISION = _option("--precision", "Type that the model computes in; default: auto, the fastest that is as good.")
_RUNNER = _option("--runner", "What computes: default the engine on a CPU; or pytorch, onnxruntime, openvino.")
_THREADS = _option("--threads", "Threads on a CPU.")
_FRAMEWORK = _option("--framework", "What loads the model: pt (PyTorch), tf (Keras on TensorFlow), flax (JAX).")
_BATCH_TOKENS = _option("--batch-tokens", "Tokens of a batch, padding included.")
_OVERWRITE = _option("--overwrite", "Replace the output if it is there.")
_RESUME = _option("--resume", "Go on after an interruption (OUTPUT.part).")
_KEEP_INPUT = _option("--keep-input", "Write each result joined to its row.")
_ON_ERROR = _option("--on-error", "What a row that cannot be used does: stop (default), or skip it.")
_PROGRESS = _option("--progress/--no-progress", "Draw a progress bar; default: on a terminal.")
_TOP_K = _option("--top-k", "How many answers a row; with --source, how many sentences.")
_SOURCE = _option("--source", "Rank the input's sentences by their similarity to this one.")
_CANDIDATE_LABELS = _option("--candidate-labels", "Labels of zero-shot classification: a,b,c.")
_AGGREGATION_STRATEGY = _option("--aggregation-strategy", "Tokens into entities: none, simple, first, average, max.")
_STRIDE = _option("--stride", "Tokens that two windows of a long text share.")
_PARAM = _option("--param", "Another parameter of the task, NAME=VALUE (JSON or text); repeatable.")


def command(
    task: Annotated[Text, _TASK] = None,
    model: Annotated[Text, _MODEL] = None,
    input: Annotated[Text, _INPUT] = None,
    output: Annotated[Text, _OUTPUT] = None,
    column: Annotated[Text, _COLUMN] = None,
    format: Annotated[Format, _FORMAT] = Format.infer,
    config: Annotated[Text, _CONFIG] = None,
    tokenizer: Annotated[Text, _TOKENIZER] = None,
    device: Annotated[Text, _DEVICE] = None,
    precision: Annotated[Precision | None, _PRECISION] = None,
    framework: Annotated[Framework | None, _FRAMEWORK] = None,
    runner: Annotated[Runner | None, _RUNNER] = None,
    threads: Annotated[int | None, _THREADS] = None,
    batch_tokens: Annotated[int | None, _BATCH_TOKENS] = None,
    overwrite: Annotated[bool, _OVERWRITE] = False,
    resume: Annotated[bool, _RESUME] = False,
    keep_input: Annotated[bool, _KEEP_INPUT] = False,
    on_error: Annotated[OnError, _ON_ERROR] = OnError.stop,
    progress: Annotated[bool | None, _PROGRESS] = None,
    top_k: Annotated[int | None, _TOP_K] = None,
    source: Annotated[Text, _SOURCE] = None,
    candidate_labels: Annotated[Text, _CANDIDATE_LABELS] = None,
    aggregation_strategy: Annotated[Text, _AGGREGATION_STRATEGY] = None,
    stride: Annotated[int | None, _STRIDE] = None,
    param: Annotated[list[str] | None, _PARAM] = None,
) -> int:
    """Run a task over a file, a pipe or what is typed.

    Without --input, lines come from standard input; a tab separates columns, and blank lines are left out.
    Without --output, results are printed: for people on a terminal, elsewhere as one JSON value a line.

    A file is read in little memory, and its output appears under its name only when it is complete: until then the
    work is in OUTPUT.part, where --resume goes on.
    """
    from .job import Job, run

    loading: dict[str, Any] = {
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
    job = Job(
        task=task,
        input=input,
        output=output,
        column=column,
        format=format.value,
        source=source,
        overwrite=overwrite,
        resume=resume,
        keep_input=keep_input,
        skip=on_error is OnError.skip,
        progress=progress,
        top_k=top_k,
        loading=loading,
    )
    values = {
        "top_k": top_k,
        "candidate_labels": candidate_labels,
        "aggregation_strategy": aggregation_strategy,
        "doc_stride" if job.task == "question-answering" else "stride": stride,
    }
    job.params.update({name: value for name, value in values.items() if value is not None} | _params(param or []))
    if model is None and job.task is not None:
        loading["model"] = _default_model(job.task)
    if job.source is not None:
        from .ranking import rank

        return rank(job)
    return run(job)


def _default_model(task: str) -> str:
    """Return the folder of the default model of a task, and say which one it is."""
    from ..tasks.loading import default_model

    try:
        name, folder = default_model(task, "--model")
    except InputError as error:
        raise UsageError(str(error)) from None
    warn(f"no --model, so the default of {task} is used: {name}")
    return str(folder)


def _device(name: str | None) -> str | int | None:
    """Return what ``pipeline`` takes: a number counts accelerators, and -1 is the CPU."""
    if name is None or not name.removeprefix("-").isdecimal():
        return name
    return "cpu" if int(name) < 0 else int(name)


def _params(given: list[str]) -> dict[str, Any]:
    import json

    params: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {one!r} is not of the form NAME=VALUE.")
        try:
            params[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            params[name.replace("-", "_")] = value
    return params
