"""Labelled data in files of every format, and what the readers make of it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import DataError
from distilbert.data.examples import TextExample
from distilbert.data.labelled import read_examples

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
CHOICES = {"context": "c", "question": "q", "choices": ["x", "y", "z"]}


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
