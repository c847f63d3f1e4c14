"""``distilbert pack``: writes the weights of a model as the engine's kernels read them, beside the model."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.errors import UsageError
from .failures import OK
from .name_completion import complete_model

EXAMPLE = "distilbert pack models/minilm"


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="A model's folder, or an installed model.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    precision: Annotated[str, typer.Option(help="fp32, bf16, int8, or auto: what runs on this machine.")] = "auto",
) -> int:
    """Write laid-out weights into the folder of a model, for a quick start and memory that processes share.

    Without this command, the first use of a model on a machine writes them into the cache. The file is for the kernels
    of this machine's CPU and for this version; other CPUs and versions ignore it.
    """
    from ..core.hub import resolve
    from ..engine.engine_runner import EngineRunner

    folder = resolve(model, local_files_only=True)
    runner = EngineRunner.from_folder(folder, precision=precision, packed=False)
    try:
        path = runner.pack()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}.") from None
    print(f"{path}  {path.stat().st_size / 1e6:.0f} MB, {runner.precision}, kernels {path.stem.split('-')[-1]}")
    return OK
