"""Runs that cannot start, or that fail on the way: their messages, and what they leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from distilbert import TrainingError
from distilbert.core.errors import ConfigError, UnknownArgumentError
from distilbert.models.pytorch import DistilBertForMaskedLM
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.training.distill_config import PretrainConfig
from distilbert.training.distill_models import pick_layers
from distilbert.training.distillation import HeldOutEvaluator, distill, pretrain
from tests.data.corpora import VOCAB

from .tiny_run import config_of, read_metrics, settings, weights, write_model


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("teacher"))


@pytest.mark.parametrize(
    ("asked", "picked"),
    [
        ("6", [0, 2, 4, 7, 9, 11]), ("half", [0, 2, 4, 7, 9, 11]), ("0,2,4,7,9,11", [0, 2, 4, 7, 9, 11]),
        ("3", [0, 6, 11]), ("1", [0]), ("12", list(range(12))), (" 5, 5 ,1", [5, 5, 1]), ("3,", [3]),
    ],
)  # fmt: skip
def test_layers(asked: str, picked: list[int]) -> None:
    assert pick_layers(asked, 12) == picked


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("0,12", "the teacher has layers 0 to 11; got 0,12"),
        ("13", "a student of 13 layers cannot be picked from a teacher of 12"),
        ("0", "a student of 0 layers cannot"),
        *[(asked, "layers must be numbers such as 0,2,4, a count") for asked in ("", ",", "0,,1", "-1", "all", "1.5")],
    ],
)
def test_layers_that_are_not_there(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pick_layers(asked, 12)


def test_half_of_a_single_layer_is_that_layer() -> None:
    assert pick_layers("half", 1) == [0]


def test_the_student_is_made_of_the_layers_picked(tmp_path: Path, teacher: str) -> None:
    folder = distill(config_of(tmp_path, teacher, layers="2,0", max_steps=1, learning_rate=1e-12))
    student, original = weights(folder), weights(teacher)
    for name, tensor in student.items():
        for new, old in ((0, 2), (1, 0)):
            if f".layer.{new}." in name:
                torch.testing.assert_close(tensor, original[name.replace(f".layer.{new}.", f".layer.{old}.")])
        if ".layer." not in name:
            torch.testing.assert_close(tensor, original[name])


def test_a_student_from_a_folder(tmp_path: Path, teacher: str) -> None:
    start = write_model(tmp_path / "start", seed=8, n_layers=2, dim=30)
    terms = {"mlm": 1.0, "relation": 1.0}
    config = config_of(tmp_path, teacher, student=start, terms=terms, max_steps=1, learning_rate=1e-12)
    after = weights(distill(config))
    for name, tensor in weights(start).items():
        torch.testing.assert_close(after[name], tensor)
    other = write_model(tmp_path / "other", n_layers=1)
    DistilBertTokenizerFast(vocab=[*VOCAB[:-2], "z", "y"]).save_pretrained(other)
    with pytest.raises(ConfigError, match=r"vocabularies of student .*other and teacher .* differ, .* in 'y'"):
        distill(config_of(tmp_path, teacher, student=other), overwrite=True)
    small = write_model(tmp_path / "small", vocab_size=40)
    with pytest.raises(ConfigError, match=r"different vocabularies \(97 and 40 ids\)"):
        distill(config_of(tmp_path, teacher, student=small), overwrite=True)


def test_a_narrow_student(tmp_path: Path, teacher: str) -> None:
    narrow = {"init": "random", "dim": 12, "n_heads": 2, "layers": "2"}
    with pytest.raises(ConfigError, match=r"cos compares .* 24 numbers, the student's 12\. Leave cos out, or use hid"):
        distill(config_of(tmp_path, teacher, **narrow))
    terms = {"ce": 1.0, "hidden": 1.0, "relation": 1.0}
    with pytest.raises(ConfigError, match="relation_heads 5 does not divide the teacher's width 24"):
        distill(config_of(tmp_path, teacher, **narrow, terms=terms, relation_heads=5))
    folder = distill(config_of(tmp_path, teacher, **narrow, terms=terms))
    config = DistilBertForMaskedLM.from_pretrained(folder).config
    assert (config.dim, config.n_heads, config.hidden_dim, config.n_layers) == (12, 2, 48, 2)
    rest = load_file(folder / "checkpoints" / "step-4" / "training.safetensors")
    shapes = {name: tuple(t.shape) for name, t in rest.items() if name.startswith("rest.")}
    assert shapes == {f"rest.projections.{number}.weight": (24, 12) for number in range(2)}
    train = [record for record in read_metrics(folder) if record["kind"] == "train"]
    assert train[-1]["terms"]["hidden"] < train[0]["terms"]["hidden"]
    with pytest.raises(ConfigError, match=r"n_heads|heads"):
        distill(config_of(tmp_path, teacher, init="random", dim=10, n_heads=3, terms={"mlm": 1}), overwrite=True)


def test_layers_of_the_terms(tmp_path: Path, teacher: str) -> None:
    for pairs, message in ((["1-2"], "pairs such as 1:2"), (["1:9"], "1:9 is no pair of states; the student has 0 to")):
        with pytest.raises(ConfigError, match=message):
            distill(config_of(tmp_path, teacher, terms={"hidden": 1}, hidden_pairs=pairs))
    for layer in (3, -4):
        with pytest.raises(ConfigError, match=f"relation_layer must be from -3 to 2.* got {layer}"):
            distill(config_of(tmp_path, teacher, terms={"relation": 1}, relation_layer=layer))


def test_sequences_longer_than_the_model(tmp_path: Path, teacher: str) -> None:
    with pytest.raises(ConfigError, match=r"sequence_length 24 is more than the model's 23 positions"):
        distill(config_of(tmp_path, teacher, sequence_length=24))
    assert not (tmp_path / "run" / "config.toml").exists()
    assert distill(config_of(tmp_path, teacher, sequence_length=23, max_steps=1)).is_dir()


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    small = write_model(tmp_path / "small", vocab_size=20)
    with pytest.raises(ConfigError, match=r"tokenizer of .*small has 31 tokens and the model 20"):
        pretrain(PretrainConfig(**settings(tmp_path, model=small)))


def poison(folder: str, name: str, value: float) -> None:
    file = Path(folder) / "model.safetensors"
    tensors = load_file(file)
    tensors[name].view(-1)[0] = value
    save_file(tensors, file, metadata={"format": "pt"})


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    bad = write_model(tmp_path / "bad", n_layers=1)
    poison(bad, "vocab_transform.bias", float("nan"))
    with pytest.raises(TrainingError, match=r"^Step 0: loss of the evaluation became nan\. "):
        pretrain(PretrainConfig(**settings(tmp_path, model=bad)))
    good = write_model(tmp_path / "good", n_layers=1)
    with pytest.raises(TrainingError, match=r"^Step 0: \w+ of the evaluation became nan\. "):
        distill(config_of(tmp_path, bad, student=good), overwrite=True)


@pytest.mark.parametrize("every", [1, 2])
def test_a_loss_that_is_no_number_any_more(tmp_path: Path, teacher: str, every: int) -> None:
    """Weights that break in the step before a checkpoint must not replace good ones."""
    base = write_model(tmp_path / "base", n_layers=1)
    options = settings(tmp_path, model=base, max_steps=9, checkpoint_every=every, evaluate_every=every, keep=1)
    config = PretrainConfig(**{**options, "learning_rate": 1e30, "warmup": 0.99, "clip": 0, "betas": [0.0, 0.0]})
    with pytest.raises(TrainingError, match=r"^Step [1-9]: .* (nan|inf)[ .].*lower learning_rate, a longer warmup"):
        pretrain(config)
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


def test_the_last_good_checkpoint_stays(tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from distilbert.training.distill_objective import DistillObjective

    plain, calls = DistillObjective.forward, []

    def forward(self: DistillObjective, input_ids: Any, labels: Any, counts: Any = None) -> Any:
        loss, terms = plain(self, input_ids, labels, counts)
        if counts is not None:
            calls.append(1)
            if len(calls) > 13:  # four micro-batches per step: in the middle of step 4
                return loss * float("nan"), {**terms, "cos": terms["cos"] * float("nan")}
        return loss, terms

    monkeypatch.setattr(DistillObjective, "forward", forward)
    with pytest.raises(TrainingError, match=r"^Step 4: loss, cos became nan\. The checkpoints before it are untouched"):
        distill(config_of(tmp_path, teacher))
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-2"]
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == [0, 1, 2, 2, 3]
    plainly = distill(config_of(tmp_path, teacher, output=str(tmp_path / "plain")))
    distill(config_of(tmp_path, teacher), resume=True)
    assert read_metrics(plainly) == read_metrics(tmp_path / "run")


def test_figures_stay_numbers() -> None:
    import numpy as np

    figures = HeldOutEvaluator(cast(Any, None), has_teacher=True).metrics([(0, [9e6, 9e6, 1.0, 1.0, 2.0])])
    assert all(np.isfinite(value) for value in figures.values())


def test_unknown_terms_name_the_nearest(tmp_path: Path, teacher: str) -> None:
    with pytest.raises(UnknownArgumentError, match="Did you mean 'hidden'"):
        config_of(tmp_path, teacher, terms={"hiden": 1})
