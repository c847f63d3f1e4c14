"""The folder of an index: saved at once or not at all, opened without reading it, refused where it is damaged."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import Index
from distilbert.core import files
from distilbert.core.errors import DataError, DistilBertError, InputError, ModelNotFoundError
from distilbert.embedding import index_folder
from distilbert.embedding import vector_index as index_module

from .test_index import DIM, METADATA, TEXTS, encode

QUERIES = ["a car", "rain", "bread"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index in three segments, one entry removed."""
    path = tmp_path / "notes.index"
    index = Index.build(TEXTS, encode, metadata=METADATA)
    index.save(path)
    index.add(["späte Züge\nund \ud800 mehr"], ids=["x"])
    index.save(path)
    index.add(["snow"])
    index.remove(1)
    index.save(path)
    return path


def answers(index: Index) -> Any:
    return index.search(QUERIES, k=4)


def test_loaded_is_saved(folder: Path, tmp_path: Path) -> None:
    index = Index.load(folder, encode)
    assert isinstance(index._segments[0].vectors, np.memmap)
    assert len(index._segments) == 3
    assert [record["id"] for record in index] == [0, 2, 3, 4, "x", 5]
    assert index["x"]["text"] == "späte Züge\nund \ud800 mehr"
    expected = answers(index)
    index.save(tmp_path / "copy")
    copy = Index.load(tmp_path / "copy", encode)
    assert len(copy._segments) == 1, "a copy is in one segment, without what was removed"
    assert answers(copy) == expected
    assert copy.add(["next"]) == [6]
    assert answers(Index.load(folder, encode)) == expected, "the first folder is untouched"


def test_saving_writes_only_what_is_new(folder: Path) -> None:
    before = {path.name for path in folder.glob("*.vectors.npy")}
    index = Index.load(folder, encode)
    index.add(["more"])
    index.save(folder)
    after = {path.name for path in folder.glob("*.vectors.npy")}
    assert before < after
    assert len(after) == 4
    assert len(list(folder.glob("*.removed.npy"))) == 1
    expected = answers(index)
    index.save(folder)
    assert answers(Index.load(folder, encode)) == expected
    for number in range(20):
        index.add([f"note {number}"])
        index.save(folder)
    assert len(list(folder.glob("*.vectors.npy"))) <= index_module.MOST_SEGMENTS + 1
    assert len(Index.load(folder)) == len(index) == 27


def test_what_was_added_since_the_last_save_becomes_one_segment(folder: Path) -> None:
    index = Index.load(folder, encode)
    for number in range(20):
        index.add([f"note {number}"])
    index.save(folder)
    assert len(list(folder.glob("*.vectors.npy"))) == 4
    assert [record["id"] for record in Index.load(folder)] == [0, 2, 3, 4, "x", *range(5, 26)]


def test_the_encoder_is_found_and_checked(tmp_path: Path) -> None:
    class Other:
        def encode(self, texts: list[str]) -> np.ndarray:
            return encode([text[::-1] for text in texts])

    path = tmp_path / "index"
    Index.build(TEXTS, encode).save(path)
    assert Index.load(path).encoder_name == "encode"
    longer = Index.load(path, lambda texts: 3 * encode(texts))
    assert longer.search("rain", k=1)[0]["id"] == Index.load(path, encode).search("rain", k=1)[0]["id"]
    other = Index.load(path, Other())
    with pytest.raises(InputError, match=r"made with encode \(12 numbers a vector\), and this is .*Other.encode"):
        other.search("rain")
    with pytest.raises(InputError, match="which gives other vectors"):
        other.add(["rain"])
    assert Index.load(path, Other(), check=False).search("rain", k=1)
    with pytest.raises(InputError, match=r"gives other vectors \(0.00 similar"):
        Index.load(path, lambda texts: np.ones((len(texts), 3))).search("rain")
    with pytest.raises(
        InputError, match=r"made with encode, which is no model .*: give the same encoder, Index.load\("
    ):
        Index.load(path).search("rain")


