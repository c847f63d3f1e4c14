"""What a call of a Keras model accepts, returns and refuses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from distilbert import BatchEncoding, ConfigError, DeviceError, InputError, UnknownArgumentError
from distilbert.models.keras.modeling import FFN
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import inputs, keras_class, labels, tiny_keras
from tests.tiny import HEAD_NAMES, LENGTH, tiny_config


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_inputs_by_position_by_name_or_as_one_mapping(head: str) -> None:
    model, given = tiny_keras(head), inputs(head)
    wanted = model(**given)
    encoding = BatchEncoding({name: array.tolist() for name, array in given.items()}, tensor_type="tf")
    for output in (
        model(given),
        model(encoding),
        model(**encoding),
        model(*given.values()),
        model({"input_ids": given["input_ids"]}, attention_mask=given["attention_mask"]),
        model({name: array.tolist() for name, array in given.items()}, training=False),
    ):
        assert_same(output, wanted, 0)
    with pytest.raises(InputError, match="input_ids was given twice"):
        model(given, input_ids=given["input_ids"])
    with pytest.raises(UnknownArgumentError, match=r"\.call got .*'attention_maks'. Did you mean 'attention_mask'"):
        model(given["input_ids"], attention_maks=None)
    with pytest.raises(UnknownArgumentError, match="'overflow_to_sample_mapping'"):
        model(given | {"overflow_to_sample_mapping": [0]})


def test_tuples_and_defaults_of_the_configuration() -> None:
    model = tiny_keras("ForTokenClassification")
    given = inputs() | labels("ForTokenClassification")
    output = model(given)
    for a, b in zip(output.to_tuple(), model(given, return_dict=False), strict=True):
        assert_close(a, b, tolerance=0)
    model.config.return_dict, model.config.output_hidden_states, model.config.output_attentions = False, True, True
    assert len(model(given)) == len(output) + 2
    assert len(model(given, output_hidden_states=False, output_attentions=False)) == len(output)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_maps_are_real(attention: str) -> None:
    model = tiny_keras()
    model.set_attn_implementation(attention)
    for layer in model(inputs(), output_attentions=True).attentions:
        assert layer.shape == (4, 3, LENGTH, LENGTH)
        assert_close(tf.reduce_sum(layer, -1), np.ones((4, 3, LENGTH)))
        seen = np.broadcast_to(inputs()["attention_mask"][:3, None, None, :], (3, 3, LENGTH, LENGTH))
        assert not layer.numpy()[:3][seen == 0].any(), "padding is never looked at"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_last_block_may_answer_for_the_first_token_alone(attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_keras()
    model.set_attn_implementation(attention)
    square = np.tril(np.ones((4, 1, LENGTH, LENGTH)))
    for options in (inputs(), inputs() | {"attention_mask": square}, inputs() | {"head_mask": np.array([1.0, 0.5, 2])}):
        first = model(options, first_token=True).last_hidden_state
        assert first.shape == (4, 1, 24)
        assert_close(first, model(options).last_hidden_state[:, :1])
    assert model(inputs(), first_token=True, output_attentions=True)[0].shape == (4, LENGTH, 24)
    lengths: list[int] = []
    original = FFN.call
    monkeypatch.setattr(FFN, "call", lambda ffn, x, **rest: lengths.append(x.shape[1]) or original(ffn, x, **rest))
    for head, wanted in (
        ("ForSequenceClassification", 1),
        ("ForMultipleChoice", 1),
        ("ForTokenClassification", LENGTH),
    ):
        tiny_keras(head)(inputs(head))
        assert lengths[-2:] == [LENGTH, wanted]


@pytest.mark.parametrize("head", ["", "ForMaskedLM", "ForMultipleChoice"])
def test_batch_equals_single(head: str) -> None:
    model, given = tiny_keras(head), inputs(head)
    batch = model(given)[0]
    for index in range(4):
        single = model({name: array[index : index + 1] for name, array in given.items()})
        assert_close(single[0][0], batch[index])


def test_dropout_drops_in_training_only() -> None:
    model = tiny_keras()
    assert_close(model(inputs())[0], model(inputs())[0], tolerance=0)
    assert not np.array_equal(model(inputs(), training=True)[0], model(inputs(), training=True)[0])


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_traced(head: str, jit_compile: bool) -> None:
    model = tiny_keras(head)
    given = inputs(head) | labels(head)
    output = tf.function(model, jit_compile=jit_compile)(given)
    assert type(output) is type(model(given))
    assert_same(output, model(given))


def test_inside_a_functional_model() -> None:
    ids, mask = (keras.Input((None,), dtype="int32") for _ in range(2))
    encoder = tiny_keras()
    states = encoder(ids, attention_mask=mask).last_hidden_state
    model = keras.Model([ids, mask], keras.layers.Dense(2)(states[:, 0]))
    assert model(list(inputs().values())).shape == (4, 2)
    assert {id(v) for v in encoder.weights} <= {id(v) for v in model.trainable_weights}


def test_masks_that_are_added_to_the_scores() -> None:
    model, ids = tiny_keras(), inputs()["input_ids"]
    keep = np.tril(np.ones((4, 1, LENGTH, LENGTH), np.float32))
    wanted = model(ids, keep)[0]
    for hidden in (-np.inf, np.finfo(np.float32).min):
        added = np.where(keep == 1, np.float32(0), np.float32(hidden))
        assert_close(model(ids, added)[0], wanted)
    assert_close(model(ids, added.tolist())[0], wanted)
    assert_close(tf.function(lambda i, a: model(i, a)[0])(ids, tf.constant(added)), wanted)
    assert_close(model(ids, np.zeros_like(keep))[0], model(ids)[0])


def test_token_types() -> None:
    model, zeros = tiny_keras("ForSequenceClassification"), np.zeros((4, LENGTH), int)
    assert_same(model(inputs(), token_type_ids=zeros), model(inputs()), 0)
    with pytest.raises(InputError, match=r"no token types: .*\[SEP\]"):
        model(inputs(), token_type_ids=zeros + 1)


def test_bad_inputs() -> None:
    model = tiny_keras()
    ids = inputs()["input_ids"]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("either input_ids or inputs_embeds", {}),
        ("either input_ids or inputs_embeds", {"input_ids": ids, "inputs_embeds": np.zeros((4, LENGTH, 24))}),
        (r"must be \(batch, sequence\), got shape \(11,\)", {"input_ids": ids[0]}),
        (r"must be \(batch, sequence, 24\), got shape \(4, 11, 23\)", {"inputs_embeds": np.zeros((4, LENGTH, 23))}),
        ("24 tokens and the model knows 23 positions: .*truncation=True", {"input_ids": np.ones((1, 24), int)}),
        ("input_ids holds ids from 1 to 97; this model takes 0 to 96", {"input_ids": np.array([[1, 97]])}),
        ("position_ids holds ids from 3 to 40", {"input_ids": ids[:1, :2], "position_ids": np.array([[3, 40]])}),
        (r"attention_mask must be \(4, 11\)", {"input_ids": ids, "attention_mask": np.ones((4, 5))}),
        (r"attention_mask must be \(4, 11\)", {"input_ids": ids, "attention_mask": np.ones((4, 11, 11))}),
        (r"head_mask must be \(3,\) or \(2, 3\)", {"input_ids": ids, "head_mask": np.ones(2)}),
        ("input_ids must be integers, got float32", {"input_ids": np.ones((1, 2), np.float32)}),
        ("position_ids must be integers", {"input_ids": ids, "position_ids": np.zeros(LENGTH)}),
        ("input_ids must be rectangular", {"input_ids": [[1, 2], [3]]}),
    ]
    for message, arguments in wrong:
        with pytest.raises(InputError, match=message):
            model(**arguments)
    with pytest.raises(InputError, match="takes \\(batch, choices, sequence\\) inputs, got \\(4, 11\\)"):
        tiny_keras("ForMultipleChoice")(inputs())
    with pytest.raises(InputError, match="24 tokens and the model knows 23"):
        model.predict(np.ones((1, 24), np.int32), verbose=0)


def test_bad_configurations() -> None:
    with pytest.raises(ConfigError, match="num_labels is 3"):
        keras_class("ForQuestionAnswering")(tiny_config(num_labels=3))
    with pytest.raises(ConfigError, match=r"TFDistilBertModel takes a distilbert\.DistilBertConfig, got a dict"):
        keras_class("")({})
    model = tiny_keras()
    with pytest.raises(ConfigError, match="attn_implementation must be one of .*, got 'blurb'"):
        model.set_attn_implementation("blurb")
    with pytest.raises(DeviceError, match="'flash_attention_2' belongs to the PyTorch classes; use 'sdpa'"):
        model.set_attn_implementation("flash_attention_2")
    assert model.attn_implementation == "sdpa"
    with pytest.raises(DeviceError, match="'flash_attention_2' belongs to the PyTorch classes"):
        keras_class("")(tiny_config(attn_implementation="flash_attention_2"))


@pytest.mark.parametrize(
    ("head", "wrong", "message"),
    [
        ("ForSequenceClassification", np.zeros(3, int), r"labels of shape \(3,\) do not go with logits"),
        ("ForSequenceClassification", np.zeros(4), r"labels of shape \(4,\) do not go with logits of shape \(4, 5\)"),
        ("ForTokenClassification", np.zeros((4, 3), int), r"labels of shape \(12,\) do not go"),
        ("ForTokenClassification", np.zeros((4, LENGTH)), "must be integers, got float64"),
        ("ForMultipleChoice", np.zeros(3, int), r"labels of shape \(3,\) do not go with logits of shape \(4, 3\)"),
    ],
)
def test_labels_that_do_not_fit(head: str, wrong: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_keras(head)(inputs(head), labels=wrong)


def test_labels_to_regress_on_that_do_not_fit() -> None:
    model = tiny_keras("ForSequenceClassification", problem_type="regression")
    with pytest.raises(InputError, match=r"labels of shape \(4,\) do not go with logits of shape \(4, 5\)"):
        model(inputs(), labels=np.zeros(4))
    for each in (np.zeros(4), np.zeros((4, 1))):
        assert tiny_keras("ForSequenceClassification", num_labels=1)(inputs(), labels=each).loss > 0
