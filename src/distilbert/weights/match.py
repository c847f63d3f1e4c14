"""The strict check between a file and a model: every tensor present, none left over, every shape equal."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import ConfigError, WeightsMismatchError
from ..core.schema import HEAD_MODULES, PREFIX, Head, Shapes, head_shapes, tensor_shapes, tied
from .tensors import Tensors

MOST_LISTED = 200  # names in a message
LAYER = re.compile(r"(transformer\.layer\.)(\d+)(\..*)")
ENCODER_MODULES = ("embeddings.", "transformer.")
T = TypeVar("T")


class LoadingKeys(set[Any]):
    """What loading left out: a set, as transformers 5 has it, that equals the lists of transformers 4 too."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return sorted(self) == sorted(other) if isinstance(other, list) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


@dataclass(frozen=True)
class Matched:
    """The tensors of a file, sorted by what a model does with them.

    Attributes:
        tensors: name -> tensor of the model, without those that are tied to another.
        fresh: names of tensors that start from random numbers: the file lacks them, or has them in another shape.
        dropped: names in the file that belong to another head.
        mismatched: of tensors in ``fresh`` that the file has in another shape: name, that shape, the model's shape.
    """

    tensors: Tensors
    fresh: list[str]
    dropped: list[str]
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]

    def loading_info(self) -> dict[str, Any]:
        """Return what ``output_loading_info=True`` gives, under the names that transformers uses for it."""
        mismatched = {name for name, *_ in self.mismatched}
        return {
            "missing_keys": LoadingKeys(set(self.fresh) - mismatched),
            "unexpected_keys": LoadingKeys(self.dropped),
            "mismatched_keys": LoadingKeys(self.mismatched),
            "error_msgs": [],
        }


def normalize(tensors: Tensors) -> Tensors:
    """Return tensors with the names of today's LayerNorm, which older files call ``gamma`` and ``beta``."""
    return {re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name)): x for name, x in tensors.items()}


def keep_layers(tensors: Tensors, layers: Sequence[int]) -> Tensors:
    """Return the tensors with some of the blocks only, renumbered in the order of ``layers``.

    Raises:
        ConfigError: a layer does not exist, or ``layers`` is empty.
    """
    present = {int(match[2]) for match in map(LAYER.search, tensors) if match}
    if not layers or not set(layers) <= present:
        raise ConfigError(f"layers must name some of {sorted(present)}, got {list(layers)}.")
    kept: Tensors = {}
    for name, tensor in tensors.items():
        match = LAYER.search(name)
        if not match:
            kept[name] = tensor
            continue
        for new, old in enumerate(layers):
            if int(match[2]) == old:
                kept[f"{name[: match.start()]}{match[1]}{new}{match[3]}"] = tensor
    return kept


def without_aliases(
    tensors: Mapping[str, T], shared: Mapping[str, str], *, where: object, read: Callable[[T], np.ndarray]
) -> dict[str, T]:
    """Return tensors without the second name of those that are tied, which stands in for the first if that is missing.

    Args:
        tensors: by their names.
        shared: name -> name of the tensor that it is tied to.
        where: the folder, file or model, for messages.
        read: returns the array of a tensor.

    Raises:
        WeightsMismatchError: two that are tied differ.
    """
    kept = dict(tensors)
    for alias, original in shared.items():
        if alias not in kept:
            continue
        copy = kept.pop(alias)
        if original in kept and not np.array_equal(read(copy), read(kept[original]), equal_nan=True):
            raise WeightsMismatchError(
                f"{where} has different weights for {alias} and {original}, which are one tensor where "
                "tie_word_embeddings is true. tie_word_embeddings=False in the configuration keeps both."
            )
        kept.setdefault(original, copy)
    return kept


def match(
    tensors: Tensors,
    config: DistilBertConfig,
    head: Head,
    *,
    where: object,
    ignore_mismatched_sizes: bool = False,
    name_in_file: Callable[[str], str | None] | None = None,
) -> Matched:
    """Find every tensor of a model among ``tensors``.

    A module of the head may be absent as a whole: its tensors are then listed in ``fresh``. Modules of other heads are
    dropped. Everything else that does not fit is an error.

    Args:
        tensors: names of today without the ``distilbert.`` prefix; see :mod:`.file_names` and :func:`normalize`.
        config: of the model.
        head: of the model.
        where: the folder or file, for messages.
        ignore_mismatched_sizes: list tensors of a head, and embeddings, of another shape in ``fresh`` instead of
            raising an error. A block never starts afresh among trained ones.
        name_in_file: returns how the file would call a tensor that it lacks.

    Raises:
        WeightsMismatchError: lists all missing, left-over and misshapen tensors at once.
    """
    expected, shared = tensor_shapes(config, head), tied(config, head)
    prefix = PREFIX if head.name else ""
    available = {name if _module(name) in HEAD_MODULES else prefix + name: tensor for name, tensor in tensors.items()}
    available = without_aliases(available, shared, where=where, read=lambda tensor: tensor.read())
    expected = {name: shape for name, shape in expected.items() if name not in shared}
    own = set(head_shapes(config, head))
    present = {_module(name) for name in available}
    fresh = [name for name in expected if name in own and _module(name) not in present]
    misshapen = [name for name in expected if name in available and available[name].shape != expected[name]]
    replaceable = {name for name in expected if name in own or name.endswith("_embeddings.weight")}
    mismatched = []
    if ignore_mismatched_sizes:
        mismatched = [(name, available[name].shape, expected[name]) for name in misshapen if name in replaceable]
        fresh += [name for name, *_ in mismatched]
        misshapen = [name for name in misshapen if name not in replaceable]
    missing = [name for name in expected if name not in available and name not in fresh]
    surplus = [name for name in available if name not in expected]
    dropped = [name for name in surplus if _module(name) in HEAD_MODULES]
    left_over = [name for name in surplus if name not in dropped]
    if missing or left_over or misshapen:
        raise WeightsMismatchError(
            _report(available, expected, missing, left_over, misshapen, head, replaceable, where, name_in_file)
        )
    return Matched({name: available[name] for name in expected if name not in fresh}, fresh, dropped, mismatched)


