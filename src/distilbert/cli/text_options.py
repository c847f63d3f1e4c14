"""Options of the commands that encode the texts of a file: ``embed`` and ``index``."""

from __future__ import annotations

from typing import Annotated

import typer

from .run.options import FormatOption, PrecisionOption

TextColumn = Annotated[
    str | None, typer.Option(help="Column of the texts. Default: text, or the only one.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption (OUTPUT.part).")]
InputFormat = Annotated[FormatOption, typer.Option(help="Format of a file whose name does not tell it.")]
Delimiter = Annotated[str, typer.Option(help="Separator of columns.", show_default=False)]
Encoding = Annotated[str, typer.Option(help="Encoding of text. Default: utf-8.", show_default=False)]
Precision = Annotated[PrecisionOption | None, typer.Option(help="Type that the model computes in.", show_default=False)]
Threads = Annotated[int | None, typer.Option(help="Threads on a CPU.", show_default=False)]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Draw a progress bar; default: on a terminal.", show_default=False),
]
