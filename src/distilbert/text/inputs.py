"""Checking what callers pass as text, so that an error names the input at fault."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.errors import InputError

Text = str | Sequence[str]  # a text, or its words when it is split already

_SURROGATE = re.compile("[\ud800-\udfff]")


def mend(text: str) -> str:
    """Replace half characters (lone surrogates, as broken JSON holds) by U+FFFD, which cleaning drops."""
    return _SURROGATE.sub("\ufffd", text)


def as_batch(text: Any, text_pair: Any, is_split: bool) -> tuple[list[Any], list[Any] | None, bool]:
    """Bring the arguments of a call into lists of inputs.

    Args:
        text: a text or a list of texts; words and lists of words if ``is_split``. A list of tuples of two texts is a
            list of pairs.
        text_pair: the same for the second texts, or None.
        is_split: whether texts come as lists of words.

    Returns:
        First texts, second texts or None, and whether the call was for a single input.

    Raises:
        InputError: something is no text; the message names its index and type.
    """
    if not is_split and text_pair is None and isinstance(text, (list, tuple)) and text and _are_pairs(text):
        text, text_pair = [first for first, _ in text], [second for _, second in text]
    is_single = _is_single(text, is_split)
    if is_single:
        firsts, seconds = [text], None if text_pair is None else [text_pair]
    else:
        firsts = _listed(text, "text", is_split)
        seconds = None if text_pair is None else _listed(text_pair, "text_pair", is_split)
        if seconds is not None and isinstance(text_pair, str):
            raise InputError("text is a list but text_pair is a single text; pass a list of the same length.")
        if seconds is not None and len(seconds) != len(firsts):
            raise InputError(f"text has {len(firsts)} inputs but text_pair has {len(seconds)}; each needs its partner.")
    return firsts, seconds, is_single


def check_texts(texts: Sequence[Any], is_split: bool, name: str = "text") -> None:
    """Raise :class:`InputError` unless every input is a text, or a list of words if ``is_split``."""
    if not is_split:
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"{name}[{index}] must be a str, but is {_describe(text)}.{_split_hint(text)}")
        return
    for index, words in enumerate(texts):
        if not isinstance(words, (list, tuple)):
            raise InputError(f"{name}[{index}] must be a list of words, but is {_describe(words)}.")
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise InputError(f"{name}[{index}][{place}] must be a str, but is {_describe(word)}.")


def _is_single(text: Any, is_split: bool) -> bool:
    if not is_split:
        return isinstance(text, str)
    return isinstance(text, (list, tuple)) and bool(text) and isinstance(text[0], str)


def _are_pairs(texts: Sequence[Any]) -> bool:
    return all(isinstance(item, tuple) and len(item) == 2 for item in texts)


def _listed(value: Any, name: str, is_split: bool) -> list[Any]:
    if isinstance(value, str) and is_split:
        raise InputError(f"{name} must be a list of words with is_split_into_words=True, but is {_describe(value)}.")
    if isinstance(value, (list, tuple)):
        return list(value)
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # an array or a column of texts
        listed = value.tolist()
        if isinstance(listed, list):
            return listed
    raise InputError(f"{name} must be a str or a list of str, but is {_describe(value)}.")


def _split_hint(text: Any) -> str:
    if isinstance(text, (list, tuple)) and all(isinstance(word, str) for word in text):
        return " For texts that are split into words pass is_split_into_words=True."
    return ""


def _describe(value: Any) -> str:
    return f"{repr(value)[:60]} of type {type(value).__name__}" if value is not None else "None"
