"""From the names in a file to those of a model: prefixes of wrappers, and what training leaves beside the weights.

Code that wraps a model saves its tensors under names such as ``module.distilbert.embeddings...`` (data parallelism),
``model.distilbert...`` (Lightning) or ``encoder.embeddings...`` (a class with an attribute ``encoder``). The word
embeddings tell what stands before the names of the encoder; other tensors have a part of it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from ..core.errors import WeightsMismatchError
from ..core.schema import PREFIX
from .tensors import LazyTensor, Tensors

logger = logging.getLogger("distilbert")

# The first of these that a file has tells the prefix of its encoder.
FIRST_NAMES = ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight")
USUAL_PREFIXES = ("", PREFIX, "bert.")
# Wrappers of single modules, which stand anywhere in a name: torch.compile, FSDP, activation checkpointing.
WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Buffers of older models, which hold nothing that is trained.
BUFFERS = re.compile(r"(.*\.)?(position_ids|token_type_ids)")
# What training leaves in a file: weights of a loss, the counter of averaged weights, TinyBERT's fitting layers.
LEFTOVERS = re.compile(
    r"(.*\.)?((loss\w*|criterion)(\.\w+)*\.(weight|pos_weight)|n_averaged|fit_denses?(\.\d+)?\.(weight|bias))"
)


@dataclass(frozen=True)
class FileTensors:
    """The tensors of a file by the names that its model has without any wrapper, the encoder's without a prefix.

    Attributes:
        tensors: name -> tensor; :attr:`~.tensors.LazyTensor.origin` is its name in the file.
        prefix: what stands before the names of the encoder in the file.
    """

    tensors: Tensors
    prefix: str

    def name_in_file(self, name: str) -> str:
        """Return how the file would call a tensor that it lacks.

        Args:
            name: of the tensor; that of an encoder under a head begins with ``distilbert.`` or ``bert.``.
        """
        for base in USUAL_PREFIXES[1:]:
            if name.startswith(base):
                return self.prefix + name.removeprefix(base)
        is_encoder = name.startswith(("embeddings.", "transformer.", "encoder."))
        return (self.prefix if is_encoder else _parent(self.prefix)) + name


def has_names(tensors: Tensors, names: Collection[str], encoders: Collection[str]) -> bool:
    """Return whether a file names its tensors as a class that a user wrote does, rather than as another model.

    Args:
        tensors: by their names in the file.
        names: those of the class.
        encoders: what stands before the names of each encoder in the class.
    """
    has_encoders = all(any(prefix + first in tensors for first in FIRST_NAMES) for prefix in encoders)
    return set(names) <= tensors.keys() or (bool(encoders) and has_encoders)


def plain_names(tensors: Tensors, where: object, prefix: str | None = None) -> FileTensors:
    """Take prefixes of wrappers from the names of tensors, and leave out what is no weight of a model.

    A prefix that is not usual is said once, and so is what training left in the file.

    Args:
        tensors: by their names in the file.
        where: the folder or file, for messages.
        prefix: what to take from the names; None for what stands before those of the encoder.

    Raises:
        WeightsMismatchError: the file holds several encoders, or two tensors with the same name.
    """
    unwrapped: Tensors = {}
    for name, tensor in tensors.items():
        _add(unwrapped, WRAPPERS.sub("", name), replace(tensor, origin=name), where)
    prefix = _prefix(unwrapped, where) if prefix is None else prefix
    plain: Tensors = {}
    ignored = []
    for name, tensor in unwrapped.items():
        if BUFFERS.fullmatch(name):
            continue
        if LEFTOVERS.fullmatch(name):
            ignored.append(tensor.origin)
            continue
        _add(plain, _without(name, prefix), tensor, where)
    begin = next((plain[name].origin.removesuffix(name) for name in FIRST_NAMES if name in plain), "")
    if begin not in USUAL_PREFIXES:
        logger.warning("%s: names in the file begin with %r, which is left out.", where, begin)
    if ignored:
        logger.warning(
            "%s holds %s, left over from training; ignored.",
            where,
            ", ".join(ignored[:5]) + (f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""),
        )
    return FileTensors(plain, prefix)


def _prefix(tensors: Tensors, where: object) -> str:
    prefixes: list[str] = []
    for first in FIRST_NAMES:
        before = [name.removesuffix(first) for name in tensors if name.endswith(first)]
        prefixes = prefixes or [prefix for prefix in before if not prefix or prefix.endswith(".")]
    usual = [prefix for prefix in prefixes if prefix in USUAL_PREFIXES]
    if len(prefixes) > 1 and len(usual) != 1:
        raise WeightsMismatchError(
            f"{where} holds {len(prefixes)} encoders, under {', '.join(map(repr, prefixes[:5]))}. Load one of them: "
            "pass state_dict= with its tensors only."
        )
    return (usual or prefixes or [""])[0]


def _without(name: str, prefix: str) -> str:
    """Return a name without a prefix, or without as many of its parts as the name has."""
    while prefix and not name.startswith(prefix):
        prefix = _parent(prefix)
    return name.removeprefix(prefix)


def _parent(prefix: str) -> str:
    """Return a prefix without its last part: ``module.`` for ``module.distilbert.``."""
    return prefix[:-1].rpartition(".")[0] + "." if "." in prefix[:-1] else ""


def _add(tensors: Tensors, name: str, tensor: LazyTensor, where: object) -> None:
    if name in tensors:
        raise WeightsMismatchError(
            f"{where} holds the tensor {name} twice, as {tensors[name].origin} and as {tensor.origin}."
        )
    tensors[name] = tensor
