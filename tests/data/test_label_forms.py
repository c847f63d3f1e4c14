"""Labels as other programs write them: lists that became text, 0 and 1 for each label, integers written as floats."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.core.config import DistilBertConfig
from distilbert.data.examples import MULTI, SINGLE, ChoiceExample, Labels, TextExample
from distilbert.data.labelled import read_examples
from distilbert.data.labels import check_labels, collect_labels, labels_of_config, target_of
from distilbert.data.list_literals import parse_list

from .labelled_files import CHOICE, CONTEXT, QA, SENTENCES, TAGS, TEXT, fault, jsonl, parquet, read, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['x', 'y']", ["x", "y"]),
        ('["x", "y"]', ["x", "y"]),
        ("('x', 'y')", ["x", "y"]),
        ("('x',)", ["x"]),
        ("{'x'}", ["x"]),
        ("['x' 'y']", ["x", "y"]),
        ("['x'\n 'it\\'s']", ["x", "it's"]),
        ("[x, y z]", ["x", "y z"]),
        ("{x,y}", ["x", "y"]),
        ("[1, 0, 1]", [1, 0, 1]),
        ("(1, 0, 1)", [1, 0, 1]),
        ("[1 0 1]", [1, 0, 1]),
        ("[1. 0.]", [1.0, 0.0]),
        ("[True, False]", [True, False]),
        ("[]", []),
        ("()", []),
        ("[[0, 4, 'PER']]", [[0, 4, "PER"]]),
        ("{'text': array(['a'], dtype=object), 'start': array([1], dtype=int32)}", {"text": ["a"], "start": [1]}),
        ("[x]", None),
        ("(x)", None),
        ("(other, misc)", None),
        ("[1", None),
        ("x, y", None),
        ("", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("[__import__('os'), 'x']", None),
    ],
)
def test_lists_that_became_text(text: str, value: Any) -> None:
    assert parse_list(text) == value


@pytest.mark.parametrize(
    "written", ["\"['x', 'y']\"", '"[""x"", ""y""]"', "\"('x', 'y')\"", "['x' 'y']", '"[x, y]"', '"{x,y}"']
)
def test_labels_that_became_text(tmp_path: Path, written: str) -> None:
    path = write(tmp_path / "a.csv", f"text,label\na,{written}\nb,[]\nc,[x]\n")
    read_texts = read_examples(TEXT, [path]).examples
    assert [example.label for example in read_texts] == [("x", "y"), (), ("x",)]  # type: ignore[union-attr]
    assert collect_labels(TEXT, read_texts) == Labels(("x", "y"), MULTI)


def test_a_label_in_brackets_is_a_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,[unk]\nb,(x)\n")
    assert [example.label for example in read(TEXT, path)] == ["[unk]", "(x)"]


@pytest.mark.parametrize("rows", [
    [[1, 0, 1], [0, 0, 0], [0, 0, 1]],
    [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    [[True, False, True], [False] * 3, [False, False, True]],
    ["[1, 0, 1]", "[0, 0, 0]", "[0, 0, 1]"],
    ["[1. 0. 1.]", "[0. 0. 0.]", "[0. 0. 1.]"],
    ["(1, 0, 1)", "(0, 0, 0)", "(0, 0, 1)"],
])  # fmt: skip
def test_lists_of_0_and_1(tmp_path: Path, rows: list[Any]) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "a", "labels": row} for row in rows])
    reading = read_examples(TEXT, [path])
    assert [example.label for example in reading.examples] == [("0", "2"), (), ("2",)]  # type: ignore[union-attr]
    assert reading.label_names == ("0", "1", "2")
    labels = collect_labels(TEXT, reading.examples, names=("x", "y", "z"), known=reading.label_names)
    assert labels == Labels(("x", "y", "z"), MULTI, ("0", "1", "2"))
    targets = [target_of(example, labels) for example in reading.examples if isinstance(example, TextExample)]
    assert np.array_equal(targets, [[1, 0, 1], [0, 0, 0], [0, 0, 1]])
    assert collect_labels(TEXT, reading.examples, known=reading.label_names).names == ("0", "1", "2")


@pytest.mark.parametrize("rows", [[[0], [1, 0], [1]], [[0, 1], [0, 1]], [[0, 2], [1, 2]], [[0], [1]]])
def test_lists_of_numbers_of_labels(tmp_path: Path, rows: list[Any]) -> None:
    reading = read_examples(TEXT, [jsonl(tmp_path / "a.jsonl", [{"text": "a", "labels": row} for row in rows])])
    assert [example.label for example in reading.examples] == [tuple(map(str, row)) for row in rows]  # type: ignore[union-attr]
    assert reading.label_names == ()


def test_a_column_for_each_label(tmp_path: Path) -> None:
    content = "id,comment,toxic,insult,threat\n1,a,1,0,0\n2,b,0.0,1.0,0\n3,c,False,True,0\n4,d,0,0,0\n"
    path = write(tmp_path / "a.csv", content)
    reading = read_examples(TEXT, [path], columns={"label": "toxic+insult+threat"})
    assert reading.columns == {"text": "comment", "label": "toxic+insult+threat"}
    assert [e.label for e in reading.examples] == [("toxic",), ("insult",), ("insult",), ()]  # type: ignore[union-attr]
    labels = collect_labels(TEXT, reading.examples, known=reading.label_names)
    assert labels == Labels(("toxic", "insult", "threat"), MULTI)
    unlabelled = write(tmp_path / "c.csv", "comment,toxic,insult\na,,\n")
    assert texts_without_labels(unlabelled, "toxic+insult")
    message = fault(TEXT, write(tmp_path / "b.csv", "text,x,y\na,1,2\n"), columns={"label": "x+y"})
    assert "b.csv:2: a column of a label holds 0 or 1, got '2' of type str under 'y'" in message
    assert "has no column 'z' for the label" in fault(TEXT, path, columns={"label": "toxic+z"})
    assert "label=A+B+C" in fault(TEXT, path)


def texts_without_labels(path: str, label: str) -> bool:
    return [example.label for example in read(TEXT, path, columns={"label": label}, labelled=False)] == [None]


def test_one_hot_columns_of_a_single_label(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,x,y\na,1,0\nb,0,1\n")
    examples = read_examples(TEXT, [path], columns={"label": "x+y"}).examples
    assert collect_labels(TEXT, examples, problem=SINGLE) == Labels(("x", "y"), SINGLE)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_integers_written_as_floats_are_classes(tmp_path: Path, kind: str) -> None:
    values = [1.0, 0.0, 2.0, 1.0]
    rows = [{"text": "a", "label": value} for value in values]
    path = str(tmp_path / f"a.{kind}")
    if kind == "csv":
        write(Path(path), "text,label\n" + "".join(f"a,{value}\n" for value in values))
    else:
        (jsonl if kind == "jsonl" else parquet)(Path(path), rows)
    examples = read_examples(TEXT, [path]).examples
    labels = collect_labels(TEXT, examples)
    assert labels == Labels(("0", "1", "2"), SINGLE)
    targets = [target_of(example, labels) for example in examples if isinstance(example, TextExample)]
    assert [int(target) for target in targets if target is not None] == [1, 0, 2, 1]
    config = DistilBertConfig(id2label={0: "bad", 1: "good", 2: "fine"}, problem_type=SINGLE)
    of_model = labels_of_config(config, TEXT)
    check_labels(examples, of_model, "the data")
    assert [int(target_of(e, of_model)) for e in examples if isinstance(e, TextExample)] == [1, 0, 2, 1]  # type: ignore[arg-type]


def test_a_choice_written_as_a_float(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "question,choices,label\nq,\"['x', 'y']\",1.0\n")
    assert read(CHOICE, path) == [ChoiceExample(f"{path}:2", "", "q", ("x", "y"), 1)]


def test_words_and_tags_that_became_text(tmp_path: Path) -> None:
    for words, tags in (
        ("\"['EU', 'rejects']\"", "\"['B-ORG', 'O']\""),
        ("['EU' 'rejects']", "['B-ORG' 'O']"),
        ('"[""EU"", ""rejects""]"', '"[""B-ORG"", ""O""]"'),
    ):
        assert [
            (e.words, e.tags) for e in read(TAGS, write(tmp_path / "a.csv", f"tokens,ner_tags\n{words},{tags}\n"))
        ] == SENTENCES[:1]
    path = write(tmp_path / "b.csv", "tokens,ner_tags\n\"['EU', 'rejects']\",[3 0]\n")
    assert read(TAGS, path)[0].tags == ("3", "0")


def test_answers_that_became_text(tmp_path: Path) -> None:
    for answers in (
        "{'text': ['Paris'], 'answer_start': [14]}",
        "{'text': array(['Paris'], dtype=object), 'answer_start': array([14], dtype=int32)}",
        "[{'text': 'Paris', 'answer_start': 14}]",
    ):
        path = write(tmp_path / "a.csv", f'question,context,answers\nWhere?,"{CONTEXT}","{answers}"\n')
        assert [(answer.text, answer.start) for answer in read(QA, path)[0].answers] == [("Paris", 14)]


def test_rows_without_a_text_or_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,1.0\n,0.0\nb,\nc,0.0\nd,1.0\n")
    with pytest.warns(
        UserWarning,
        match=r"a\.csv: 2 rows were left out of 5, with nothing under 'text', 'label' \(the first is .*a\.csv:3\)",
    ):
        examples = read(TEXT, path)
    assert [example.text for example in examples] == ["a", "c", "d"]
    with pytest.warns(UserWarning, match="1 row was left out of 5, with nothing under 'text'"):
        assert [example.label for example in read(TEXT, path, labelled=False)] == ["1.0", None, "0.0", "1.0"]
    path = parquet(
        tmp_path / "a.parquet",
        [{"text": text, "label": label} for text, label in zip("abc", (1.0, float("nan"), 0.0), strict=True)],
    )
    with pytest.warns(UserWarning, match="1 row was left out of 3"):
        assert [example.text for example in read(TEXT, path)] == ["a", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "b.csv:2 has an empty text" in fault(TEXT, write(tmp_path / "b.csv", "text,label\n,x\n,y\na,z\n"))
