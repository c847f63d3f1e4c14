"""A runner never answers with weights that its model had before."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distilbert import EngineRunner, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.engine import engine_runner
from distilbert.engine.quantization import calibrate
from distilbert.models.pytorch.runner import PytorchRunner
from tests.any_cpu import allow_bf16, allow_int8
from tests.tiny import HEAD_NAMES, tiny_model

HEAD = "ForSequenceClassification"
BATCH = Batch.of([[5, 6, 7, 8], [9, 10], [11] * 20])
MANY = Batch.of([list(range(1, 23))] * 60)  # enough tokens for the cached projections of the first block


def train(model: Any) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([1])).loss.backward()
    optimizer.step()


def descend_through_data(model: Any) -> None:
    model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([1])).loss.backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.data.add_(parameter.grad, alpha=-0.1)


def load_weights(model: Any) -> None:
    model.load_state_dict(tiny_model(HEAD, seed=5).state_dict())


def assign_weights(model: Any) -> None:
    model.load_state_dict(tiny_model(HEAD, seed=5).state_dict(), assign=True)


def replace_a_parameter(model: Any) -> None:
    weight = model.distilbert.transformer.layer[1].ffn.lin1.weight
    model.distilbert.transformer.layer[1].ffn.lin1.weight = nn.Parameter(weight.detach() * 1.5)


def replace_data(model: Any) -> None:
    weight = model.distilbert.transformer.layer[0].attention.v_lin.weight
    weight.data = weight.data * 1.5


def replace_a_layer(model: Any) -> None:
    torch.manual_seed(3)
    model.pre_classifier = nn.Linear(24, 24, bias=False)


def write_through_data(model: Any) -> None:
    model.distilbert.transformer.layer[1].attention.out_lin.weight.data[3, 4] = 9.0


def write_through_numpy(model: Any) -> None:
    model.classifier.bias.detach().numpy()[2] = 3.0


def write_a_word_through_data(model: Any) -> None:
    model.distilbert.embeddings.word_embeddings.weight.data[7] = 0.5


def resize(model: Any) -> None:
    model.resize_token_embeddings(12)


def resize_positions(model: Any) -> None:
    model.resize_position_embeddings(40)
    model.distilbert.embeddings.position_embeddings.weight.data[1] = 1.0


def prune(model: Any) -> None:
    model.prune_heads({0: [1]})


def parametrize(model: Any) -> None:
    class Doubled(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return 2 * weight

    torch.nn.utils.parametrize.register_parametrization(model.classifier, "weight", Doubled())


CHANGES = [
    train, descend_through_data, load_weights, assign_weights, replace_a_parameter, replace_data, replace_a_layer,
    write_through_data, write_through_numpy, write_a_word_through_data, resize, resize_positions, prune, parametrize,
]  # fmt: skip


def reference(model: Any, batch: Batch) -> np.ndarray:
    """What the model itself answers, one sequence at a time."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        rows = [twin(torch.from_numpy(ids)[None]).logits for ids in np.split(batch.input_ids, batch.offsets[1:-1])]
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("runner_class", [EngineRunner, PytorchRunner])
@pytest.mark.parametrize("batch", [BATCH, MANY])
def test_answers_come_from_the_weights_of_now(runner_class: Any, change: Callable[[Any], None], batch: Batch) -> None:
    model = tiny_model(HEAD)
    runner = EngineRunner(model, "fp32") if runner_class is EngineRunner else runner_class(model)
    if change is resize:
        batch = Batch.of([[5, 6, 7, 8], [9, 10], [11] * 20])
    before = runner(batch)["logits"]
    np.testing.assert_allclose(before, reference(model, batch), rtol=1e-4, atol=1e-4)
    change(model)
    mode = [module.training for module in model.modules()]
    after = runner(batch)["logits"]
    np.testing.assert_allclose(after, reference(model, batch), rtol=1e-4, atol=1e-4)
    if change is not resize:
        assert np.abs(after - before).max() > 1e-3
    assert [module.training for module in model.modules()] == mode  # training goes on as it was


