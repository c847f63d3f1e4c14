"""A corpus that is tokenized on Ray: the bytes of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray")

from distilbert import prepare
from distilbert.core.errors import UsageError
from distilbert.training.corpus.token_cache import tokenize_corpus
from tests.data.corpora import tokenizer, write_text

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("cluster")]  # warnings are Ray's


def test_actors_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    text = write_text(tmp_path / "a.txt", [["a b", "c" * (1 + number % 7)] for number in range(200)])
    made = prepare([text], tokenizer(), tmp_path / "cache", ray="local", workers=2, shard_characters=200)
    one = tokenize_corpus([text], tokenizer(), tmp_path / "one")
    for name in ("tokens.bin", "ends.bin", "counts.bin", "meta.json"):
        assert (made.folder / name).read_bytes() == (tmp_path / "one" / one.fingerprint / name).read_bytes()


def test_a_layout_that_would_hang_is_refused(tmp_path: Path) -> None:
    text = write_text(tmp_path / "a.txt", [["a"]])
    with pytest.raises(UsageError, match="3 workers of 1 CPUs do not fit .* --workers 2"):
        prepare([text], tokenizer(), tmp_path / "cache", ray="local", workers=3)
