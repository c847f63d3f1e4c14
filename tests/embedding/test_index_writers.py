"""Who saves into the folder of an index: one process at a time, without loss for readers, and only its own files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import Index
from distilbert.core.errors import DataError, InputError, ModelNotFoundError
from distilbert.embedding import index_folder
from distilbert.embedding import vector_index as index_module

from .test_index import DIM, METADATA, TEXTS, encode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "notes.index"
    Index.build(TEXTS, encode, metadata=METADATA).save(path)
    return path


def texts(folder: Path) -> list[str | None]:
    return [record["text"] for record in Index.load(folder)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Two writers.


@pytest.mark.parametrize("most_segments", [16, 0], ids=["only what is new", "all entries"])
def test_a_second_writer_is_refused_while_the_first_one_saves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, most_segments: int
) -> None:
    monkeypatch.setattr(index_module, "MOST_SEGMENTS", most_segments)
    first, second, other = Index.load(folder, encode), Index.load(folder, encode), Index.build(["other"], encode)
    first.add(["one"])
    second.add(["two"])
    commit = index_module.commit

    def commit_late(*arguments: Any) -> None:
        monkeypatch.setattr(index_module, "commit", commit)
        for writer in (second, other):
            with pytest.raises(InputError, match=r"Another process is saving an index in .*notes.index. Wait until"):
                writer.save(folder)
        commit(*arguments)

    monkeypatch.setattr(index_module, "commit", commit_late)
    first.save(folder)
    assert texts(folder) == [*TEXTS, "one"]
    with pytest.raises(InputError, match="has been changed by another process"):
        second.save(folder)
    other.save(folder)
    assert texts(folder) == ["other"]
    assert "index.lock" not in names(folder)


def test_two_writers_of_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new"
    commit = index_module.commit

    def commit_late(*arguments: Any) -> None:
        monkeypatch.setattr(index_module, "commit", commit)
        with pytest.raises(InputError, match="Another process is saving an index"):
            Index.build(["other"], encode).save(path)
        commit(*arguments)

    monkeypatch.setattr(index_module, "commit", commit_late)
    Index.build(TEXTS, encode).save(path)
    assert texts(path) == TEXTS


def test_the_lock_of_a_file_that_is_gone_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer before deletes the lock's file when it ends, and a third writer makes a new one."""
    lock_file = index_folder.lock_file

    def lock_late(file: Any) -> bool:
        (folder / "index.lock").unlink()
        return lock_file(file)

    index = Index.load(folder, encode)
    index.add(["more"])
    with monkeypatch.context() as patch:
        patch.setattr(index_folder, "lock_file", lock_late)
        with pytest.raises(InputError, match="Another process is saving"):
            index.save(folder)
    index.save(folder)
    assert texts(folder) == [*TEXTS, "more"]


def test_processes_that_save_at_once_lose_nothing(folder: Path) -> None:
    code = (
        "import sys, numpy as np\nfrom distilbert import Index\nfrom distilbert.core.errors import InputError\n"
        "saved = 0\n"
        "while saved < 12:\n"
        "    notes = Index.load(sys.argv[1])\n"
        f"    notes.add(vectors=np.ones((1, {DIM})), ids=[f'{{sys.argv[2]}}-{{saved}}'])\n"
        "    try:\n        notes.save(sys.argv[1])\n        saved += 1\n"
        "    except InputError:\n        pass\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(folder), name]) for name in "abc"]
    while any(writer.poll() is None for writer in writers):
        assert len(Index.load(folder).search(np.ones(DIM), k=3)) == 3, "a reader always finds an index"
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    ids = {record["id"] for record in Index.load(folder)}
    assert ids == {*range(5), *(f"{name}-{number}" for name in "abc" for number in range(12))}


# Readers at the same time.


def test_a_reader_opens_the_new_index_where_the_old_one_goes_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Index.build(["other"], encode)
    open_segment = index_folder._open_segment

    def open_late(*arguments: Any) -> Any:
        monkeypatch.setattr(index_folder, "_open_segment", open_segment)
        other.save(folder)  # it has the same number of changes as the one that is being opened
        return open_segment(*arguments)

    monkeypatch.setattr(index_folder, "_open_segment", open_late)
    assert texts(folder) == ["other"]


@pytest.mark.parametrize("opened", ["RecordFile", "VectorGraph"])
def test_a_reader_whose_file_is_deleted_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str) -> None:
    path = tmp_path / "graph"
    vectors = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    Index.from_vectors(vectors, method="hnsw").save(path)
    writer = Index.load(path)
    writer.add(vectors=-vectors)
    monkeypatch.setattr(index_module, "MOST_SEGMENTS", 0)
    original = getattr(index_folder, opened)

    def open_late(*arguments: Any) -> Any:
        monkeypatch.setattr(index_folder, opened, original)
        writer.save(path)
        return original(*arguments)

    monkeypatch.setattr(index_folder, opened, open_late)
    assert len(Index.load(path)) == 100


