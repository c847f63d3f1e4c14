"""Reading labelled data: every format, labels, texts without labels, and the message for each faulty file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.data.examples import Answer, TaggedExample, TextExample
from distilbert.data.labelled import read_examples

from .labelled_files import (
    CHOICE,
    CHOICES,
    MASK,
    QA,
    QUESTION,
    ROWS,
    TAGS,
    TEXT,
    as_format,
    fault,
    jsonl,
    parquet,
    read,
    texts,
    write,
)


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
    rows = [(text, label.translate(dict.fromkeys(b"[({", "_"))) for text, label in rows]  # "['a', 'b']" is a list
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
    expected = [("a", "x"), ("b", "y")]
    assert texts(read(TEXT, jsonl(tmp_path / "a.json", rows))) == expected
    assert texts(read(TEXT, write(tmp_path / "b.json", json.dumps(rows)))) == expected
    assert texts(read(TEXT, write(tmp_path / "c.json", json.dumps(rows[0], indent=2)))) == expected[:1]


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
        (["a", "b"], ("a", "b")), ([3, True], ("3", "true")), ([], ()),
    ],
)  # fmt: skip
def test_labels_of_json(tmp_path: Path, written: Any, label: Any) -> None:
    for path in (jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": written}]),):
        label_read = read(TEXT, path)[0].label
        assert (label_read, type(label_read)) == (label, type(label))


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
        (float("nan"), "has nothing under 'label'"),
        (float("inf"), "cannot use inf of type float"),
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


# Fill-mask.


def test_texts_without_labels(tmp_path: Path) -> None:
    expected = [TextExample(f"{tmp_path / 'a.txt'}:2", "a b"), TextExample(f"{tmp_path / 'a.txt'}:4", "c")]
    assert read(MASK, write(tmp_path / "a.txt", "\n a b\r\n\nc\n")) == expected
    assert texts(read(MASK, as_format(tmp_path / "a.csv", ROWS))) == [(text, None) for text, _ in ROWS]
    assert texts(read(MASK, write(tmp_path / "b.csv", "anything\na\n"))) == [("a", None)]
    assert "needs columns, which a .txt file does not have" in fault(TEXT, str(tmp_path / "a.txt"))


# Faults of files.


def test_a_parquet_file_with_two_columns_of_one_name(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([["a"], ["b"], [1]], names=["text", "text", "label"])
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    assert "the header has 'text' more than once, so the text could be any" in fault(TEXT, str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "text\tlabel\na\tx\nb\n", ":3: this row has 1 field, but the header names 2: 'text', 'label'. In"),
        ("a.csv", "text,label\na,x,y\n", ":2: this row has 3 fields, but the header names 2"),
        ("a.csv", 'text,label\na,x\n"b,y\n', ":3: this row is broken as CSV"),
        ("a.csv", "text,label,text\na,x,b\n", "a.csv: the header has 'text' more than once, so the text could be any"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.csv", "", "a.csv is empty"),
        ("a.tsv", "\n\n", "a.tsv is empty"),
        ("a.jsonl", "\n", "a.jsonl has no rows"),
        ("a.json", " \n", "a.json is empty"),
        ("a.json", "[]", "a.json has no rows"),
        ("a.conll", "\n\n", "a.conll has no rows"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', ":2: not JSON"),
        ("a.jsonl", "[1]\n", ":1: a JSON object is expected, got [1] of type list"),
        ("a.json", '{"text":\n"a",\n}', ":3: not JSON"),
        ("a.json", '{"text": "a", "label": 1}\n{"text"\n', ":2: not JSON"),
        ("a.json", "[5]", "item 1: a JSON object is expected, got 5"),
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
    assert "is not a data set that 'datasets' saved" in fault(TEXT, "folder")
    with pytest.raises(DataError, match="at least one source"):
        read_examples(TEXT, [])
    assert "no labelled data for 'text-clasification', but for" in fault("text-clasification", "train.tsv")


# The library ``datasets``.


class Rows(list[dict[str, Any]]):
    """The part of a ``datasets.Dataset`` that is used."""

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
    examples = read(TEXT, "glue:sst2", split="validation", labelled=False)
    assert [(e.text, e.label, e.place) for e in examples] == [
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
    examples = read(QA, str(tmp_path / "asked"))
    assert [(e.key, e.answers) for e in examples] == [("q", (Answer("Paris", 14),))]
