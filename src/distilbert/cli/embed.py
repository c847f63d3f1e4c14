"""``distilbert embed``: writes a vector for each text of a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError
from .name_completion import complete_model
from .run.options import FormatOption, OnErrorOption, default_model
from .text_options import Delimiter, Encoding, InputFormat, Precision, Progress, Resume, TextColumn, Threads

EXAMPLE = """
distilbert embed reviews.csv --model models/minilm --column text --output reviews.npy
"""
TASK = "feature-extraction"
VECTOR = "embedding"  # the name of the column
FORMATS = {".npy": "npy", ".parquet": "parquet", ".jsonl": "jsonl"}


class PoolingOption(StrEnum):
    """Values of ``--pooling``."""

    auto = "auto"
    mean = "mean"
    cls = "cls"
    max = "max"
    mean_sqrt_len = "mean_sqrt_len"
    weightedmean = "weightedmean"
    lasttoken = "lasttoken"


def command(
    input: Annotated[
        str, typer.Argument(metavar="FILE", help="File of texts: .json .jsonl .csv .tsv .txt (also .gz), .parquet.")
    ],
    output: Annotated[
        str,
        typer.Option(
            help=f"File to write: .npy (an array), .parquet or .jsonl (the column {VECTOR}).", show_default=False
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or name of the model. Default: that of feature-extraction.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    column: TextColumn = None,
    pooling: Annotated[
        PoolingOption, typer.Option(help="Makes one vector of a text; auto: what the model's folder says, else mean.")
    ] = PoolingOption.auto,
    normalize: Annotated[bool, typer.Option("--normalize/--no-normalize", help="Scale vectors to length 1.")] = True,
    keep_input: Annotated[
        bool, typer.Option("--keep-input", help="Write the columns of the input beside the vectors; not with .npy.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    resume: Resume = False,
    format: InputFormat = FormatOption.infer,
    delimiter: Delimiter = "",
    encoding: Encoding = "",
    precision: Precision = None,
    threads: Threads = None,
    on_error: Annotated[
        OnErrorOption | None,
        typer.Option(
            help="A row without a text: null in place of its vector (default), skip it, or stop there (default with "
            ".npy, which has no null).",
            show_default=False,
        ),
    ] = None,
    progress: Progress = None,
) -> int:
    """Write a vector for each text of a file, in the order of its rows.

    Vectors are float32. The file is read in little memory; the output appears under its name when it is complete, and
    until then the vectors are in OUTPUT.part, from where --resume goes on.
    """
    from .run.plan import RunPlan
    from .run.steps import run

    output_format = FORMATS.get(Path(output).suffix.lower(), "")
    if not output_format:
        raise UsageError(f"The name {output!r} must end in {', '.join(FORMATS)}.")
    is_array = output_format == "npy"
    if is_array and keep_input:
        raise UsageError("--keep-input goes with .parquet and .jsonl: an array has no columns.")
    if is_array and on_error == OnErrorOption.null:
        raise UsageError("--on-error null goes with .parquet and .jsonl: an array has no null. Choose skip or stop.")
    plan = RunPlan(
        task=TASK,
        input=input,
        output=output,
        column=column,
        format=format.value,
        overwrite=overwrite,
        resume=resume,
        keep_input=keep_input,
        delimiter=delimiter,
        encoding=encoding,
        on_error=on_error.value if on_error else "stop" if is_array else "null",
        progress=progress,
        loading={"precision": precision.value if precision else None, "threads": threads},
        parameters={"pooling": pooling.value, "normalize": normalize},
        vector_name=VECTOR,
        output_format=output_format,
    )
    plan.loading["model"] = model or default_model(TASK)
    return run(plan)
