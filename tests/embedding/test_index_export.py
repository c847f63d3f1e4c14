"""What an index exports: read again by the libraries, or by the rules, of those whom it is for."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from distilbert import Index
from distilbert.core.errors import InputError
from distilbert.embedding.index_export import qdrant_id

from .test_index import METADATA, TEXTS, encode

ODD_TEXT = "tab\tnew\nback\\slash \\. \r \0 \x0b \ud800 ü"


@pytest.fixture(scope="module")
def index() -> Index:
    index = Index.build(TEXTS, encode, metadata=METADATA)
    index.add([ODD_TEXT], ids=["x"], metadata=[{"odd": ODD_TEXT, "text": "mine"}])
    index.remove([1])
    return index


def vectors_of(index: Index) -> np.ndarray:
    return np.concatenate(list(index.vectors()))


def test_parquet(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "notes.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "notes.parquet")
    assert table.column_names == ["id", "text", "metadata", "vector"]
    assert table["id"].to_pylist() == ["0", "2", "3", "4", "x"], "one id is a text, so all are"
    assert table["text"].to_pylist()[:4] == [TEXTS[0], *TEXTS[2:]]
    assert json.loads(table["metadata"].to_pylist()[2]) == METADATA[3]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), dtype=np.float32), vectors_of(index))
    Index.build(TEXTS, encode).export(tmp_path / "numbers.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "numbers.parquet")["id"].to_pylist() == [0, 1, 2, 3, 4]


def test_pgvector(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "notes.copy")
    lines = (tmp_path / "notes.copy").read_text("utf-8").split("\n")
    assert lines.pop() == ""
    unescaped = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
    rows = [
        [re.sub(r"\\(.)", lambda match: unescaped[match[1]], field) for field in line.split("\t")] for line in lines
    ]  # as the manual of PostgreSQL says of COPY's text format
    assert [row[0] for row in rows] == ["0", "2", "3", "4", "x"]
    assert rows[-1][1] == ODD_TEXT.replace("\0", "").replace("\ud800", "?")
    assert json.loads(rows[2][2]) == METADATA[3]
    assert json.loads(rows[-1][2])["odd"] == rows[-1][1]
    np.testing.assert_array_equal(np.array([json.loads(row[3]) for row in rows], dtype=np.float32), vectors_of(index))
    Index.from_vectors(np.eye(2)).export(tmp_path / "bare.copy")
    assert (tmp_path / "bare.copy").read_text().splitlines()[1] == "1\t\\N\t{}\t[0e+0,1e+0]"


def test_qdrant(index: Index, tmp_path: Path) -> None:
    index.export(tmp_path / "notes.jsonl")
    points = [json.loads(line) for line in (tmp_path / "notes.jsonl").read_text("utf-8").splitlines()]
    assert [set(point) for point in points] == [{"id", "vector", "payload"}] * 5
    assert [point["id"] for point in points[:4]] == [0, 2, 3, 4]
    assert uuid.UUID(points[4]["id"])
    assert points[4]["payload"]["id"] == "x"
    assert points[2]["payload"] == {**METADATA[3], "text": TEXTS[3]}
    assert points[4]["payload"]["text_"] == "mine", "its metadata have the name of the text"
    np.testing.assert_array_equal(np.array([p["vector"] for p in points], dtype=np.float32), vectors_of(index))


def test_metadata_with_names_that_a_payload_uses(tmp_path: Path) -> None:
    metadata = [{"text": 1, "text_": 2, "id": 3}, {"id": 4}]
    Index.from_vectors(np.eye(2), texts=["a", "b"], ids=["x", 7], metadata=metadata).export(tmp_path / "notes.jsonl")
    payloads = [json.loads(line)["payload"] for line in (tmp_path / "notes.jsonl").read_text().splitlines()]
    assert payloads[0] == {"text": "a", "text__": 1, "text_": 2, "id": "x", "id_": 3}
    assert payloads[1] == {"text": "b", "id": 4}


def test_a_backslash_before_u0000_is_no_nul(tmp_path: Path) -> None:
    metadata = {"path": "C:\\u0000", "names": ["\0a", {"b\0": None}]}
    Index.from_vectors(np.eye(1), texts=["b \\u0000 c\0"], metadata=[metadata]).export(tmp_path / "notes.copy")
    _, text, written, _ = (tmp_path / "notes.copy").read_text().replace("\\\\", "\\").split("\t")
    assert text == "b \\u0000 c"
    assert json.loads(written) == {"path": "C:\\u0000", "names": ["a", {"b": None}]}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("notes.parquet", [1, "1"]),
        ("notes.copy", [1, "1"]),
        ("notes.copy", ["a", "a\0"]),
        ("notes.jsonl", [str(uuid.UUID(int=10)), str(uuid.UUID(int=10)).upper()]),
    ],
)
def test_ids_that_would_become_one(name: str, ids: list[int | str], tmp_path: Path) -> None:
    (tmp_path / name).write_text("before")
    index = Index.from_vectors(np.eye(3), ids=[*ids, "other"])
    with pytest.raises(InputError, match=f"The ids {ids[0]!r} and .* would both be {str(ids[0])!r} in this format"):
        index.export(tmp_path / name)
    assert (tmp_path / name).read_text() == "before"
    index.remove(ids[0])
    index.export(tmp_path / name)


def test_ids_for_qdrant() -> None:
    given = str(uuid.uuid4())
    assert qdrant_id(7) == 7
    assert qdrant_id(given) == given
    assert qdrant_id("7") != qdrant_id(-7) != 7
    assert qdrant_id("a") == qdrant_id("a") != qdrant_id("b")


def test_the_name_tells_the_format(index: Index, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The name '.*notes.csv' is of no known format: end the name in .parquet"):
        index.export(tmp_path / "notes.csv")
    with pytest.raises(InputError, match="format 'csv' is of no known format"):
        index.export(tmp_path / "notes.parquet", "csv")
    index.export(tmp_path / "points", "qdrant")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points"]
