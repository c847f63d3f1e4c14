"""``distilbert package``: makes a Python package of a model folder; installed, its name loads the model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import InputError, UsageError
from .failures import OK

EXAMPLE = "distilbert package models/minilm --name minilm-encoder --license Apache-2.0"


class PackageDtype(StrEnum):
    """Values of ``--dtype``."""

    bfloat16 = "bfloat16"
    float32 = "float32"
    keep = "keep"


def command(
    folder: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder with its tokenizer, or a name.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the package and the model. Default: that of the folder.", show_default=False),
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the package.")] = "1.0.0",
    license: Annotated[
        str | None, typer.Option(help="Licence of the model, such as Apache-2.0 (SPDX).", show_default=False)
    ] = None,
    output: Annotated[str, typer.Option(help="Folder for the result.")] = "dist",
    dtype: Annotated[
        PackageDtype, typer.Option(help="Type of the weights; keep leaves them as they are.")
    ] = PackageDtype.bfloat16,
    source: Annotated[bool, typer.Option("--source", help="Write a source tree, not a wheel.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result if it exists.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take the name of an installed package.")] = False,
) -> int:
    """Make a Python package of a model: pip installs it, and its name loads it, with no hub.

    The wheel, OUTPUT/NAME-VERSION-py3-none-any.whl, holds the model's own files: configuration, weights, tokenizer,
    model card and licences. With --source it is the folder OUTPUT/NAME, for a repository.
    """
    from ..core.hub import resolve
    from ..models.packaging.packager import package

    if not Path(folder).exists():  # the name of a model
        name = name or folder.rpartition("/")[2]
        folder = str(resolve(folder, kind="model and tokenizer"))
    try:
        built = package(
            folder,
            name=name,
            version=version,
            license=license,
            output=output,
            dtype=dtype.value,
            source=source,
            overwrite=overwrite,
            force=force,
        )
    except InputError as error:
        raise UsageError(str(error)) from None
    _report(built, Path(folder))
    return OK


def _report(built: Path, folder: Path) -> None:
    """Print the name of the package, its size, the size of its weights and of the model's, and how to install it."""
    import shlex
    from zipfile import ZipFile

    import numpy as np

    from ..weights.folder import SAFETENSORS, open_tensors
    from .text_output import size_text

    if (folder / SAFETENSORS).is_file():
        before = (folder / SAFETENSORS).stat().st_size
    else:
        before = sum(tensor.size * np.dtype(tensor.dtype).itemsize for tensor in open_tensors(folder).values())
    if built.is_dir():
        sizes = {file.name: file.stat().st_size for file in built.rglob("*") if file.is_file()}
        total = sum(file.stat().st_size for file in built.rglob("*") if file.is_file())
    else:
        with ZipFile(built) as archive:
            sizes = {Path(entry.filename).name: entry.file_size for entry in archive.infolist()}
        total = built.stat().st_size
    place = str(built) if len(built.parts) > 1 else f"./{built}"  # pip looks for a bare name in an index
    print(f"{built}: {size_text(total)}")
    print(f"  weights: {size_text(sizes[SAFETENSORS])}, {size_text(before)} in {folder}")
    print(f"  install: pip install {shlex.quote(place)}")
