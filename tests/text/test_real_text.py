"""Lines of real data sets, with the published vocabularies: both classes and transformers agree."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer

from .helpers import DATA, as_dict

DATA_SETS = [
    "clinc150", "codah", "cola", "commonsenseqa", "imdb", "mnli-10k", "mrpc", "rte", "squad", "sst2", "stsb", "text",
    "wikigold", "wnut17",
]  # fmt: skip
SAMPLE_SIZE = 40  # lines of each data set in the quick run


def lines_of(name: str) -> Iterator[str]:
    """Yield the lines of a data set as they stand in its files, with the markup, which is text too."""
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name!r} is missing")
    for path in sorted((DATA / name).rglob("*.*")):
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for line in file:
                # One file is a single line of megabytes.
                yield from (line[start : start + 5000] for start in range(0, len(line), 5000))


def assert_same_encodings(lines: list[str], cased: bool) -> None:
    assert lines
    vocab = DATA / "vocab" / ("cased.txt" if cased else "uncased.txt")
    if not vocab.is_file():
        pytest.skip("the data set 'vocab' is missing")
    pure = DistilBertTokenizer(vocab, do_lower_case=not cased)
    fast = DistilBertTokenizerFast(vocab, do_lower_case=not cased)
    for start in range(0, len(lines), 500):
        texts = lines[start : start + 500]
        for text, actual, expected in zip(texts, pure.encode_batch(texts), fast.encode_batch(texts), strict=True):
            assert as_dict(actual) == as_dict(expected), text


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("name", DATA_SETS)
def test_a_sample(name: str, cased: bool) -> None:
    assert_same_encodings(list(islice(lines_of(name), SAMPLE_SIZE)), cased)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("name", DATA_SETS)
def test_every_line(name: str, cased: bool) -> None:
    assert_same_encodings(list(lines_of(name)), cased)


def test_transformers_on_real_sentences(tmp_path: Path) -> None:
    import transformers

    vocab = DATA / "vocab" / "uncased.txt"
    if not vocab.is_file():
        pytest.skip("the data set 'vocab' is missing")
    fast = DistilBertTokenizerFast(vocab)
    fast.save_pretrained(tmp_path)
    reference = transformers.DistilBertTokenizer.from_pretrained(tmp_path)
    sample = list(islice(lines_of("squad"), 100))
    options = {"truncation": True, "max_length": 64, "stride": 16, "return_overflowing_tokens": True, "padding": True}
    actual = fast(sample, return_offsets_mapping=True, **options)
    expected = reference(sample, return_offsets_mapping=True, **options)
    assert dict(actual) == dict(expected)
    assert fast.batch_decode(actual["input_ids"]) == reference.batch_decode(expected["input_ids"])
