"""CoNLL and its dialects: a word a line with its tag, a blank line between sentences.

The first sentences show which dialect a file is in:

- the columns: word and tag, with others between them (CoNLL-2003); a number, the word and two tags, of which the first
  counts (GermEval); a number, the word and others (CoNLL-U)
- lines of ``-DOCSTART-``, and comments that begin with ``#``
- the prefix of a language before each word (``en:Paris``, WikiAnn)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..core.errors import DataError

DOCUMENT_START = "-DOCSTART-"
SENTENCES_READ_AHEAD, LINES_READ_AHEAD = 20, 2000
# A tag of BIO, BIOES, BILOU, BMES or IO; also ``PER-B``.
_TAG = re.compile(r"O|[BIOESLUMW]-\S+|\S+-[BIESLUM]")
# Kinds of syntactic chunks, which CoNLL-2003 tags in a column before that of names.
_CHUNKS = frozenset(
    ("NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP", "PNP", "NC", "VC", "PC")
)
_LANGUAGE = re.compile(r"([a-z]{2,}(?:-[a-z]+)*:)\S")
_TOKEN_RANGE = re.compile(r"\d+[-.]\d+")  # CoNLL-U: several words written as one, or a word that is not written


@dataclass(frozen=True)
class Dialect:
    """What the first sentences of a file show.

    Attributes:
        width: how many columns a line has.
        word: the column of the word, from 0.
        tag: the column of the tag; None where there is none.
        is_tagged: whether lines with several columns have tags.
        has_scheme: whether the tags are of BIO or a scheme like it.
        prefix: stands before each word and is no part of it.
    """

    width: int
    word: int = 0
    tag: int = -1
    is_tagged: bool = True
    has_scheme: bool = False
    prefix: str = ""

    def fits(self, fields: list[str]) -> bool:
        """Tell whether a line has the columns. Between a word in the first and a tag in the last, others may vary."""
        return len(fields) == self.width or (self.word == 0 and self.tag == -1) or not self.is_tagged


def read_sentences(
    lines: Iterable[tuple[int, str]], name: str, delimiter: str = "", word_column: int = 0, tag_column: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each sentence and its ``words`` and ``tags``; without ``tags`` where no word has one.

    Example: the lines ``EU<TAB>B-ORG``, ``rejects<TAB>O`` and a blank one are
    ``{"words": ["EU", "rejects"], "tags": ["B-ORG", "O"]}``.

    Args:
        lines: each with its number; those of ``-DOCSTART-`` and comments are left out.
        name: the file, for places.
        delimiter: between columns; empty for a tab where a line has one, and spaces elsewhere.
        word_column: the column of the word, counted from 1; 0: the one that the first sentences show.
        tag_column: the same for the tag.

    Raises:
        DataError: a line has no word, or no tag where others have one.
    """
    iterator = iter(lines)
    ahead = list(_first_lines(iterator))
    dialect = detect_dialect([line for _, line in ahead], delimiter)
    if word_column:
        dialect = replace(dialect, word=word_column - 1, prefix="")
    if tag_column:
        dialect = replace(dialect, tag=tag_column - 1, has_scheme=False)
    words: list[str] = []
    tags: list[str] = []
    first = 0
    for number, line in chain(ahead, iterator):
        content = line.strip("\r\n")
        if not content.strip(" \t"):
            if words:
                yield f"{name}:{first}", _sentence(words, tags, dialect)
            words, tags = [], []
            continue
        fields = _fields(content, delimiter)
        if fields[0] == DOCUMENT_START or (not words and _is_comment(fields, dialect)):
            continue
        if dialect.word and _TOKEN_RANGE.fullmatch(fields[0]):
            continue
        word, tag = (
            fields[place] if -len(fields) <= place < len(fields) else "" for place in (dialect.word, dialect.tag)
        )
        if not word or not tag or not fields[0] or (len(fields) > 1) != dialect.is_tagged or not dialect.fits(fields):
            expected = "A line holds a word and its tag, with a tab or a space between them"
            if dialect.width > 2:
                expected += f", in {dialect.width} columns as in the first lines"
            if not dialect.is_tagged:
                expected = "The first line has a word without a tag, so all lines must"
            raise DataError(f"{name}:{number} is {content!r:.60}. {expected}.")
        if not words:
            first = number
        words.append(word.removeprefix(dialect.prefix) or word)
        tags.append(tag)
    if words:
        yield f"{name}:{first}", _sentence(words, tags, dialect)


