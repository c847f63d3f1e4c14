"""Which way a product takes: our kernel, oneDNN, or both by the number of rows."""

from __future__ import annotations

import pytest
import torch

from distilbert.engine import products
from distilbert.engine.library import operations
from distilbert.engine.operations import PlainOperations
from distilbert.engine.products import FEW, FewOrMany, PackedProduct, PlainProduct, float_product


@pytest.mark.skipif(not operations().multiplies(torch.bfloat16, 64), reason="no kernel for bf16 on this CPU")
@pytest.mark.parametrize("amx", [False, True])
def test_many_rows_go_to_onednn_where_it_has_amx(amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, generator=generator) / 8, torch.randn(96, generator=generator)
    made = float_product(weight, bias, torch.bfloat16, "gelu", operations())
    assert type(made) is (FewOrMany if amx else PackedProduct)
    assert type(float_product(weight, bias, torch.float32, "gelu", operations())) is PackedProduct
    x = torch.randn(FEW + 1, 64, generator=generator).bfloat16()
    wanted = torch.nn.functional.gelu(x.float() @ weight.bfloat16().float().T + bias)
    for rows in (1, FEW, FEW + 1):
        torch.testing.assert_close(made(x[:rows]).float(), wanted[:rows], rtol=2e-2, atol=2e-2)


def test_another_activation_than_gelu() -> None:
    weight, bias = torch.eye(8), torch.zeros(8)
    x = torch.linspace(-1, 1, 24).view(3, 8)
    for activation in ("relu", "silu"):
        made = float_product(weight, bias, torch.float32, activation, operations())
        assert not isinstance(made, PackedProduct)
        torch.testing.assert_close(made(x), products.ACTIVATIONS[activation](x))


def test_bf16_without_instructions_for_it_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN refuses to lay out weights in bf16 on such a CPU."""
    monkeypatch.setattr(products, "has_bf16", lambda: False)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, generator=generator) / 8, torch.randn(96, generator=generator)
    x = torch.randn(5, 64, generator=generator).bfloat16()
    product = float_product(weight, bias, torch.bfloat16, "gelu", PlainOperations())
    assert type(product) is PlainProduct
    expected = torch.nn.functional.gelu(x.float() @ weight.bfloat16().float().T + bias)
    torch.testing.assert_close(product(x).float(), expected, rtol=2e-2, atol=2e-2)
