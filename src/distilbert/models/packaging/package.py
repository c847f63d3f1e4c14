"""``package``: from a model folder to a wheel, or to a source tree, that installs it under a name."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from ...core.errors import InputError
from .contents import DTYPES, collect
from .distribution import describe, readme
from .tree import write_tree
from .wheel import write_wheel


def package(
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    version: str = "1.0.0",
    license: str | None = None,
    output: str | os.PathLike[str] = "dist",
    dtype: str = "bfloat16",
    source: bool = False,
    overwrite: bool = False,
) -> Path:
    """Make a Python package of a model, which loads by its name once it is installed.

    The same folder gives the same bytes. No code of the folder runs, and no connection is opened.

    Args:
        folder: a model folder with a tokenizer; whatever in it is not part of the model stays behind.
        name: of the package and the model; None: that of the folder.
        version: of the package.
        license: of the model, an SPDX expression such as ``"Apache-2.0"``; None says nothing.
        output: folder for the result, made if needed.
        dtype: of the weights: ``"bfloat16"``, half the size of ``"float32"``; ``"keep"`` leaves them as they are.
        source: write the tree ``OUTPUT/NAME``, to be kept in a repository and installed from there, not a wheel.
        overwrite: replace the wheel or tree if it is there.

    Returns:
        The path of the wheel or of the tree.

    Raises:
        InputError: a name, version, licence or type that cannot be, no folder, or the result is there already.
        ModelNotFoundError: the folder has no configuration or no weights.
        UnsupportedArchitectureError: it holds neither a DistilBERT nor a BERT with a twin.
        WeightsMismatchError: its weights are not those that its configuration asks for.
        WeightsError: a weight is not a finite number.
        TokenizerError: it has no tokenizer, or not that of the model.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    made = describe(Path(folder).resolve().name if name is None else name, version, license)
    place = Path(output)
    target = place / (made.name if source else made.wheel)
    if place.exists() and not place.is_dir():
        raise InputError(f"{place} is a file; packages are written into a folder.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already: choose another version or folder, or overwrite it.")
    with tempfile.TemporaryDirectory(prefix="distilbert-") as temporary:
        model = collect(Path(folder), Path(temporary, "model"), dtype)
        made = dataclasses.replace(
            made, summary=model.summary, readme=readme(model.card, made.name), licenses=model.licenses
        )
        (write_tree if source else write_wheel)(target, made, model.folder)
    return target