def match_shapes(
    tensors: Tensors,
    shapes: Shapes,
    *,
    encoders: Collection[str],
    shared: Mapping[str, str],
    where: object,
    model: str,
    ignore_mismatched_sizes: bool = False,
) -> Matched:
    """Find the tensors of a class that a user wrote. What the file lacks outside the encoders starts afresh.

    Args:
        tensors: by the names of the class; those of an encoder may have DistilBERT's names, without a prefix.
        shapes: name -> shape of everything that the class saves.
        encoders: what stands before the names of each encoder in the class, such as ``distilbert.``.
        shared: name -> name of the tensor that it is tied to.
        where: the folder or file, for messages.
        model: name of the class, for messages.
        ignore_mismatched_sizes: let tensors outside the blocks that have another shape start afresh.

    Raises:
        WeightsMismatchError: lists all tensors of the encoders that are missing, and all that are misshapen.
    """
    plain = {name: _name_in_encoder(name, encoders) for name in shapes}
    names = {name: name if name in tensors else plain[name] for name in shapes}
    available = {name: tensors[found] for name, found in names.items() if found in tensors}
    used = {names[name] for name in available}
    available = without_aliases(available, shared, where=where, read=lambda tensor: tensor.read())
    expected = {name: shape for name, shape in shapes.items() if name not in shared}
    misshapen = {name: tensor.shape for name, tensor in available.items() if tensor.shape != expected[name]}
    mismatched = [name for name in misshapen if ignore_mismatched_sizes and not LAYER.search(name)]
    missing = [name for name in expected if name not in available]
    lines = [f"  {name} {shapes[name]} is missing" for name in missing if plain[name].startswith(ENCODER_MODULES)]
    lines += [
        f"  {name}: the file has {shape}, needed is {shapes[name]}"
        for name, shape in misshapen.items()
        if name not in mismatched
    ]
    if lines:
        raise WeightsMismatchError("\n".join([f"The weights of {where} do not fit {model}.", *lines]))
    return Matched(
        {name: tensor for name, tensor in available.items() if name not in misshapen},
        [*missing, *mismatched],
        [name for name in tensors if name not in used],
        [(name, misshapen[name], shapes[name]) for name in mismatched],
    )


def _name_in_encoder(name: str, encoders: Collection[str]) -> str:
    """Return DistilBERT's name, without a prefix, for a tensor of an encoder; other names are returned as they are."""
    plain = (name.removeprefix(prefix) for prefix in encoders if name.startswith(prefix))
    return next((inner for inner in plain if inner.startswith(ENCODER_MODULES)), name)


def _module(name: str) -> str:
    return name.partition(".")[0]


def _report(
    available: Tensors,
    expected: Shapes,
    missing: list[str],
    left_over: list[str],
    misshapen: list[str],
    head: Head,
    replaceable: set[str],
    where: object,
    name_in_file: Callable[[str], str | None] | None,
) -> str:
    def line(name: str, detail: str) -> str:
        if name in available:
            original = available[name].origin
        else:
            original = (name_in_file(name) if name_in_file else None) or ""
        return f"  {name}{detail}" + (f" (in the file: {original})" if original not in ("", name) else "")

    def section(title: str, names: list[str], detail: Callable[[str], str]) -> list[str]:
        if not names:
            return []
        more = [f"  and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
        return [f"{title} ({len(names)}):", *(line(name, detail(name)) for name in names[:MOST_LISTED]), *more]

    lines = [f"The weights of {where} do not fit {head.architecture} with this configuration."]
    lines += section("missing", missing, lambda name: f" {expected[name]}")
    lines += section("left over", left_over, lambda name: f" {available[name].shape}")
    lines += section(
        "wrong shape",
        misshapen,
        lambda name: f": the file has {available[name].shape}, needed is {expected[name]}",
    )
    if misshapen and set(misshapen) <= replaceable and not missing and not left_over:
        lines.append("ignore_mismatched_sizes=True starts these tensors afresh.")
    return "\n".join(lines)
