"""FlashAttention over packed tokens against SDPA, eager attention and its plain twin: contexts and gradients.

All are held against attention in fp64 on the same rounded inputs. Legend: T packed tokens, N heads, H head dim.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from distilbert.models.pytorch import modeling
from distilbert.models.pytorch.attention import attend_eager, attend_flash, attend_sdpa, flash_takes
from distilbert.models.pytorch.packing import Packing, attend_packed
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels, tiny_model

from .device import DEVICE, HALF, ON_CPU, distance, half, on_gpu

pytestmark = on_gpu
HEADS = 4
LONGEST = 80 if ON_CPU else 512
LENGTHS = {
    "alone": [1],
    "long": [LONGEST],
    "mixed": [1, 2, LONGEST, 3, 127 % LONGEST, 128 % LONGEST, 129 % LONGEST, 64, 300 % LONGEST, 1],
    "empty ones": [0, 5, 0, 0, 17, 0],
    "equal": [32] * 16,
}
# Largest differences, as parts of the largest number: some roundings of the type, 2 ** -11 and 2 ** -8. Eager attention
# rounds its scores as well, and may differ by three times as much.
CONTEXT, GRADIENT = {"fp16": 2e-3, "bf16": 1.6e-2}, {"fp16": 4e-3, "bf16": 3.2e-2}


def draw(lengths: list[int], head_dim: int, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys, values and the gradient of the contexts, each (T, N, H)."""
    generator = torch.Generator().manual_seed(sum(lengths) + head_dim)
    shape = (sum(lengths), HEADS, head_dim)
    return [torch.randn(shape, generator=generator).to(DEVICE, dtype) for _ in range(4)]


def by_sequence(attend: Any, q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """Run an attention of (B, N, S, H) sequence by sequence."""
    contexts = []
    for queries, keys, values in zip(*(x.split(lengths) for x in (q, k, v)), strict=True):
        if len(queries):
            context = attend(*(x.transpose(0, 1)[None] for x in (queries, keys, values)))  # (1, N, S, H)
            contexts.append(context[0].transpose(0, 1))
    return torch.cat(contexts)


def results(attend: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Contexts and the gradients of queries, keys and values."""
    *inputs, gradient = tensors
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    context = attend(*leaves)
    context.backward(gradient)
    return [context.detach(), *(leaf.grad for leaf in leaves)]


IMPLEMENTATIONS = {
    "flash": lambda lengths, packing: lambda q, k, v: attend_flash(q, k, v, packing, 0.0),
    "plain twin": lambda lengths, packing: lambda q, k, v: attend_packed(q, k, v, packing, 0.0),
    "sdpa": lambda lengths, packing: (
        lambda q, k, v: by_sequence(lambda *x: attend_sdpa(*x, None, 0.0), q, k, v, lengths)
    ),
    "eager": lambda lengths, packing: (
        lambda q, k, v: by_sequence(lambda *x: attend_eager(*x, None, 0.0, None)[0], q, k, v, lengths)
    ),
}


@half
@pytest.mark.parametrize("head_dim", [8, 32, 64])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_all_implementations_agree(lengths: list[int], head_dim: int, half: str) -> None:
    tensors = draw(lengths, head_dim, HALF[half])
    packing = Packing.of_lengths(lengths, DEVICE)
    assert flash_takes(tensors[0]) is not ON_CPU, "the kernel is what runs on a GPU"
    exact = results(
        lambda q, k, v: by_sequence(lambda *x: attend_eager(*x, None, 0.0, None)[0], q, k, v, lengths),
        [x.double() for x in tensors],
    )
    for name, make in IMPLEMENTATIONS.items():
        got = results(make(lengths, packing), tensors)
        for what, a, b in zip(("contexts", "queries", "keys", "values"), got, exact, strict=True):
            limit = (CONTEXT if what == "contexts" else GRADIENT)[half] * (3 if name == "eager" else 1)
            if not b.abs().max() < 1e-9:  # a single token gives its query and key no gradient
                assert distance(a, b) < limit, (name, what)
            else:
                assert a.abs().max() < limit, (name, what)


@half
def test_dropout(half: str) -> None:
    """Weights are dropped, their mean stays, and the gradient drops the same ones."""
    lengths = [64] * 32
    packing = Packing.of_lengths(lengths, DEVICE)
    q, k, v, _ = draw(lengths, 32, HALF[half])
    ones = torch.ones_like(v).requires_grad_()
    torch.manual_seed(0)
    context = attend_flash(q, k, ones, packing, 0.25)  # each is a sum of the weights that are kept
    assert 0.95 < context.detach().mean() < 1.05
    assert context.detach().std() > 0.01
    context.sum().backward()
    assert ones.grad is not None
    assert float(ones.grad.sum()) == pytest.approx(float(context.detach().sum()), rel=0.02)


@half
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_a_model_with_flash_attention(head: str, half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the public class, with padding on both sides and a row of nothing else: outputs and gradients."""
    if ON_CPU:
        monkeypatch.setattr(modeling, "require_flash", lambda device: None)
    inputs = {name: tensor.to(DEVICE) for name, tensor in tiny_inputs(head).items()}
    labels = {name: tensor.to(DEVICE) for name, tensor in tiny_labels(head).items()}
    mask = inputs["attention_mask"].bool().flatten(0, -2)
    found = []
    for implementation, dtype in (("sdpa", torch.float64), ("flash_attention_2", HALF[half])):
        model = tiny_model(head).to(DEVICE, dtype)
        model.config.attn_implementation = implementation
        state = model(**inputs, **labels, output_hidden_states=True).hidden_states[-1][mask]
        state.float().square().mean().backward()
        parameters = dict(model.base_model.named_parameters())
        found.append([state.detach(), parameters["transformer.layer.0.attention.v_lin.weight"].grad])
    for a, b in zip(*found[::-1], strict=True):
        assert distance(a, b) < {"fp16": 0.02, "bf16": 0.15}[half]
