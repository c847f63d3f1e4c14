"""SHAP and LIME over a pipeline, as docs/tasks.md shows them: what a word adds to a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

shap = pytest.importorskip("shap")
lime_text = pytest.importorskip("lime.lime_text")

from distilbert import pipeline  # noqa: E402
from tests.behaviour.make_models import make  # noqa: E402

TEXTS = ["I love this big movie", "the sea in france"]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the two libraries


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = make(tmp_path_factory.mktemp("tiny"), "labels")
    return pipeline("text-classification", folder, top_k=None, precision="fp32")


def scores(task: Any, texts: list[str]) -> np.ndarray:
    """(N, L) scores in the order of the labels; a text without words is a space."""
    names = list(task.config.id2label.values())
    answers = task([text or " " for text in texts])
    return np.array([[{a["label"]: a["score"] for a in answer}[name] for name in names] for answer in answers])


def test_shap_values_add_up_to_the_scores(task: Any) -> None:
    model = shap.models.TransformersPipeline(task)
    explanation = shap.Explainer(model, shap.maskers.Text(task.tokenizer), silent=True)(TEXTS)
    assert list(explanation.output_names) == list(task.config.id2label.values())
    expected = scores(task, TEXTS)
    for words, values, base, total in zip(
        explanation.data, explanation.values, explanation.base_values, expected, strict=True
    ):
        assert base + values.sum(axis=0) == pytest.approx(total, abs=1e-4)
        assert "".join(words).split() == TEXTS[0].split() or "".join(words).split() == TEXTS[1].split()
        assert np.abs(values).max() > 1e-3, "some word matters"
    one = task(TEXTS[0])[0][0]["score"]
    best = explanation.values[0].sum(axis=0) + explanation.base_values[0]
    assert best.max() == pytest.approx(one, abs=1e-4)


def test_shap_over_a_function(task: Any) -> None:
    explainer = shap.Explainer(
        lambda texts: scores(task, texts.tolist()), shap.maskers.Text(r"\W+"), output_names=["a", "b", "c", "d", "e"]
    )
    explanation = explainer(TEXTS[:1], silent=True)
    total = explanation.base_values[0] + explanation.values[0].sum(axis=0)
    assert total == pytest.approx(scores(task, TEXTS[:1])[0], abs=1e-4)


@pytest.mark.parametrize("text", [*TEXTS, "movie"])
def test_lime_names_the_words_of_the_text(task: Any, text: str) -> None:
    names = list(task.config.id2label.values())
    explainer = lime_text.LimeTextExplainer(class_names=names, random_state=0)
    explanation = explainer.explain_instance(text, lambda texts: scores(task, texts), num_samples=60, top_labels=1)
    assert explanation.predict_proba == pytest.approx(scores(task, [text])[0], abs=1e-6)
    label = explanation.available_labels()[0]
    assert label == scores(task, [text])[0].argmax()
    assert {word for word, _ in explanation.as_list(label=label)} == set(text.split())
