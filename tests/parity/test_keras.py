"""The six Keras classes against their PyTorch siblings, part by part, and against recordings of transformers 4.57.6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from distilbert.core.outputs import ModelOutput
from distilbert.core.schema import HEADS
from distilbert.models.keras.arrays import find_variable
from distilbert.models.pytorch.attention import extend_mask
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import eager, keras_class, labels, to_arrays, twin_of
from tests.parity import record_tf
from tests.tiny import HEAD_NAMES, LABELS, LENGTH, model_class, tiny_config, tiny_inputs, tiny_labels

ATTENTIONS = ("eager", "sdpa")


def hidden_states() -> tuple[torch.Tensor, torch.Tensor]:
    mask = tiny_inputs()["attention_mask"]
    return torch.randn(4, LENGTH, 24, generator=torch.Generator().manual_seed(3)), extend_mask(mask)


def test_embeddings() -> None:
    model = eager()
    twin, ids = twin_of(model), tiny_inputs()["input_ids"]
    positions = torch.arange(LENGTH)
    assert_close(twin.embeddings(ids.numpy(), None, positions.numpy()), model.embeddings(ids, None, positions))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention(attention: str) -> None:
    model = eager()
    hidden, mask = hidden_states()
    ours = twin_of(model).transformer.layer[0].attention
    context, maps = ours(hidden.numpy(), mask.numpy(), implementation=attention)
    wanted, wanted_maps = model.transformer.layer[0].attention(hidden, mask, implementation="eager")
    assert_close(context, wanted)
    if attention == "eager":
        assert_close(maps, wanted_maps)


def test_feed_forward() -> None:
    model = eager()
    hidden, _ = hidden_states()
    assert_close(twin_of(model).transformer.layer[1].ffn(hidden.numpy()), model.transformer.layer[1].ffn(hidden))


def test_block_and_encoder() -> None:
    model = eager()
    twin = twin_of(model)
    hidden, mask = hidden_states()
    block, wanted = twin.transformer.layer[1], model.transformer.layer[1]
    for ours, theirs in zip(
        block(hidden.numpy(), mask.numpy(), implementation="eager"),
        wanted(hidden, mask, implementation="eager", return_maps=True),
        strict=True,
    ):
        assert_close(ours, theirs)
    states, maps = twin.transformer(hidden.numpy(), mask.numpy(), implementation="eager")
    wanted_states, wanted_maps = model.transformer(hidden, mask, implementation="eager")
    for ours, theirs in zip([*states, *maps], [*wanted_states, *wanted_maps], strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_outputs_losses_and_gradients_are_equal(head: str) -> None:
    model = eager(head)
    twin = twin_of(model)
    given = tiny_inputs(head) | tiny_labels(head) | {"output_hidden_states": True, "output_attentions": True}
    wanted = model(**given)
    (wanted.loss if head else wanted[0].square().mean()).backward()
    with tf.GradientTape() as tape:
        output = twin(**to_arrays(given))
        loss = output.loss if head else tf.reduce_mean(tf.square(output.last_hidden_state))
    assert type(output) is type(wanted)
    assert_same(output, wanted)
    parameters = dict(model.named_parameters())
    variables = [find_variable(twin, name) for name in parameters]
    gradients = tape.gradient(loss, [variable.value for variable, _ in variables])
    for (name, parameter), (_, transposed), gradient in zip(parameters.items(), variables, gradients, strict=True):
        array = tf.convert_to_tensor(gradient).numpy()
        assert_close(array.T if transposed else array, parameter.grad, name, 1e-4)
    if head:
        twin.set_attn_implementation("sdpa")
        assert_same(
            twin(**to_arrays(tiny_inputs(head) | tiny_labels(head))), model(**tiny_inputs(head) | tiny_labels(head))
        )


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_bfloat16(head: str) -> None:
    torch.manual_seed(0)
    model = model_class(head)(tiny_config(head, attn_implementation="eager")).eval()  # weights of the usual size
    output = twin_of(model, dtype="bfloat16")(**to_arrays(tiny_inputs(head)))
    for name, exact in model(**tiny_inputs(head)).items():
        assert output[name].dtype == tf.bfloat16
        assert_close(output[name], exact, name, 2e-2 * max(1.0, exact.detach().abs().max().item()))


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_padding_alone_is_finite_in_every_precision(dtype: str) -> None:
    for head in HEAD_NAMES:
        twin = twin_of(eager(head), dtype=dtype)
        for tensor in twin(**to_arrays(tiny_inputs(head))).to_tuple():
            assert tensor.dtype == dtype.removeprefix("mixed_")
            assert np.isfinite(tf.cast(tensor, tf.float32).numpy()).all()


@pytest.mark.parametrize("head", ["", "ForTokenClassification"])
def test_what_a_caller_may_give(head: str) -> None:
    model = eager(head)
    twin, given = twin_of(model), tiny_inputs(head)
    mask = given["attention_mask"]
    positions = torch.arange(LENGTH).flip(0)[None] + torch.tensor([[0], [1], [2], [3]])
    embeds = model.get_input_embeddings()(given["input_ids"]).detach() * 1.5
    square = torch.ones(4, 1, LENGTH, LENGTH).tril()
    factors = torch.tensor([[1.0, 0.0, 0.5], [1.0, 2.0, 1.0]])
    for arguments in (
        {"inputs_embeds": embeds, "attention_mask": mask},
        {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions},
        {"input_ids": given["input_ids"], "position_ids": positions[0]},
        {"input_ids": given["input_ids"], "attention_mask": square},
        given | {"head_mask": factors},
        given | {"head_mask": factors[0], "output_attentions": True},
        given | {"token_type_ids": torch.zeros_like(mask)},
    ):
        assert_same(twin(**to_arrays(arguments)), model(**arguments))


@pytest.mark.parametrize(
    ("problem", "num_labels", "targets"),
    [
        ("regression", 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        (None, 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        ("regression", LABELS, torch.linspace(-1, 1, 4 * LABELS).view(4, LABELS)),
        ("multi_label_classification", LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, torch.tensor([0, 4, 2, 1])),
        ("single_label_classification", LABELS, torch.tensor([0, -100, 2, 1])),
    ],
)
def test_every_loss_of_sequence_classification(problem: str | None, num_labels: int, targets: torch.Tensor) -> None:
    model = eager("ForSequenceClassification", num_labels=num_labels, problem_type=problem)
    arguments = tiny_inputs() | {"labels": targets}
    twin = twin_of(model)
    assert_same(twin(**to_arrays(arguments)), model(**arguments))
    assert twin.config.problem_type == problem, "a call must not change the configuration"


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu", "tanh"])
def test_activations(activation: str) -> None:
    model = eager("ForMaskedLM", activation=activation, tie_word_embeddings=False)
    assert_same(twin_of(model)(**to_arrays(tiny_inputs())), model(**tiny_inputs()))


def test_sinusoidal_positions_and_pruned_heads() -> None:
    model = eager(sinusoidal_pos_embds=True)
    model.prune_heads({0: [0, 2]})
    twin = twin_of(model)
    assert_same(twin(**to_arrays(tiny_inputs())), model(**tiny_inputs()))
    assert len(twin.trainable_weights) == len(twin.weights) - 1
    fresh = keras_class("")(tiny_config(sinusoidal_pos_embds=True))
    assert_close(fresh.get_position_embeddings().embeddings, model.get_position_embeddings().weight)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_equal_to_recordings_of_transformers(head: str) -> None:
    architecture = HEADS[head].architecture
    twin = keras_class(head)(tiny_config(head))
    twin.set_arrays({name: record_tf.draw(name, array.shape) for name, array in twin.get_arrays().items()})
    given = record_tf.inputs(architecture) | record_tf.labels(architecture)
    output: ModelOutput = twin(given, output_hidden_states=True, output_attentions=True)
    with np.load(record_tf.RECORDINGS) as recorded:
        wanted: dict[str, Any] = {key: recorded[key] for key in recorded.files if key.startswith(f"{architecture}/")}
    assert {key.split("/")[1] for key in wanted} == set(output.keys())
    for key, array in wanted.items():
        _, name, number = key.split("/")
        value = output[name]
        assert_close(value[int(number)] if isinstance(value, tuple) else value, array, key)


def test_losses_ignore_what_they_should() -> None:
    model = eager("ForQuestionAnswering")
    twin = twin_of(model)
    far = {"start_positions": np.array([[-3], [5], [40], [11]]), "end_positions": np.array([[0], [6], [41], [2]])}
    wanted = model(**tiny_inputs(), **{name: torch.from_numpy(array) for name, array in far.items()})
    assert_close(twin(**to_arrays(tiny_inputs()), **far).loss, wanted.loss)
    tokens = twin_of(eager("ForTokenClassification"))
    nothing = np.full_like(labels("ForTokenClassification")["labels"], -100)
    assert np.isnan(tokens(**to_arrays(tiny_inputs()), labels=nothing).loss.numpy()), "as PyTorch has it"
