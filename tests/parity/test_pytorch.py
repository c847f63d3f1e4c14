"""The six PyTorch classes against transformers, part by part: a failure names the guilty part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from distilbert import DistilBertConfig
from distilbert.core.schema import HEADS
from tests.models.assertions import assert_same
from tests.tiny import HEAD_NAMES, LABELS, LENGTH, model_class, tiny_inputs, tiny_labels, tiny_model

ATTENTIONS = ("eager", "sdpa")
TOLERANCE = {"rtol": 0.0, "atol": 1e-5}


def reference(model: Any, attention: str = "sdpa") -> Any:
    """transformers' model with the same weights."""
    values = model.config.to_dict()
    values.pop("pruned_heads", None)
    config = transformers.DistilBertConfig(**{k: v for k, v in values.items() if k != "model_type"})
    twin = getattr(transformers, model.head_spec.architecture)._from_config(config, attn_implementation=attention)
    twin.load_state_dict(model.state_dict(), strict=True)
    return twin.eval()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_outputs_and_losses_are_equal(head: str, attention: str) -> None:
    model = tiny_model(head)
    model.set_attn_implementation(attention)
    arguments = tiny_inputs(head) | tiny_labels(head) | {"output_hidden_states": True}
    if attention == "eager":  # transformers returns no maps under sdpa
        arguments["output_attentions"] = True
    actual = model(**arguments)
    if head == "ForMultipleChoice":
        assert actual.logits.shape == (4, 3)
    assert_same(actual, reference(model, attention)(**arguments))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_gradients_are_equal(head: str, attention: str) -> None:
    model = tiny_model(head)
    model.set_attn_implementation(attention)
    twin = reference(model, attention)
    arguments = tiny_inputs(head) | tiny_labels(head)
    for each in (model, twin):
        output = each(**arguments)
        loss = output.loss if head else output.last_hidden_state.square().mean()
        loss.backward()
    parameters = dict(model.named_parameters())
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(
            parameters[name].grad, parameter.grad, **TOLERANCE, msg=lambda t, n=name: f"{n}: {t}"
        )


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head", ["", "ForTokenClassification"])
def test_embeddings_and_positions_given_by_the_caller(head: str, attention: str) -> None:
    model = tiny_model(head)
    model.set_attn_implementation(attention)
    twin = reference(model, attention)
    inputs = tiny_inputs(head)
    positions = torch.arange(LENGTH).flip(0)[None] + torch.tensor([[0], [1], [2], [3]])
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach() * 1.5
    mask = inputs["attention_mask"]
    for arguments in (
        {"inputs_embeds": embeds, "attention_mask": mask},
        {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions},
        {"input_ids": inputs["input_ids"], "position_ids": positions},
    ):
        assert_same(model(**arguments), twin(**arguments))


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels"),
    [
        ("regression", 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        (None, 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        ("regression", LABELS, torch.linspace(-1, 1, 4 * LABELS).view(4, LABELS)),
        ("multi_label_classification", LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, torch.tensor([0, 4, 2, 1])),
        ("single_label_classification", LABELS, torch.tensor([0, 4, 2, 1])),
    ],
)
def test_every_loss_of_sequence_classification(problem: str | None, num_labels: int, labels: torch.Tensor) -> None:
    model = tiny_model("ForSequenceClassification", num_labels=num_labels, problem_type=problem)
    arguments = tiny_inputs() | {"labels": labels}
    actual = model(**arguments)
    assert_same(actual, reference(model)(**arguments))
    assert model.config.problem_type == problem, "a call must not change the configuration"


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "gelu_pytorch_tanh"])
def test_activations(activation: str) -> None:
    model = tiny_model("ForMaskedLM", activation=activation)
    assert_same(model(**tiny_inputs()), reference(model)(**tiny_inputs()))


def test_sinusoidal_positions() -> None:
    model = tiny_model(sinusoidal_pos_embds=True)
    twin = transformers.DistilBertModel(transformers.DistilBertConfig(**model.config.to_dict()))
    torch.testing.assert_close(
        model.embeddings.position_embeddings.weight, twin.embeddings.position_embeddings.weight, **TOLERANCE
    )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_base_size(attention: str) -> None:
    config = DistilBertConfig(n_layers=2, attn_implementation=attention)  # base in every width, two blocks for speed
    torch.manual_seed(0)
    model = model_class("ForMaskedLM")(config).eval()
    ids = torch.randint(1, 30522, (2, 37))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    arguments = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
    with torch.no_grad():
        assert_same(model(**arguments), reference(model, attention)(**arguments))


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_folders_load_on_either_side(head: str, tmp_path: Path) -> None:
    model = tiny_model(head)
    inputs = tiny_inputs(head)
    model.save_pretrained(tmp_path / "own")
    reference_model, report = getattr(transformers, HEADS[head].architecture).from_pretrained(
        tmp_path / "own", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert reference_model.config.id2label == model.config.id2label
    assert_same(model(**inputs), reference_model(**inputs))

    reference_model.save_pretrained(tmp_path / "transformers")
    back = model_class(head).from_pretrained(tmp_path / "transformers")
    assert_same(back(**inputs), reference_model(**inputs))
    assert {n: p.shape for n, p in back.state_dict().items()} == {n: p.shape for n, p in model.state_dict().items()}