def detect_dialect(lines: Sequence[str], delimiter: str = "") -> Dialect:
    """Return the dialect that the first lines of a file are in."""
    sentences: list[list[list[str]]] = [[]]
    widths: dict[int, int] = {}
    for line in lines:
        content = line.strip("\r\n")
        if not content.strip(" \t"):
            sentences.append([])
            continue
        fields = _fields(content, delimiter)
        if fields[0] != DOCUMENT_START:
            sentences[-1].append(fields)
            if not content.startswith("#"):
                widths[len(fields)] = widths.get(len(fields), 0) + 1
    # A file may consist of hashtags; their lines count where there are no others.
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        return Dialect(1, is_tagged=False)
    width = max(widths, key=lambda count: widths[count]) if widths else len(sentences[0][-1])
    first = next((fields for sentence in sentences for fields in sentence if len(fields) == width), sentences[0][0])
    comments = [fields for sentence in sentences for fields in sentence if fields[0].startswith("#")]
    plain = [[fields for fields in sentence if fields not in comments] for sentence in sentences]
    rows = [fields for sentence in plain for fields in sentence if len(fields) == width] or [first]
    first_line = next((fields for sentence in plain for fields in sentence), first)
    if len(first_line) == 1:
        return Dialect(1, tag=0, is_tagged=False)
    word = 1 if width > 2 and _is_numbered(plain) else 0
    kinds = {place: {fields[place] for fields in rows} for place in range(word + 1, width)}
    tagged = [place for place, values in kinds.items() if all(map(_TAG.fullmatch, values))]
    tag = -1
    if tagged:
        names = [place for place in tagged if not _are_chunks(kinds[place])] or tagged[-1:]
        tag = names[0] - width  # counted from the end, as columns between word and tag may vary
    return Dialect(width, word, tag, True, bool(tagged), _common_prefix([fields[word] for fields in rows]))


def _first_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the lines of the first sentences."""
    sentences = 0
    for count, (number, line) in enumerate(lines, 1):
        yield number, line
        sentences += not line.strip()
        if sentences >= SENTENCES_READ_AHEAD or count >= LINES_READ_AHEAD:
            return


def _is_comment(fields: list[str], dialect: Dialect) -> bool:
    """Tell whether a line above a sentence is a comment, and not a word such as ``#`` or ``#tag``."""
    if not fields[0].startswith("#"):
        return False
    if len(fields) != dialect.width:
        return True
    return dialect.has_scheme and not _TAG.fullmatch(fields[dialect.tag])


def _is_numbered(sentences: list[list[list[str]]]) -> bool:
    """Tell whether the first column counts the words of each sentence, from 0 or 1."""
    numbers = [[fields[0] for fields in sentence if not _TOKEN_RANGE.fullmatch(fields[0])] for sentence in sentences]
    numbers = [column for column in numbers if column][:-1] or numbers  # the last sentence may be incomplete
    return all(
        column in ([str(place + start) for place in range(len(column))] for start in (0, 1)) for column in numbers
    )


def _are_chunks(tags: set[str]) -> bool:
    kinds = {tag.partition("-")[2] for tag in tags if tag != "O"}
    return bool(kinds) and kinds <= _CHUNKS


def _common_prefix(words: list[str]) -> str:
    """Return the prefix of a language that all words have, such as ``en:``; empty if they have none."""
    match = _LANGUAGE.match(words[0])
    return match[1] if match and len(words) > 1 and all(word.startswith(match[1]) for word in words) else ""


def _fields(content: str, delimiter: str) -> list[str]:
    if delimiter or "\t" in content:
        fields = content.split(delimiter or "\t")
        if len(fields) > 2 and "" in fields[1:-1]:  # several tabs between two columns
            fields = [fields[0], *filter(None, fields[1:-1]), fields[-1]]
        return fields
    return [field for field in content.split(" ") if field]


def _sentence(words: list[str], tags: list[str], dialect: Dialect) -> dict[str, Any]:
    return {"words": words, "tags": tags} if dialect.is_tagged else {"words": words}
