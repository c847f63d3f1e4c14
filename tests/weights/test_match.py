"""Strict loading: every tensor there, none left over, every shape equal, and one message that lists all faults."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from distilbert import ConfigError, DistilBertForMaskedLM, DistilBertForSequenceClassification, DistilBertModel
from distilbert import WeightsMismatchError as Mismatch
from distilbert.weights.match import keep_layers
from distilbert.weights.tensors import in_memory
from tests.tiny import HEAD_NAMES, model_class, tiny_inputs, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("ForMaskedLM").save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    arrays = load_file(path)
    arrays = change(arrays) or arrays
    save_file(arrays, path)


def test_all_faults_in_one_message(folder: Path) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        del arrays["distilbert.embeddings.LayerNorm.bias"]
        del arrays["vocab_transform.bias"]
        arrays["distilbert.transformer.layer.7.ffn.lin1.bias"] = np.zeros(40, np.float32)
        arrays["distilbert.transformer.layer.1.ffn.lin1.weight"] = np.zeros((24, 40), np.float32)

    rewrite(folder, spoil)
    with pytest.raises(Mismatch) as caught:
        DistilBertForMaskedLM.from_pretrained(folder)
    assert str(caught.value).splitlines() == [
        f"The weights of {folder} do not fit DistilBertForMaskedLM with this configuration.",
        "missing (2):",
        "  distilbert.embeddings.LayerNorm.bias (24,)",
        "  vocab_transform.bias (24,)",
        "left over (1):",
        "  distilbert.transformer.layer.7.ffn.lin1.bias (40,)",
        "wrong shape (1):",
        "  distilbert.transformer.layer.1.ffn.lin1.weight: the file has (24, 40), needed is (40, 24)",
    ]


def test_a_fresh_head_is_warned_about_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "distilbert"):
        model = DistilBertForSequenceClassification.from_pretrained(folder, num_labels=5)
    assert [r.getMessage() for r in caplog.records] == [
        f"{folder} has no weights for pre_classifier, classifier of DistilBertForSequenceClassification: they start "
        "from random numbers, train before use."
    ]
    assert model.classifier.weight.shape == (5, 24)
    assert 0 < model.classifier.weight.std() < 0.05
    assert not model.classifier.bias.any()
    encoder = DistilBertForMaskedLM.from_pretrained(folder).distilbert.state_dict()
    for name, tensor in model.distilbert.state_dict().items():
        torch.testing.assert_close(tensor, encoder[name], rtol=0, atol=0)


def test_another_number_of_labels(tmp_path: Path) -> None:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    with pytest.raises(
        Mismatch, match=r"classifier.weight: the file has \(5, 24\), needed is \(3, 24\)(.|\n)*ignore_mis"
    ):
        DistilBertForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    model = DistilBertForSequenceClassification.from_pretrained(tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    assert model.classifier.weight.shape == (3, 24)
    with pytest.raises(Mismatch):  # a head and embeddings may be misshapen, a block may not
        DistilBertForSequenceClassification.from_pretrained(tmp_path, hidden_dim=44, ignore_mismatched_sizes=True)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_old_and_bare_names(head: str, tmp_path: Path) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path)

    def age(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        old = {n.removeprefix("distilbert."): a for n, a in arrays.items()}
        old = {n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): a for n, a in old.items()}
        return old | {"embeddings.position_ids": np.arange(23)[None]}

    rewrite(tmp_path, age)
    back = model_class(head).from_pretrained(tmp_path)
    for name, tensor in back.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=0)


def test_the_encoder_loads_from_a_model_with_a_head_and_back(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    bare = DistilBertModel.from_pretrained(folder)
    assert not caplog.records
    bare.save_pretrained(folder / "bare")
    DistilBertForMaskedLM.from_pretrained(folder / "bare")
    assert len(caplog.records) == 1


def test_tied_weights_are_saved_once_and_shared(folder: Path) -> None:
    assert "vocab_projector.weight" not in load_file(folder / "model.safetensors")
    model = DistilBertForMaskedLM.from_pretrained(folder)
    assert model.vocab_projector.weight is model.distilbert.embeddings.word_embeddings.weight

    def swap(arrays: dict[str, np.ndarray]) -> None:  # some writers keep the other name of the pair
        arrays["vocab_projector.weight"] = arrays.pop("distilbert.embeddings.word_embeddings.weight")

    rewrite(folder, swap)
    again = DistilBertForMaskedLM.from_pretrained(folder)
    torch.testing.assert_close(again(**tiny_inputs()).logits, model(**tiny_inputs()).logits)


def test_untied_weights_are_saved(tmp_path: Path) -> None:
    model = tiny_model("ForMaskedLM", tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    back = DistilBertForMaskedLM.from_pretrained(tmp_path)
    assert back.vocab_projector.weight is not back.distilbert.embeddings.word_embeddings.weight
    torch.testing.assert_close(back(**tiny_inputs()).logits, model(**tiny_inputs()).logits)


def test_tied_weights_that_differ(folder: Path) -> None:
    model = DistilBertForMaskedLM.from_pretrained(folder)
    words = load_file(folder / "model.safetensors")["distilbert.embeddings.word_embeddings.weight"]
    rewrite(folder, lambda arrays: arrays | {"vocab_projector.weight": words.copy()})
    again = DistilBertForMaskedLM.from_pretrained(folder)
    torch.testing.assert_close(again(**tiny_inputs()).logits, model(**tiny_inputs()).logits, rtol=0, atol=0)
    rewrite(folder, lambda arrays: arrays | {"vocab_projector.weight": words + 1})
    with pytest.raises(Mismatch, match="different weights for vocab_projector.weight and .*tie_word_embeddings=False"):
        DistilBertForMaskedLM.from_pretrained(folder)
    untied = DistilBertForMaskedLM.from_pretrained(folder, tie_word_embeddings=False)
    torch.testing.assert_close(untied.vocab_projector.weight, untied.get_input_embeddings().weight + 1)
    untied.config.tie_word_embeddings = True
    with pytest.raises(Mismatch, match="DistilBertForMaskedLM has different weights for vocab_projector.weight"):
        untied.save_pretrained(folder / "new")
    assert not (folder / "new").exists()


def test_layers_are_picked_in_the_order_given() -> None:
    tensors = {f"transformer.layer.{n}.ffn.lin1.bias": in_memory(np.full(1, n)) for n in range(12)}
    tensors["embeddings.LayerNorm.bias"] = in_memory(np.zeros(1))
    kept = keep_layers(tensors, [0, 2, 11])
    assert {name: int(t.read()[0]) for name, t in kept.items()} == {
        "transformer.layer.0.ffn.lin1.bias": 0,
        "transformer.layer.1.ffn.lin1.bias": 2,
        "transformer.layer.2.ffn.lin1.bias": 11,
        "embeddings.LayerNorm.bias": 0,
    }
    for wrong in ([12], []):
        with pytest.raises(ConfigError, match="layers must name some of"):
            keep_layers(tensors, wrong)
