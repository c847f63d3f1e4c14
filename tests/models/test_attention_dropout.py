"""Attention that drops weights on a CPU, against attention that does not, and against its own definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distilbert.models.pytorch.attention_dropout import attend_with_dropout
from distilbert.models.pytorch.packing import Packing, attend_packed


def inputs(dtype: torch.dtype = torch.float32, length: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, length, 4, generator=generator, dtype=dtype) for _ in range(3)]


def maps(dropout: float, length: int, mask: Tensor | None = None) -> Tensor:
    """Return the weights themselves, which values of the identity show."""
    q, k, _ = inputs(length=length)
    return attend_with_dropout(q, k, torch.eye(length).expand(2, 3, length, length), mask, dropout)


def short_and_long() -> Tensor:
    return torch.tensor([[True] * 5 + [False] * 2, [True] * 7])[:, None, None]


@pytest.mark.parametrize("dropout", [1e-3, 0.1, 0.5, 0.9])
def test_weights_are_dropped_or_raised(dropout: float) -> None:
    torch.manual_seed(0)
    q, k, _ = inputs(length=101)
    kept = maps(dropout, 101)
    exact = (q @ k.transpose(-1, -2) / 2).softmax(dim=-1)
    torch.testing.assert_close(kept, torch.where(kept == 0, 0.0, exact / (1 - dropout)), rtol=1e-3, atol=1e-6)
    share = (kept == 0).float().mean().item()
    assert abs(share - dropout) < 5 * (dropout * (1 - dropout) / kept.numel()) ** 0.5


def test_a_mean_of_many_is_what_nothing_dropped_gives() -> None:
    torch.manual_seed(0)
    q, k, v = inputs()
    mean = torch.stack([attend_with_dropout(q, k, v, None, 0.3) for _ in range(4000)]).mean(dim=0)
    torch.testing.assert_close(mean, F.scaled_dot_product_attention(q, k, v), rtol=0, atol=0.06)


def test_the_seed_decides() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(maps(0.5, 9))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_padding_is_not_seen() -> None:
    weights = maps(0.1, 7, short_and_long())
    assert not weights[0, :, :, 5:].any()
    assert weights[1, :, :, 5:].any()


def test_gradients() -> None:
    def run(*parts: Tensor) -> Tensor:
        torch.manual_seed(0)
        return attend_with_dropout(*parts, short_and_long(), 0.3)

    assert torch.autograd.gradcheck(run, [x.requires_grad_() for x in inputs(torch.float64)])


def test_training_on_packed_tokens_drops() -> None:
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in inputs(torch.bfloat16))
    packing = Packing.of_lengths([7, 4, 3], torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16):
        dropped = attend_packed(q, k, v, packing, 0.5)
    assert dropped.dtype == torch.bfloat16
    assert not torch.allclose(dropped, attend_packed(q, k, v, packing), atol=1e-2)
