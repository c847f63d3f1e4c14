"""Components of spaCy: the answers of the pipeline, in documents."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from distilbert import pipeline
from tests.behaviour.make_models import make

spacy = pytest.importorskip("spacy")
TEXTS = ["Ada lives in Berlin.", " ", "the river in London is a good film", ""]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tiny")
    return lambda name: make(root, name)


def test_entities(model_folder: Callable[[str], Path]) -> None:
    folder = model_folder("entities")
    nlp = spacy.blank("en")
    nlp.add_pipe("distilbert_entities", config={"model": str(folder), "options": {"threads": 1}})
    tag = pipeline("token-classification", folder, aggregation_strategy="first")
    documents = list(nlp.pipe(TEXTS, batch_size=2))
    assert [doc.text for doc in documents] == TEXTS
    found = 0
    for doc in documents:
        expected = tag(doc.text) if doc.text.strip() else []
        labels = {each["entity_group"] for each in expected}
        covered = {place for each in expected for place in range(each["start"], each["end"])}
        for entity in doc.ents:
            assert entity.label_ in labels
            assert covered & set(range(entity.start_char, entity.end_char))
        found += len(doc.ents)
        assert bool(doc.ents) == bool(expected)
    assert found
    assert [(each.text, each.label_) for each in nlp(TEXTS[0]).ents] == [
        (each.text, each.label_) for each in documents[0].ents
    ]


def test_labels(model_folder: Callable[[str], Path]) -> None:
    folder = model_folder("labels")
    nlp = spacy.blank("en")
    nlp.add_pipe("distilbert_labels", config={"model": str(folder)})
    (labels,) = pipeline("text-classification", folder, top_k=None)([TEXTS[0]])
    expected = {each["label"]: each["score"] for each in labels}
    assert nlp(TEXTS[0]).cats == pytest.approx(expected, abs=1e-5)
    assert nlp("").cats == {}


def test_spacy_finds_them_by_their_names() -> None:
    from distilbert.tasks import spacy_components

    entry_points = {each.name: each.value for each in importlib.metadata.entry_points(group="spacy_factories")}
    for name, function in (
        ("distilbert_entities", "make_entity_component"),
        ("distilbert_labels", "make_label_component"),
    ):
        assert entry_points[name] == f"distilbert.tasks.spacy_components:{function}"
        assert hasattr(spacy_components, function)
