"""Fit ids into the length of a model: special tokens around them, truncation, or overlapping windows.

All functions take ids *without* special tokens. ``[CLS] A [SEP]`` has 2 special tokens, ``[CLS] A [SEP] B [SEP]`` 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InputError
from ..text.truncation import cut_ids, share_room, window_spans
from .checks import check_choice, check_count
from .pipeline_arguments import task_parameters
from .task_tokenizer import TaskTokenizer

TRUNCATIONS = (True, False, "longest_first", "only_first", "only_second", "do_not_truncate")


def check_stride(stride: int | None, max_tokens: int) -> None:
    """Check that windows of ``max_tokens`` tokens advance.

    Raises:
        InputError: ``stride`` is no count, or leaves no place for new tokens in a window; None passes.
    """
    check_count(stride, "stride", least=0, optional=True)
    if stride is not None and stride >= max_tokens - 2:
        raise InputError(
            f"stride={stride} is as long as a window, which holds {max_tokens - 2} tokens beside [CLS] and [SEP]; "
            "choose a smaller stride."
        )


def stride_or_default(stride: int | None, max_tokens: int) -> int:
    """Return how many tokens two windows share: ``stride``, or where it is None a quarter of a window."""
    return max_tokens // 4 if stride is None else stride


def check_truncation(options: Mapping[str, Any], where: str) -> None:
    """Raise an error unless ``options`` holds only ``truncation``, ``max_length``, and what has no effect."""
    task_parameters(options, {"truncation": False, "max_length": None}, where)
    check_choice(options.get("truncation", False), TRUNCATIONS, "truncation")
    check_count(options.get("max_length"), "max_length", least=4, optional=True)


def merge_truncation(
    truncation: bool | str | None, max_length: int | None, others: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what :func:`truncate` takes: what is given by itself, and where that is None, what ``others`` hold.

    Raises:
        InputError: ``others`` are no mapping.
    """
    if others is not None and not isinstance(others, Mapping):
        raise InputError(
            f"Arguments of the tokenizer must be a dict such as {{'truncation': True}}, got {others!r:.80}."
        )
    given = {"truncation": truncation, "max_length": max_length}
    return dict(others or {}) | {name: value for name, value in given.items() if value is not None}


def asks_for_truncation(options: Mapping[str, Any]) -> bool:
    """Whether ``options`` ask for truncation."""
    return options.get("truncation", False) not in (False, None, "do_not_truncate")


def add_special(tokenizer: TaskTokenizer, first: Sequence[int], second: Sequence[int] | None = None) -> list[int]:
    """Return ``[CLS] first [SEP]``, or ``[CLS] first [SEP] second [SEP]``."""
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    if cls is None or sep is None:
        raise InputError("The tokenizer has no [CLS] or no [SEP]; DistilBERT needs both.")
    return [cls, *first, sep] if second is None else [cls, *first, sep, *second, sep]


def truncate(
    tokenizer: TaskTokenizer, first: list[int], second: list[int] | None, options: Mapping[str, Any], max_tokens: int
) -> list[int]:
    """Return one sequence of at most ``max_tokens`` ids, special tokens included.

    It is shorter where ``options["max_length"]`` says so, or the tokenizer where ``options`` names no length. The
    tokenizer says on which side texts are cut, too.
    """
    max_tokens = min(options.get("max_length") or tokenizer.model_max_length, max_tokens)
    side = tokenizer.truncation_side
    if second is None:
        return add_special(tokenizer, shorten(first, max_tokens - 2, side))
    return add_special(tokenizer, *truncate_pair(first, second, max_tokens - 3, options["truncation"], side))


def shorten(ids: list[int], length: int, side: str) -> list[int]:
    """Return at most ``length`` ids: the first ones where a text is cut on the ``"right"``, or the last ones."""
    return cut_ids(ids, length, 0, side)[0]


def truncate_pair(
    first: list[int], second: list[int], room: int, strategy: bool | str, side: str
) -> tuple[list[int], list[int]]:
    """Shorten a pair of texts to ``room`` ids together.

    Args:
        first: ids of the first text.
        second: ids of the second text.
        room: ids that may stay.
        strategy: ``"longest_first"`` (True) shortens the longer text, then both alike; ``"only_first"`` and
            ``"only_second"`` shorten that text, and the other only where it alone fills the room; half of the room
            stays for it.
        side: as in :func:`shorten`.
    """
    if len(first) + len(second) <= room:
        return first, second
    if strategy == "only_second":
        first_length = len(first) if len(first) < room else max(room // 2, room - len(second))
        second_length = room - first_length
    elif strategy == "only_first":
        second_length = len(second) if len(second) < room else max(room // 2, room - len(first))
        first_length = room - second_length
    else:
        first_length, second_length = share_room(len(first), len(second), room)
    return shorten(first, first_length, side), shorten(second, second_length, side)


def split_into_windows(
    tokenizer: TaskTokenizer, first: list[int], second: list[int] | None, *, max_tokens: int, stride: int
) -> list[list[int]]:
    """Return sequences of at most ``max_tokens`` ids, special tokens included, that together hold the whole text.

    They are in the order of the text. Of a pair, the longer text is cut into windows. The shorter one stands in each
    window, cut to half of the room.
    """
    if second is None:
        if len(first) <= max_tokens - 2:
            return [add_special(tokenizer, first)]
        spans = window_spans(len(first), max_tokens - 2, stride)
        return [add_special(tokenizer, first[start:stop]) for start, stop in spans]
    room = max_tokens - 3
    if len(first) + len(second) <= room:
        return [add_special(tokenizer, first, second)]
    if len(first) >= len(second):
        second = shorten(second, room // 2, tokenizer.truncation_side)
        size = room - len(second)
        spans = window_spans(len(first), size, min(stride, size // 2))
        return [add_special(tokenizer, first[start:stop], second) for start, stop in spans]
    first = shorten(first, room // 2, tokenizer.truncation_side)
    size = room - len(first)
    spans = window_spans(len(second), size, min(stride, size // 2))
    return [add_special(tokenizer, first, second[start:stop]) for start, stop in spans]
