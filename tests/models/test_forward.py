"""What a call accepts, returns and refuses, beyond equality with transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distilbert import ConfigError, DeviceError, InputError, UnknownArgumentError
from distilbert.core.schema import HEADS
from distilbert.models.pytorch.losses import sequence_classification_loss
from distilbert.models.pytorch.modeling import FFN
from tests.tiny import HEAD_NAMES, LENGTH, SIZES, tiny_inputs, tiny_labels, tiny_model

EXACT = {"rtol": 0.0, "atol": 1e-5}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_maps_are_real_from_every_implementation(attention: str) -> None:
    model = tiny_model()
    plain = model(**tiny_inputs(), output_attentions=True).attentions
    model.set_attn_implementation(attention)
    output = model(**tiny_inputs(), output_attentions=True)
    assert len(output.attentions) == 2
    mask = tiny_inputs()["attention_mask"].bool()
    for layer, other in zip(output.attentions, plain, strict=True):
        assert layer.shape == (4, 3, LENGTH, LENGTH)
        torch.testing.assert_close(layer.sum(-1), torch.ones(4, 3, LENGTH))
        torch.testing.assert_close(layer, other, **EXACT)
        assert not layer[:3].masked_select(~mask[:3, None, None, :]).any(), "padding is never looked at"


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_tuples_and_defaults_of_the_configuration(head: str) -> None:
    model = tiny_model(head)
    arguments = tiny_inputs(head) | tiny_labels(head)
    output = model(**arguments)
    for a, b in zip(output.to_tuple(), model(**arguments, return_dict=False), strict=True):
        torch.testing.assert_close(a, b)
    model.config.return_dict, model.config.output_hidden_states, model.config.output_attentions = False, True, True
    assert len(model(**arguments)) == len(output) + 2
    assert len(model(**arguments, output_hidden_states=False, output_attentions=False)) == len(output)


def test_head_mask_scales_heads() -> None:
    model = tiny_model()
    inputs = tiny_inputs()
    torch.testing.assert_close(model(**inputs, head_mask=torch.ones(3))[0][:3], model(**inputs)[0][:3], **EXACT)
    keep = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    output = model(**inputs, head_mask=keep, output_attentions=True)
    assert not output.attentions[0][:, 1].any()
    pruned = tiny_model()
    pruned.prune_heads({0: [1]})
    torch.testing.assert_close(pruned(**inputs)[0][:3], output[0][:3], **EXACT)
    with pytest.raises(InputError, match=r"head_mask must be \(3,\) or \(2, 3\)"):
        model(**inputs, head_mask=torch.ones(2))


def test_four_dimensional_masks() -> None:
    model = tiny_model()
    ids = tiny_inputs()["input_ids"]
    flat = torch.ones(4, LENGTH)
    flat[:, 6:] = 0
    square = flat[:, None, None, :].expand(4, 1, LENGTH, LENGTH)
    torch.testing.assert_close(model(ids, square)[0], model(ids, flat)[0], **EXACT)
    blocks = torch.zeros(LENGTH, LENGTH)  # two sequences in one row see only themselves
    blocks[:5, :5] = blocks[5:, 5:] = 1
    positions = torch.tensor([*range(5), *range(6)])
    joined = model(ids[:1], blocks[None, None], position_ids=positions)[0]
    torch.testing.assert_close(joined[:, :5], model(ids[:1, :5])[0], **EXACT)
    torch.testing.assert_close(joined[:, 5:], model(ids[:1, 5:])[0], **EXACT)
    with pytest.raises(InputError, match=r"attention_mask must be \(4, 11\)"):
        model(ids, flat[:, :5])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_masks_that_are_added_to_the_scores(attention: str) -> None:
    model = tiny_model()
    model.set_attn_implementation(attention)
    ids = tiny_inputs()["input_ids"]
    keep = torch.ones(4, LENGTH, LENGTH).tril()
    wanted = model(ids, keep[:, None])[0]
    torch.testing.assert_close(model(ids, model.get_extended_attention_mask(keep))[0], wanted, rtol=0, atol=0)
    infinite = torch.zeros(4, 1, LENGTH, LENGTH).masked_fill(keep[:, None] == 0, -torch.inf)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(ids, infinite)[0], wanted, **EXACT)
    torch.testing.assert_close(model(ids, torch.zeros_like(infinite))[0], model(ids)[0], **EXACT)


def test_multiple_choice_takes_positions() -> None:
    model = tiny_model("ForMultipleChoice")
    inputs = tiny_inputs("ForMultipleChoice")
    positions = torch.arange(LENGTH).expand(4, 3, LENGTH)
    torch.testing.assert_close(model(**inputs, position_ids=positions).logits, model(**inputs).logits, **EXACT)
    with pytest.raises(InputError, match="takes \\(batch, choices, sequence\\) inputs, got \\(4, 11\\)"):
        model(**tiny_inputs())


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_alone_is_finite_in_every_precision(head: str, dtype: torch.dtype, attention: str) -> None:
    model = tiny_model(head)
    wanted = model(**tiny_inputs(head))
    model.to(dtype).set_attn_implementation(attention)
    for got, exact in zip(model(**tiny_inputs(head)).to_tuple(), wanted.to_tuple(), strict=True):
        assert got.dtype == dtype
        assert torch.isfinite(got).all()
        scale = exact[:3].abs().max()
        assert (got.float() - exact)[:3].abs().max() < 0.06 * scale  # the tiny model's weights are large


def test_token_types() -> None:
    model = tiny_model("ForSequenceClassification")
    zeros = torch.zeros(4, LENGTH, dtype=torch.long)
    torch.testing.assert_close(model(**tiny_inputs(), token_type_ids=zeros).logits, model(**tiny_inputs()).logits)
    with pytest.raises(InputError, match=r"no token types: .*\[SEP\]"):
        model(**tiny_inputs(), token_type_ids=zeros + 1)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_unknown_arguments_name_the_nearest(head: str) -> None:
    with pytest.raises(UnknownArgumentError, match="'attention_maks'. Did you mean 'attention_mask'"):
        tiny_model(head)(tiny_inputs(head)["input_ids"], attention_maks=None)


def test_bad_inputs() -> None:
    model = tiny_model()
    ids = tiny_inputs()["input_ids"]
    with pytest.raises(InputError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(InputError, match="either input_ids or inputs_embeds"):
        model(ids, inputs_embeds=torch.zeros(4, LENGTH, 24))
    with pytest.raises(InputError, match=r"must be \(batch, sequence\), got shape \(11,\)"):
        model(ids[0])
    with pytest.raises(InputError, match=r"must be \(batch, sequence, 24\), got shape \(4, 11, 23\)"):
        model(inputs_embeds=torch.zeros(4, LENGTH, 23))
    with pytest.raises(InputError, match="24 tokens and the model knows 23 positions: .*truncation=True"):
        model(torch.ones(1, 24, dtype=torch.long))
    with pytest.raises(InputError, match="input_ids holds ids from 1 to 97; this model takes 0 to 96"):
        model(torch.tensor([[1, 97]]))
    with pytest.raises(InputError, match="position_ids holds ids from 3 to 40"):
        model(torch.tensor([[1, 2]]), position_ids=torch.tensor([[3, 40]]))


def test_question_answering_has_two_labels() -> None:
    with pytest.raises(ConfigError, match="num_labels is 3"):
        tiny_model("ForQuestionAnswering", num_labels=3)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_batch_equals_single(head: str) -> None:
    model = tiny_model(head)
    inputs = tiny_inputs(head)
    batch = model(**inputs).to_tuple()
    for index in range(4):
        single = model(**{name: tensor[index : index + 1] for name, tensor in inputs.items()}).to_tuple()
        for a, b in zip(batch, single, strict=True):
            torch.testing.assert_close(a[index], b[0], **EXACT)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_compiled_without_a_graph_break(head: str) -> None:
    model = tiny_model(head)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    arguments = tiny_inputs(head) | tiny_labels(head) | {"output_hidden_states": True}
    zeros = torch.zeros_like(arguments["input_ids"])
    if head != "ForMultipleChoice":
        arguments["token_type_ids"] = zeros
    wanted, got = model(**arguments), compiled(**arguments)
    assert type(got) is type(wanted)
    for a, b in zip(got.to_tuple(), wanted.to_tuple(), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_exported_with_dynamic_shapes(head: str) -> None:
    model = tiny_model(head)
    inputs = tiny_inputs(head)
    axes = {0: torch.export.Dim("batch", min=2, max=64)}
    if head != "ForMultipleChoice":
        axes[1] = torch.export.Dim("length", min=2, max=SIZES["max_position_embeddings"])
    program = torch.export.export(model, (), inputs, dynamic_shapes=dict.fromkeys(inputs, axes))
    cut = {name: tensor[:2] if head == "ForMultipleChoice" else tensor[:2, :7] for name, tensor in inputs.items()}
    for a, b in zip(program.module()(**cut).to_tuple(), model(**cut).to_tuple(), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_gradient_checkpointing_changes_nothing_but_memory(head: str) -> None:
    model = tiny_model(head, dropout=0.0, attention_dropout=0.0, qa_dropout=0.0, seq_classif_dropout=0.0).train()
    arguments = tiny_inputs(head) | tiny_labels(head)

    def gradients() -> list[Any]:
        model.zero_grad()
        output = model(**arguments)
        (output.loss if HEADS[head].name else output[0].square().mean()).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain = gradients()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    for a, b in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_dropout_drops_in_training_only() -> None:
    model = tiny_model()
    assert torch.equal(model(**tiny_inputs())[0], model(**tiny_inputs())[0])
    model.train()
    assert not torch.equal(model(**tiny_inputs())[0], model(**tiny_inputs())[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_flash_attention_without_cuda_says_so_in_one_sentence() -> None:
    model = tiny_model()
    with pytest.raises(DeviceError, match="needs a CUDA GPU.*use 'sdpa'"):
        model.set_attn_implementation("flash_attention_2")
    assert model.attn_implementation == "sdpa"
    model.config.attn_implementation = "flash_attention_2"
    with pytest.raises(DeviceError, match="needs a CUDA GPU"):
        model(**tiny_inputs())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_last_block_may_compute_the_first_token_alone(attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    model.set_attn_implementation(attention)
    square = {"attention_mask": torch.ones(4, 1, LENGTH, LENGTH).tril()}
    for changes in ({}, square, {"head_mask": torch.tensor([1.0, 0.5, 2.0])}):
        inputs = tiny_inputs() | changes
        first = model(**inputs, first_token=True).last_hidden_state
        assert first.shape == (4, 1, 24)
        torch.testing.assert_close(first, model(**inputs).last_hidden_state[:, :1], **EXACT)
    assert model(**tiny_inputs(), first_token=True, output_attentions=True)[0].shape == (4, LENGTH, 24)
    lengths: list[int] = []
    original = FFN.forward
    monkeypatch.setattr(FFN, "forward", lambda ffn, x: lengths.append(x.shape[1]) or original(ffn, x))
    for head, length in (
        ("ForSequenceClassification", 1),
        ("ForMultipleChoice", 1),
        ("ForTokenClassification", LENGTH),
    ):
        tiny_model(head)(**tiny_inputs(head))
        assert lengths[-2:] == [LENGTH, length]


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        ("ForSequenceClassification", torch.zeros(3).long(), r"labels of shape \(3,\) do not go with logits"),
        (
            "ForSequenceClassification",
            torch.zeros(4),
            r"labels of shape \(4,\) do not go with logits of shape \(4, 5\)",
        ),
        ("ForTokenClassification", torch.zeros(4, 3).long(), r"labels of shape \(12,\) do not go"),
        ("ForTokenClassification", torch.zeros(4, LENGTH), "must be integers, got float32"),
        ("ForMultipleChoice", torch.zeros(3).long(), r"labels of shape \(3,\) do not go with logits of shape \(4, 3\)"),
    ],
)
def test_labels_that_do_not_fit(head: str, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_model(head)(**tiny_inputs(head), labels=labels)


def test_labels_to_regress_on_that_do_not_fit() -> None:
    model = tiny_model("ForSequenceClassification", problem_type="regression")
    with pytest.raises(InputError, match=r"labels of shape \(4,\) do not go with logits of shape \(4, 5\)"):
        model(**tiny_inputs(), labels=torch.zeros(4))
    for labels in (torch.zeros(4), torch.zeros(4, 1)):
        assert tiny_model("ForSequenceClassification", num_labels=1)(**tiny_inputs(), labels=labels).loss > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["regression", "multi_label_classification", "single_label_classification"])
def test_losses_are_computed_in_fp32(dtype: torch.dtype, kind: str) -> None:
    logits = torch.tensor([[0.1, -2.0], [3.0, 0.7]]).to(dtype)
    labels = torch.tensor([1, 0]) if kind.startswith("single") else torch.tensor([[1001.5, 1003.0], [70_000.0, 0.9]])
    loss = sequence_classification_loss(logits, labels, kind)
    torch.testing.assert_close(loss, sequence_classification_loss(logits.float(), labels, kind), rtol=0, atol=0)
    exact = sequence_classification_loss(logits.double(), labels, kind)
    assert (loss.dtype, exact.dtype) == (torch.float32, torch.float64)


def test_ids_are_integers() -> None:
    model = tiny_model()
    with pytest.raises(InputError, match="input_ids must be integers, got float32"):
        model(torch.ones(1, 2))
    with pytest.raises(InputError, match="position_ids must be integers"):
        model(torch.ones(1, 2).long(), position_ids=torch.zeros(2))
