"""How a checkpoint's tensors are called and laid out in TensorFlow and Flax: rules by kind of module.

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
BASES = ("distilbert", "bert", "embeddings")  # "embeddings" where Flax saved a bare encoder


def kind_of(module: str) -> str:
    """Return the kind of a module, by its name in a checkpoint: ``"embedding"``, ``"norm"`` or ``"linear"``."""
    last = module.rpartition(".")[2]
    if last.endswith("_embeddings"):
        return "embedding"
    return "norm" if last.lower().replace("_", "").endswith("layernorm") else "linear"


def locate(name: str, leaves: Leaves) -> tuple[str, str, bool]:
    """Return where a framework keeps a checkpoint's tensor.

    Args:
        name: in the checkpoint.
        leaves: ``TENSORFLOW`` or ``FLAX``.

    Returns:
        The module, the name of the leaf in it, and whether the framework has the transpose.
    """
    module, _, leaf = name.rpartition(".")
    kind = kind_of(module)
    return module, leaves[kind].get(leaf, leaf), kind == "linear" and leaf == "weight"


def to_framework(name: str, array: np.ndarray, leaves: Leaves) -> tuple[list[str], np.ndarray]:
    """Return a checkpoint's tensor as a framework has it: its path (modules, then the leaf) and its array."""
    module, leaf, transposed = locate(name, leaves)
    return [*module.split("."), leaf], array.T if transposed else array


def to_checkpoint(path: Sequence[str], tensor: LazyTensor) -> tuple[str, LazyTensor]:
    """Return a framework's tensor as a checkpoint has it: its name and its array."""
    *modules, leaf = path
    transposed = leaf == "kernel" and len(tensor.shape) == 2
    return ".".join([*modules, TO_CHECKPOINT.get(leaf, leaf)]), tensor.transposed() if transposed else tensor


def check_architecture(tensors: Tensors, paths: Collection[Path]) -> None:
    """Check that files hold a DistilBERT or a BERT.

    Raises:
        UnsupportedArchitectureError: no tensor belongs to either; the message names what the files hold.
    """
    modules = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
    if not set(modules) & set(BASES):
        raise UnsupportedArchitectureError(
            f"{', '.join(map(str, paths))} holds {', '.join(modules) or 'no tensors'}, "
            "which is neither a DistilBERT ('distilbert') nor a BERT ('bert')."
        )
