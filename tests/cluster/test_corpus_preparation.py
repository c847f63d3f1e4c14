"""A corpus that is tokenized in shards: the bytes of one process, whatever dies meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distilbert import DataError, PreparedCorpus, prepare
from distilbert.cluster import corpus_preparation
from distilbert.cluster.corpus_preparation import TokenProcess, TokenWorker
from distilbert.core.errors import DistilBertError, LostProcessError, UsageError
from distilbert.training.corpus.document_encoding import TokenShard
from distilbert.training.corpus.token_cache import open_cache, tokenize_corpus
from distilbert.training.corpus.token_shards import Documents, ShardFolder, cut_shards, encode_shard
from tests.cli.helpers import Command
from tests.data.corpora import LETTERS, tokenizer, write_text

DOCUMENTS = [[LETTERS[number % 26] * (1 + number % 5), "b c"] for number in range(40)]


class WorkerHere(TokenWorker):
    """Tokenizes in this process, and fails at its shard number ``fails_at``."""

    def __init__(self, fails_at: int = -1) -> None:
        self.shards, self._fails_at = 0, fails_at

    def encode(self, shard: Documents) -> TokenShard:
        if self.shards == self._fails_at:
            raise DistilBertError("no more")
        self.shards += 1
        return encode_shard(shard, tokenizer())

    def ask(self, shard: Documents) -> None:
        raise AssertionError

    def stop(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[WorkerHere]:
    """Workers of this process take the place of processes; a test may fill the list itself."""
    workers: list[WorkerHere] = []
    monkeypatch.setattr(
        corpus_preparation, "_processes", lambda count, of: workers or [WorkerHere() for _ in range(count or 2)]
    )
    return workers


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "a.txt", DOCUMENTS)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_bytes(made: PreparedCorpus, source: Path, tmp_path: Path) -> None:
    """Compare with what one process writes."""
    one = tokenize_corpus([source], tokenizer(), tmp_path / "one")
    assert files_of(made.folder) == files_of(tmp_path / "one" / one.fingerprint)
    assert (made.documents, made.tokens) == (len(one.ends), len(one.tokens))
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name]  # no shards are left


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_write_the_bytes_of_one(text: Path, tmp_path: Path, workers: int) -> None:
    seen: list[tuple[int, int]] = []
    made = prepare([text], tokenizer(), tmp_path / "cache", workers=workers, shard_characters=50,
                   on_tokenized=lambda *numbers: seen.append(numbers))  # fmt: skip
    check_bytes(made, text, tmp_path)
    assert made.reused == 0
    assert seen[-1] == (made.documents, made.tokens)
    again = prepare([text], tokenizer(), tmp_path / "cache", workers=workers)
    assert (again.reused, again.tokens) == (-1, made.tokens)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.text("ab ?", max_size=12), max_size=3), min_size=1, max_size=12), st.integers(1, 60), st.data()
)
def test_any_corpus_in_any_shards(
    here: list[WorkerHere], tmp_path_factory: pytest.TempPathFactory, documents: Any, characters: int, data: Any
) -> None:
    tmp_path = tmp_path_factory.mktemp("corpus")
    source = write_text(tmp_path / "a.txt", [*documents, ["a"]])
    here[:] = [WorkerHere(data.draw(st.integers(-1, 3))) for _ in range(data.draw(st.integers(1, 3)))]
    try:
        made = prepare([source], tokenizer(), tmp_path / "cache", shard_characters=characters)
    except DistilBertError:
        done = sum(worker.shards for worker in here)
        here[:] = [WorkerHere()]
        made = prepare([source], tokenizer(), tmp_path / "cache", shard_characters=99)  # the shards keep their size
        assert made.reused == done
    check_bytes(made, source, tmp_path)


def test_a_damaged_shard_is_tokenized_again(text: Path, tmp_path: Path, here: list[WorkerHere]) -> None:
    here[:] = [WorkerHere(4)]
    with pytest.raises(DistilBertError, match="no more"):
        prepare([text], tokenizer(), tmp_path / "cache", shard_characters=50)
    (folder,) = (tmp_path / "cache").iterdir()
    shards = sorted(folder.glob("shard-*"))
    assert len(shards) == 4
    shards[1].write_bytes(shards[1].read_bytes()[:-1] + b"!")
    shards[2].write_bytes(b"")
    here[:] = [WorkerHere()]
    made = prepare([text], tokenizer(), tmp_path / "cache", shard_characters=50)
    assert made.reused == 2
    check_bytes(made, text, tmp_path)


def test_one_process_at_a_time(text: Path, tmp_path: Path, here: list[WorkerHere]) -> None:
    here[:] = [WorkerHere(0)]
    with pytest.raises(DistilBertError, match="no more"):
        prepare([text], tokenizer(), tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    other = ShardFolder(path, "other")
    with pytest.raises(UsageError, match="Another process is preparing this corpus"):
        prepare([text], tokenizer(), tmp_path / "cache")
    other.close()
    here[:] = [WorkerHere()]
    check_bytes(prepare([text], tokenizer(), tmp_path / "cache"), text, tmp_path)


SCRIPT = """
import os, pathlib, sys
from distilbert.cluster import token_process
marks = pathlib.Path(sys.argv[1])
encode = token_process.encode_or_explain
def dying(documents, tokenizer):
    lives = int(marks.read_text())
    marks.write_text(str(lives - 1))
    if lives:
        os.abort()
    print("this goes to standard error")
    return encode(documents, tokenizer)
