"""``fit``: labels of every kind, what is written, what is measured, and every refusal."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import ConfigError, DataError, EngineRunner, InputError, fit, pipeline
from distilbert.core.runner_protocol import Batch
from distilbert.data.examples import MULTI, REGRESSION, SINGLE
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.training.fitting import contrastive_tuning, linear_head
from distilbert.training.fitting.fitter import FitResult, head_arrays
from distilbert.training.fitting.linear_head import (
    STRENGTHS,
    LinearHead,
    choose_strength,
    fit_linear_head,
    split_once,
)
from tests.training.fitting.tiny_encoder import write_encoder

TOPICS = {"cold": "rain and snow fall all day", "food": "bread and cheese with soup", "cars": "an engine with a wheel"}


def rows_of(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = list(TOPICS)[number % 3]
        words = rng.permutation(TOPICS[label].split()).tolist()
        rows.append({"text": f"{' '.join(words[:4])} {number % 7}", "label": label})
    return rows


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_encoder(tmp_path_factory.mktemp("encoder"), " ".join(TOPICS.values())))


@pytest.fixture(scope="module")
def fitted(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(data=rows_of(120), model=encoder, output=str(tmp_path_factory.mktemp("out") / "topics"))


def test_a_model_like_any_other(fitted: FitResult) -> None:
    task = pipeline("text-classification", str(fitted.folder), precision="fp32")
    answers = task([row["text"] for row in rows_of(30)])
    right = [answer["label"] == row["label"] for answer, row in zip(answers, rows_of(30), strict=True)]
    assert np.mean(right) > 0.8  # the encoder is random
    assert fitted.labels == ("cars", "cold", "food")
    assert fitted.metrics["accuracy"] > 0.8
    assert fitted.examples == (120, 24)
    assert set(fitted.baselines) == {"most frequent label", "TF-IDF with a linear model"}
    assert fitted.baselines["most frequent label"]["accuracy"] == pytest.approx(1 / 3, abs=0.05)
    assert "accuracy" in fitted._repr_html_()
    card = (fitted.folder / "README.md").read_text()
    assert "classifier_pooling" in card
    assert json.loads((fitted.folder / "fit.json").read_text())["examples"] == 120


def test_engine_and_pytorch_agree(fitted: FitResult) -> None:
    task = pipeline("text-classification", str(fitted.folder), precision="fp32")
    ids = task.tokenizer.encode_ids([row["text"] for row in rows_of(9)])
    engine = EngineRunner.from_folder(fitted.folder, precision="fp32")(Batch.of(ids))["logits"]
    torch = PytorchRunner(task.model)(Batch.of(ids))["logits"]
    np.testing.assert_allclose(engine, torch, atol=1e-4)


def test_the_written_head_is_the_linear_model() -> None:
    rng = np.random.default_rng(1)
    means = rng.standard_normal((50, 8)).astype(np.float32) * 7
    scale = float(np.linalg.norm(means, axis=1).mean())
    head = LinearHead(rng.standard_normal((3, 8)).astype(np.float32) * 5, np.ones(3, np.float32), 1.0)
    arrays = head_arrays(head, scale, np.abs(means / scale).max(axis=0))
    inner = np.maximum(means @ arrays["pre_classifier.weight"].T + arrays["pre_classifier.bias"], 0)
    scores = inner @ arrays["classifier.weight"].T + arrays["classifier.bias"]
    np.testing.assert_allclose(scores, head(means / np.float32(scale)), atol=1e-4)
    assert (inner > 0).all()


def test_two_labels_pairs_and_files(encoder: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence1", "sentence2", "label"])
        for number in range(60):
            first, second = (TOPICS["cold"], TOPICS["cold"]) if number % 2 else (TOPICS["cold"], TOPICS["cars"])
            writer.writerow([f"{first} {number}", second, "same" if number % 2 else "other"])
    result = fit(data=[str(path)], model=encoder, output=str(tmp_path / "pairs"), baselines=False)
    assert result.metrics["accuracy"] == 1.0
    assert result.baselines == {}
    (answer,) = pipeline("text-classification", str(tmp_path / "pairs"))(
        [{"text": f"{TOPICS['cold']} 4", "text_pair": TOPICS["cars"]}]
    )
    assert answer["label"] == "other"


def test_several_labels(encoder: str, tmp_path: Path) -> None:
    rows = []
    for number in range(90):
        names = [name for bit, name in enumerate(TOPICS) if number >> bit & 1]
        rows.append({"text": " ".join(TOPICS[name] for name in names) + f" {number}", "labels": names})
    result = fit(data=rows, model=encoder, output=str(tmp_path / "topics"), problem=MULTI)
    assert result.metrics["f1_micro"] > 0.9
    (answers,) = pipeline("text-classification", str(tmp_path / "topics"), top_k=None)([TOPICS["cold"]])
    assert {each["label"] for each in answers if each["score"] > 0.5} == {"cold"}


def test_numbers(encoder: str, tmp_path: Path) -> None:
    words = TOPICS["food"].split()
    rows = [{"text": " ".join(words[: 1 + n % 5]), "label": 0.5 + n % 5} for n in range(100)]
    result = fit(data=rows, model=encoder, output=str(tmp_path / "sizes"), problem=REGRESSION)
    assert result.main_metric in result.metrics
    assert result.metrics[result.main_metric] > 0.9
    (answer,) = pipeline("text-classification", str(tmp_path / "sizes"))([words[0]])
    assert answer["score"] == pytest.approx(0.5, abs=0.4)


def test_evaluation_data_and_few_examples(encoder: str, tmp_path: Path) -> None:
    result = fit(data=rows_of(12), eval_data=rows_of(30), model=encoder, output=str(tmp_path / "few"))
    assert result.examples == (12, 30)
    assert "more of them will help most" in result.advice() or "better here" in result.advice()
    nothing_held_out = fit(data=rows_of(12), model=encoder, output=str(tmp_path / "none"))
    assert nothing_held_out.metrics == {}
    assert "state eval_data" in nothing_held_out.advice()


def test_the_same_seed_gives_the_same_model(encoder: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(data=rows_of(60), model=encoder, output=str(tmp_path / name), seed=3)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_refusals(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="eval_part"):
        fit(data=rows_of(9), model=encoder, output=str(tmp_path / "x"), eval_part=0.9)
    numbers = [{"text": "a", "label": number / 4} for number in range(9)]
    with pytest.raises(ConfigError, match="class_weights must be none: the labels are numbers"):
        fit(data=numbers, model=encoder, output=str(tmp_path / "x"), class_weights="balanced")
    with pytest.raises(DataError, match="same label"):
        fit(data=[{"text": "a", "label": "x"}] * 5, model=encoder, output=str(tmp_path / "x"))
    other = [{"text": "a", "label": "unknown"}, {"text": "b", "label": "food"}]
    with pytest.raises(DataError, match="the evaluation data"):
        fit(data=rows_of(9), eval_data=other, model=encoder, output=str(tmp_path / "x"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        fit(data=rows_of(9), model=encoder, output=str(tmp_path / "full"))
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_strength_of_many_examples_is_chosen_by_one_split() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((6000, 12)).astype(np.float32) / 4
    labels = (vectors[:, 0] + rng.standard_normal(6000) / 3 > 0).astype(int)
    assert choose_strength(vectors, labels) in STRENGTHS
    assert choose_strength(vectors[:3], np.array([0, 1, 2])) == 10.0


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("count", [41, 42, 60, 79, 80, 200, 2000])
@pytest.mark.parametrize("names", [2, 5, 20])
def test_one_split_tests_on_a_fifth_and_knows_every_label(
    monkeypatch: pytest.MonkeyPatch, count: int, names: int
) -> None:
    """Also just above the limit, with many labels, and with one that two examples have."""
    monkeypatch.setattr(linear_head, "MANY", 40)
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(names), 2), rng.integers(1, names, count - 2 * names)])
    for seed in range(5):
        learned, tested = split_once(labels, seed)
        assert set(labels[learned]) == set(range(names))
        assert len({*learned, *tested}) == len(learned) + len(tested)
        assert min(40, count // 5) / 2 <= len(tested) <= 40
        assert len(learned) <= 40 + names
    assert choose_strength(rng.standard_normal((count, 4)).astype(np.float32), labels) in STRENGTHS


@pytest.mark.parametrize("balanced", [False, True])
def test_labels_that_no_example_has(balanced: bool) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 6)).astype(np.float32)
    targets = np.where(vectors[:, 0] > 0, 3, 1)
    head = fit_linear_head(vectors, targets, SINGLE, 4, balanced=balanced)
    assert set(head(vectors).argmax(axis=1)) <= {1, 3}
    several = np.stack([targets == 1, np.zeros(40), np.ones(40)], axis=1).astype(np.float32)
    scores = fit_linear_head(vectors, several, MULTI, 3)(vectors)
    assert (scores[:, 1] < 0).all()
    assert (scores[:, 2] > 0).all()


def test_files_that_are_not_its_own_are_not_replaced(encoder: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    fit(data=rows_of(60), model=encoder, output=str(folder))
    fit(data=rows_of(60), model=encoder, output=str(folder), overwrite=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"would be lost: notes.txt\. Move it away"):
        fit(data=rows_of(60), model=encoder, output=str(folder), overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import distilbert; distilbert.FitConfig; distilbert.fit"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in result.stderr
    assert "pip install 'distilbert[evaluate]'" in result.stderr


def test_contrastive_tuning(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive_tuning, "LEARNING_RATE", 5e-3)  # for a tiny encoder
    said: list[str] = []
    few = rows_of(24)
    tuned = fit(data=few, eval_data=rows_of(120)[60:], model=encoder, output=str(tmp_path / "tuned"), contrastive=40,
                threads=1, on_progress=said.append)  # fmt: skip
    losses = [float(line.rpartition(" ")[2]) for line in said if line.startswith("tuning")]
    assert len(losses) == 40
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert tuned.metrics["accuracy"] > 0.85
    again = fit(data=few, eval_data=rows_of(120)[60:], model=encoder, output=str(tmp_path / "again"), contrastive=40,
                threads=1)  # fmt: skip
    assert (again.folder / "model.safetensors").read_bytes() == (tuned.folder / "model.safetensors").read_bytes()
    classify = pipeline("text-classification", tuned.folder, precision="fp32")
    assert classify("bread and cheese with soup")[0]["label"] == "food"
    assert json.loads((tuned.folder / "fit.json").read_text())["contrastive"] == 40
    assert "tuned by 40 contrastive steps" in (tuned.folder / "README.md").read_text()
    names = {path.name for path in Path(encoder).iterdir()}
    assert names - {"model.safetensors", "config.json"} <= {path.name for path in tuned.folder.iterdir()}


def test_contrastive_tuning_never_sees_what_is_held_out(encoder: str, tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[str] = []

    def watched(source: Path, target: Path, examples: Any, labels: Any, **options: Any) -> None:
        seen.extend(each.text for each in examples)
        shutil.copytree(source, target, dirs_exist_ok=True)

    monkeypatch.setattr(contrastive_tuning, "tune_encoder", watched)
    result = fit(data=rows_of(60), model=encoder, output=str(tmp_path / "model"), contrastive=1)
    assert len(seen) == 60 - result.examples[1] < 60


def test_contrastive_tuning_is_refused_where_it_makes_no_sense(encoder: str, tmp_path: Path) -> None:
    numbers = [{"text": row["text"], "label": number / 7} for number, row in enumerate(rows_of(60))]
    with pytest.raises(ConfigError, match="contrastive needs texts with one label each"):
        fit(data=numbers, model=encoder, output=str(tmp_path / "x"), contrastive=1)
    alone = [{"text": "rain", "label": "cold"}, {"text": "bread", "label": "food"}]
    with pytest.raises(DataError, match="No label has two examples"):
        fit(data=alone, model=encoder, output=str(tmp_path / "x"), contrastive=1)
    with pytest.raises(ConfigError, match="contrastive"):
        fit(data=alone, model=encoder, output=str(tmp_path / "x"), contrastive=-1)
    assert not (tmp_path / "x").exists()


def test_the_contrastive_loss_by_hand() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels = [0, 0, 1, 1, 1, 2]
    terms = []
    for first in range(6):
        others = [other for other in range(6) if other != first]
        total = sum(np.exp(float(vectors[first] @ vectors[other]) / 0.5) for other in others)
        for second in others:
            if labels[first] == labels[second]:
                terms.append(-np.log(np.exp(float(vectors[first] @ vectors[second]) / 0.5) / total))
    loss = contrastive_tuning.contrastive_loss(vectors, torch.tensor(labels), 0.5)
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-5)
    assert float(contrastive_tuning.contrastive_loss(vectors[:2], torch.tensor([0, 1]))) == 0
