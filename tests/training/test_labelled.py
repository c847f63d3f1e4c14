"""Reading labelled data: every format and form of a row, and what each fault says."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.training.data.examples import Answer, ChoiceExample, QuestionExample, TaggedExample, TextExample
from distilbert.training.data.labelled import read_examples

TEXT, TAGS, QA, CHOICE, MASK = (
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "fill-mask",
)
ROWS = [("a b", "no"), ('"c" said', "yes")]
CONTEXT = "Anna lives in Paris, and Paris is big."
QUESTION = {"question": "Where?", "context": CONTEXT}
SENTENCES = [(("EU", "rejects"), ("B-ORG", "O")), (("Anna",), ("B-PER",))]


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8", newline="")
    return str(path)


def jsonl(path: Path, rows: list[Any]) -> str:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def parquet(path: Path, rows: list[Any]) -> str:
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), path)
    return str(path)


def read(task: str, source: str, **options: Any) -> list[Any]:
    return read_examples(task, [source], **options).examples


def fault(task: str, source: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(task, source, **options)
    return str(caught.value)


def texts(examples: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (e.text, e.label) if e.text_pair is None else (e.text, e.text_pair, e.label)
        for e in examples
        if isinstance(e, TextExample)
    ]


# Formats.


def as_format(path: Path, rows: list[tuple[str, str]]) -> str:
    """Write texts and labels in the format of a name."""
    names = ("sentence", "label")
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "csv":
        buffer = io.StringIO()
        csv.writer(buffer).writerows([names, *rows])
        content = buffer.getvalue()
    elif kind == "tsv":
        content = "".join("\t".join(row) + "\n" for row in [names, *rows])
    else:
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        content = "\n\n".join(map(json.dumps, objects)) if kind != "json" else json.dumps(objects, indent=1)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.json", "A.TSV", "a.csv.gz", "a.tsv.gz", "a.jsonl.gz", "a.json.gz"],
)
def test_every_format_gives_the_same(tmp_path: Path, name: str) -> None:
    reading = read_examples(TEXT, [as_format(tmp_path / name, ROWS)])
    assert texts(reading.examples) == ROWS
    assert reading.columns == {"text": "sentence", "label": "label"}
    assert reading.sources == [str(tmp_path / name)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text.strip())] * 2),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[tuple[str, str]]
) -> None:
    if kind == "tsv":
        rows = [tuple(cell.translate({9: "_", 10: "_", 13: "_"}) for cell in row) for row in rows]  # type: ignore[misc]
    elif kind == "csv":  # the csv module itself does not tell line ends apart
        rows = [tuple(cell.replace("\r", "_") for cell in row) for row in rows]  # type: ignore[misc]
    path = tmp_path_factory.mktemp("written") / f"a.{kind}"
    assert texts(read(TEXT, as_format(path, rows))) == rows


def test_places_are_files_and_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '\ufeffsentence,label\r\n"a\nb",x\r\n\r\nc,y\r\n')
    assert [(e.text, e.label, e.place) for e in read(TEXT, path)] == [
        ("a\nb", "x", f"{path}:2"),
        ("c", "y", f"{path}:5"),
    ]
    path = parquet(tmp_path / "a.parquet", [{"text": "a", "label": 1}, {"text": "b", "label": 0}])
    assert [e.place for e in read(TEXT, path)] == [f"{path}, row 1", f"{path}, row 2"]


def test_json_may_be_lines_a_list_or_one_object(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    wanted = [("a", "x"), ("b", "y")]
    assert texts(read(TEXT, jsonl(tmp_path / "a.json", rows))) == wanted
    assert texts(read(TEXT, write(tmp_path / "b.json", json.dumps(rows)))) == wanted
    assert texts(read(TEXT, write(tmp_path / "c.json", json.dumps(rows[0], indent=2)))) == wanted[:1]


def test_several_sources_follow_each_other(tmp_path: Path) -> None:
    first = write(tmp_path / "a.tsv", "sentence\tlabel\na\t1\n")
    second = jsonl(tmp_path / "b.jsonl", [{"text": "b", "label": 0}])
    reading = read_examples(TEXT, [first, second])
    assert texts(reading.examples) == [("a", "1"), ("b", "0")]
    assert reading.columns == {"text": "sentence", "label": "label"}


def test_another_delimiter(tmp_path: Path) -> None:
    assert texts(read(TEXT, write(tmp_path / "a.csv", 'text;label\n"a;b";x\n'), delimiter=";")) == [("a;b", "x")]
    assert texts(read(TEXT, write(tmp_path / "a.tsv", 'text|label\n"a|x\n'), delimiter="|")) == [('"a', "x")]
    assert read(TAGS, write(tmp_path / "a.conll", "a b|O\n"), delimiter="|")[0].words == ("a b",)
    assert "one character, got ';;'" in fault(TEXT, str(tmp_path / "a.csv"), delimiter=";;")


# Text classification.


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("x", "x"), (1, "1"), (-3, "-3"), (True, "true"), (False, "false"), (0.5, 0.5), (2.0, 2.0),
        (["a", "b"], ("a", "b")), ([1, True], ("1", "true")), ([], ()),
    ],
)  # fmt: skip
def test_labels_of_json(tmp_path: Path, written: Any, label: Any) -> None:
    for path in (jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": written}]),):
        found = read(TEXT, path)[0].label
        assert (found, type(found)) == (label, type(label))


def test_labels_of_parquet(tmp_path: Path) -> None:
    rows = [{"text": "a", "text_pair": "b", "labels": ["x", "y"]}]
    assert texts(read(TEXT, parquet(tmp_path / "a.parquet", rows))) == [("a", "b", ("x", "y"))]
    assert texts(read(TEXT, parquet(tmp_path / "b.parquet", [{"text": "a", "score": 1.5}]))) == [("a", 1.5)]


def test_a_label_of_a_table_stays_text(tmp_path: Path) -> None:
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        path = write(tmp_path / name, f"text{delimiter}label\na{delimiter}1.0\n")
        assert texts(read(TEXT, path)) == [("a", "1.0")]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (None, "has nothing under 'label'"),
        (" ", "has nothing under 'label'"),
        ({"a": 1}, "cannot use {'a': 1} of type dict under 'label'"),
        ([0.5], "cannot use 0.5 of type float under 'label[0]'"),
        (float("nan"), "cannot use nan of type float"),
    ],
)
def test_what_is_no_label(tmp_path: Path, label: Any, said: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": "x"}, {"text": "b", "label": label}])
    message = fault(TEXT, path)
    assert message.startswith(f"{path}:2 ")
    assert said in message


def test_a_label_is_needed_unless_said_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "sentence\tid\na\t1\n")
    message = fault(TEXT, path)
    assert "no column is known as the label" in message
    assert "--columns label=COLUMN" in message
    assert "Columns found: 'sentence', 'id'" in message
    assert texts(read(TEXT, path, labelled=False)) == [("a", None)]
    rows = [{"text": "a", "label": None}, {"text": "b", "label": "x"}, {"text": "c", "label": " "}, {"text": "d"}]
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert texts(read(TEXT, path, labelled=False)) == [("a", None), ("b", "x"), ("c", None), ("d", None)]
    assert ":4 has no column 'label', but 'text'" in fault(TEXT, jsonl(tmp_path / "d.jsonl", [rows[1]] * 3 + rows[3:]))
    sentence = {"words": ["a"], "tags": None}
    assert [e.tags for e in read(TAGS, jsonl(tmp_path / "b.jsonl", [sentence]), labelled=False)] == [None]
    choice = CHOICES | {"label": ""}
    assert [e.label for e in read(CHOICE, jsonl(tmp_path / "c.jsonl", [choice]), labelled=False)] == [None]


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


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"words": ["a", "b"], "tags": ["O"]}, "has 2 words, but 1 tags"),
        ({"words": ["a", ""], "tags": ["O", "O"]}, "has nothing under 'words[1]'"),
        ({"words": ["a", 0.5], "tags": ["O", "O"]}, "cannot use 0.5 of type float under 'words[1]'"),
        ({"words": [], "tags": []}, "must hold a list of texts under 'words', got [] of type list"),
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
        found = read(QA, path)
        assert [(e.key, e.answers, e.labelled) for e in found] == [("7", (Answer("Paris", 14),), True)]


def test_answers_in_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'question,passage,answer_text,answer_start\nq,"{CONTEXT}",Paris,14\nq,no,,\n')
    reading = read_examples(QA, [path])
    assert [e.answers for e in reading.examples] == [(Answer("Paris", 14),), ()]  # type: ignore[union-attr]
    assert reading.columns == {"question": "question", "context": "passage", "answers": "answer_text+answer_start"}
    assert read_examples(QA, [path], columns=reading.columns) == reading


@pytest.mark.parametrize("form", [{"answers": []}, {"answers": {"text": [], "answer_start": []}}])
def test_no_answer_in_the_context(tmp_path: Path, form: dict[str, Any]) -> None:
    found = read(QA, jsonl(tmp_path / "a.jsonl", [QUESTION | form]))
    assert [(e.answers, e.labelled) for e in found] == [((), True)]


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

CHOICES = {"context": "c", "question": "q", "choices": ["x", "y", "z"]}


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
        ({"label": 3}, "3 under 'label' is no choice. There are 3 choices: 0 to 2, or A to C."),
        ({"label": -1}, "-1 under 'label' is no choice"),
        ({"label": "3"}, "'3' under 'label' is no choice"),
        ({"label": "D"}, "'D' under 'label' is no choice"),
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


# Fill-mask.


def test_texts_without_labels(tmp_path: Path) -> None:
    wanted = [TextExample(f"{tmp_path / 'a.txt'}:2", "a b"), TextExample(f"{tmp_path / 'a.txt'}:4", "c")]
    assert read(MASK, write(tmp_path / "a.txt", "\n a b\r\n\nc\n")) == wanted
    assert texts(read(MASK, as_format(tmp_path / "a.csv", ROWS))) == [(text, None) for text, _ in ROWS]
    assert texts(read(MASK, write(tmp_path / "b.csv", "anything\na\n"))) == [("a", None)]
    assert "needs columns, which a .txt file has not" in fault(TEXT, str(tmp_path / "a.txt"))


# Faults of files.


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "text\tlabel\na\tx\nb\n", ":3: this row has 1 fields, but the header names 2: 'text', 'label'. In"),
        ("a.csv", "text,label\na,x,y\n", ":2: this row has 3 fields, but the header names 2"),
        ("a.csv", 'text,label\na,x\n"b,y\n', ":3: this row is broken as CSV"),
        ("a.csv", "text,label,text\na,x,b\n", ":1: the header has 'text' more than once"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.csv", "", "a.csv is empty"),
        ("a.tsv", "\n\n", "a.tsv is empty"),
        ("a.jsonl", "\n", "a.jsonl has no rows"),
        ("a.json", " \n", "a.json is empty"),
        ("a.json", "[]", "a.json has no rows"),
        ("a.conll", "\n\n", "a.conll has no rows"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', ":2 is not JSON"),
        ("a.jsonl", "[1]\n", ":1 must hold a JSON object, got [1] of type list"),
        ("a.json", '{"text":\n"a",\n}', ":3 is not JSON"),
        ("a.json", '{"text": "a", "label": 1}\n{"text"\n', ":2 is not JSON"),
        ("a.json", "[5]", "item 1 must hold a JSON object, got 5"),
        ("a.tsv", "text\tlabel\n \tx\n", ":2 has an empty text under 'text'"),
        ("a.tsv", "premise\thypothesis\tlabel\na\t\tx\n", ":2 has an empty text under 'hypothesis'"),
        ("a.jsonl", '{"text": 5, "label": 1}', ":1 must hold a text under 'text', got 5 of type int"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"label": 1}', ":2 has no column 'text', but 'label'"),
        ("a.md", "a", "does not tell its format: known are .csv, .tsv"),
        ("a.parquet", "text", "a.parquet is not a parquet file"),
        ("a.parquet.gz", "text", "parquet is compressed inside already"),
        ("a.csv.gz", "text", "is broken as a .gz file"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = write(tmp_path / name, content)
    message = fault(TAGS if name.endswith(".conll") else TEXT, path)
    assert path in message
    assert said in message


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.json", "a.conll"])
def test_undecodable_bytes_are_named_by_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"text": "a"}\ncaf\xe9\n')
    message = fault(TAGS if "conll" in name else TEXT, str(tmp_path / name))
    assert f"{name}:2: byte 0xe9" in message


def test_sources_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.tsv", "x")
    assert "no file or folder 'trian.tsv'" in fault(TEXT, "trian.tsv")
    assert "That folder has train.tsv." in fault(TEXT, "trian.tsv")
    assert "There is no folder 'nowhere' either" in fault(TEXT, "nowhere/a.tsv")
    (tmp_path / "folder").mkdir()
    assert "no data set that 'datasets' saved" in fault(TEXT, "folder")
    with pytest.raises(DataError, match="at least one source"):
        read_examples(TEXT, [])
    assert "no labelled data for 'text-clasification', but for" in fault("text-clasification", "train.tsv")


# The library ``datasets``.


class Rows(list[dict[str, Any]]):
    """What is asked of a ``datasets.Dataset``."""

    features: dict[str, Any] | None = None

    def with_format(self, kind: None) -> Rows:
        return self


def test_a_name_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*names: Any, **options: Any) -> Rows:
        asked.append((names, options))
        rows = Rows([{"sentence": "a", "label": 1}, {"sentence": "b", "label": -1}])
        rows.features = {"sentence": SimpleNamespace(), "label": SimpleNamespace(names=["negative", "positive"])}
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    found = read(TEXT, "glue:sst2", split="validation", labelled=False)
    assert [(e.text, e.label, e.place) for e in found] == [
        ("a", "positive", "glue:sst2, row 1"),
        ("b", None, "glue:sst2, row 2"),
    ]
    assert asked == [(("glue", "sst2"), {"split": "validation", "streaming": False})]
    assert "glue:sst2, row 2 has nothing under 'label'" in fault(TEXT, "glue:sst2")


def test_a_name_without_features(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows([{"text": "a", "label": 1}])
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *names, **options: rows))
    assert texts(read(TEXT, "owner/name")) == [("a", "1")]


def test_data_sets_that_the_library_itself_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tags = datasets.ClassLabel(names=["O", "B-PER"])
    features = {"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(tags)}
    tagged = datasets.Dataset.from_list([{"tokens": ["Anna", "is"], "ner_tags": [1, 0]}], datasets.Features(features))
    datasets.DatasetDict({"dev": tagged}).save_to_disk(str(tmp_path / "tagged"))
    place = f"{tmp_path / 'tagged'}, row 1"
    assert read(TAGS, str(tmp_path / "tagged"), split="dev") == [TaggedExample(place, ("Anna", "is"), ("B-PER", "O"))]
    assert "has the splits 'dev', but no 'train'" in fault(TAGS, str(tmp_path / "tagged"))
    tagged.to_parquet(str(tmp_path / "tagged.parquet"))
    assert [e.tags for e in read(TAGS, str(tmp_path / "tagged.parquet"))] == [("B-PER", "O")]
    rows = [{"id": "q", **QUESTION, "answers": {"text": ["Paris"], "answer_start": [14]}}]
    asked = datasets.Dataset.from_list(rows).with_format("numpy")
    asked.save_to_disk(str(tmp_path / "asked"))
    found = read(QA, str(tmp_path / "asked"))
    assert [(e.key, e.answers) for e in found] == [("q", (Answer("Paris", 14),))]
