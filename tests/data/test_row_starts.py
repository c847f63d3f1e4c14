"""Reading from a row in the middle of a file gives the rows that reading from its beginning gives."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from distilbert.core.errors import DataError, MissingExtraError
from distilbert.data.file_formats import format_of
from distilbert.data.row_stream import ReadingRules, Row, RowStart, open_rows

RULES = ReadingRules(named_columns=False, json_array=True, class_names=False, keep_invalid=True)
WORDS = ["plain", 'a "quoted" word', "two, fields", "tab\there", "line\nbreak", "", "ümläut", '"open', " spaces "]


def csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


def content_of(name: str, seed: int) -> bytes:
    draw = random.Random(seed)
    rows = [(draw.choice(WORDS), f"{number} {draw.choice(WORDS)}") for number in range(200)]
    if name.startswith("tables.csv"):
        return ("text,other\n" + "".join(f"{csv_field(a)},{csv_field(b)}\n" for a, b in rows)).encode()
    if name.startswith("one.csv"):
        return ("text\n" + "".join(f"{csv_field(a)}\n" for a, _ in rows)).encode()
    if name.startswith("tables.tsv"):
        return ("text\tother\n" + "".join(f"{csv_field(a)}\t{b.strip()}\n" for a, b in rows)).encode()
    if name.startswith("plain.tsv"):
        return ("text\tother\n" + "".join(f"word {number}\tx\n" for number in range(200))).encode()
    if name.startswith("lines.jsonl"):
        return b"".join(json.dumps({"text": a, "n": b}).encode() + b"\n" + b"\n" * (len(a) == 5) for a, b in rows)
    if name.startswith("items.json"):
        return json.dumps([{"text": a} for a, _ in rows]).encode()
    if name.startswith("returns.csv"):
        return b"text,other\r" + b"".join(b"a,%d\r" % number for number in range(200))
    if name.startswith("bytes.txt"):
        return b"\xef\xbb\xbf" + b"".join(b"\xff word\n" if len(a) == 5 else a.encode() + b"\n" for a, _ in rows)
    return "".join(f"{a}\n" for a, _ in rows).encode()


def number_of(row: Row) -> int:
    return int(row.place.rpartition(":")[2])


SEEKABLE = ("tables.csv", "one.csv", "plain.tsv", "lines.jsonl", "bytes.txt", "a.txt")
NAMES = ["tables.csv", "one.csv", "tables.tsv", "plain.tsv", "lines.jsonl", "items.json", "returns.csv", "bytes.txt"]


@pytest.mark.parametrize("name", [*NAMES, "a.txt", "a.txt.gz", "lines.jsonl.zst", "tables.csv.gz"])
def test_a_reader_that_begins_in_the_middle(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    content = content_of(name, seed=len(name))
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        content = zstandard.compress(content[:50]) + zstandard.compress(content[50:])
    path.write_bytes(content)
    told = format_of(path)
    with open_rows(path, *told, RULES, name) as stream:
        rows = list(stream.rows)
    assert len(rows) >= 195
    starts = []
    with open_rows(path, *told, RULES, name, with_starts=True) as stream:
        for place, row in enumerate(stream.rows):
            if place % 7 == 3:
                line = stream.starts.start_of(number_of(row)) if stream.starts else None
                starts.append(RowStart(place, line))
    known = sum(start.line is not None for start in starts)
    assert known == (
        len(starts) if name in ("tables.csv", "one.csv", "plain.tsv", "lines.jsonl", "bytes.txt", "a.txt") else 0
    )
    for start in starts:
        with open_rows(path, *told, RULES, name, start) as stream:
            assert list(stream.rows) == rows[start.rows :]


@pytest.mark.parametrize("start", [0, 1, 9, 10, 25, 99, 100])
def test_a_parquet_file_is_read_from_the_row_group_on(start: int, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"text {number}" for number in range(100)]})
    pyarrow.parquet.write_table(table, path, row_group_size=10)
    with open_rows(path, "parquet", False, RULES, "a", RowStart(start)) as stream:
        rows = list(stream.rows)
    assert [row.value for row in rows] == [{"text": f"text {number}"} for number in range(start, 100)]
    assert [row.place for row in rows[:1]] == [f"a, row {start + 1}"][: len(rows)]


def test_a_broken_file_of_zstandard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"plain text")
    with (
        pytest.raises(DataError, match=r"a\.txt\.zst is broken as a \.zst file"),
        open_rows(path, "txt", True, RULES) as s,
    ):
        list(s.rows)


def test_zstandard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.compress(b"text"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"distilbert\[files\]"), open_rows(path, "txt", True, RULES) as stream:
        list(stream.rows)
