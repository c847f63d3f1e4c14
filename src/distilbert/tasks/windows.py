"""Fit ids into the length of a model: special tokens around them, truncation, or overlapping windows.

All functions take ids *without* special tokens. ``[CLS] A [SEP]`` has 2 special tokens, ``[CLS] A [SEP] B [SEP]`` 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InputError, reject_unknown
from ..text.truncation import share_room, window_spans
from .checks import check_choice, check_count
from .tokenizer import Tokenizer

TRUNCATIONS = (True, False, "longest_first", "only_first", "only_second", "do_not_truncate")


def check_stride(stride: int | None, limit: int) -> None:
    """Raise :class:`InputError` unless ``stride`` is None or leaves room for new tokens in ``limit`` tokens."""
    check_count(stride, "stride", least=0, optional=True)
    if stride is not None and stride >= limit - 2:
        raise InputError(
            f"stride={stride} is as long as a window, which holds {limit - 2} tokens beside [CLS] and [SEP]; "
            "choose a smaller stride."
        )


def stride_for(stride: int | None, limit: int) -> int:
    """Return ``stride``, by default a quarter of the model's length: the tokens that two windows share."""
    return limit // 4 if stride is None else stride


def check_truncation(options: Mapping[str, Any], where: str) -> None:
    """Raise an error unless ``options`` holds only ``truncation``, ``max_length`` and ``padding``."""
    reject_unknown(options, ("truncation", "max_length", "padding"), where)
    check_choice(options.get("truncation", False), TRUNCATIONS, "truncation")
    check_count(options.get("max_length"), "max_length", least=4, optional=True)


def add_special(tokenizer: Tokenizer, first: Sequence[int], second: Sequence[int] | None = None) -> list[int]:
    """Return ``[CLS] first [SEP]``, or ``[CLS] first [SEP] second [SEP]``."""
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    if cls is None or sep is None:
        raise InputError("The tokenizer has no [CLS] or no [SEP]; DistilBERT needs both.")
    return [cls, *first, sep] if second is None else [cls, *first, sep, *second, sep]


def trim_pair(
    first: list[int], second: list[int], room: int, strategy: bool | str = "longest_first"
) -> tuple[list[int], list[int]]:
    """Shorten a pair of texts to ``room`` ids together.

    Args:
        first: ids of the first text.
        second: ids of the second text.
        room: ids that may stay.
        strategy: ``"longest_first"`` (True) shortens the longer one, then both alike; ``"only_first"`` and
            ``"only_second"`` shorten that one, and the other only where it alone would not leave half of the room.
    """
    if len(first) + len(second) <= room:
        return first, second
    if strategy == "only_second":
        kept = first if len(first) < room else first[: max(room // 2, room - len(second))]
        return kept, second[: room - len(kept)]
    if strategy == "only_first":
        kept = second if len(second) < room else second[: max(room // 2, room - len(first))]
        return first[: room - len(kept)], kept
    first_length, second_length = share_room(len(first), len(second), room)
    return first[:first_length], second[:second_length]


def fit(
    tokenizer: Tokenizer, first: list[int], second: list[int] | None, *, limit: int, stride: int
) -> list[list[int]]:
    """Return sequences of at most ``limit`` ids, special tokens included, that together hold all of the text.

    The longer text of a pair is cut into windows and the shorter one, up to half of the room, stands in each.
    """
    if second is None:
        room = limit - 2
        return [add_special(tokenizer, first[start:stop]) for start, stop in window_spans(len(first), room, stride)]
    room = limit - 3
    if len(first) + len(second) <= room:
        return [add_special(tokenizer, first, second)]
    if len(first) >= len(second):
        second = second[: room // 2]
        size = room - len(second)
        cuts = window_spans(len(first), size, min(stride, size // 2))
        return [add_special(tokenizer, first[start:stop], second) for start, stop in cuts]
    first = first[: room // 2]
    size = room - len(first)
    cuts = window_spans(len(second), size, min(stride, size // 2))
    return [add_special(tokenizer, first, second[start:stop]) for start, stop in cuts]


def truncate(
    tokenizer: Tokenizer, first: list[int], second: list[int] | None, options: Mapping[str, Any], limit: int
) -> list[int]:
    """Return one sequence of at most ``options["max_length"]`` ids, by default the tokenizer's or model's length."""
    limit = min(options.get("max_length") or tokenizer.model_max_length, limit)
    if second is None:
        return add_special(tokenizer, first[: limit - 2])
    return add_special(tokenizer, *trim_pair(first, second, limit - 3, options["truncation"]))


def truncates(options: Mapping[str, Any]) -> bool:
    """Whether ``options`` ask for truncation."""
    return options.get("truncation", False) not in (False, None, "do_not_truncate")
