"""``distilbert index``: makes an index of a file's texts, to search in by meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..core.counted import counted
from ..core.errors import UsageError
from .failures import FAILED, OK, warn
from .name_completion import complete_model
from .run.options import FormatOption
from .text_options import Delimiter, Encoding, InputFormat, Precision, Progress, Resume, TextColumn, Threads

EXAMPLE = """
distilbert index reviews.csv --model models/minilm --column text --output reviews.index
distilbert search reviews.index "a film to laugh about"
"""


class MethodOption(StrEnum):
    """Values of ``--method``."""

    exact = "exact"
    hnsw = "hnsw"


class UnusableRowOption(StrEnum):
    """Values of ``--on-error``."""

    skip = "skip"
    stop = "stop"


def command(
    input: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="File of texts: .json .jsonl .csv .tsv .txt (also .gz), .parquet. Default: lines of standard input. "
            "With --export: an index.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the index.", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or name of the model that makes the vectors. Default: that of feature-extraction; with --add, "
            "that of the index.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    column: TextColumn = None,
    id: Annotated[
        str | None, typer.Option(help="Column of ids, all different. Default: numbers.", show_default=False)
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(help="Columns to keep beside the texts: a,b. Default: all others.", show_default=False),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add to the index in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the index in the folder.")] = False,
    resume: Resume = False,
    export: Annotated[
        str | None,
        typer.Option(
            help="Write the index FILE as .parquet, as .copy (COPY of PostgreSQL, for pgvector), or as .jsonl (points "
            "of Qdrant).",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        MethodOption | None,
        typer.Option(help="exact (default), or hnsw: faster for millions, and misses a few.", show_default=False),
    ] = None,
    format: InputFormat = FormatOption.infer,
    delimiter: Delimiter = "",
    encoding: Encoding = "",
    precision: Precision = None,
    threads: Threads = None,
    on_error: Annotated[
        UnusableRowOption, typer.Option(help="A row without a text: leave it out, or stop there.")
    ] = UnusableRowOption.skip,
    progress: Progress = None,
) -> int:
    """Make an index of the texts in a file, or add to one.

    The other columns of the file stand beside the texts as metadata. The file is read row by row; what is done is kept
    in OUTPUT.part, and the index appears under its name when it is complete.
    """
    from .index_building import IndexPlan, build, export_index

    if export is not None:
        if input is None or output is not None or add or resume:
            raise UsageError("--export goes with the folder of an index alone: distilbert index FOLDER --export FILE.")
        return export_index(input, export, overwrite)
    if output is None:
        raise UsageError("Name the folder of the index: --output FOLDER.")
    plan = IndexPlan(
        input=input,
        output=output,
        model=model,
        column=column,
        id_column=id,
        metadata=None if metadata is None else [name for name in metadata.split(",") if name],
        add=add,
        overwrite=overwrite,
        resume=resume,
        method=None if method is None else method.value,
        format=format.value,
        delimiter=delimiter,
        encoding=encoding,
        loading={"precision": precision.value if precision else None, "threads": threads},
        on_error=on_error.value,
        progress=progress,
    )
    entries, is_of_use = build(plan)
    warn(f"{output}: {counted(entries, 'entry', 'entries')}.")
    return OK if is_of_use else FAILED