token_process.encode_or_explain = dying
token_process.main()
"""


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_process_that_dies_is_started_again(tmp_path: Path, deaths: int) -> None:
    (tmp_path / "lives").write_text(str(deaths))
    worker = TokenProcess(tokenizer(), (sys.executable, "-c", SCRIPT, str(tmp_path / "lives")))
    try:
        if deaths == 3:
            with pytest.raises(LostProcessError, match="died 3 times at one shard, which begins with 'a b'"):
                worker.encode([["a b"]])
        else:
            assert np.array_equal(worker.encode([["a b"]]).ids, encode_shard([["a b"]], tokenizer()).ids)
    finally:
        worker.stop()
    with pytest.raises(LostProcessError, match="stopped"):
        worker.encode([["a"]])


def test_shards_are_whole_documents() -> None:
    documents = [["aaa"], ["bb", "b"], ["c"], ["dddd"]]
    assert list(cut_shards(documents, 4)) == [[["aaa"], ["bb", "b"]], [["c"], ["dddd"]]]
    assert list(cut_shards([], 4)) == []


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """An address with two files."""
    files = fsspec.filesystem("memory")
    for name, documents in (("a", DOCUMENTS[:20]), ("b", DOCUMENTS[20:])):
        files.pipe(f"/corpus/{name}.txt", write_text(tmp_path / f"{name}.txt", documents).read_bytes())
    yield "memory://corpus"
    files.rm("/corpus", recursive=True)


def test_text_at_an_address(bucket: str, tmp_path: Path, here: list[WorkerHere]) -> None:
    made = prepare([bucket], tokenizer(), tmp_path / "cache", shard_characters=50)
    local = tokenize_corpus([tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer(), tmp_path / "one")
    cache = open_cache(made.folder)
    assert cache is not None
    assert np.array_equal(cache.tokens, local.tokens)
    assert np.array_equal(cache.ends, local.ends)
    with pytest.raises(DataError, match="There is nothing at memory://nowhere"):
        prepare(["memory://nowhere"], tokenizer(), tmp_path / "cache")


def test_refusals(text: Path, tmp_path: Path, here: list[WorkerHere]) -> None:
    with pytest.raises(UsageError, match="workers must be at least 1, got 0"):
        prepare([text], tokenizer(), tmp_path / "cache", workers=0)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="The corpus is empty"):
        prepare([tmp_path / "empty.txt"], tokenizer(), tmp_path / "cache")
    with pytest.raises(DataError, match="nothing.txt"):
        prepare([tmp_path / "nothing.txt"], tokenizer(), tmp_path / "cache")


def test_the_command(text: Path, tmp_path: Path, cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer().save_pretrained(tmp_path / "model")
    arguments = ["prepare", str(text), "--tokenizer", str(tmp_path / "model"), "--cache", str(tmp_path / "cache")]
    first = cli(*arguments, "--workers", "1")
    assert first.code == 0, first.err
    assert "40 documents" in first.out
    assert "was there already" in cli(*arguments).out
    wrong = cli(*arguments, "--workers", "0")
    assert wrong.code == 2
    assert "workers must be at least 1" in wrong.err
