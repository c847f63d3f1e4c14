"""CoNLL: a word a line, its tag in the last column, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..core.errors import DataError

DOCUMENT_START = "-DOCSTART-"


def read_sentences(
    lines: Iterable[tuple[int, str]], name: str, delimiter: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each sentence and its ``words`` and ``tags``; without ``tags`` where no word has one.

    Example: the lines ``EU<TAB>B-ORG``, ``rejects<TAB>O`` and a blank one are
    ``{"words": ["EU", "rejects"], "tags": ["B-ORG", "O"]}``.

    Args:
        lines: each with its number; those of ``-DOCSTART-`` are left out.
        name: the file, for places.
        delimiter: between columns; empty for a tab where a line has one, and spaces elsewhere.

    Raises:
        DataError: a line has no word, or no tag where others have one.
    """
    words: list[str] = []
    tags: list[str] = []
    first, is_tagged = 0, None
    for number, line in lines:
        content = line.strip("\r\n")
        if not content.strip(" \t"):
            if words:
                yield f"{name}:{first}", _sentence(words, tags, is_tagged)
            words, tags = [], []
            continue
        fields = _fields(content, delimiter)
        if fields[0] == DOCUMENT_START:
            continue
        if is_tagged is None:
            is_tagged = len(fields) > 1
        if not fields[0] or not fields[-1] or (len(fields) > 1) != is_tagged:
            expected = "A line holds a word and its tag, with a tab or a space between them"
            if not is_tagged:
                expected = "The first line has a word without a tag, so all lines must"
            raise DataError(f"{name}:{number} is {content!r:.60}. {expected}.")
        if not words:
            first = number
        words.append(fields[0])
        tags.append(fields[-1])
    if words:
        yield f"{name}:{first}", _sentence(words, tags, is_tagged)


def _fields(content: str, delimiter: str) -> list[str]:
    if delimiter or "\t" in content:
        return content.split(delimiter or "\t")
    return [field for field in content.split(" ") if field]


def _sentence(words: list[str], tags: list[str], is_tagged: bool | None) -> dict[str, Any]:
    return {"words": words, "tags": tags} if is_tagged else {"words": words}
