"""Entities marked by characters, as annotation tools export them, and the words and tags that they become.

Known are ``[[0, 4, "PER"]]`` (doccano), ``[{"start": 0, "end": 4, "label": "PER"}]`` (Prodigy, Label Studio's small
JSON and its CSV), ``{"entities": [...]}`` (spaCy), and the JSON export of Label Studio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..core.errors import DataError
from ..tasks.task_spec import TEXT_COLUMN_NAMES
from ..text.wordpiece import Normalizer, split_words
from .list_literals import parse_list
from .row_stream import Row

TEXT_NAMES = (*TEXT_COLUMN_NAMES, "data")
SPAN_NAMES = ("spans", "entities", "label", "labels", "annotations", "annotation", "ner", "tags", "ner_tags")
_STARTS, _ENDS = ("start", "start_offset", "begin", "start_char"), ("end", "end_offset", "stop", "end_char")
_LABELS = ("label", "labels", "entity", "entity_group", "tag", "type", "ner")


class CharacterSpan(NamedTuple):
    """An entity: its first character, the character behind its last one, its label, and its text where it is stated."""

    start: int
    end: int
    label: str
    text: str | None = None


def parse_spans(value: Any) -> list[CharacterSpan] | None:
    """Return the spans that a value of a row holds; None if it is something else.

    Args:
        value: a list of ``[start, end, label]`` or of dicts, a dict with such a list under ``entities``, or the same
            as text.
    """
    if isinstance(value, str):
        value = parse_list(value)
    if isinstance(value, Mapping):
        value = value.get("entities")
    if not isinstance(value, list):
        return None
    spans = [_span(item) for item in value]
    return None if None in spans else [span for span in spans if span is not None]


def _span(item: Any) -> CharacterSpan | None:
    if isinstance(item, Mapping):
        start, end, label = (
            next((item[key] for key in keys if key in item), None) for keys in (_STARTS, _ENDS, _LABELS)
        )
        text = item.get("text")
    elif isinstance(item, (list, tuple)) and len(item) >= 3:
        start, end, label, text = item[0], item[1], item[2], None
    else:
        return None
    if isinstance(label, list) and label:
        label = label[0]
    if not (type(start) is int and type(end) is int and isinstance(label, str) and label.strip()):
        return None
    return CharacterSpan(start, end, label.strip(), text if isinstance(text, str) else None)


def span_columns(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, str]:
    """Return which columns play ``words`` and ``tags`` in a table of texts with spans; empty if it is another table."""
    if any(column.lower() in ("words", "tokens", "word", "token") for column in columns):
        return {}
    texts = [column for column in columns if column.lower() in TEXT_NAMES]
    for name in SPAN_NAMES:
        for column in columns:
            if column.lower() == name and column not in texts:
                parsed = [parse_spans(row.value.get(column)) for row in rows if row.value.get(column) is not None]
                if len(texts) >= 1 and any(parsed) and None not in parsed:
                    return {"words": texts[0], "tags": column}
    return {}


def tag_words(text: str, spans: Sequence[CharacterSpan], place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words of a text and the tag of each, in the scheme BIO.

    The words are those that BERT's tokenizer finds in the text. They are also cut where a span begins or ends.

    Example: ``"Anna is in Paris."`` with ``(0, 4, "PER")`` gives ``("Anna", "is", "in", "Paris", ".")`` and
    ``("B-PER", "O", "O", "O", "O")``.

    Raises:
        DataError: a span is not within the text, has no word in it, or overlaps another one; or the text has no word.
    """
    kept = sorted({_checked(text, span, place) for span in spans})
    for before, span in pairwise(kept):
        if span.start < before.end:
            raise DataError(
                f"{place}: the spans {before[:3]} and {span[:3]} overlap, and a word has one tag. Leave one out."
            )
    words: list[str] = []
    tags: list[str] = []
    position = 0
    for span in kept:
        outside = _words(text[position : span.start])
        inside = _words(text[span.start : span.end])
        words += [*outside, *inside]
        tags += ["O"] * len(outside) + [f"B-{span.label}"] + [f"I-{span.label}"] * (len(inside) - 1)
        position = span.end
    outside = _words(text[position:])
    if not words and not outside:
        raise DataError(f"{place}: there is no word in the text {text!r:.60}. Leave the row out.")
    return tuple(words + outside), tuple(tags + ["O"] * len(outside))


def _words(text: str) -> list[str]:
    return [text[start:end] for start, end in _word_bounds(text)]


def _word_bounds(text: str) -> list[tuple[int, int]]:
    """Return the first character of each word, and the character behind its last one.

    Words with tags are tokenized one by one, a text as a whole. Both must give the same tokens. A Chinese character is
    a word. A combining mark, a joiner and a soft hyphen do not end one.
    """
    normalized, origins = Normalizer(lowercase=False)(text)
    return [(origins[start], origins[end - 1] + 1) for start, end in split_words(normalized)]


def _checked(text: str, span: CharacterSpan, place: str) -> CharacterSpan:
    """Return a span from its first word to its last one, without its text."""
    start, end = span.start, span.end
    if span.text is not None and text[start:end] != span.text:
        # Tools that run in a browser count UTF-16 units, two for an emoji.
        inside = text[start:end]
        start, end = (_from_utf16(text, units) for units in (start, end))
        if text[start:end] != span.text:
            raise DataError(f"{place}: the span {span[:3]} says {span.text!r:.60}, but there is {inside!r:.60}.")
    words = _word_bounds(text[start:end]) if 0 <= start < end <= len(text) else []
    if not words:
        raise DataError(f"{place}: the span {span[:3]} marks nothing in a text of {len(text)} characters.")
    return CharacterSpan(start + words[0][0], start + words[-1][1], span.label)


def _from_utf16(text: str, units: int) -> int:
    """Return the number of characters that so many UTF-16 units are."""
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * max(units, 0)].decode("utf-16-le", "replace"))


def from_label_studio(row: Row) -> Row:
    """Return a row of Label Studio's JSON export as ``text`` and ``spans``; any other row as it is.

    The first annotation that was not cancelled counts; a text that nobody annotated has no spans.
    """
    value = row.value
    data = value.get("data")
    annotations = value.get("annotations", value.get("completions"))
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        return row
    texts = {key: text for key, text in data.items() if isinstance(text, str)}
    text = next((texts[key] for key in texts if key.lower() in TEXT_NAMES), next(iter(texts.values()), None))
    spans: list[Any] | None = None
    for annotation in annotations:
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled"):
            results = annotation.get("result")
            results = [item for item in results if isinstance(item, Mapping)] if isinstance(results, list) else []
            spans = [item["value"] for item in results if item.get("type", "labels") == "labels" and "value" in item]
            break
    return Row(row.place, {"text": text, "spans": spans}, row.problem)
