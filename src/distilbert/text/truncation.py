"""Truncation: how many tokens of a text or a pair stay, and the windows that together hold all tokens of a long text.

No length in this file counts the special tokens.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..core.errors import InputError, suggest

Strategy = Literal["longest_first", "only_first", "only_second"]
STRATEGIES: tuple[str, ...] = ("longest_first", "only_first", "only_second")


class Truncation(NamedTuple):
    """How the texts of a call are cut.

    Attributes:
        room: tokens that may stay of a text, or of both texts of a pair together.
        strategy: which text of a pair is cut.
        stride: tokens that each window repeats from the window before.
    """

    room: int
    strategy: Strategy
    stride: int = 0


def check_strategy(value: bool | str | None) -> Strategy | None:
    """Turn the ``truncation`` argument of a call into a strategy; None means that nothing is cut.

    Raises:
        InputError: the value is none of True, False, None, ``"do_not_truncate"`` and ``STRATEGIES``.
    """
    value = getattr(value, "value", value)  # an enum of another library
    if value is None or value is False or value == "do_not_truncate":
        return None
    if value is True:
        return "longest_first"
    for name in STRATEGIES:
        if value == name:
            return name  # type: ignore[return-value]
    raise InputError(
        f"truncation={value!r} is not known: expected True, False, 'longest_first', 'only_first', 'only_second' or "
        f"'do_not_truncate'.{suggest(str(value), STRATEGIES)}"
    )


def truncated_lengths(first: int, second: int | None, truncation: Truncation, where: str = "") -> tuple[int, int]:
    """Return how many tokens stay of the first and of the second text, by the rules of the Rust library.

    Args:
        first: tokens of the first text.
        second: tokens of the second text, None if there is none.
        truncation: how the texts are cut.
        where: the input in question, for error messages, such as ``"Input 3: "``.

    Raises:
        InputError: the text that may be cut is too short, or a window would hold no new token of it.
    """
    room, strategy, stride = truncation
    keep_first, keep_second = first, second or 0
    excess = first + (second or 0) - room
    if excess <= 0:
        return keep_first, keep_second
    if strategy == "only_second" and second is None:
        raise InputError(f"{where}truncation='only_second' needs a pair of texts, but there is only one.")
    if room == 0:
        return 0, 0
    if second is None:
        keep_first = room
    elif strategy == "longest_first":
        keep_first, keep_second = share_room(first, second, room)
    else:
        if (first if strategy == "only_first" else second) <= excess:
            uncut, length = ("second", second) if strategy == "only_first" else ("first", first)
            raise InputError(
                f"{where}the {uncut} text has {length} tokens and leaves no room "
                f"for the other one: only {room} fit besides the special tokens. Use a larger max_length or "
                "truncation='longest_first'."
            )
        keep_first -= excess if strategy == "only_first" else 0
        keep_second -= excess if strategy == "only_second" else 0
    for kept, length in ((keep_first, first), (keep_second, second or 0)):
        if 0 < kept < length and stride >= kept:
            raise InputError(
                f"{where}stride={stride} must be smaller than the {kept} tokens that fit into one window besides the "
                "special tokens and the other text. Use a smaller stride or a larger max_length."
            )
    return keep_first, keep_second


def share_room(first: int, second: int, room: int) -> tuple[int, int]:
    """Divide ``room`` tokens between two texts that together are longer: the rule of ``"longest_first"``.

    A text that is no longer than half of the room stays whole. If both are longer, each gets half, and the longer text
    (the second, if they are equal) gets the odd token.

    Example: ``share_room(10, 4, 10)`` is ``(6, 4)``, and ``share_room(9, 10, 11)`` is ``(5, 6)``.
    """
    shorter = min(first, second, room // 2)
    longer = room - shorter
    return (shorter, longer) if first <= second else (longer, shorter)


def cut_ids(ids: list[int], kept: int, stride: int, side: str) -> tuple[list[int], list[int]]:
    """Return the ``kept`` ids that stay, and those that are cut off together with ``stride`` of those that stay.

    Example: ``cut_ids([1, 2, 3, 4, 5], 3, 1, "right")`` is ``([1, 2, 3], [3, 4, 5])``.
    """
    if kept >= len(ids):
        return ids, []
    overlap = min(stride, kept)
    if side == "right":
        return ids[:kept], ids[kept - overlap :]
    start = len(ids) - kept
    return ids[start:], ids[: start + overlap]


def window_spans(length: int, size: int, stride: int, side: str = "right") -> list[tuple[int, int]]:
    """Return start and stop of the windows over ``length`` tokens.

    The last window may be shorter. An empty text has one window, which is empty.

    Args:
        length: tokens of the text.
        size: tokens of a window, at least 1.
        stride: tokens that each window repeats from the window before; smaller than ``size``.
        side: the side on which the text is cut. ``"right"`` puts the first window at the start of the text, ``"left"``
            at its end.

    Example: ``window_spans(5, 3, 1)`` is ``[(0, 3), (2, 5)]``; from the left it is ``[(2, 5), (0, 3)]``.
    """
    starts = range(0, length - stride, size - stride) if length > size else (0,)
    spans = [(start, min(start + size, length)) for start in starts]
    return spans if side == "right" else [(length - stop, length - start) for start, stop in spans]
