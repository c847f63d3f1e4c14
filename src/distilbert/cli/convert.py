"""``distilbert convert``: a model folder from another one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..core.errors import UsageError
from .failures import OK

EXAMPLE = "distilbert convert models/minilm models/minilm-half --layers 0,2,4"


class To(StrEnum):
    """Values of ``--to``."""

    safetensors = "safetensors"
    pytorch = "pytorch_model.bin"
    tensorflow = "tf_model.h5"
    flax = "flax_model.msgpack"


class Head(StrEnum):
    """Values of ``--head``."""

    auto = "auto"
    none = "none"


class Dtype(StrEnum):
    """Values of ``--dtype``."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="DistilBERT or BERT: a folder, or a name on the hub.", show_default=False),
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Folder to write.", show_default=False)],
    layers: Annotated[
        str | None, typer.Option(help="Blocks to keep, in this order: 0,2,4. Default: all.", show_default=False)
    ] = None,
    head: Annotated[Head, typer.Option(help="auto keeps the head that the model has, none leaves it out.")] = Head.auto,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Type of the weights. Default: that of the model.", show_default=False)
    ] = None,
    to: Annotated[To, typer.Option(help="Format of the weights.")] = To.safetensors,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a model that is there.")] = False,
) -> int:
    """Convert a model: BERT to DistilBERT, fewer layers, no head, another type or file format."""
    kept = _layers(layers)
    from pathlib import Path

    from ..models.convert import convert

    if (Path(output) / "config.json").exists() and not overwrite:
        raise UsageError(f"{output} holds a model already; name another folder, or write over it with --overwrite.")
    made = convert(
        model,
        output,
        layers=kept,
        head=head.value,
        dtype=dtype.value if dtype else None,
        to=to.value,
        overwrite=overwrite,
    )
    print(
        f"{made.architecture} of {made.n_layers} layers and {made.parameters:,} parameters, written to {made.folder}:"
    )
    for name in made.files:
        print(f"  {name}")
    if made.dropped:
        print(f"left behind: {', '.join(made.dropped)}")
    if not made.tokenizer:
        print("no tokenizer was found beside the model, so none was written")
    return OK


def _layers(given: str | None) -> list[int] | None:
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--layers {given!r}: numbers of blocks, counted from 0, separated by commas, are expected.")
    return [int(part) for part in parts]
