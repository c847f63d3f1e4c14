"""Damaged data files of every format: rows, examples, or one error of ours; never another exception."""

from __future__ import annotations

import gzip
import io
import json
import random
import warnings
from pathlib import Path

import pytest

from distilbert.core.errors import DataError
from distilbert.data.corpus import documents
from distilbert.data.examples import FINETUNE_TASKS
from distilbert.data.file_formats import format_of
from distilbert.data.labelled import read_examples
from distilbert.data.labels import collect_labels
from distilbert.data.row_stream import ReadingRules, open_rows

LOOSE = ReadingRules(named_columns=False, json_array=True, class_names=False, keep_invalid=True)
ANNOTATED = {
    "data": {"text": "Anna"},
    "annotations": [{"result": [{"value": {"start": 0, "end": 4, "labels": ["PER"]}}]}],
}
ASKED = {"id": "1", "question": "q", "answers": [{"text": "b", "answer_start": 2}]}
FILES = {
    "a.csv": b'text,label\n"a, b",x\nc,"[\'x\', \'y\']"\n"d\ne",1.0\n',
    "a.tsv": b'text\tlabel\n"a ""b"""\tx\n"c\td"\ty\nz\t1.0\n',
    "a.jsonl": b'{"text": "a", "label": [[0, 1, "PER"]]}\n{"words": ["a"], "tags": ["O"]}\n',
    "b.jsonl": b'{"question": "a", "context": "b c", "answers": {"text": ["b"], "answer_start": [0]}}\n',
    "a.json": json.dumps({"data": [{"paragraphs": [{"context": "a b c", "qas": [ASKED]}]}]}).encode(),
    "b.json": json.dumps([ANNOTATED]).encode(),
    "a.conll": b"# c\n1\tEU\tB-ORG\tO\n2\tb\tO\tO\n\n1\tx\tO\tO\n",
    "b.conll": b"-DOCSTART- O\n\nen:a B-X\nen:b O\n",
    "a.txt": b"a\tb\n\nc\n",
}
PIECES = [
    b'"', b"'", b",", b"\t", b"\n", b"\r", b"\0", b"\xff\xfe", b"[", b"]", b"{", b"}", b"null", b"1e999", b"NaN", b"-1",
    b"9" * 20, b"9" * 5000, b"\\ud800", b";", b"#", b"true", b'"text"', b"(", b"\xef\xbb\xbf", b"[" * 2000, b"array([",
    b'"annotations": [1]', b'"entities"',
]  # fmt: skip


def parquet() -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    rows = [{"text": f"a {number}", "label": number % 3, "tags": ["B-X", "O"]} for number in range(50)]
    parquet.write_table(arrow.Table.from_pylist(rows), content)
    return content.getvalue()


def damaged(content: bytes, draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(draw.randint(1, 5)):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            data[place:place] = draw.choice(PIECES)
        elif kind == 1:
            del data[place : place + draw.randint(1, 8)]
        elif kind == 2 and data:
            data[min(place, len(data) - 1)] = draw.randrange(256)
        elif kind == 3:
            start = draw.randrange(len(data) + 1)
            data[place:place] = data[start : start + draw.randint(1, 30)]
        elif draw.random() < 0.3:
            del data[place:]
    return bytes(data)


def check(path: Path) -> None:
    """Read a file in every way."""

    def rows() -> None:
        with open_rows(path, *format_of(path), LOOSE) as stream:
            list(stream.rows)

    readers = [rows]
    if format_of(path).format in ("txt", "jsonl", "parquet"):
        readers.append(lambda: list(documents([path])) and None)
    for task in FINETUNE_TASKS:
        for labelled in (True, False):
            readers.append(
                lambda task=task, labelled=labelled: collect_labels(  # type: ignore[misc]
                    task, read_examples(task, [str(path)], labelled=labelled).examples
                )
            )
    for read in readers:
        message = ""
        try:
            read()
        except DataError as error:
            message = str(error)
        assert len(message) < 5000, "a message is short"


def check_many(folder: Path, seed: int, count: int) -> None:
    draw = random.Random(seed)
    files = FILES | {"a.parquet": parquet()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(count):
            name, content = draw.choice(list(files.items()))
            content = damaged(content, draw)
            if name.endswith((".csv", ".jsonl")) and draw.random() < 0.2:
                name, content = name + ".gz", gzip.compress(content)
                content = damaged(content, draw) if draw.random() < 0.5 else content
            path = folder / name
            path.write_bytes(content)
            check(path)


def test_damaged_files(tmp_path: Path) -> None:
    check_many(tmp_path, 1, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_damaged_files(tmp_path: Path, seed: int) -> None:
    check_many(tmp_path, seed, 2000)
