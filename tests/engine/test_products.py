"""Who multiplies: our kernel, oneDNN, PyTorch, or two of them by the number of rows."""

from __future__ import annotations

import pytest
import torch

from distilbert.engine import products
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import PlainOperations
from distilbert.engine.products import (
    KERNEL_MAX_ROWS,
    KernelProduct,
    ProductByRows,
    PytorchProduct,
    float_product,
)


@pytest.mark.skipif(not load_operations().multiplies(torch.bfloat16, 64), reason="no kernel for bf16 on this CPU")
@pytest.mark.parametrize("amx", [False, True])
def test_many_rows_go_to_onednn_where_it_has_amx(amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, generator=generator) / 8, torch.randn(96, generator=generator)
    product = float_product(weight, bias, torch.bfloat16, "gelu", load_operations())
    assert type(product) is (ProductByRows if amx else KernelProduct)
    assert type(float_product(weight, bias, torch.float32, "gelu", load_operations())) is KernelProduct
    x = torch.randn(KERNEL_MAX_ROWS + 1, 64, generator=generator).bfloat16()
    expected = torch.nn.functional.gelu(x.float() @ weight.bfloat16().float().T + bias)
    for rows in (1, KERNEL_MAX_ROWS, KERNEL_MAX_ROWS + 1):
        torch.testing.assert_close(product(x[:rows]).float(), expected[:rows], rtol=2e-2, atol=2e-2)


def test_other_activations_than_gelu_do_not_go_to_the_kernel() -> None:
    weight, bias = torch.eye(8), torch.zeros(8)
    x = torch.linspace(-1, 1, 24).view(3, 8)
    for activation in ("relu", "silu"):
        product = float_product(weight, bias, torch.float32, activation, load_operations())
        assert not isinstance(product, KernelProduct)
        torch.testing.assert_close(product(x), products.ACTIVATIONS[activation](x))


def test_bf16_goes_to_pytorch_where_onednn_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without instructions for bf16, oneDNN does not lay out weights in bf16."""
    monkeypatch.setattr(products, "has_bf16", lambda: False)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 64, generator=generator) / 8, torch.randn(96, generator=generator)
    x = torch.randn(5, 64, generator=generator).bfloat16()
    product = float_product(weight, bias, torch.bfloat16, "gelu", PlainOperations())
    assert type(product) is PytorchProduct
    expected = torch.nn.functional.gelu(x.float() @ weight.bfloat16().float().T + bias)
    torch.testing.assert_close(product(x).float(), expected, rtol=2e-2, atol=2e-2)
