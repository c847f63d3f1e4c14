"""Ids of plain text, word by word: most words have been seen before, and need no tokenizer at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

from .spec import TokenizerSpec
from .wordpiece import ASCII_WORDS, is_plain

CAPACITY = 100_000  # words: most repeat, and the rest must not fill the memory


class WordIds:
    """Remembers the ids of words, of which printable ASCII text without added tokens is a plain sequence.

    Args:
        spec: of the tokenizer.
        encode: ids of many texts, without special tokens; asked for the words that are new.
    """

    def __init__(self, spec: TokenizerSpec, encode: Callable[[Sequence[str]], list[list[int]]]) -> None:
        self._normalizer = spec.normalizer
        self._encode = encode
        self._known: dict[str, list[int]] = {}
        contents = {token.content for token in spec.added.values()}
        if self._normalizer is not None:
            contents |= {self._normalizer(content)[0] for content in contents}
        # In lower case on both sides, this finds more than the tokenizer would, never less.
        self._added = re.compile("|".join(re.escape(content.lower()) for content in sorted(contents - {""}))).search

    def __call__(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Ids of each text, without special tokens; None where only the tokenizer itself can tell."""
        split = [self._words(text) for text in texts]
        known = self._known
        new = {word for words in split if words for word in words if word not in known}
        if len(known) + len(new) > CAPACITY:
            known = self._known = {}  # another kind of text: what comes next will be like it
            new = {word for words in split if words for word in words}
        if new:
            ordered = sorted(new)
            known.update(zip(ordered, self._encode(ordered), strict=True))
        return [None if words is None else list(chain.from_iterable(map(known.__getitem__, words))) for words in split]

    def _words(self, text: str) -> list[str] | None:
        if self._normalizer is None or not is_plain(text):
            return None
        lower = text.lower()
        return None if self._added(lower) else ASCII_WORDS.findall(lower if self._normalizer.lowercase else text)
