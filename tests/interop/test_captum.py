"""captum on models of this package: attributions of embeddings, layers and heads."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("captum")
import torch
from captum.attr import (
    LayerActivation,
    LayerConductance,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    configure_interpretable_embedding_layer,
    remove_interpretable_embedding_layer,
)

from distilbert import DistilBertConfig, DistilBertForSequenceClassification
from tests.interop.tiny_data import SIZES

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 8, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
BASELINE = torch.tensor([[2, 0, 0, 0, 3], [2, 0, 0, 3, 0]])


@pytest.fixture(params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    config = DistilBertConfig(**SIZES, initializer_range=0.3, attn_implementation=request.param)
    return DistilBertForSequenceClassification(config).eval()


def score(model: Any) -> Any:
    return lambda ids, mask: model(ids, attention_mask=mask).logits[:, 1]


def test_integrated_gradients_of_the_embeddings_add_up(model: Any) -> None:
    explain = LayerIntegratedGradients(score(model), model.distilbert.embeddings)
    attributions, error = explain.attribute(
        IDS, baselines=BASELINE, additional_forward_args=(MASK,), n_steps=200, return_convergence_delta=True
    )
    assert attributions.shape == (2, 5, 24)
    difference = score(model)(IDS, MASK) - score(model)(BASELINE, MASK)
    torch.testing.assert_close(attributions.sum((1, 2)), difference.double(), rtol=0.05, atol=0.02, check_dtype=False)
    assert error.abs().max() < 0.05


@pytest.mark.parametrize("layer", [0, 1])
def test_layers_are_attributed(model: Any, layer: int) -> None:
    block = model.distilbert.transformer.layer[layer]
    states = model.distilbert(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    activation = LayerActivation(score(model), block).attribute(IDS, additional_forward_args=(MASK,))
    activation = activation[0] if isinstance(activation, tuple) else activation
    torch.testing.assert_close(activation, states[layer + 1])
    for method in (LayerGradientXActivation, LayerIntegratedGradients):
        options = {"baselines": BASELINE, "n_steps": 5} if method is LayerIntegratedGradients else {}
        attributions = method(score(model), block).attribute(IDS, additional_forward_args=(MASK,), **options)
        attributions = attributions[0] if isinstance(attributions, tuple) else attributions
        assert attributions.shape == (2, 5, 24)
        assert attributions.abs().sum() > 0


def test_conductance_of_layers_from_embeddings(model: Any) -> None:
    embedded = model.distilbert.embeddings(IDS)
    torch.testing.assert_close(embedded, model.distilbert(IDS, output_hidden_states=True).hidden_states[0])
    words = model.get_input_embeddings()(IDS)
    forward = lambda embeds, mask: model(inputs_embeds=embeds, attention_mask=mask).logits[:, 1]  # noqa: E731
    for block in model.distilbert.transformer.layer:
        conductance = LayerConductance(forward, block).attribute(
            words, baselines=torch.zeros_like(words), additional_forward_args=(MASK,), n_steps=5
        )
        conductance = conductance[0] if isinstance(conductance, tuple) else conductance
        assert conductance.shape == (2, 5, 24)


@pytest.mark.filterwarnings("ignore:In order to make embedding layers")
def test_interpretable_embeddings(model: Any) -> None:
    plain = score(model)(IDS, MASK)
    layer = configure_interpretable_embedding_layer(model, "distilbert.embeddings.word_embeddings")
    embedded = layer.indices_to_embeddings(IDS)
    answer = model(inputs_embeds=embedded, attention_mask=MASK).logits[:, 1]
    remove_interpretable_embedding_layer(model, layer)
    torch.testing.assert_close(answer, plain)
    torch.testing.assert_close(score(model)(IDS, MASK), plain)


def test_hooks_on_blocks_get_one_tensor(model: Any) -> None:
    seen = []
    for block in model.distilbert.transformer.layer:
        block.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output)))
    plain = model(IDS, attention_mask=MASK).logits
    assert [(shape, len(output), output[0].shape) for shape, output in seen] == [((2, 5, 24), 1, (2, 5, 24))] * 2
    for block in model.distilbert.transformer.layer:
        block._forward_hooks.clear()
    torch.testing.assert_close(model(IDS, attention_mask=MASK).logits, plain)
