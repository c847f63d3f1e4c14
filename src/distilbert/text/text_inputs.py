"""Checks of the texts that callers pass, with errors that name the input at fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import InputError, InputTypeError

Text = str | Sequence[str]  # a text, or the words of a text


def as_batch(text: Any, text_pair: Any, is_split: bool) -> tuple[list[Any], list[Any] | None, bool]:
    """Turn the text arguments of a call into lists of inputs.

    Args:
        text: a text or a list of texts; with ``is_split`` a list of words or a list of such lists. A list in which each
            item holds two texts is a list of pairs. A column of another library is taken as a list.
        text_pair: the second texts in the same form, or None.
        is_split: whether the texts are lists of words.

    Returns:
        First texts, second texts or None, and whether the call was for a single input.

    Raises:
        InputTypeError: a text has the wrong type.
        InputError: the two lists differ in length.
    """
    text, text_pair = _column_as_list(text), _column_as_list(text_pair)
    if text_pair is None and isinstance(text, (list, tuple)) and text and _are_pairs(text, is_split):
        text, text_pair = [first for first, _ in text], [second for _, second in text]
    is_single = _is_single(text, is_split)
    if is_single:
        firsts, seconds = [text], None if text_pair is None else [text_pair]
    else:
        firsts = _as_list(text, "text", is_split)
        if isinstance(text_pair, str) and not is_split:
            raise InputError("text is a list but text_pair is a single text; pass a list of the same length.")
        seconds = None if text_pair is None else _as_list(text_pair, "text_pair", is_split)
        if seconds is not None and len(seconds) != len(firsts):
            raise InputError(f"text has {len(firsts)} inputs but text_pair has {len(seconds)}; each needs its partner.")
    return firsts, seconds, is_single


def check_texts(
    texts: Sequence[Any], pairs: Sequence[Any] | None, is_split: bool = False, pairs_name: str = "text_pair"
) -> None:
    """Raise an error unless every input is a text (with ``is_split`` a list of words) and each text has its partner.

    Args:
        texts: the first texts.
        pairs: the second texts, or None.
        is_split: whether the texts are lists of words.
        pairs_name: how the caller's argument for the second texts is called in error messages.

    Raises:
        InputTypeError: the message names the index and the type of the input at fault.
        InputError: the two lists differ in length.
    """
    _check_types(texts, is_split, "text")
    if pairs is None:
        return
    _check_types(pairs, is_split, pairs_name)
    if len(pairs) != len(texts):
        raise InputError(f"{len(texts)} first and {len(pairs)} second texts were given; each needs its partner.")


def _check_types(texts: Sequence[Any], is_split: bool, name: str) -> None:
    if not is_split:
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputTypeError(f"{name}[{index}] must be a str, but is {_describe(text)}.{_split_hint(text)}")
        return
    for index, words in enumerate(texts):
        if not isinstance(words, (list, tuple)):
            raise InputTypeError(f"{name}[{index}] must be a list of words, but is {_describe(words)}.")
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise InputTypeError(f"{name}[{index}][{place}] must be a str, but is {_describe(word)}.")


def _is_single(text: Any, is_split: bool) -> bool:
    if not is_split:
        return isinstance(text, str)
    return isinstance(text, (list, tuple)) and bool(text) and isinstance(text[0], str)


def _are_pairs(items: Sequence[Any], is_split: bool) -> bool:
    if not all(isinstance(item, (list, tuple)) and len(item) == 2 for item in items):
        return False
    if is_split:
        return all(isinstance(words, (list, tuple)) for item in items for words in item)
    return all(isinstance(item, tuple) or all(isinstance(text, str) for text in item) for item in items)


def _column_as_list(value: Any) -> Any:
    """Turn a column of NumPy, pandas, Arrow or ``datasets`` into a list; anything else stays as it is."""
    if isinstance(value, (str, bytes, list, tuple)):
        return value
    for method in ("to_pylist", "tolist"):
        if hasattr(value, method):
            values = getattr(value, method)()
            return values if isinstance(values, list) else value
    return list(value) if isinstance(value, Sequence) else value


def _as_list(value: Any, name: str, is_split: bool) -> list[Any]:
    if isinstance(value, str) and is_split:
        raise InputTypeError(
            f"{name} must be a list of words with is_split_into_words=True, but is {_describe(value)}."
        )
    if isinstance(value, (list, tuple)):
        return list(value)
    raise InputTypeError(f"{name} must be a str or a list of str, but is {_describe(value)}.")


def _split_hint(text: Any) -> str:
    if isinstance(text, (list, tuple)) and all(isinstance(word, str) for word in text):
        return " For texts that are split into words pass is_split_into_words=True."
    return ""


def _describe(value: Any) -> str:
    return f"{repr(value)[:60]} of type {type(value).__name__}" if value is not None else "None"
