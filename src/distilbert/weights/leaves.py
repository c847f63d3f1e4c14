"""The rules between a checkpoint's names and those of TensorFlow and Flax; they need no table of tensors.

=========  ==========================  ==================  ==================
module     checkpoint                  TensorFlow          Flax
=========  ==========================  ==================  ==================
linear     weight (out, in), bias      kernel (in, out)    kernel (in, out)
embedding  weight                      embeddings, weight  embedding
norm       weight, bias                gamma, beta         scale, bias
=========  ==========================  ==================  ==================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import UnsupportedArchitectureError
from .tensors import LazyTensor, Tensors

Leaves = Mapping[str, Mapping[str, str]]

TENSORFLOW: Leaves = {
    "linear": {"weight": "kernel", "bias": "bias"},
    "embedding": {"weight": "embeddings"},
    "norm": {"weight": "gamma", "bias": "beta"},
}
FLAX: Leaves = {
    "linear": {"weight": "kernel", "bias": "bias"},
    "embedding": {"weight": "embedding"},
    "norm": {"weight": "scale", "bias": "bias"},
}
TO_CHECKPOINT = {new: old for leaves in (TENSORFLOW, FLAX) for kind in leaves.values() for old, new in kind.items()}
BASES = ("distilbert", "bert", "embeddings")  # the last: an encoder alone, as Flax saves it


def kind_of(module: str) -> str:
    """Return whether a module, by its name in a checkpoint, is an ``embedding``, a ``norm`` or ``linear``."""
    last = module.rpartition(".")[2]
    if last.endswith("_embeddings"):
        return "embedding"
    return "norm" if last.lower().replace("_", "").endswith("layernorm") else "linear"


def to_framework(name: str, array: np.ndarray, leaves: Leaves) -> tuple[list[str], np.ndarray]:
    """Return where a tensor of a checkpoint stands in a framework, as modules and a leaf, and how it is laid out."""
    module, _, leaf = name.rpartition(".")
    kind = kind_of(module)
    flip = kind == "linear" and leaf == "weight"
    return [*module.split("."), leaves[kind].get(leaf, leaf)], array.T if flip else array


def to_checkpoint(path: Sequence[str], tensor: LazyTensor) -> tuple[str, LazyTensor]:
    """Return a framework's tensor by its name in a checkpoint, laid out as there."""
    *modules, leaf = path
    flip = leaf == "kernel" and len(tensor.shape) == 2
    return ".".join([*modules, TO_CHECKPOINT.get(leaf, leaf)]), tensor.transposed() if flip else tensor


def check_architecture(tensors: Tensors, paths: Collection[Path]) -> None:
    """Raise an error that says what the files hold, if it is neither a DistilBERT nor a BERT.

    Raises:
        UnsupportedArchitectureError: no tensor belongs to either.
    """
    found = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
    if not set(found) & set(BASES):
        raise UnsupportedArchitectureError(
            f"{', '.join(map(str, paths))} holds {', '.join(found) or 'no tensors'}, "
            "which is neither a DistilBERT ('distilbert') nor a BERT ('bert')."
        )
