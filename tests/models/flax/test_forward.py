"""What a call of a Flax model accepts, returns and refuses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from distilbert import ConfigError, DeviceError, DistilBertConfig, InputError, UnknownArgumentError
from distilbert.models.flax import FlaxDistilBertModel
from distilbert.models.flax.attention import fused, written_out
from distilbert.models.flax.modeling import FFN
from tests.models.flax.tiny import close, flax_model, inputs, labels
from tests.tiny import HEAD_NAMES, LENGTH


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_maps_are_real_from_every_implementation(attention: str) -> None:
    model = flax_model()
    model.set_attn_implementation(attention)
    output = model(**inputs(), output_attentions=True)
    assert len(output.attentions) == 2
    for layer in output.attentions:
        assert layer.shape == (4, 3, LENGTH, LENGTH)
        close(layer.sum(-1), np.ones((4, 3, LENGTH)))
        assert not np.asarray(layer)[1, :, :, 7:].any(), "padding is never looked at"
    close(output[0], model(**inputs())[0])


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_tuples_and_defaults_of_the_configuration(head: str) -> None:
    model = flax_model(head)
    arguments = inputs(head) | labels(head)
    output = model(**arguments)
    for a, b in zip(output.to_tuple(), model(**arguments, return_dict=False), strict=True):
        close(a, b)
    model.config.return_dict, model.config.output_hidden_states, model.config.output_attentions = False, True, True
    assert len(model(**arguments)) == len(output) + 2
    assert len(model(**arguments, output_hidden_states=False, output_attentions=False)) == len(output)


@pytest.mark.parametrize("masked", [False, True])
def test_the_attention_of_a_cpu_equals_that_of_other_devices(masked: bool) -> None:
    q, k, v = (jax.random.normal(jax.random.key(seed), (4, LENGTH, 3, 8)) for seed in range(3))
    bias = jnp.where(inputs()["attention_mask"][:, None, None, :] == 0, jnp.finfo(q.dtype).min / 2, 0.0)

    def run(attend: Any) -> Any:
        return jax.value_and_grad(lambda *x: (attend(*x, bias if masked else None) ** 2).sum(), (0, 1, 2))(q, k, v)

    for a, b in zip(jax.tree.leaves(run(written_out)), jax.tree.leaves(run(fused)), strict=True):
        close(a, b, 1e-4)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_last_block_may_answer_for_the_first_token_alone(attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = flax_model()
    model.set_attn_implementation(attention)
    square = np.tril(np.ones((4, 1, LENGTH, LENGTH)))
    for options in (inputs(), inputs() | {"attention_mask": square}, inputs() | {"head_mask": np.array([1.0, 0.5, 2])}):
        first = model(**options, first_token=True).last_hidden_state
        assert first.shape == (4, 1, 24)
        close(first, model(**options).last_hidden_state[:, :1])
    assert model(**inputs(), first_token=True, output_attentions=True)[0].shape == (4, LENGTH, 24)
    lengths: list[int] = []
    original = FFN.__call__
    monkeypatch.setattr(FFN, "__call__", lambda ffn, x, *rest: lengths.append(x.shape[1]) or original(ffn, x, *rest))
    for head, wanted in (
        ("ForSequenceClassification", 1),
        ("ForMultipleChoice", 1),
        ("ForTokenClassification", LENGTH),
    ):
        flax_model(head)(**inputs(head))
        assert lengths[-2:] == [LENGTH, wanted]


def test_head_mask_scales_heads() -> None:
    model = flax_model()
    close(model(**inputs(), head_mask=np.ones(3))[0], model(**inputs())[0])
    keep = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    output = model(**inputs(), head_mask=keep, output_attentions=True)
    assert not output.attentions[0][:, 1].any()
    pruned = flax_model()
    pruned.prune_heads({0: [1]})
    close(pruned(**inputs())[0], output[0])
    with pytest.raises(InputError, match=r"head_mask must be \(3,\) or \(2, 3\)"):
        model(**inputs(), head_mask=np.ones(2))
    with pytest.raises(InputError, match="needs a model without pruned heads"):
        pruned(**inputs(), head_mask=np.ones(3))


def test_four_dimensional_masks() -> None:
    model = flax_model()
    ids = inputs()["input_ids"]
    flat = np.ones((4, LENGTH))
    flat[:, 6:] = 0
    square = np.broadcast_to(flat[:, None, None, :], (4, 1, LENGTH, LENGTH))
    close(model(ids, square)[0], model(ids, flat)[0])
    blocks = np.zeros((LENGTH, LENGTH))  # two sequences in one row see only themselves
    blocks[:5, :5] = blocks[5:, 5:] = 1
    joined = model(ids[:1], blocks[None, None], position_ids=np.array([*range(5), *range(6)]))[0]
    close(joined[:, :5], model(ids[:1, :5])[0])
    close(joined[:, 5:], model(ids[:1, 5:])[0])
    with pytest.raises(InputError, match=r"attention_mask must be \(4, 11\)"):
        model(ids, flat[:, :5])


def test_masks_that_are_added_to_the_scores() -> None:
    model, ids = flax_model(), inputs()["input_ids"]
    keep = np.tril(np.ones((4, 1, LENGTH, LENGTH), np.float32))
    wanted = model(ids, keep)[0]
    for hidden in (-np.inf, np.finfo(np.float32).min):
        added = np.where(keep == 1, np.float32(0), np.float32(hidden))
        close(model(ids, added)[0], wanted)
    close(nnx.jit(lambda m, i, a: m(i, a)[0])(model, ids, added), wanted)
    close(model(ids, np.zeros_like(keep))[0], model(ids)[0])


def test_multiple_choice_takes_positions_and_embeddings() -> None:
    model = flax_model("ForMultipleChoice")
    given = inputs("ForMultipleChoice")
    positions = np.broadcast_to(np.arange(LENGTH), (4, 3, LENGTH))
    close(model(**given, position_ids=positions).logits, model(**given).logits)
    embeds = model.get_input_embeddings()(jnp.asarray(given["input_ids"]))
    close(model(inputs_embeds=embeds, attention_mask=given["attention_mask"]).logits, model(**given).logits)
    with pytest.raises(InputError, match="takes \\(batch, choices, sequence\\) inputs, got \\(4, 11\\)"):
        model(**inputs())


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_alone_is_finite_in_every_precision(head: str, dtype: str, attention: str) -> None:
    model = flax_model(head)
    wanted = model(**inputs(head))
    half = flax_model(head, dtype=dtype)
    half.params = model.params
    half.set_attn_implementation(attention)
    for got, exact in zip(half(**inputs(head)).to_tuple(), wanted.to_tuple(), strict=True):
        assert got.dtype == jnp.dtype(dtype)
        assert jnp.isfinite(got).all()
        scale = jnp.abs(exact[:3]).max()
        assert jnp.abs(got.astype(jnp.float32) - exact)[:3].max() < 0.06 * scale  # the tiny model's weights are large


def test_token_types() -> None:
    model = flax_model("ForSequenceClassification")
    zeros = np.zeros((4, LENGTH), int)
    close(model(**inputs(), token_type_ids=zeros).logits, model(**inputs()).logits)
    with pytest.raises(InputError, match=r"no token types: .*\[SEP\]"):
        model(**inputs(), token_type_ids=zeros + 1)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_unknown_arguments_name_the_nearest(head: str) -> None:
    with pytest.raises(UnknownArgumentError, match="'attention_maks'. Did you mean 'attention_mask'"):
        flax_model(head)(inputs(head)["input_ids"], attention_maks=None)


def test_bad_inputs() -> None:
    model = flax_model()
    ids = inputs()["input_ids"]
    with pytest.raises(InputError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(InputError, match="either input_ids or inputs_embeds"):
        model(ids, inputs_embeds=np.zeros((4, LENGTH, 24)))
    with pytest.raises(InputError, match=r"must be \(batch, sequence\), got shape \(11,\)"):
        model(ids[0])
    with pytest.raises(InputError, match=r"must be \(batch, sequence, 24\), got shape \(4, 11, 23\)"):
        model(inputs_embeds=np.zeros((4, LENGTH, 23)))
    with pytest.raises(InputError, match="24 tokens and the model knows 23 positions: .*truncation=True"):
        model(np.ones((1, 24), int))
    with pytest.raises(InputError, match="input_ids holds ids from 1 to 97; this model takes 0 to 96"):
        model(np.array([[1, 97]]))
    with pytest.raises(InputError, match="position_ids holds ids from 3 to 40"):
        model(jnp.array([[1, 2]]), position_ids=jnp.array([[3, 40]]))
    with pytest.raises(InputError, match="input_ids must be integers, got float32"):
        model(np.ones((1, 2), np.float32))
    with pytest.raises(ConfigError, match=r"takes a distilbert\.DistilBertConfig, got a dict"):
        FlaxDistilBertModel({})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="num_labels is 3"):
        flax_model("ForQuestionAnswering", num_labels=3)


@pytest.mark.parametrize(
    ("head", "wrong", "message"),
    [
        ("ForSequenceClassification", np.zeros(3, int), r"labels of shape \(3,\) do not go with logits"),
        ("ForSequenceClassification", np.zeros(4), r"labels of shape \(4,\) do not go with logits of shape \(4, 5\)"),
        ("ForTokenClassification", np.zeros((4, 3), int), r"labels of shape \(12,\) do not go"),
        ("ForTokenClassification", np.zeros((4, LENGTH)), "must be integers, got float32"),
    ],
)
def test_labels_that_do_not_fit(head: str, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        flax_model(head)(**inputs(head), labels=wrong)


def test_a_label_that_is_no_class_is_never_a_number() -> None:
    model = flax_model("ForSequenceClassification")
    for wrong in (5, -1):
        labels_of_no_class = np.full(4, wrong)
        with pytest.raises(InputError, match=f"labels holds {wrong}"):
            model(**inputs(), labels=labels_of_no_class)
        # Numbers cannot be looked at while JAX traces.
        assert jnp.isnan(
            nnx.jit(lambda model, arrays: model(**arrays).loss)(model, inputs() | {"labels": labels_of_no_class})
        )


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_batch_equals_single(head: str) -> None:
    model = flax_model(head)
    given = inputs(head)
    batch = model(**given).to_tuple()
    for index in range(4):
        single = model(**{name: array[index : index + 1] for name, array in given.items()}).to_tuple()
        for a, b in zip(batch, single, strict=True):
            close(a[index], b[0])


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_compiled(head: str) -> None:
    model = flax_model(head)
    arguments = inputs(head) | labels(head)
    if head != "ForMultipleChoice":
        arguments["token_type_ids"] = np.zeros_like(arguments["input_ids"])
    compiled = nnx.jit(lambda model, arguments: model(**arguments, output_hidden_states=True))
    wanted, got = model(**arguments, output_hidden_states=True), compiled(model, arguments)
    assert type(got) is type(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        close(a, b)


def test_a_change_of_the_configuration_is_seen_by_compiled_code() -> None:
    model, other = flax_model(), flax_model()
    compiled = nnx.jit(lambda model, ids: model(ids))
    ids = inputs()["input_ids"]
    assert len(compiled(model, ids)) == 1
    model.config.output_hidden_states = True
    assert len(compiled(model, ids)) == 2
    assert len(compiled(other, ids)) == 1
    model.config.output_hidden_states = False
    assert len(compiled(model, ids)) == 1
    assert other.config is not model.config
    own = DistilBertConfig.from_dict(model.config.to_dict())
    model.config = own
    compiled(model, ids)
    assert model.config is own


def test_split_and_merge() -> None:
    model = flax_model("ForMaskedLM")
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    again = nnx.merge(graphdef, jax.tree.map(lambda x: x * 1, params), rest)
    close(again(**inputs()).logits, model(**inputs()).logits)
    pure = jax.jit(lambda params, ids: nnx.merge(graphdef, params, rest)(ids).logits)
    close(pure(params, inputs()["input_ids"]), model(inputs()["input_ids"]).logits)
    close(nnx.clone(model)(**inputs()).logits, model(**inputs()).logits)


def test_dropout_drops_in_training_only() -> None:
    model = flax_model()

    def differs(**options: Any) -> bool:
        return not jnp.array_equal(model(**inputs(), **options)[0], model(**inputs(), **options)[0])

    assert not differs()
    assert differs(deterministic=False)
    model.train()
    assert differs()
    assert not differs(deterministic=True)


def test_flash_attention_says_in_one_sentence_where_it_is() -> None:
    model = flax_model()
    with pytest.raises(DeviceError, match="belongs to the PyTorch classes; use 'sdpa'"):
        model.set_attn_implementation("flash_attention_2")
    assert model.attn_implementation == "sdpa"
    model.config.attn_implementation = "flash_attention_2"
    with pytest.raises(DeviceError, match="use 'sdpa'"):
        model(**inputs())
