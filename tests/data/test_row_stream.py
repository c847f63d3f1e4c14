"""The one reader of rows: what the command line and training have in common, and what rules change."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from distilbert.core.errors import DataError
from distilbert.data.examples import EVALUATED_TASKS
from distilbert.data.file_formats import ENDINGS, endings_of, format_of
from distilbert.data.row_stream import BLANK, NOT_UTF8, ReadingRules, Row, open_rows, without_problems
from distilbert.tasks import TASKS

LOOSE = ReadingRules(named_columns=False, json_array=True, class_names=False, keep_invalid=True)
STRICT = ReadingRules()


def rows(path: Path, content: str | bytes, rules: ReadingRules) -> list[Row]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_rows(path, *format_of(path), rules, path.name) as stream:
        return list(stream.rows)


@pytest.mark.parametrize("rules", [LOOSE, STRICT])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'x,y\r\n\r\n"1\n2",3\r\n4\r\n5,6\r\n'),
        ("a.tsv", "x\ty\n\n1 2\t3\n4\n5\t6\n"),
        ("a.jsonl", '\n{"x": "1 2", "y": "3"}\n4\n{"x": "5", "y": "6"}\n'),
        ("a.json", '[{"x": "1 2", "y": "3"}, 4, {"x": "5", "y": "6"}]'),
    ],
)
def test_a_row_has_a_place_and_a_value_or_a_problem(
    tmp_path: Path, rules: ReadingRules, name: str, content: str
) -> None:
    blank, *read = rows(tmp_path / name, content, rules) if name != "a.json" else [
        Row("a.json", None, BLANK), *rows(tmp_path / name, content, rules)
    ]  # fmt: skip
    assert blank.problem == BLANK
    assert [{key: text.replace("\n", " ") for key, text in row.value.items()} for row in read[::2]] == [
        {"x": "1 2", "y": "3"}, {"x": "5", "y": "6"}
    ]  # fmt: skip
    assert read[1].value is None
    assert read[1].problem not in ("", BLANK)
    places = {
        "a.csv": ["a.csv:3", "a.csv:5", "a.csv:6"],
        "a.tsv": ["a.tsv:3", "a.tsv:4", "a.tsv:5"],
        "a.jsonl": ["a.jsonl:2", "a.jsonl:3", "a.jsonl:4"],
        "a.json": ["a.json, item 1", "a.json, item 2", "a.json, item 3"],
    }
    assert [row.place for row in read] == places[name]
    with pytest.raises(DataError, match=f"^{read[1].place}: "):
        list(without_problems([blank, *read]))
    assert list(without_problems([blank, read[0], read[2]])) == [read[0], read[2]]


def test_a_carriage_return_within_a_line_of_a_tsv_file_is_text(tmp_path: Path) -> None:
    assert [row.value for row in rows(tmp_path / "a.tsv", 'x\ty\na\rb\t"c\n', LOOSE)] == [{"x": "a\rb", "y": '"c'}]


def test_a_header_may_follow_blank_lines(tmp_path: Path) -> None:
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        content = f"\n\nx{delimiter}y\n1{delimiter}2\n"
        assert rows(tmp_path / name, content, LOOSE) == [Row(f"{name}:4", {"x": "1", "y": "2"})]


@pytest.mark.parametrize("name", ["a.txt", "a.text", "a.txt.gz"])
def test_a_line_of_text_is_fields_or_one_column(tmp_path: Path, name: str) -> None:
    content = b"a\tb \n\nc\r\n"
    content = gzip.compress(content) if name.endswith(".gz") else content
    assert [row.value for row in rows(tmp_path / name, content, LOOSE)] == [["a", "b "], None, ["c"]]
    assert [row.value for row in rows(tmp_path / name, content, STRICT)] == [{"text": "a\tb"}, None, {"text": "c"}]


def test_invalid_bytes_spoil_their_row_or_the_file(tmp_path: Path) -> None:
    content = b"x\na\xff\nb\n"
    assert rows(tmp_path / "a.csv", content, LOOSE) == [
        Row("a.csv:2", None, NOT_UTF8),
        Row("a.csv:3", {"x": "b"}),
    ]
    with pytest.raises(DataError, match=r"a\.csv:2: byte 0xff at byte 3 of the file is not UTF-8"):
        rows(tmp_path / "a.csv", content, STRICT)


@pytest.mark.parametrize("rules", [LOOSE, STRICT])
def test_half_a_surrogate_pair_in_json_is_no_text(tmp_path: Path, rules: ReadingRules) -> None:
    for half in ("d83d", "dc80"):
        problem = f"a lone surrogate \\u{half}, which is half a character"
        for name in ("a.jsonl", "b.json"):
            content = f'{{"x": "\\u{half}"}}'
            content = content if name == "a.jsonl" else f"[{content}]"
            (row,) = rows(tmp_path / name, content, rules)
            assert row.value is None
            assert row.problem == problem or (name, half) == ("b.json", "dc80")  # which could be a byte


@pytest.mark.parametrize(
    ("content", "values"), [('{"x": 1}', [{"x": 1}]), ('{"x": 1}\n{"x": 2}\n', [{"x": 1}, {"x": 2}])]
)
def test_a_json_file_without_an_array(tmp_path: Path, content: str, values: list[Any]) -> None:
    assert [row.value for row in rows(tmp_path / "a.json", content, STRICT)] == values
    with pytest.raises(DataError, match=r"must hold an array|--format jsonl"):
        rows(tmp_path / "a.json", content, LOOSE)


def test_a_parquet_file_is_read_without_columns_that_nobody_uses(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.Table.from_pylist([{"x": number, "y": "text"} for number in range(600)])
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    with open_rows(tmp_path / "a.parquet", "parquet", False, STRICT, "a.parquet") as stream:
        assert (stream.columns, stream.total, stream.size) == (["x", "y"], 600, None)
        stream.columns_to_read = ["x"]
        read = list(stream.rows)
    assert read[599] == Row("a.parquet, row 600", {"x": 599})


def test_a_stream_tells_how_much_of_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("line\n" * 100_000)
    with open_rows(path, "txt", False, LOOSE) as stream:
        assert (stream.size, stream.position()) == (500_000, 0)
        next(stream.rows)
        assert 0 < stream.position() < 100_000
        assert sum(1 for _ in stream.rows) == 99_999
        assert stream.position() == 500_000


def test_names_tell_formats() -> None:
    for ending, told in ENDINGS.items():
        assert format_of(f"A{ending.upper()}") == (told, False)
        assert format_of(f"a{ending}.gz") == (told, True)
    assert format_of("a.gz", without_ending="txt") == ("txt", True)
    assert format_of("a.md", without_ending="txt") == ("", False)
    assert format_of("a.csv", ("txt",)) == ("", False)
    assert endings_of(("txt", "jsonl")) == ".txt, .text, .jsonl, .ndjson"


def test_tasks_with_labelled_data_are_those_that_can_be_evaluated() -> None:
    assert {name for name, spec in TASKS.items() if spec.labelled is not None} == set(EVALUATED_TASKS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"one\n"), "compressed with gzip: add .gz to its name"),
        (zstandard.compress(b"one\n"), "compressed with zstandard: add .zst to its name"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"PAR1rest", "a parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["", "latin-1"])
def test_a_file_of_another_kind_is_called_so(
    tmp_path: Path, name: str, content: bytes, message: str, encoding: str
) -> None:
    for rules in (LOOSE, STRICT):
        with pytest.raises(DataError, match=rf"{name} is {message}"):
            rows(tmp_path / name, content, replace(rules, encoding=encoding))


@pytest.mark.parametrize("rules", [LOOSE, STRICT])
def test_carriage_returns_alone_end_the_lines_of_a_text(tmp_path: Path, rules: ReadingRules) -> None:
    found = rows(tmp_path / "a.txt", "one\rtwo\r\rthree\r", rules)
    assert [row.place for row in found] == [f"a.txt:{number}" for number in (1, 2, 3, 4)]
    values = [row.value if rules is LOOSE else [row.value["text"]] for row in found if not row.problem]
    assert values == [["one"], ["two"], ["three"]]
    within = rows(tmp_path / "b.txt", "one\ntwo\rmore\n", LOOSE)
    assert [row.value for row in within] == [["one"], ["two\rmore"]]
