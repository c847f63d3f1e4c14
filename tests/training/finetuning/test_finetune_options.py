"""What the settings of fine-tuning do: layers, freezing, learning rates, class weights, long texts, stopping."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distilbert import AutoTokenizer, DistilBertConfig, pipeline
from distilbert.data.examples import TaggedExample
from distilbert.models.pytorch import DistilBertForSequenceClassification, DistilBertModel
from distilbert.training.finetuning import finetuner
from distilbert.training.finetuning.finetune_data import read_data
from distilbert.training.finetuning.finetune_tasks import EncodedExample
from distilbert.training.finetuning.finetuner import LabelledEvaluator, finetune
from distilbert.training.finetuning.labelled_batches import LabelledBatches
from distilbert.training.reports.finished_run import read_summary
from tests.training.tiny_run import read_metrics, weights, write_model

from .tiny_tasks import KINDS, config_of, write_data, write_teacher


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(("asked", "picked"), [("2,0", [2, 0]), ("1", [0]), ("2", [0, 2])])
def test_some_layers_of_the_model(tmp_path: Path, asked: str, picked: list[int]) -> None:
    """The head of the model is kept if it is for the task."""
    model = write_teacher(tmp_path / "start", "single")
    folder = finetune(config_of(tmp_path, model=model, layers=asked, max_steps=1, learning_rate=1e-12))
    student, original = weights(folder), weights(model)
    assert {name.split(".")[3] for name in student if ".layer." in name} == {str(new) for new in range(len(picked))}
    for name, tensor in student.items():
        for new, old in enumerate(picked):
            if f".layer.{new}." in name:
                torch.testing.assert_close(tensor, original[name.replace(f".layer.{new}.", f".layer.{old}.")])
        if ".layer." not in name:
            torch.testing.assert_close(tensor, original[name])
    assert json.loads((folder / "config.json").read_text())["n_layers"] == len(picked)


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(
    ("freeze", "kept"),
    [
        ("none", ()),
        ("embeddings", (".embeddings.",)),
        ("0", (".embeddings.",)),
        ("1", (".embeddings.", ".layer.0.")),
        ("2", (".embeddings.", ".layer.")),
        ("encoder", (".embeddings.", ".layer.")),
    ],
)
def test_freezing(tmp_path: Path, freeze: str, kept: tuple[str, ...]) -> None:
    """Frozen weights stay bit-equal, also with weight decay; all others change."""
    model = write_teacher(tmp_path / "start", "single", n_layers=2)
    before = weights(model)
    after = weights(finetune(config_of(tmp_path, model=model, freeze=freeze, weight_decay=0.1)))
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == any(part in name for part in kept), name
    state = load_file(tmp_path / "run" / "checkpoints" / "step-4" / "training.safetensors")
    assert not [name for name in state if any(part in name for part in kept)]


@pytest.mark.usefixtures("unreported")
def test_a_frozen_vocabulary(tmp_path: Path) -> None:
    """The projection to the vocabulary shares its weight with the embeddings and stays tied to them."""
    model = write_teacher(tmp_path / "start", "text", n_layers=2)
    after = weights(finetune(config_of(tmp_path, "text", model=model, freeze="encoder")))
    moved = {name for name, tensor in weights(model).items() if not torch.equal(tensor, after[name])}
    assert moved == {
        "vocab_transform.weight", "vocab_transform.bias", "vocab_layer_norm.weight", "vocab_layer_norm.bias",
        "vocab_projector.bias",
    }  # fmt: skip


@pytest.mark.usefixtures("unreported")
def test_lower_layers_learn_more_slowly(tmp_path: Path) -> None:
    """AdamW's first step moves a weight by the learning rate, whatever the gradient."""
    model = write_teacher(tmp_path / "start", "single", n_layers=2)
    settings = {"model": model, "max_steps": 1, "learning_rate": 0.01, "warmup": 0, "layer_decay": 0.5, "clip": 0}
    before, after = weights(model), weights(finetune(config_of(tmp_path, **settings)))
    expected = {"classifier": 0.01, ".layer.1.": 0.005, ".layer.0.": 0.0025, ".embeddings.": 0.00125}
    for part, step in expected.items():
        moved = max(float((after[name] - before[name]).abs().max()) for name in before if part in name)
        assert moved == pytest.approx(step, rel=0.02), part


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(("kind", "counts"), [("single", [3, 9]), ("multi", [2, 1, 9]), ("tags", None)])
def test_balanced_classes(tmp_path: Path, kind: str, counts: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of a label is rows / (labels x rows of the label)."""
    seen: list[np.ndarray] = []
    plain = LabelledBatches.__init__

    def spy(self: LabelledBatches, *arguments: object, class_weights: np.ndarray, **more: object) -> None:
        seen.append(class_weights)
        plain(self, *arguments, class_weights=class_weights, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LabelledBatches, "__init__", spy)
    if kind == "single":
        rows = [f"a b\t{'bad' if number < 3 else 'good'}" for number in range(12)]
        train = tmp_path / "few.tsv"
        train.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    elif kind == "multi":
        labels = [["film", "sport"], ["film"], ["music"], *[["sport"]] * 8]
        train = tmp_path / "few.jsonl"
        train.write_text("".join(json.dumps({"text": "a b", "labels": label}) + "\n" for label in labels))
    else:
        train = Path(write_data(tmp_path / "some", kind))
        words = [line.split("\t")[1] for line in train.read_text().splitlines() if line]
        counts = [words.count(tag) for tag in ("O", "B-LOC", "B-PER", "I-PER")]
    finetune(config_of(tmp_path, kind, train_data=[str(train)], class_weights="balanced"))
    assert counts is not None
    np.testing.assert_allclose(seen[0], sum(counts) / (len(counts) * np.array(counts)))


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize("kind", ["single", "tags", "squad1", "choice", "text"])
def test_long_texts(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts longer than ``max_length`` are read in windows or cut; answers always read them completely."""
    sizes: dict[str, list[int]] = {}
    plain = LabelledBatches.__init__

    def spy(self: LabelledBatches, config: object, examples: list[EncodedExample], **more: object) -> None:
        sizes[now] = [len(sequence) for example in examples for sequence in example.sequences]
        plain(self, config, examples, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LabelledBatches, "__init__", spy)
    changes = {}
    if kind in ("single", "choice"):
        long = " ".join("abcdefgh" * 8)
        row = {"text": long, "label": "good"} if kind == "single" else {"context": long, "choices": ["a", "b"]}
        rows = [row | {"label": label} for label in (("good", "bad") if kind == "single" else (0, 1))]
        train = tmp_path / "long.jsonl"
        train.write_text("".join(json.dumps(row) + "\n" for row in rows))
        changes = {"train_data": [str(train)]}
    for now in ("window", "cut"):
        folder = finetune(
            config_of(tmp_path, kind, max_length=12, long_texts=now, output=str(tmp_path / now), **changes)
        )
        assert max(sizes[now]) == 12
        assert read_metrics(folder)[-1]["kind"] == "evaluation"
    count = {"single": 2, "choice": 4}.get(kind, 24)
    assert len(sizes["cut"]) == (count if kind != "text" else len(sizes["cut"]))
    if kind == "choice":
        assert sizes["window"] == sizes["cut"]
    else:
        assert len(sizes["window"]) > len(sizes["cut"])
    if kind == "single":
        assert len(pipeline("text-classification", tmp_path / "cut")(" ".join("abcdefgh" * 8))) == 1


def figures_in_turn(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Make evaluations return these accuracies, one after another."""
    turn = iter(values)
    monkeypatch.setattr(LabelledEvaluator, "metrics", lambda self, results: {"accuracy": next(turn)})


def best_of(folder: Path, step: int) -> bool:
    """Say whether the final model is that of the checkpoint."""
    saved, other = weights(folder), weights(folder / "checkpoints" / f"step-{step}" / "model")
    return all(torch.equal(saved[name], other[name]) for name in saved)


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize("every", [0, 3])
def test_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Training stops after two evaluations without an improvement and keeps the best model; equal is no improvement."""
    figures_in_turn(monkeypatch, [0.5, 0.7, 0.7, 0.6, 0.9])
    changes = {"patience": 2, "evaluate_every": 1, "checkpoint_every": every, "max_steps": 9}
    folder = finetune(config_of(tmp_path, **changes))
    assert [record["step"] for record in read_metrics(folder) if record["kind"] == "evaluation"] == [1, 2, 3, 4]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-2", "step-4"]
    assert best_of(folder, 2)
    finetune(config_of(tmp_path, **changes), resume=True)
    assert len([record for record in read_metrics(folder) if record["kind"] == "train"]) == 4
    assert best_of(folder, 2)


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(("select", "step"), [("best", 3), ("last", 6)])
def test_the_best_or_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str, step: int) -> None:
    """Also if the settings ask for checkpoints at other steps."""
    figures_in_turn(monkeypatch, [0.1, 0.2, 0.9, 0.3, 0.4, 0.5])
    changes = {"evaluate_every": 1, "checkpoint_every": 4, "max_steps": 6, "select": select}
    folder = finetune(config_of(tmp_path, **changes))
    assert best_of(folder, step)
    assert not best_of(folder, 6) or select == "last"


@pytest.mark.usefixtures("unreported")
def test_an_evaluation_once_an_epoch(tmp_path: Path) -> None:
    config = config_of(tmp_path, evaluate_every=0, checkpoint_every=0, max_steps=0, epochs=2, keep=9)
    folder = finetune(config)
    assert [record["step"] for record in read_metrics(folder) if record["kind"] == "evaluation"] == [3, 6]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-3", "step-6"]


@pytest.mark.usefixtures("unreported")
def test_a_head_goes_on_or_starts_afresh(tmp_path: Path) -> None:
    model = write_teacher(tmp_path / "start", "single", n_layers=2)
    still = {"model": model, "max_steps": 1, "learning_rate": 1e-12}
    kept = weights(finetune(config_of(tmp_path, **still)))
    fresh = weights(finetune(config_of(tmp_path, **still, fresh_head=True, output=str(tmp_path / "fresh"))))
    for name, tensor in weights(model).items():
        torch.testing.assert_close(kept[name], tensor)
        if ".layer." in name or "embeddings" in name:
            torch.testing.assert_close(fresh[name], tensor)
    assert not torch.allclose(fresh["classifier.weight"], kept["classifier.weight"])


def test_a_fresh_head_has_the_tags_of_the_data(tmp_path: Path) -> None:
    """A head that goes on gets them in its own scheme, as far as it has them."""
    model = write_teacher(tmp_path / "start", "tags")
    rows = [
        {"words": ["a", "b", "c"], "tags": ["B-PER", "E-PER", "S-ORG"]},
        {"words": ["a", "b"], "tags": ["S-PER", "O"]},
    ]
    config = config_of(tmp_path, "tags", model=model, train_data=rows, eval_data=[])
    fresh = finetuner.read_data(replace(config, fresh_head=True), lambda line: None)
    assert fresh.labels.names == ("O", "S-ORG", "B-PER", "E-PER", "S-PER")
    kept = finetuner.read_data(config, lambda line: None)
    assert kept.labels.names == ("O", "S-ORG", "B-PER", "I-PER")


@pytest.mark.usefixtures("unreported")
def test_a_masked_lm_gives_its_head_up(tmp_path: Path) -> None:
    folder = finetune(config_of(tmp_path, model=write_model(tmp_path / "mlm", n_layers=2)))
    assert not [name for name in weights(folder) if name.startswith("vocab_")]
    assert isinstance(DistilBertForSequenceClassification.from_pretrained(folder), torch.nn.Module)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_an_evaluation_make_the_whole(tmp_path: Path, kind: str) -> None:
    """Answers do not depend on how many processes share the examples."""
    from distilbert.models.auto import AutoTokenizer
    from distilbert.training.finetuning.task_models import build_model

    # With this seed "no answer" often wins where it is allowed, so each share must know that it is.
    config = config_of(tmp_path, kind, model=write_teacher(tmp_path / "model", kind, seed=6))
    data = finetuner.read_data(config, lambda line: None)
    model = build_model(config, data.labels).eval()
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    evaluator = LabelledEvaluator(config.task, model, tokenizer, data.evaluation, data.labels, {})
    metrics, cpu = [], torch.device("cpu")
    for processes in (1, 3, 12):
        shares = [evaluator.evaluate_share(model, process, processes, cpu) for process in range(processes)]
        results = [result for share in shares for result in share]
        assert sorted(number for number, _ in results) == list(range(10))
        metrics.append(evaluator.metrics(results))
    for of_shares in metrics[1:]:
        assert of_shares == pytest.approx(metrics[0], rel=1e-5)


def test_evaluation_tags_are_brought_into_the_scheme_of_the_training_tags(tmp_path: Path) -> None:
    train, dev = tmp_path / "train.conll", tmp_path / "dev.conll"
    train.write_text("a\tO\nx\tB-PER\ny\tI-PER\n\nz\tB-LOC\nz\tI-LOC\nb\tO\n")
    dev.write_text("x\tB-PER\ny\tE-PER\nz\tS-LOC\nb\tO\n")
    data = read_data(config_of(tmp_path, "tags", train_data=[str(train)], eval_data=[str(dev)]), lambda line: None)
    (example,) = data.evaluation
    assert isinstance(example, TaggedExample)
    assert example.tags == ("B-PER", "I-PER", "B-LOC", "O")


@pytest.mark.parametrize("role", ["model", "teacher"])
def test_training_tags_are_brought_into_the_scheme_of_a_tagger(tmp_path: Path, role: str) -> None:
    train = tmp_path / "train.conll"
    train.write_text("a\tO\nx\tB-PER\ny\tE-PER\n\nz\tB-LOC\nz\tE-LOC\nb\tO\n")
    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    tagger = write_teacher(tmp_path / "tagger", "tags", names)
    data = read_data(
        config_of(tmp_path, "tags", train_data=[str(train)], eval_data=[], **{role: tagger}), lambda line: None
    )
    assert sorted(data.labels.names) == sorted(names)
    assert [example.tags for example in data.training if isinstance(example, TaggedExample)] == [
        ("O", "B-PER", "I-PER"), ("B-LOC", "I-LOC", "O")
    ]  # fmt: skip
    plain = read_data(config_of(tmp_path, "tags", train_data=[str(train)], eval_data=[]), lambda line: None)
    assert "E-PER" in plain.labels.names


def test_a_new_head_starts_as_the_linear_model(tmp_path: Path) -> None:
    model = tmp_path / "encoder"
    start = DistilBertModel.from_pretrained(write_teacher(tmp_path / "start", "single", n_layers=2))
    start.save_pretrained(model)
    AutoTokenizer.from_pretrained(tmp_path / "start").save_pretrained(model)
    still = {"model": str(model), "max_steps": 1, "learning_rate": 1e-12}
    changes = {
        "auto": {}, "linear": {"new_head": "linear"}, "random": {"new_head": "random"}, "mean": {"pooling": "mean"}
    }  # fmt: skip
    folders = {
        kind: finetune(config_of(tmp_path, **still, **own, output=str(tmp_path / kind)))
        for kind, own in changes.items()
    }
    configs = {kind: DistilBertConfig.from_pretrained(folder) for kind, folder in folders.items()}
    assert [configs[kind].classifier_pooling for kind in folders] == ["cls", "cls", "cls", "mean"]
    linear, same = weights(folders["linear"]), weights(folders["auto"])
    for name, tensor in linear.items():
        torch.testing.assert_close(same[name], tensor)
    scale = linear["pre_classifier.weight"].diagonal()
    assert (scale == scale[0]).all()
    accuracy = {kind: read_metrics(folder)[-1]["accuracy"] for kind, folder in folders.items()}
    assert accuracy["linear"] > accuracy["random"]
    baselines = read_summary(folders["linear"])["data"]["baselines"]
    assert baselines["linear model of vectors"]["accuracy"] == pytest.approx(accuracy["mean"])
    assert "TF-IDF with a linear model" in baselines
