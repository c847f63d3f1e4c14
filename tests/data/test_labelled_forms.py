"""Forms of labelled rows: words with tags, questions with answers, choices; and the message for each fault."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from distilbert.data.examples import Answer, ChoiceExample, QuestionExample
from distilbert.data.labelled import read_examples

from .labelled_files import (
    CHOICE,
    CHOICES,
    CONTEXT,
    QA,
    QUESTION,
    SENTENCES,
    TAGS,
    TEXT,
    fault,
    jsonl,
    parquet,
    read,
    write,
)

# Token classification.


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.conll.gz"])
@pytest.mark.parametrize("between", ["\t", " ", " NNP x ", "\tNNP\t"])
def test_words_in_lines(tmp_path: Path, name: str, between: str) -> None:
    lines = ["-DOCSTART- -X- -X- O", ""]
    for words, tags in SENTENCES:
        lines += [f"{word}{between}{tag}" for word, tag in zip(words, tags, strict=True)] + ["", " "]
    content = "\r\n".join(lines[:-2]).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    reading = read_examples(TAGS, [str(path)])
    assert [(e.words, e.tags) for e in reading.examples] == SENTENCES  # type: ignore[union-attr]
    assert [e.place for e in reading.examples] == [f"{path}:3", f"{path}:7"]
    assert reading.columns == {"words": "words", "tags": "tags"}


def test_a_word_may_be_any_character_but_the_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a b\tO\n\u200b\tO\n\u2028\tB-X\n#\tO\n")
    assert read(TAGS, path)[0].words == ("a b", "\u200b", "\u2028", "#")


def test_words_without_tags(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "EU\nrejects\n\nAnna\n")
    assert "no column is known as the tags" in fault(TAGS, path)
    assert [e.tags for e in read(TAGS, path, labelled=False)] == [None, None]
    assert f"{tmp_path / 'b.conll'}:2 is 'rejects'. A line holds a word and its tag" in fault(
        TAGS, write(tmp_path / "b.conll", "EU O\nrejects\n")
    )
    assert ":2 is 'b O'. The first line has a word without a tag" in fault(
        TAGS, write(tmp_path / "c.conll", "EU\nb O\n"), labelled=False
    )
    assert "d.conll:1 is" in fault(TAGS, write(tmp_path / "d.conll", "\tO\n"))


@pytest.mark.parametrize("names", [("words", "tags"), ("tokens", "ner_tags"), ("Tokens", "labels")])
def test_words_in_objects(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [dict(zip(names, map(list, sentence), strict=True)) for sentence in SENTENCES]
    for path in (jsonl(tmp_path / "a.jsonl", rows), parquet(tmp_path / "a.parquet", rows)):
        reading = read_examples(TAGS, [path])
        assert [(e.words, e.tags) for e in reading.examples] == SENTENCES  # type: ignore[union-attr]
        assert reading.columns == dict(zip(("words", "tags"), names, strict=True))
    table = write(tmp_path / "a.csv", f"{names[0]},{names[1]}\nEU rejects,B-ORG O\nAnna,B-PER\n")
    assert [(e.words, e.tags) for e in read(TAGS, table)] == SENTENCES


def test_brackets_are_a_list_or_a_sentence(tmp_path: Path) -> None:
    content = 'words,tags\n"[ Smith , 2010 ]",O B-PER O O O\n"[Smith, 2010]",B-PER O\n"[\'[\' \'2\']",O O\n'
    path = write(tmp_path / "a.csv", content)
    assert [e.words for e in read(TAGS, path)] == [("[", "Smith", ",", "2010", "]"), ("Smith", "2010"), ("[", "2")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"words": ["a", "b"], "tags": ["O"]}, "has 2 words, but 1 tag;"),
        ({"words": ["a", ""], "tags": ["O", "O"]}, "has nothing under 'words[1]'"),
        ({"words": ["a", 0.5], "tags": ["O", "O"]}, "cannot use 0.5 of type float under 'words[1]'"),
        ({"words": [], "tags": ["O"]}, "must hold a list of texts under 'words', got [] of type list"),
        ({"words": ["a"], "tags": None}, "must hold a list of texts under 'tags', got None of type NoneType"),
        ({"words": ["a"]}, "has no column 'tags', but 'words'"),
    ],
)
def test_sentences_that_cannot_be_used(tmp_path: Path, row: Any, said: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"words": ["x"], "tags": ["O"]}, row])
    message = fault(TAGS, path)
    assert message.startswith(f"{path}:2 ")
    assert said in message


# Question answering.


def squad(*questions: dict[str, Any]) -> str:
    return json.dumps(
        {"version": "x", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]}
    )


def test_squad(tmp_path: Path) -> None:
    answers = [{"text": "Paris", "answer_start": 14}, {"text": "in Paris", "answer_start": 11}]
    path = write(
        tmp_path / "a.json",
        squad(
            {"id": "q1", "question": "Where?", "answers": answers},
            {"id": "q2", "question": "Why?", "is_impossible": True, "answers": [], "plausible_answers": answers},
            {"id": "q3", "question": "When?", "is_impossible": False, "answers": []},
        ),
    )
    assert read(QA, path) == [
        QuestionExample(f"{path}, question q1", "q1", "Where?", CONTEXT, (Answer("Paris", 14), Answer("in Paris", 11))),
        QuestionExample(f"{path}, question q2", "q2", "Why?", CONTEXT),
        QuestionExample(f"{path}, question q3", "q3", "When?", CONTEXT),
    ]
    assert "has the form of SQuAD, which is for question-answering" in fault(TEXT, path)


def test_squad_without_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", squad({"id": "q1", "question": "Where?"}))
    assert "no column is known as the answers" in fault(QA, path)
    assert [e.labelled for e in read(QA, path, labelled=False)] == [False]
    path = write(tmp_path / "b.json", squad({"question": "A?", "answers": []}, {"question": "B?"}))
    assert f"{path}, data[0].paragraphs[0].qas[1] has no answers; an empty list says" in fault(QA, path)
    assert [(e.key, e.labelled) for e in read(QA, path, labelled=False)] == [("1", True), ("2", False)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1], "data[0] must be an object with 'paragraphs', got 1 of type int"),
        ([{"paragraphs": [{"qas": []}]}], "data[0].paragraphs[0] must have a str under 'context', got None"),
        ([{"paragraphs": [{"context": "a", "qas": [{"id": 1}]}]}], "qas[0] must have a str under 'question'"),
        ([], "has no rows"),
    ],
)
def test_squad_that_is_broken(tmp_path: Path, data: Any, said: str) -> None:
    assert said in fault(QA, write(tmp_path / "a.json", json.dumps({"data": data})))


@pytest.mark.parametrize(
    "form",
    [
        {"answers": [{"text": "Paris", "answer_start": 14}]},
        {"answers": [{"text": "Paris", "start": 14}]},
        {"answers": {"text": ["Paris"], "answer_start": [14]}},
        {"answers": {"text": "Paris", "answer_start": 14}},
        {"answer_text": "Paris", "answer_start": 14},
        {"answer": "Paris", "answer_start": 14},
    ],
)
def test_answers_in_rows(tmp_path: Path, form: dict[str, Any]) -> None:
    rows = [QUESTION | form | {"id": 7}]
    for path in (jsonl(tmp_path / "a.jsonl", rows), parquet(tmp_path / "a.parquet", rows)):
        examples = read(QA, path)
        assert [(e.key, e.answers, e.labelled) for e in examples] == [("7", (Answer("Paris", 14),), True)]


def test_answers_in_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'question,passage,answer_text,answer_start\nq,"{CONTEXT}",Paris,14\nq,no,,\n')
    reading = read_examples(QA, [path])
    assert [e.answers for e in reading.examples] == [(Answer("Paris", 14),), ()]  # type: ignore[union-attr]
    assert reading.columns == {"question": "question", "context": "passage", "answers": "answer_text+answer_start"}
    assert read_examples(QA, [path], columns=reading.columns) == reading


@pytest.mark.parametrize("form", [{"answers": []}, {"answers": {"text": [], "answer_start": []}}])
def test_no_answer_in_the_context(tmp_path: Path, form: dict[str, Any]) -> None:
    examples = read(QA, jsonl(tmp_path / "a.jsonl", [QUESTION | form]))
    assert [(e.answers, e.labelled) for e in examples] == [((), True)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("Paris", 15), "the answer 'Paris' is not at character 15 of the context; there is 'aris,'. It is at 14, 25."),
        (("Rome", 3), "It is nowhere in it."),
        (("i", 3), "there is 'a'. It is at 6, 11, 17 ..."),
        (("Paris", 1000), "nothing is there. It is at 14, 25."),
        (("big.", -4), "is not at character -4 of the context; nothing is there. It is at 34."),
        ((" ", 4), "an answer needs a 'text' and its first character"),
        (("Paris", None), "an answer needs a 'text' and its first character"),
        (("Paris", True), "an answer needs a 'text' and its first character"),
        ((5, 5), "an answer needs a 'text' and its first character"),
    ],
)
def test_answers_that_are_not_there(tmp_path: Path, answer: tuple[Any, Any], said: str) -> None:
    row = QUESTION | {"answers": [{"text": answer[0], "answer_start": answer[1]}]}
    path = jsonl(tmp_path / "a.jsonl", [QUESTION | {"answers": []}, row])
    message = fault(QA, path)
    assert message.startswith(f"{path}:2: ")
    assert said in message


def test_answers_of_the_wrong_form(tmp_path: Path) -> None:
    for answers, said in (
        ("Paris", "'answers' must hold a list of answers"),
        ({"text": ["Paris"], "answer_start": []}, "answers need as many 'answer_start' as 'text'"),
        ({"text": "Paris"}, "an answer needs a 'text' and its first character"),
    ):
        assert said in fault(QA, jsonl(tmp_path / "a.jsonl", [QUESTION | {"answers": answers}]))


# Multiple choice.


@pytest.mark.parametrize("label", [1, "1", "B", "b", "y"])
def test_the_right_choice(tmp_path: Path, label: Any) -> None:
    path = jsonl(tmp_path / "a.jsonl", [CHOICES | {"label": label}])
    assert read(CHOICE, path) == [ChoiceExample(f"{path}:1", "c", "q", ("x", "y", "z"), 1)]


def test_the_form_of_swag(tmp_path: Path) -> None:
    header = "video-id,sent1,sent2,ending3,ending0,ending1,ending2,label"
    reading = read_examples(CHOICE, [write(tmp_path / "a.csv", f"{header}\n7,He sits.,He,d,a,b,c,3\n")])
    assert [(e.context, e.question, e.choices, e.label) for e in reading.examples] == [  # type: ignore[union-attr]
        ("He sits.", "He", ("a", "b", "c", "d"), 3)
    ]
    assert reading.columns["choices"] == "ending0+ending1+ending2+ending3"
    assert read_examples(CHOICE, reading.sources, columns=reading.columns) == reading


def test_choices_in_a_cell_and_a_missing_context(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'question\tchoices\tlabel\nq\t["x", "y"]\ty\n')
    assert [(e.context, e.choices, e.label) for e in read(CHOICE, path)] == [("", ("x", "y"), 1)]
    rows = [CHOICES | {"context": None}]
    assert [(e.context, e.label) for e in read(CHOICE, jsonl(tmp_path / "a.jsonl", rows), labelled=False)] == [
        ("", None)
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 3}, "3 under 'label' is not a choice. There are 3 choices: 0 to 2, or A to C."),
        ({"label": -1}, "-1 under 'label' is not a choice"),
        ({"label": "3"}, "'3' under 'label' is not a choice"),
        ({"label": "D"}, "'D' under 'label' is not a choice"),
        ({"label": None}, "has nothing under 'label'"),
        ({"label": "1", "choices": ["1", "2"]}, "'1' under 'label' could mean several choices"),
        ({"label": "x", "choices": ["x", "x"]}, "'x' under 'label' could mean several choices"),
        ({"choices": ["x"]}, "has one choice; at least two are needed"),
        ({"choices": ["x", ""]}, "has an empty text under 'choices[1]'"),
        ({"choices": "x, y"}, "must hold a list of texts under 'choices', got 'x, y' of type str"),
        ({"context": "", "question": " "}, "has neither a context nor a question"),
        ({"context": 5}, "must hold a text under 'context', got 5 of type int"),
    ],
)
def test_choices_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", [CHOICES | {"label": 0}, CHOICES | {"label": 0} | change])
    message = fault(CHOICE, path)
    assert message.startswith(f"{path}:2")
    assert said in message
