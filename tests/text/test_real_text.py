"""Every line of the data sets, with the published vocabularies: both classes and the plain Rust library agree."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer

from .helpers import DATA, facts

SETS = [
    "clinc150", "codah", "cola", "commonsenseqa", "imdb", "mnli-10k", "mrpc", "rte", "squad", "sst2", "stsb", "text",
    "wikigold", "wnut17",
]  # fmt: skip
SAMPLE = 40  # lines of each set in the quick run


def lines(name: str) -> Iterator[str]:
    """Lines of a set as they stand in its files, markup included: it is text too."""
    for path in sorted((DATA / name).rglob("*.*")):
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for line in file:
                # One file is a single line of megabytes; cut it where words end.
                yield from (line[start : start + 5000] for start in range(0, len(line), 5000))


def agree(found: list[str], cased: bool) -> None:
    vocab = DATA / "vocab" / ("cased.txt" if cased else "uncased.txt")
    if not vocab.is_file():
        pytest.skip("the data set 'vocab' is not there")
    pure = DistilBertTokenizer(vocab, do_lower_case=not cased)
    fast = DistilBertTokenizerFast(vocab, do_lower_case=not cased)
    for start in range(0, len(found), 500):
        block = found[start : start + 500]
        for text, one, two in zip(block, pure.encode_batch(block), fast.encode_batch(block), strict=True):
            assert facts(one) == facts(two), text


def of_set(name: str) -> Iterator[str]:
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name!r} is not there")
    return lines(name)


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_a_sample(name: str, cased: bool) -> None:
    source = of_set(name)
    agree([line for line, _ in zip(source, range(SAMPLE), strict=False)], cased)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_every_line(name: str, cased: bool) -> None:
    agree(list(of_set(name)), cased)


def test_transformers_on_real_sentences(tmp_path: Path) -> None:
    from transformers import DistilBertTokenizer as Theirs

    vocab = DATA / "vocab" / "uncased.txt"
    if not vocab.is_file():
        pytest.skip("the data set 'vocab' is not there")
    fast = DistilBertTokenizerFast(vocab)
    fast.save_pretrained(tmp_path)
    theirs = Theirs.from_pretrained(tmp_path)
    sample = [line for line, _ in zip(of_set("squad"), range(100), strict=False)]
    options = {"truncation": True, "max_length": 64, "stride": 16, "return_overflowing_tokens": True, "padding": True}
    found, wanted = (
        fast(sample, return_offsets_mapping=True, **options),
        theirs(sample, return_offsets_mapping=True, **options),
    )
    assert dict(found) == dict(wanted)
    assert fast.batch_decode(found["input_ids"]) == theirs.batch_decode(wanted["input_ids"])
