"""Entities marked by characters, as annotation tools export them, and tables with a word a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from distilbert.data.character_spans import CharacterSpan, tag_words
from distilbert.data.labelled import read_examples
from tests.text.helpers import both_tokenizers
from tests.text.strategies import texts

from .labelled_files import TAGS, fault, jsonl, read, write

SENTENCE = "Anna Lee lives in Paris, France."
SPANS = [[0, 8, "PER"], [18, 23, "LOC"], [25, 31, "LOC"]]
WORDS = ("Anna", "Lee", "lives", "in", "Paris", ",", "France", ".")
TAG_LIST = ("B-PER", "I-PER", "O", "O", "B-LOC", "O", "B-LOC", "O")


def dicts(start: str, end: str, label: str) -> list[dict[str, Any]]:
    return [{start: span[0], end: span[1], label: span[2]} for span in SPANS]


@pytest.mark.parametrize(
    "row",
    [
        {"text": SENTENCE, "label": SPANS},
        {"text": SENTENCE, "labels": SPANS},
        {"id": 1, "text": SENTENCE, "label": SPANS[::-1], "Comments": []},
        {"text": SENTENCE, "spans": dicts("start", "end", "label")},
        {"text": SENTENCE, "entities": dicts("start_offset", "end_offset", "label"), "relations": []},
        {"data": SENTENCE, "label": SPANS},
        {
            "text": SENTENCE,
            "label": [{"start": s, "end": e, "text": SENTENCE[s:e], "labels": [n]} for s, e, n in SPANS],
        },  # type: ignore[misc]
        {"text": SENTENCE, "label": json.dumps(SPANS)},
        {"text": SENTENCE, "label": str(SPANS)},
        [SENTENCE, {"entities": SPANS}],
    ],
)
def test_spans_become_words_and_tags(tmp_path: Path, row: Any) -> None:
    for path in (jsonl(tmp_path / "a.jsonl", [row]), write(tmp_path / "a.json", json.dumps([row]))):
        assert [(e.words, e.tags) for e in read(TAGS, path)] == [(WORDS, TAG_LIST)]


def test_the_export_of_label_studio(tmp_path: Path) -> None:
    results = [
        {"type": "labels", "value": {"start": s, "end": e, "text": SENTENCE[s:e], "labels": [n]}}  # type: ignore[misc]
        for s, e, n in SPANS
    ]
    annotations = [{"was_cancelled": True, "result": []}, {"result": [*results, {"type": "relation"}]}, {"result": []}]
    rows = [{"id": 7, "data": {"text": SENTENCE}, "annotations": annotations, "predictions": []}]
    rows.append({"id": 8, "data": {"text": "Nobody here"}, "annotations": [{"result": []}]})
    path = write(tmp_path / "a.json", json.dumps(rows))
    assert [(e.words, e.tags) for e in read(TAGS, path)] == [(WORDS, TAG_LIST), (("Nobody", "here"), ("O", "O"))]
    table = write(
        tmp_path / "a.csv",
        'text,id,label\n"Anna is in",1,"[{""start"":0,""end"":4,""text"":""Anna"",""labels"":[""PER""]}]"\n',
    )
    assert [(e.words, e.tags) for e in read(TAGS, table)] == [(("Anna", "is", "in"), ("B-PER", "O", "O"))]


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"body": "Anna", "marks": [[0, 4, "PER"]]}])
    assert read(TAGS, path, columns={"words": "body", "tags": "marks"})[0].tags == ("B-PER",)
    path = jsonl(tmp_path / "b.jsonl", [{"text": "Anna", "label": []}, {"text": "Bo", "label": [[0, 2, "PER"]]}])
    reading = read_examples(TAGS, [path])
    assert [e.tags for e in reading.examples] == [("O",), ("B-PER",)]  # type: ignore[union-attr]
    assert reading.columns == {"words": "text", "tags": "label"}


def test_spans_count_characters(tmp_path: Path) -> None:
    text = "😀 Anna"
    assert tag_words(text, [CharacterSpan(2, 6, "PER")], "x") == (("😀", "Anna"), ("O", "B-PER"))
    in_utf16 = {"start": 3, "end": 7, "text": "Anna", "labels": ["PER"]}
    path = jsonl(tmp_path / "a.jsonl", [{"text": text, "label": [in_utf16]}])
    assert [(e.words, e.tags) for e in read(TAGS, path)] == [(("😀", "Anna"), ("O", "B-PER"))]
    assert tag_words("Anna  ", [CharacterSpan(0, 6, "PER")] * 2, "x") == (("Anna",), ("B-PER",))
    assert tag_words("Annaville", [CharacterSpan(0, 4, "PER")], "x") == (("Anna", "ville"), ("B-PER", "O"))


def test_marks_within_words_do_not_end_them(tmp_path: Path) -> None:
    row = {"text": "नरेन्द्र मोदी दिल्ली गए", "label": [[0, 13, "PER"], [14, 20, "LOC"]]}
    words, tags = ("नरेन्द्र", "मोदी", "दिल्ली", "गए"), ("B-PER", "I-PER", "B-LOC", "O")
    assert [(e.words, e.tags) for e in read(TAGS, jsonl(tmp_path / "a.jsonl", [row]))] == [(words, tags)]
    text = "Zoe\u0301 co\u00adoperates, שָׁלוֹם ไม่ 我爱"
    words = ("Zoe\u0301", "co\u00adoperates", ",", "שָׁלוֹם", "ไม่", "我", "爱")
    assert tag_words(text, [CharacterSpan(0, 5, "PER")], "x") == (words, ("B-PER", *"OOOOOO"))
    assert tag_words(text, [CharacterSpan(5, 7, "X")], "x")[0] == ("Zoe\u0301", "co", "operates", *words[2:])


TOKENIZERS = [both_tokenizers(do_lower_case=lower, split_special_tokens=True)[0] for lower in (True, False)]


@given(text=texts)
@settings(max_examples=150, deadline=None)
def test_words_have_the_tokens_of_their_text(text: str) -> None:
    text += " a"
    words, tags = tag_words(text, [], "x")
    assert len(words) == len(tags)
    for tokenizer in TOKENIZERS:
        of_words = tokenizer.encode_batch([words], is_split_into_words=True)[0]
        assert of_words.tokens == tokenizer.encode_batch([text])[0].tokens


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([[0, 8, "PER"], [5, 8, "LAST"]], "the spans (0, 8, 'PER') and (5, 8, 'LAST') overlap"),
        ([[4, 5, "X"]], "the span (4, 5, 'X') marks nothing in a text of 33 characters"),
        ([[20, 99, "X"]], "the span (20, 99, 'X') marks nothing"),
        ([[5, 5, "X"]], "marks nothing"),
        ([[32, 33, "X"]], "marks nothing"),  # a zero-width space
        ([{"start": 0, "end": 4, "text": "Paul", "label": "X"}], "says 'Paul', but there is 'Anna'"),
    ],
)
def test_spans_that_cannot_be_used(tmp_path: Path, spans: list[Any], said: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"{SENTENCE}\u200b", "label": spans}])
    message = fault(TAGS, path)
    assert message.startswith(f"{path}:1: ")
    assert said in message


def test_a_text_without_words(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "Anna", "label": [[0, 4, "X"]]}, {"text": "\u200b", "label": []}])
    assert fault(TAGS, path) == f"{path}:2: there is no word in the text '\\u200b'. Leave the row out."


def test_a_word_a_row(tmp_path: Path) -> None:
    content = "Sentence #,Word,POS,Tag\nSentence: 1,EU,NNP,B-ORG\n,rejects,VBZ,O\nSentence: 2,Anna,NNP,B-PER\n"
    path = write(tmp_path / "a.csv", content)
    assert [(e.words, e.tags) for e in read(TAGS, path)] == [
        (("EU", "rejects"), ("B-ORG", "O")),
        (("Anna",), ("B-PER",)),
    ]
    path = write(tmp_path / "b.tsv", "sentence_id\ttoken\tner\n0\tEU\tB-ORG\n0\trejects\tO\n1\tAnna\tB-PER\n")
    assert [e.words for e in read(TAGS, path)] == [("EU", "rejects"), ("Anna",)]
    assert [e.place for e in read(TAGS, path)] == [f"{path}:2", f"{path}:4"]