def test_an_unchanged_model_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(HEAD)
    model.distilbert.embeddings.word_embeddings.weight.data[7] = float("nan")  # differs from itself
    runner, plain = EngineRunner(model, "fp32"), PytorchRunner(model)
    prepared = runner._prepared, plain._prepared
    for batch in (BATCH, MANY):
        runner(batch), plain(batch)
    model.train()
    runner(BATCH), plain(BATCH)
    assert (runner._prepared, plain._prepared) == prepared


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_type(dtype: torch.dtype) -> None:
    model = tiny_model(HEAD).to(dtype)
    runner, plain = EngineRunner(model, "fp32"), PytorchRunner(model)
    for _ in range(2):
        np.testing.assert_allclose(runner(BATCH)["logits"], plain(BATCH)["logits"], rtol=0.1, atol=0.1)
        model.train()
        model.classifier.bias.data[1] += 4


def test_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_bf16(monkeypatch)
    model = tiny_model(HEAD)
    runner = EngineRunner(model, "bf16")
    runner(BATCH)
    write_a_word_through_data(model)
    np.testing.assert_allclose(runner(BATCH)["logits"], reference(model, BATCH), rtol=0.1, atol=0.2)


def test_ranges_of_int8_belong_to_the_old_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_int8(monkeypatch)
    model = tiny_model(HEAD)
    quantization = calibrate(model, [BATCH], "fp32")
    runner = EngineRunner(model, "int8", quantization=quantization)
    automatic = EngineRunner(model, "auto", quantization=quantization)
    assert runner.precision == automatic.precision == "int8"
    train(model)
    with pytest.raises(InputError, match="belong to the weights that it had.*distilbert quantize"):
        runner(BATCH)
    monkeypatch.setattr(engine_runner, "pick_precision", lambda requested, quantized: "fp32")
    with pytest.warns(UserWarning, match="it runs in floats now"):
        actual = automatic(BATCH)["logits"]
    assert (automatic.precision, automatic.quantization) == ("fp32", None)
    np.testing.assert_allclose(actual, reference(model, BATCH), rtol=1e-4, atol=1e-4)


class Adapted(nn.Module):
    """What peft puts in place of a linear map: it has the weight of the old one, and adds something to its result."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.lora = nn.Linear(base_layer.in_features, base_layer.out_features)

    @property
    def weight(self) -> torch.Tensor:
        return self.base_layer.weight

    @property
    def bias(self) -> torch.Tensor:
        return self.base_layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.lora(x)


def adapt(model: Any) -> None:
    attention = model.distilbert.transformer.layer[1].attention
    attention.q_lin = Adapted(attention.q_lin)


def prune_by_a_hook(model: Any) -> None:
    from torch.nn.utils import prune

    prune.l1_unstructured(model.distilbert.transformer.layer[0].ffn.lin2, "weight", amount=0.5)


@pytest.mark.parametrize("change", [adapt, prune_by_a_hook])
def test_layers_that_the_engine_cannot_compute_are_refused(change: Callable[[Any], None]) -> None:
    model = tiny_model(HEAD)
    runner, plain = EngineRunner(model, "fp32"), PytorchRunner(model)
    plain(BATCH)
    with torch.no_grad():
        change(model)
    with pytest.raises(InputError, match=r"transformer.layer.\d.*the engine expects a linear map.*runner='pytorch'"):
        runner(BATCH)
    with pytest.raises(InputError, match="the engine expects a linear map"):
        EngineRunner(model, "fp32")
    with torch.no_grad():
        expected = torch.cat([model(torch.from_numpy(ids)[None]).logits for ids in np.split(BATCH.input_ids, [4, 6])])
    np.testing.assert_allclose(plain(BATCH)["logits"], expected.numpy(), rtol=1e-4, atol=1e-4)


def test_a_table_that_is_smaller_than_the_configuration_says() -> None:
    model = tiny_model(HEAD)
    runner = EngineRunner(model, "fp32")
    model.distilbert.embeddings.word_embeddings = nn.Embedding(10, 24)
    with pytest.raises(InputError, match=r"word_embeddings is \(10, 24\).*vocab_size=97.*resize_token_embeddings"):
        runner(BATCH)


def test_what_is_no_model() -> None:
    for wrong in ("folder", ["a", "b"], None, nn.Linear(2, 2)):
        with pytest.raises(InputError, match="takes a loaded model of this package"):
            EngineRunner(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("runner_class", [EngineRunner, PytorchRunner])
def test_pickles_and_copies(head: str, runner_class: Any) -> None:
    runner = runner_class(tiny_model(head))
    expected = runner(BATCH)
    for twin in (pickle.loads(pickle.dumps(runner)), copy.deepcopy(runner)):
        assert twin.model is not runner.model
        for name, array in twin(BATCH).items():
            np.testing.assert_array_equal(array, expected[name])
