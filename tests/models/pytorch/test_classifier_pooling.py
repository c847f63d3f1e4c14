"""A classifier of the mean of a text's tokens: the padded model, every runner, fine-tuning, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distilbert import ConfigError, DistilBertConfig, EngineRunner, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.pytorch import DistilBertForSequenceClassification
from distilbert.models.pytorch.runner import CudaRunner, PytorchRunner
from tests.tiny import tiny_model

SEQUENCES = [[5, 9, 7, 3], [8], [4, 4, 6, 2, 90, 11, 12]]


def mean_model() -> DistilBertForSequenceClassification:
    model: DistilBertForSequenceClassification = tiny_model("ForSequenceClassification")
    model.config.classifier_pooling = "mean"
    return model.eval()


def expected_logits(model: DistilBertForSequenceClassification) -> np.ndarray:
    with torch.no_grad():
        means = [model.distilbert(torch.tensor([ids])).last_hidden_state[0].mean(dim=0) for ids in SEQUENCES]
        return model.head(torch.stack(means)).numpy()


def test_the_padded_model() -> None:
    model = mean_model()
    ids, mask = map(torch.from_numpy, Batch.of(SEQUENCES).padded(0))
    with torch.no_grad():
        logits = model(ids, mask).logits
        np.testing.assert_allclose(logits, expected_logits(model), atol=1e-5)
        np.testing.assert_allclose(model(ids[2:3]).logits, logits[2:3], atol=1e-5)
        first_token = model.head(model.distilbert(ids, mask).last_hidden_state[:, 0])
    assert not np.allclose(first_token, logits, atol=1e-3)
    with pytest.raises(InputError, match="needs an attention_mask"):
        model(ids, mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1))


@pytest.mark.parametrize("runner", [PytorchRunner, CudaRunner, lambda model: EngineRunner(model, "fp32")])
def test_runners(runner: type[PytorchRunner]) -> None:
    model = mean_model()
    logits = runner(model)(Batch.of(SEQUENCES))["logits"]
    np.testing.assert_allclose(logits, expected_logits(model), atol=1e-5)


def test_files(tmp_path: Path) -> None:
    model = mean_model()
    model.save_pretrained(tmp_path)
    loaded = DistilBertForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.classifier_pooling == "mean"
    engine = EngineRunner.from_folder(tmp_path, precision="fp32")
    np.testing.assert_allclose(engine(Batch.of(SEQUENCES))["logits"], expected_logits(model), atol=1e-5)
    assert "classifier_pooling" not in DistilBertConfig().to_json_string()


def test_gradients_reach_every_token() -> None:
    model = mean_model().train(False)
    embeddings = torch.randn(1, 5, model.config.dim, requires_grad=True)
    model(inputs_embeds=embeddings, labels=torch.tensor([1])).loss.backward()
    assert embeddings.grad is not None
    assert (embeddings.grad.abs().sum(dim=2) > 0).all()


def test_an_unknown_pooling() -> None:
    with pytest.raises(ConfigError, match="classifier_pooling"):
        DistilBertConfig(classifier_pooling="max")
