"""The models that come with the project answer where none is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilbert import Encoder, EvaluateConfig, Index, evaluate, fit, pipeline
from distilbert.core.installed import find_installed
from tests.real.data import DATA_FOLDER, table

EMBED, NAMES = "distilbert-mini-embed", "distilbert-mini-ner"
pytestmark = pytest.mark.skipif(
    find_installed(EMBED) is None or find_installed(NAMES) is None, reason=f"{EMBED} and {NAMES} are not installed"
)


def test_tasks_that_compare_texts() -> None:
    compare = pipeline("sentence-similarity")
    close, far = compare({"source_sentence": "a red car", "sentences": ["a crimson automobile", "the weather"]})
    assert close > 0.5 > far
    assert np.shape(pipeline("feature-extraction")("a text", pooling="mean")) == (384,)
    topics = pipeline("zero-shot-classification")
    assert topics("the team won the match", candidate_labels=["politics", "sport"])["labels"][0] == "sport"
    choose = pipeline("multiple-choice")
    choices = ["it rained heavily.", "the stock market fell.", "the cat slept."]
    answer = choose({"context": "she opened her umbrella because", "choices": choices})
    assert answer["answer"] == choices[0]


def test_search_and_fit(tmp_path: Path) -> None:
    index = Index.build(["A red car.", "Rain is coming.", "Fresh bread and butter."], EMBED)
    assert index.search("something to eat", k=1)[0]["text"] == "Fresh bread and butter."
    rows = [{"text": f"{text} number {n}", "label": label} for n in range(30)
            for text, label in (("my card was stolen", "card"), ("when does the train leave", "travel"))]  # fmt: skip
    result = fit(data=rows, output=str(tmp_path / "model"), baselines=False)
    assert result.metrics["accuracy"] == 1
    assert pipeline("text-classification", result.folder)("someone took my card")[0]["label"] == "card"


def test_words_of_any_kind_are_read() -> None:
    """Half of the vocabulary is gone, and Latin words are not unknown for it."""
    encoder = Encoder(EMBED)
    tokens = encoder.tokenizer.tokenize("Quixotic zymurgy, naïvely überschätzt: 3.14159 #x_y")
    assert "[UNK]" not in tokens


def test_it_keeps_most_of_its_teachers_correlation_on_stsb() -> None:
    pytest.importorskip("scipy")
    table("stsb/dev.tsv", 1)  # skips where it is absent
    data = [str(DATA_FOLDER / "stsb/dev.tsv")]
    result = evaluate(EvaluateConfig(model=EMBED, data=data, precision="fp32", samples=0, speed=False))
    assert result.metrics["spearman"] == pytest.approx(0.824, abs=0.002)


def test_names_in_a_text() -> None:
    tag = pipeline("ner", aggregation_strategy="first")
    text = "Angela Merkel met Emmanuel Macron at the European Union summit in Brussels on Tuesday."
    found = [(entity["entity_group"], text[entity["start"] : entity["end"]]) for entity in tag(text)]
    assert found == [
        ("PER", "Angela Merkel"), ("PER", "Emmanuel Macron"), ("ORG", "European Union"), ("LOC", "Brussels"),
    ]  # fmt: skip
    assert tag("the weather is fine and will be cold") == []


def test_names_of_posts_that_its_training_did_not_see(tmp_path: Path) -> None:
    pytest.importorskip("seqeval")
    source = DATA_FOLDER / "wnut17/dev.conll"
    if not source.is_file():
        pytest.skip(f"the data set wnut17 is not at {source}")
    kinds = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}
    mapped = tmp_path / "dev.conll"
    lines = []
    for line in source.read_text(encoding="utf-8").splitlines():
        word, _, tag = line.partition("\t")
        prefix, dash, kind = tag.strip().partition("-")
        lines.append(f"{word}\t{prefix}{dash}{kinds.get(kind, 'MISC') if kind else ''}" if word.strip() else "")
    mapped.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = evaluate(EvaluateConfig(model=NAMES, data=[str(mapped)], precision="fp32", samples=0, speed=False))
    assert result.metrics["f1"] == pytest.approx(0.51, abs=0.003)
