"""How much of a text, or of each text of a pair, stays when it is cut to a maximum length."""

from __future__ import annotations

from typing import Literal

from ..core.errors import InputError, suggest

Strategy = Literal["longest_first", "only_first", "only_second"]
STRATEGIES: tuple[str, ...] = ("longest_first", "only_first", "only_second")


def check_strategy(value: bool | str | None) -> Strategy | None:
    """Turn the ``truncation`` argument into a strategy; None means that nothing is cut.

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


def plan(
    first: int, second: int | None, room: int, strategy: Strategy, stride: int = 0, where: str = ""
) -> tuple[int, int]:
    """Lengths to which two texts are cut; the rule of the Rust library.

    Under ``longest_first`` a text that is shorter than half of the room stays whole; if both are longer they get
    half each, and the longer one the odd token.

    Args:
        first: tokens of the first text.
        second: tokens of the second text, None if there is none.
        room: tokens that may stay, special tokens not counted.
        strategy: which text is cut.
        stride: tokens that a window repeats of the one before; must be smaller than what stays of a cut text.
        where: which input this is, for error messages, such as ``"Input 3: "``.

    Returns:
        Tokens that stay of the first and of the second text.

    Raises:
        InputError: the text that may be cut is too short, or nothing of it would be new in a window.
    """
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
        short, long = sorted((first, second))
        if short > room or short + max(short, room - short) > room:
            short, long = room // 2, room - room // 2
        else:
            long = max(short, room - short)
        keep_first, keep_second = (short, long) if first <= second else (long, short)
    else:
        if (first if strategy == "only_first" else second) <= excess:
            whole, length = ("second", second) if strategy == "only_first" else ("first", first)
            raise InputError(
                f"{where}the {whole} text has {length} tokens and leaves no room "
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
