"""The six Flax classes against their PyTorch siblings, part by part, and against recordings of transformers 4.57.6."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import distilbert.models.flax as room
from distilbert import DistilBertConfig
from distilbert.core.schema import HEADS
from distilbert.models.flax.arrays import read_variable, write_variable
from distilbert.models.pytorch.attention import extend_mask
from tests.models import assertions
from tests.parity import record_flax
from tests.tiny import HEAD_NAMES, LABELS, LENGTH, SIZES, tiny_inputs, tiny_labels, tiny_model

# XLA adds numbers in another order than PyTorch, so the error grows with the numbers.
assert_close = partial(assertions.assert_close, relative_to_largest=True)
assert_same = partial(assertions.assert_same, relative_to_largest=True)
ATTENTIONS = ("eager", "sdpa")
TYPES = {"float32": (1e-5, torch.float32), "bfloat16": (2e-2, torch.bfloat16)}


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    with jax.default_matmul_precision("float32"):
        yield


def sibling(model: Any, attention: str = "sdpa", **types: Any) -> Any:
    """The Flax model with the weights of a PyTorch one."""
    config = DistilBertConfig.from_dict(model.config.to_dict(), attn_implementation=attention)
    twin = getattr(room, f"Flax{model.head_spec.architecture}")(config, **types)
    for name, tensor in model.state_dict().items():
        if name == "vocab_projector.weight" and config.tie_word_embeddings:
            continue
        assert read_variable(twin, name).shape == tuple(tensor.shape), name
        write_variable(twin, name, tensor.float().numpy())
    twin.eval()
    return twin


def eager(head: str = "", **changes: Any) -> Any:
    """A PyTorch model whose attention treats a row of padding as the Flax model does."""
    model = tiny_model(head, **changes)
    model.set_attn_implementation("eager")
    return model


def to_arrays(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}


# Part by part -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    model = eager()
    return model, sibling(model)


def hidden_states(seed: int = 5) -> torch.Tensor:
    return torch.randn(4, LENGTH, SIZES["dim"], generator=torch.Generator().manual_seed(seed))


def test_embeddings(pair: tuple[Any, Any]) -> None:
    ids, positions = tiny_inputs()["input_ids"], torch.arange(LENGTH)
    ours = pair[1].embeddings(jnp.asarray(ids), None, jnp.asarray(positions))
    assert_close(ours, pair[0].embeddings(ids, None, positions))
    ours = pair[1].embeddings(None, jnp.asarray(hidden_states()), jnp.asarray(positions))
    assert_close(ours, pair[0].embeddings(None, hidden_states(), positions))


@pytest.mark.parametrize("part", ["attention", "block", "encoder"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_block_and_encoder(pair: tuple[Any, Any], part: str, attention: str) -> None:
    pick = {
        "attention": lambda model: model.transformer.layer[1].attention,
        "block": lambda model: model.transformer.layer[1],
        "encoder": lambda model: model.transformer,
    }[part]
    mask = extend_mask(tiny_inputs()["attention_mask"])
    factors = torch.tensor([0.5, 0.0, 2.0]).expand(2, 3)[:, None, :, None, None]
    for factor in (None, factors) if attention == "eager" else (None,):
        chosen = factor[0] if factor is not None and part != "encoder" else factor
        options = {"return_maps": True} if part == "block" else {}
        theirs, maps = pick(pair[0])(hidden_states(), mask, chosen, "eager", **options)
        arguments = [None if x is None else jnp.asarray(x) for x in (hidden_states(), mask, chosen)]
        ours, our_maps = pick(pair[1])(*arguments, attention)
        if part != "encoder":
            ours, theirs, maps, our_maps = [ours], [theirs], [maps], [our_maps]
        for a, b in zip(ours, theirs, strict=True):
            assert_close(a, b)
        if attention == "eager":
            for a, b in zip(our_maps, maps, strict=True):
                assert_close(a, b)


def test_feed_forward(pair: tuple[Any, Any]) -> None:
    ours = pair[1].transformer.layer[0].ffn(jnp.asarray(hidden_states()))
    assert_close(ours, pair[0].transformer.layer[0].ffn(hidden_states()))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "tanh"])
def test_activations(activation: str) -> None:
    model = eager("ForMaskedLM", activation=activation)
    assert_same(sibling(model)(**to_arrays(tiny_inputs())), model(**tiny_inputs()))


@pytest.mark.parametrize("head", HEAD_NAMES[1:])
def test_heads(head: str) -> None:
    model = eager(head)
    assert_close(sibling(model).head(jnp.asarray(hidden_states())), model.head(hidden_states()))


# Whole models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_outputs_and_losses_are_equal(head: str, dtype: str, attention: str) -> None:
    tolerance, other = TYPES[dtype]
    model = eager(head)
    if dtype == "bfloat16":  # the tiny model's weights are so large that PyTorch's own bf16 is off by more than 2e-2
        with torch.no_grad():
            for lin in (module for module in model.modules() if isinstance(module, torch.nn.Linear)):
                lin.weight.mul_(0.5)
    arguments = tiny_inputs(head) | tiny_labels(head) | {"output_hidden_states": True}
    if attention == "eager":
        arguments["output_attentions"] = True
    output = sibling(model, attention, dtype=dtype)(**to_arrays(arguments))
    assert_same(output, model.to(other)(**arguments), tolerance)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_gradients_are_equal(head: str, attention: str) -> None:
    model = eager(head)
    twin = sibling(model, attention)
    arguments = tiny_inputs(head) | tiny_labels(head)

    def loss_of(model: Any, arguments: Any) -> Any:
        output = model(**arguments)
        return output.loss if head else (output.last_hidden_state**2).mean()

    gradients = nnx.jit(nnx.grad(loss_of))(twin, to_arrays(arguments))
    loss_of(model, arguments).backward()
    nnx.update(twin, gradients)  # so that a gradient is found by its name
    for name, parameter in model.named_parameters():
        assert_close(read_variable(twin, name), parameter.grad, name, 1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head", ["", "ForTokenClassification"])
def test_embeddings_and_positions_given_by_the_caller(head: str, attention: str) -> None:
    model = eager(head)
    twin = sibling(model, attention)
    inputs = tiny_inputs(head)
    positions = torch.arange(LENGTH).flip(0)[None] + torch.tensor([[0], [1], [2], [3]])
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach() * 1.5
    mask = inputs["attention_mask"]
    for arguments in (
        {"inputs_embeds": embeds, "attention_mask": mask},
        {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions},
        {"input_ids": inputs["input_ids"], "position_ids": positions},
        {"input_ids": inputs["input_ids"], "position_ids": positions[0], "head_mask": torch.tensor([0.5, 1.0, 0.0])},
        {**inputs, "head_mask": torch.tensor([[0.5, 1.0, 0.0], [1.0, 0.0, 2.0]])},
    ):
        assert_same(twin(**to_arrays(arguments)), model(**arguments))


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels"),
    [
        ("regression", 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        (None, 1, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        ("regression", LABELS, torch.linspace(-1, 1, 4 * LABELS).view(4, LABELS)),
        ("multi_label_classification", LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, (torch.arange(4 * LABELS).view(4, LABELS) % 3 == 0).float()),
        (None, LABELS, torch.tensor([0, 4, 2, 1])),
        ("single_label_classification", LABELS, torch.tensor([[0], [4], [2], [1]])),
    ],
)
def test_every_loss_of_sequence_classification(problem: str | None, num_labels: int, labels: torch.Tensor) -> None:
    model = eager("ForSequenceClassification", num_labels=num_labels, problem_type=problem)
    arguments = tiny_inputs() | {"labels": labels}
    twin = sibling(model)
    assert_same(twin(**to_arrays(arguments)), model(**arguments))
    assert twin.config.problem_type == problem, "a call must not change the configuration"


def test_an_untied_projection() -> None:
    model = eager("ForMaskedLM", tie_word_embeddings=False)
    assert_same(sibling(model)(**to_arrays(tiny_inputs())), model(**tiny_inputs()))


def test_sinusoidal_positions() -> None:
    model = eager(sinusoidal_pos_embds=True)
    ours = room.FlaxDistilBertModel(model.config).embeddings.position_embeddings.embedding
    assert not isinstance(ours, nnx.Param)
    assert_close(ours, model.embeddings.position_embeddings.weight)


def test_base_size() -> None:
    config = DistilBertConfig(n_layers=2, attn_implementation="eager")  # base in every width, two blocks for speed
    torch.manual_seed(0)
    from distilbert import DistilBertForMaskedLM

    model = DistilBertForMaskedLM(config).eval()
    ids = torch.randint(1, 30522, (2, 37))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    arguments = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
    twin = nnx.jit(lambda model, arguments: model(**arguments, output_hidden_states=True))
    ours = twin(sibling(model), {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    with torch.no_grad():
        assert_same(ours, model(**arguments))


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_folders_load_on_either_side(head: str, tmp_path: Path) -> None:
    from tests.tiny import model_class

    model = eager(head)
    inputs = tiny_inputs(head)
    model.save_pretrained(tmp_path / "pytorch")
    ours = getattr(room, f"Flax{HEADS[head].architecture}").from_pretrained(tmp_path / "pytorch")
    assert_same(ours(**to_arrays(inputs)), model(**inputs))

    ours.save_pretrained(tmp_path / "flax")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "flax" / name).read_bytes() == (tmp_path / "pytorch" / name).read_bytes(), name
    back = model_class(head).from_pretrained(tmp_path / "flax", attn_implementation="eager")
    assert_same(ours(**to_arrays(inputs)), back(**inputs))


# The reference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("architecture", record_flax.ARCHITECTURES)
def test_recordings_of_transformers(architecture: str, attention: str) -> None:
    recorded = np.load(record_flax.RECORDINGS)
    model = getattr(room, f"Flax{architecture}")(DistilBertConfig(**record_flax.sizes(architecture)))
    model.eval()
    model.set_attn_implementation(attention)
    assert record_flax.names(model.params) == recorded[f"{architecture}/params"].tolist()
    model.params = record_flax.draw(model.params)
    eager = attention == "eager"
    output = model(**record_flax.inputs(architecture), output_hidden_states=True, output_attentions=eager)
    outputs = {
        f"{architecture}/{name}/{number}": array
        for name, value in output.items()
        for number, array in enumerate(value if isinstance(value, tuple) else (value,))
    }
    there = [key for key in recorded if key.startswith(f"{architecture}/") and not key.endswith("/params")]
    assert sorted(outputs) == sorted(key for key in there if eager or "/attentions/" not in key)
    for key, array in outputs.items():
        np.testing.assert_allclose(array, recorded[key], rtol=0, atol=1e-5, err_msg=key)
