"""Tables as other programs write them: delimiters, headers, quotation marks, encodings."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.data.delimited_table import detect_delimiter, read_delimited
from distilbert.data.file_formats import format_of
from distilbert.data.labelled import read_examples
from distilbert.data.row_stream import ReadingRules, open_rows

from .labelled_files import TEXT, fault, read, texts, write


def table(content: str, format: str = "csv", delimiter: str = "") -> list[Any]:
    """Return the columns, and below them the fields of each row, or what is wrong with it."""
    found = read_delimited(content.splitlines(keepends=True), format, "f", delimiter, ahead=50)
    return [found.columns, *(list(row.value.values()) if row.value else row.problem for row in found.rows)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\na, b;x\n"),
        ("a.csv", '"text";"label"\n"a, b";"x"\n'),
        ("a.csv", "text\tlabel\na, b\tx\n"),
        ("a.csv", "text|label\na, b|x\n"),
        ("a.csv", "sep=;\ntext;label\na, b;x\n"),
        ("a.csv", 'text, label\n"a, b", x\n'),
        ("a.tsv", 'text,label\n"a, b",x\n'),
        ("a.tsv", "text;label\r\na, b;x\r\n"),
        ("a.tsv", "text\tlabel\na, b\tx\n"),
        ("a.csv", "text;label\ra, b;x\r"),
        ("a.tsv", "text\tlabel\ra, b\tx"),
    ],
)
def test_the_delimiter_is_detected(tmp_path: Path, name: str, content: str) -> None:
    assert texts(read(TEXT, write(tmp_path / name, content))) == [("a, b", "x")]


def test_rows_decide_between_delimiters() -> None:
    assert detect_delimiter("id;text, clean;label", ["1;hello, world, x;pos", "2;a;neg"], ",") == ";"
    assert detect_delimiter("text,label;kind", ["a,b;c", "d,e"], ",") == ","
    assert detect_delimiter("text; original", ["no delimiter here", "none there; either", "or here"], ",") == ","
    assert detect_delimiter("text", ["a;b", "c;d"], ",") == ","
    assert detect_delimiter("a\tb", [], ",") == "\t"


def test_a_stated_delimiter_may_be_a_name_or_an_escape() -> None:
    for stated in ("\\t", "tab", "\t"):
        assert table("text,x\tlabel\na\tb\n", delimiter=stated) == [["text,x", "label"], ["a", "b"]]
    assert table("a;b\nc;d\n", delimiter="semicolon") == [["a", "b"], ["c", "d"]]


def test_columns_without_a_name_or_with_the_same_name(tmp_path: Path) -> None:
    spam = "v1,v2,,,\nham,Go until,,,\nspam,Free entry\nham,Ok,,,,,,\n"
    assert table(spam)[0] == ["v1", "v2", "column_3", "column_4", "column_5"]
    path = write(tmp_path / "spam.csv", spam)
    columns = {"text": "v2", "label": "v1"}
    assert texts(read(TEXT, path, columns=columns)) == [("Go until", "ham"), ("Free entry", "spam"), ("Ok", "ham")]
    assert "Columns found: 'v1', 'v2'." in fault(TEXT, path)
    path = write(tmp_path / "index.csv", ",text,label\n0,a,x\n")
    assert texts(read(TEXT, path)) == [("a", "x")]
    path = write(tmp_path / "repeated.csv", "id,text,id,label\n1,a,2,x\n")
    assert texts(read(TEXT, path)) == [("a", "x")]
    assert "'id' more than once, so the label could be any" in fault(TEXT, path, columns={"label": "id"})
    assert table("x,x_2,x\n1,2,3\n") == [["x", "x_2", "x_3"], ["1", "2", "3"]]
    with pytest.raises(DataError, match="f:1: the header names no column"):
        table(",,\n1,2,3\n")


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('text\tlabel\n"He said ""hi"""\tx\n', [['He said "hi"', "x"]]),
        ('text\tlabel\n"a\tb"\tx\n', [["a\tb", "x"]]),
        ('text\tlabel\n"a\nb"\tx\nc\ty\n', [["a\nb", "x"], ["c", "y"]]),
        ('id\ttext\n1\t"a\nb"\n2\t"c\td\ne\tf"\n3\tg\n', [["1", "a\nb"], ["2", "c\td\ne\tf"], ["3", "g"]]),
        ('"text"\t"label"\n"a\nb"\t"x"\n', [["a\nb", "x"]]),
        ('text\tlabel\n"c" said\tx\n"Hello"\ty\n', [['"c" said', "x"], ['"Hello"', "y"]]),
        ('text\tlabel\n"open\tz\nb\t"\n', [['"open', "z"], ["b", '"']]),
        ('text\tlabel\n""\tx\n5" and 6"\ty\n', [["", "x"], ['5" and 6"', "y"]]),
    ],
)  # fmt: skip
def test_a_field_of_a_tsv_file_is_quoted_where_it_has_to_be(content: str, rows: list[list[str]]) -> None:
    assert table(content, "tsv")[1:] == rows