def test_saving_is_at_once_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(Index.load(folder, encode))
    index = Index.load(folder, encode)
    index.add(["more"])

    def fail(*_: Any) -> None:
        raise OSError("no space")

    for place, name in ((index_folder, "asdict"), (index_folder, "_save_array"), (index_folder, "to_line")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(OSError, match="no space"):
                index.save(folder)
        assert answers(Index.load(folder, encode)) == expected
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "MOST_SEGMENTS", 0)
        patch.setattr(index_folder, "asdict", fail)
        with pytest.raises(OSError, match="no space"):
            index.save(folder)
    assert answers(Index.load(folder, encode)) == expected
    index.save(folder)
    assert len(Index.load(folder)) == 7
    names = json.loads((folder / "index.json").read_text())
    counted = {name for name, _ in names["segments"]} | {names["removed"]}
    left = {path.name.partition(".")[0] for path in folder.iterdir()} - {"index"}
    assert left == counted, "what failed attempts left is deleted"


def test_a_writer_that_is_killed_leaves_the_old_index(folder: Path) -> None:
    expected = answers(Index.load(folder, encode))
    code = (
        "import os, numpy as np\nfrom distilbert import Index\nfrom distilbert.embedding import vector_index\n"
        "vector_index.commit = lambda *_: os._exit(9)\n"
        f"notes = Index.load({str(folder)!r})\nnotes.add(vectors=np.ones((5, {DIM})))\nnotes.save({str(folder)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert answers(Index.load(folder, encode)) == expected


def test_two_writers_do_not_undo_each_other(folder: Path) -> None:
    first, second = Index.load(folder, encode), Index.load(folder, encode)
    first.add(["one"])
    second.add(["two"])
    first.save(folder)
    with pytest.raises(InputError, match="has been changed by another process since it was opened. Load it again"):
        second.save(folder)
    assert second.search("two", k=1)[0]["text"] == "two", "a reader goes on with what it opened"


def test_other_folders_are_not_replaced(tmp_path: Path) -> None:
    index = Index.build(TEXTS, encode)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(InputError, match="is not the folder of an index: choose another name"):
            index.save(tmp_path / name)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    index.save(tmp_path / "empty")
    index.save(tmp_path / "new" / "folder")
    Index(DIM, encode).save(tmp_path / "nothing")
    assert len(Index.load(tmp_path / "nothing")) == 0
    Index.build(["other"], encode).save(tmp_path / "empty")
    assert len(Index.load(tmp_path / "empty")) == 1, "another index takes the place of an index"


def test_a_graph_is_saved(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((300, DIM)).astype(np.float32)
    index = Index.from_vectors(vectors, method="hnsw")
    index.save(tmp_path / "graph")
    expected = index.search(vectors[:5], k=3)
    loaded = Index.load(tmp_path / "graph")
    assert loaded.method == "hnsw"
    assert loaded.search(vectors[:5], k=3) == expected
    loaded.add(vectors=vectors[:10] * -1)
    loaded.remove(3)
    loaded.save(tmp_path / "graph")
    loaded.save(tmp_path / "copy")
    for name in ("graph", "copy"):
        again = Index.load(tmp_path / name)
        assert again.search(vectors[3], k=1)[0]["id"] != 3
        assert again.search(-vectors[4], k=1)[0]["id"] == 304
    (graph,) = (tmp_path / "graph").glob("*.usearch")
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    with pytest.raises(DataError, match="is damaged or missing"):
        Index.load(tmp_path / "graph")


def change(name: str, value: Any) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "index.json"
        content = json.loads(path.read_text())
        content[name] = value
        path.write_text(json.dumps(content))

    return changed


def write(pattern: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: next(iter(sorted(folder.glob(pattern)))).write_bytes(data) and None


def save_array(pattern: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(next(iter(sorted(folder.glob(pattern)))), array)


def change_offsets(folder: Path, place: int, value: int) -> None:
    path = min(folder.glob("*.offsets.npy"))
    offsets = np.load(path)
    offsets[place] = value
    np.save(path, offsets)


ENCODER = {"name": "encode", "hash": "", "probe": [1.0] * DIM}
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no JSON": (write("index.json", b"{"), "index.json is not valid JSON"),
    "other JSON": (write("index.json", b"[1]"), "is not of an index"),
    "a model's JSON": (change("kind", None), "is not of an index"),
    "a later format": (change("format", 2), "has the format 2, this version reads 1. Build the index again"),
    "no dim": (change("dim", 0), "index.json is damaged: dim is 0"),
    "a huge dim": (change("dim", 10**9), "index.json is damaged: dim is 1000000000"),
    "dim of a text": (change("dim", "12"), "index.json is damaged: dim is '12'"),
    "another dim": (
        change("dim", 13),
        r"npy is damaged: it holds float32 of shape \(5, 12\), expected \(5, 13\)",
    ),
    "a metric": (change("metric", "l2"), "metric is 'l2'"),
    "a norm": (change("largest_norm", float("nan")), "largest_norm is nan"),
    "segments": (change("segments", 7), "index.json is damaged"),
    "a path": (change("segments", [["../../etc/passwd", 5]]), "is no name of its files"),
    "rows": (change("segments", [["000001-00000000", -1]]), "a segment has -1 rows"),
    "a lost segment": (change("segments", [["000001-00000000", 3]]), "vectors.npy cannot be read: .*No such file"),
    "an encoder": (change("encoder", [1]), "index.json is damaged"),
    "prompts": (change("encoder", {**ENCODER, "prompts": {"query": 1}}), "is damaged: its encoder is described by"),
    "no prompts": (change("encoder", {**ENCODER, "prompts": "query"}), "is damaged: its encoder is described by"),
    "a length": (change("encoder", {**ENCODER, "max_length": True}), "is damaged: its encoder is described by"),
    "use of prompts": (change("encoder", {**ENCODER, "uses_prompts": 1}), "is damaged: its encoder is described by"),
    "removed": (change("removed", "/tmp/x"), "is no name of its files"),
    "vectors": (write("*.vectors.npy", b"garbage" * 9), "vectors.npy cannot be read"),
    "pickled vectors": (save_array("*.vectors.npy", np.array([{}], dtype=object)), "vectors.npy cannot be read"),
    "other vectors": (save_array("*.vectors.npy", np.zeros((5, DIM))), "is damaged: it holds float64 of shape"),
    "fewer vectors": (
        save_array("*.vectors.npy", np.zeros((4, DIM), np.float32)),
        r"shape \(4, 12\), expected \(5,",
    ),
    "offsets": (save_array("*.offsets.npy", np.arange(6)), r"offsets.npy is damaged: .*, and by the second .* at 5\."),
    "order of offsets": (
        lambda folder: change_offsets(folder, 2, 1),
        r"[-0-9a-f]+.offsets.npy is damaged: the places where lines begin must increase from 0",
    ),
    "first offset": (lambda folder: change_offsets(folder, 0, 1), r"[0-9a-f].offsets.npy is damaged: the places"),
    "records": (write("*.records.jsonl", b"{}\n"), r"records.jsonl or .*offsets.npy is damaged: the first has 3 bytes"),
    "removed entries": (save_array("*.removed.npy", np.array([99])), "removed.npy is damaged: it names entries that"),
    "removed order": (save_array("*.removed.npy", np.array([1, 1])), "removed.npy is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(folder: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises(DataError, match=message):
        Index.load(folder)


def test_a_damaged_record_is_named_when_it_is_read(folder: Path) -> None:
    path = min(folder.glob("*.records.jsonl"))
    path.write_bytes(b"#" * path.stat().st_size)
    index = Index.load(folder, encode)
    with pytest.raises(DataError, match=r"records.jsonl: line \d is no record .* damaged, or .* in offsets.npy"):
        list(index)


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="does not exist. An index is made with"):
        Index.load(tmp_path / "nowhere")
    with pytest.raises(ModelNotFoundError, match="is no folder of an index"):
        Index.load(tmp_path)


def test_any_damage_ends_in_one_clear_error(folder: Path, tmp_path: Path) -> None:
    """Bytes are changed, cut and doubled at random: the index answers, or says that it is damaged."""
    generator = random.Random(0)
    refused = 0
    for number in range(300):
        damaged = tmp_path / f"damaged-{number}"
        shutil.copytree(folder, damaged)
        path = generator.choice(sorted(damaged.iterdir()))
        data = bytearray(path.read_bytes())
        place = generator.randrange(len(data))
        kind = generator.randrange(4)
        if kind == 0:
            data[place] = generator.randrange(256)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = data[place : place + 20]
        else:
            del data[place : place + generator.randrange(1, 20)]
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                index = Index.load(damaged, encode)
                answers(index)
                index.search("car", where={"kind": "thing"})
                list(index)
        except DistilBertError:
            refused += 1
        shutil.rmtree(damaged)
    assert refused > 100


def test_files_have_the_usual_permissions(folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    with files.replacing(folder / "other") as temporary:
        temporary.write_text("x")
    assert modes == {(folder / "other").stat().st_mode & 0o777}
