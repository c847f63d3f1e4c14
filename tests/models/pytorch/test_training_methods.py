"""Methods that Trainer, accelerate, peft and tools of attribution call."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distilbert import ConfigError, InputError, UnknownArgumentError
from tests.tiny import HEAD_NAMES, LENGTH, tiny_config, tiny_inputs, tiny_labels, tiny_model

EXACT = {"rtol": 0.0, "atol": 1e-5}


def gradients(model: Any, **changes: Any) -> dict[str, torch.Tensor]:
    model.train()
    model.zero_grad()
    inputs = tiny_inputs("ForSequenceClassification") | tiny_labels("ForSequenceClassification") | changes
    model(**inputs).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"gradient_checkpointing_kwargs": None, "every_n_layers": 2},
        {"offload": True},
    ],
)
@pytest.mark.parametrize("newer", [False, True])
def test_checkpointing_gives_the_same_gradients(options: dict[str, Any], newer: bool) -> None:
    model = tiny_model("ForSequenceClassification", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    expected = gradients(model)
    if newer:
        renamed = {
            name.replace("gradient_checkpointing_k", "activation_checkpointing_k"): x for name, x in options.items()
        }
        model.activation_checkpointing_enable(**renamed)
    else:
        model.gradient_checkpointing_enable(**options)
    assert model.is_gradient_checkpointing
    assert model.is_activation_checkpointing
    calls = []
    for number, block in enumerate(model.distilbert.transformer.layer):
        block.ffn.register_forward_hook(lambda *_, number=number: calls.append(number))
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], **EXACT)
    recomputed = [number for number in (0, 1) if calls.count(number) == 2]
    assert recomputed == ([0] if options.get("every_n_layers") == 2 else [0, 1])
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_checkpointing_of_no_layer_is_an_error() -> None:
    with pytest.raises(InputError, match="every_n_layers must be at least 1"):
        tiny_model().gradient_checkpointing_enable(every_n_layers=0)


def test_old_configurations_ask_for_checkpointing() -> None:
    assert tiny_model("ForMaskedLM", gradient_checkpointing=True).is_gradient_checkpointing
    assert not tiny_model("ForMaskedLM", gradient_checkpointing=False).is_gradient_checkpointing


def test_gradients_reach_frozen_embeddings() -> None:
    model = tiny_model("ForSequenceClassification")
    model.distilbert.embeddings.requires_grad_(False)
    assert not model.distilbert.embeddings(tiny_inputs()["input_ids"]).requires_grad
    model.enable_input_require_grads()
    model.enable_input_require_grads()
    assert model.distilbert.embeddings(tiny_inputs()["input_ids"]).requires_grad
    model.disable_input_require_grads()
    model.disable_input_require_grads()
    assert not model.distilbert.embeddings(tiny_inputs()["input_ids"]).requires_grad


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_sizes(head: str) -> None:
    model = tiny_model(head)
    inputs = tiny_inputs(head)
    tokens = inputs["input_ids"].numel()
    assert model.main_input_name == "input_ids"
    assert model.estimate_tokens(inputs) == tokens
    assert model.estimate_tokens({}) == 0
    assert model.floating_point_ops(inputs) == 6 * tokens * model.num_parameters(exclude_embeddings=True)
    assert model.floating_point_ops(inputs, exclude_embeddings=False) == 6 * tokens * model.num_parameters()
    assert model.get_memory_footprint() == 4 * model.num_parameters()
    assert model.accepts_loss_kwargs is False
    assert model.can_generate() is False
    if head != "ForMultipleChoice":
        assert model(**model.dummy_inputs)[0].isfinite().all()


def test_embeddings_are_called_with_ids_alone() -> None:
    model = tiny_model()
    ids = tiny_inputs()["input_ids"]
    expected = model(ids, output_hidden_states=True).hidden_states[0]
    torch.testing.assert_close(model.embeddings(ids), expected)
    torch.testing.assert_close(model.embeddings(ids[0]), expected[0])
    torch.testing.assert_close(model.embeddings(inputs_embeds=model.get_input_embeddings()(ids)), expected)
    torch.testing.assert_close(model.embeddings(ids, position_ids=torch.arange(LENGTH)), expected)


def test_extended_masks_are_added_to_scores() -> None:
    model = tiny_model()
    mask = tiny_inputs()["attention_mask"]
    extended = model.get_extended_attention_mask(mask, tuple(mask.shape))
    assert extended.shape == (4, 1, 1, LENGTH)
    assert extended.unique().tolist() == [torch.finfo(torch.float32).min, 0.0]
    torch.testing.assert_close(extended[:, 0, 0].eq(0), mask.bool())
    assert model.get_extended_attention_mask(mask, dtype=torch.float16).dtype == torch.float16
    square = mask[:, None, :].expand(4, LENGTH, LENGTH)
    assert model.get_extended_attention_mask(square).shape == (4, 1, LENGTH, LENGTH)
    with pytest.raises(InputError, match="two or three dimensions"):
        model.get_extended_attention_mask(mask[0])


def test_head_masks() -> None:
    model = tiny_model()
    assert model.get_head_mask(None, 2) == [None, None]
    assert model.get_head_mask(torch.ones(3), 2).shape == (2, 1, 3, 1, 1)
    factors = torch.tensor([[1.0, 0.0, 1.0], [0.5, 1.0, 1.0]])
    torch.testing.assert_close(model.get_head_mask(factors, 2)[:, 0, :, 0, 0], factors)
    assert model.get_head_mask(torch.ones(3), 2, is_attention_chunked=True).shape == (2, 1, 3, 1, 1, 1)


@pytest.mark.parametrize("heads", [{-1: [0]}, {-1: {0}, 1: (1,)}, {-2: [2], -1: [0]}])
def test_layers_are_counted_from_the_end(heads: dict[int, Any]) -> None:
    model, other = tiny_model(), tiny_model()
    model.prune_heads(heads)
    positive: dict[int, list[int]] = {}
    for layer, pruned in heads.items():
        positive.setdefault(layer % 2, []).extend(pruned)
    other.prune_heads(positive)
    assert model.config.pruned_heads == {layer: sorted(pruned) for layer, pruned in positive.items()}
    torch.testing.assert_close(model(**tiny_inputs())[0], other(**tiny_inputs())[0])
    with pytest.raises(ConfigError, match=r"pruned_heads\[-3\]"):
        model.prune_heads({-3: [0]})
    config = tiny_config(pruned_heads={-1: [0]})
    assert config.pruned_heads == {1: [0]}
    config.pruned_heads = {-2: [2, 1]}
    assert config.pruned_heads == {0: [1, 2]}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("head", ["", "ForSequenceClassification"])
def test_hooks_on_blocks_get_the_hidden_states_of_all_tokens(attention: str, head: str) -> None:
    model = tiny_model(head, attn_implementation=attention)
    states = model(**tiny_inputs(head), output_hidden_states=True).hidden_states
    plain = model(**tiny_inputs(head))[0]
    seen: list[Any] = []
    hooks = [
        block.register_forward_hook(lambda _, __, output: seen.append(output))
        for block in model.base_model.transformer.layer
    ]
    torch.testing.assert_close(model(**tiny_inputs(head))[0], plain, **EXACT)
    assert [len(output) for output in seen] == [1, 1]
    for output, expected in zip(seen, states[1:], strict=True):
        torch.testing.assert_close(output[0], expected, **EXACT)
    seen.clear()
    maps = model(**tiny_inputs(head), output_attentions=True).attentions
    for output, expected in zip(seen, maps, strict=True):
        torch.testing.assert_close(output[1], expected)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(model(**tiny_inputs(head))[0], plain)


@pytest.mark.parametrize("head", ["", "ForMaskedLM", "ForMultipleChoice"])
def test_arguments_of_calls_known_from_transformers(head: str) -> None:
    model = tiny_model(head)
    inputs = tiny_inputs(head)
    plain = model(**inputs)[0]
    nothing = {"use_cache": False, "num_items_in_batch": 4, "past_key_values": None, "encoder_hidden_states": None}
    torch.testing.assert_close(model(**inputs, **nothing)[0], plain)
    name = type(model).__name__
    with pytest.raises(InputError, match=f"^{name}.forward does not take encoder_hidden_states=.*encoder"):
        model(**inputs, encoder_hidden_states=torch.ones(1))
    with pytest.raises(InputError, match="masked_lm_labels=.*called `labels`"):
        model(**inputs, masked_lm_labels=torch.ones(1))
    with pytest.raises(UnknownArgumentError, match=f"^{name}.forward got .*Did you mean 'attention_mask'"):
        model(**inputs, attention_masks=inputs["attention_mask"])


@pytest.mark.parametrize("head", ["", "ForQuestionAnswering"])
def test_labels_of_another_head_are_an_error(head: str) -> None:
    model = tiny_model(head)
    with pytest.raises(UnknownArgumentError, match=f"^{type(model).__name__}.forward got an unknown argument 'labels'"):
        model(**tiny_inputs(head), labels=torch.zeros(4, dtype=torch.long))
    with pytest.raises(UnknownArgumentError, match="unknown argument 'start_positions'"):
        tiny_model("ForTokenClassification")(**tiny_inputs(), start_positions=torch.zeros(4))