def test_a_reader_goes_on_with_files_that_are_deleted(folder: Path) -> None:
    reader = Index.load(folder, encode)
    expected = reader.search("rain", k=5)
    Index.build(["other"], encode).save(folder)
    assert reader.search("rain", k=5) == expected


# What is on the disk.


def test_files_are_on_the_disk_before_others_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "graph"
    vectors = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    index = Index.from_vectors(vectors, method="hnsw")
    index.save(path)
    index.add(vectors=-vectors)
    index.remove(0)
    before = names(path)
    events: list[str] = []
    sync, unlink = index_folder.sync_to_disk, Path.unlink

    def noted_sync(path: Path) -> None:
        events.append(path.name)
        sync(path)

    def noted_unlink(path: Path, missing_ok: bool = False) -> None:
        if not path.name.startswith(".") and path.exists():
            events.append(f"without {path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(index_folder, "sync_to_disk", noted_sync)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    index.save(path)
    deleted = [event for event in events if event.startswith("without ")]
    assert len(deleted) == 2, "the graph of before, and the lock"
    events = events[: events.index(deleted[0])]
    written = [name.removeprefix(".")[: -len(".01234567.tmp")] for name in events if name != "graph"]
    assert {*written} == names(path) - before | {"index.json"}
    assert {name.partition(".")[2] for name in written} == {
        "vectors.npy", "records.jsonl", "offsets.npy", "removed.npy", "usearch", "json",
    }  # fmt: skip
    assert written[-1] == "index.json"
    assert [*(name == "graph" for name in events[-3:])] == [True, False, True], "their names as well"


def test_a_first_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(index_module, "commit", fail)
        with pytest.raises(OSError, match="no space"):
            Index.build(TEXTS, encode).save(tmp_path / "new" / "notes")
    assert names(tmp_path) == set()


def test_a_first_save_that_is_killed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    code = (
        "import os, numpy as np\nfrom distilbert import Index\nfrom distilbert.embedding import vector_index\n"
        "vector_index.commit = lambda *_: os._exit(9)\n"
        f"Index.from_vectors(np.eye({DIM})).save({str(path)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(names(path)) == 4
    (path / ".index.json.01234567.tmp").write_text("{")
    with pytest.raises(ModelNotFoundError, match="is no folder of an index"):
        Index.load(path)
    Index.build(TEXTS, encode).save(path)
    assert texts(path) == TEXTS
    assert len(names(path)) == 4


def test_an_index_is_as_before_after_a_save_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)
    index = Index.from_vectors(vectors, method="hnsw")
    index.remove(range(100))
    expected = index.search(vectors[:5], k=3)
    with monkeypatch.context() as patch:
        patch.setattr(index_folder, "asdict", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.save(tmp_path / "graph")
    assert index.search(vectors[:5], k=3) == expected


# Files of others.


def put_files(folder: Path) -> list[Path]:
    """Put files of somebody else into a folder."""
    (folder / "about" / "old").mkdir(parents=True)
    copy = next(folder.glob("*.vectors.npy"))
    files = [folder / name for name in ("notes.txt", "about/README.md", "about/old/x.npy", f"{copy.name}.bak", ".env")]
    for file in files:
        file.write_text("dear")
    return files


def test_files_of_others_stay_where_another_index_is_saved(folder: Path) -> None:
    files = put_files(folder)
    Index.build(["other"], encode).save(folder)
    assert texts(folder) == ["other"]
    assert [file.read_text() for file in files] == ["dear"] * 5
    assert len(list(folder.glob("*.npy"))) == 2, "of the index before, nothing is left"


def test_files_of_others_stay_where_segments_are_joined(folder: Path) -> None:
    files = put_files(folder)
    index = Index.load(folder, encode)
    for number in range(20):
        index.add([f"note {number}"])
        index.save(folder)
    assert len(index) == 25
    assert [file.read_text() for file in files] == ["dear"] * 5


@pytest.mark.parametrize("content", ['{"kind": "pages"}', "[]", "no JSON"])
def test_an_index_json_of_something_else_stays(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    (tmp_path / "index.html").write_text("<p>")
    with pytest.raises(InputError, match="is not the folder of an index: choose another name"):
        Index.build(TEXTS, encode).save(tmp_path)
    assert (names(tmp_path), (tmp_path / "index.json").read_text()) == ({"index.json", "index.html"}, content)


def test_nothing_is_deleted_where_it_is_unknown_what_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / "index.json").read_text().replace('"format": 1', '"format": 2')
    (folder / "index.json").write_text(content)
    before = names(folder)
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Index.build(["other"], encode).save(folder)
    assert before < names(folder)
    with pytest.raises(DataError, match="has the format 2"):
        Index.load(folder)


def test_an_index_is_deleted_without_files_of_others(folder: Path) -> None:
    index_folder.delete_index(folder)
    assert not folder.exists()
    Index.build(TEXTS, encode).save(folder)
    files = put_files(folder)
    index_folder.delete_index(folder)
    assert names(folder) == {"notes.txt", "about", files[3].name, ".env"}


# A save is killed.

KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
import numpy as np
from distilbert import Index

case, base, work = sys.argv[1], *map(Path, sys.argv[2:])
vectors = np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32)

def changed(path):
    if case in ("new", "another"):
        return Index.from_vectors(vectors)
    index = Index.load(path)
    index.add(vectors=vectors)
    index.remove(next(iter(index))["id"])
    return index

def kill_at(moment):
    moments = itertools.count()
    def hook(event, arguments):
        if event in ("open", "os.mkdir", "os.rename", "os.remove") and next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def files(path):
    return sorted(file.name for file in path.iterdir())

for moment in itertools.count():
    path = work / "notes"
    before = None if case == "new" else len(Index.load(base))
    if case != "new":
        shutil.copytree(base, path)
    index = changed(path)
    child = os.fork()
    if not child:
        kill_at(moment)
        index.save(path)
        os._exit(0)
    was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert files(work) in ([], ["notes"]), "nothing stands beside the index"
    if case != "new" or (path / "index.json").exists():
        assert len(Index.load(path)) in (before, len(index)), "the old index or the new one"
    changed(path).save(path)
    content = (path / "index.json").read_text()
    names = [name for name in files(path) if name != "index.json"]
    assert all(not name.startswith(".") and name.partition(".")[0] in content for name in names), names
    shutil.rmtree(path)
    if not was_killed:
        break
print(moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.parametrize("case", ["new", "changes", "another"])
def test_a_save_that_is_killed_at_any_moment_leaves_nothing_after_the_next_one(tmp_path: Path, case: str) -> None:
    base, work = tmp_path / "base", tmp_path / "work"
    work.mkdir()
    index = Index.from_vectors(np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32), method="hnsw")
    index.remove(1)
    index.save(base)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, case, str(base), str(work)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert int(done.stdout) > 10, "so many moments are tried"