# A line of a text that has as many tabs as a row cannot be told from a row.
TEXTS = st.text(st.sampled_from('ab "\t\n,;é'), min_size=1).map(lambda x: x.replace("\t", "") if "\n" in x else x)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_what_pandas_writes_with_tabs_is_read(rows: list[tuple[str, str]]) -> None:
    pandas = pytest.importorskip("pandas")
    content = pandas.DataFrame([(number, *row) for number, row in enumerate(rows)], columns=["id", "x", "y"])
    lines = content.to_csv(sep="\t", index=False).split("\n")
    found = read_delimited([line + "\n" for line in lines[:-1]], "tsv", "f", ahead=50)
    read_rows = [tuple(row.value.values()) if row.value else row.problem for row in found.rows]
    assert read_rows == [(str(number), *row) for number, row in enumerate(rows)]


def test_a_quotation_that_never_ends_is_not_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\na,x\n"b,y\n' + "c,z\n" * 100)
    rules = ReadingRules(keep_invalid=True, named_columns=False)
    with open_rows(path, "csv", False, rules) as stream, pytest.raises(DataError, match=":3: .*never ends"):
        list(stream.rows)


def test_an_empty_line_of_a_table_with_one_column_is_an_empty_text() -> None:
    assert table("text\na\n\nb\n\n\n") == [["text"], ["a"], [""], ["b"], "", ""]


# Encodings.


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "windows-1252", "utf-16", "utf-16-le", "utf-32", "shift_jis"]
)
def test_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    text = "ア\u010aイ" if encoding.startswith(("utf", "shift")) and encoding != "shift_jis" else "café"
    text = "アイ" if encoding == "shift_jis" else text
    content = {"csv": f"text,label\n{text},x\nb,y\n", "tsv": f"text\tlabel\n{text}\tx\nb\ty\n"}
    content["jsonl"] = f'{{"text": "{text}", "label": "x"}}\n{{"text": "b", "label": "y"}}\n'
    data = content[format_of(name).format].encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    examples = read_examples(TEXT, [str(tmp_path / name)], encoding=encoding).examples
    assert texts(examples) == [(text, "x"), ("b", "y")]


def test_the_remedy_for_another_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    assert f"{path}:2: byte 0xe9 at byte 14 of the file is not UTF-8. State the encoding" in fault(TEXT, str(path))
    assert "--encoding windows-1252 or latin-1" in fault(TEXT, str(path))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_bytes("text,label\ncafé,x\n".encode(encoding))
        assert f"--encoding {encoding}," in fault(TEXT, str(path))
    assert "shift_jis; got 'latin1x'." in fault(TEXT, str(path), encoding="latin1x")
    assert "shift_jis; got 'zlib'." in fault(TEXT, str(path), encoding="zlib")
    path.write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    assert "is not shift_jis" in fault(TEXT, str(path), encoding="shift_jis")


# Files that never end.


def test_lines_and_files_that_would_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(80):
            file.write(b"a" * (1 << 20))
    assert "a.csv.gz:1 is longer than 32 MiB" in fault(TEXT, str(path))
    with gzip.open(tmp_path / "b.json.gz", "wb") as file:
        for _ in range(80):
            file.write(b"[" * (1 << 20))
    assert "more than 200 times its size" in fault(TEXT, str(tmp_path / "b.json.gz"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet", "a.txt"])
def test_a_pipe_or_a_device_is_no_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is a pipe or a device, not a file" in fault(TEXT, str(tmp_path / name))
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    assert "is a pipe or a device" in fault(TEXT, str(tmp_path / "zero.csv"))


def test_a_file_that_is_not_in_the_encoding_has_no_line_0(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,n\nodd,1\n")
    assert "a.csv is not utf-16 (" in fault(TEXT, str(path), encoding="utf-16")
