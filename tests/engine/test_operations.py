"""The compiled kernels against their plain twins, on every instruction set that this machine can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.engine import kernel_library
from distilbert.engine.kernel_library import FOLDER, CompiledOperations, load_operations
from distilbert.engine.operations import (
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    PackedProduct,
    PlainOperations,
    Quantizer,
    SequenceOffsets,
    pack_weight,
)

PLAIN = PlainOperations()
NAMES = {"AVX512": ["avx512", "avx2", "base"], "AVX2": ["avx2", "base"]}.get(
    torch.backends.cpu.get_cpu_capability(), ["base"]
)
if torch.cpu._is_avx512_bf16_supported():
    NAMES = ["avx512bf16", *NAMES]
TOLERANCES: dict[torch.dtype, dict[str, float]] = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
}


@pytest.fixture(params=NAMES)
def compiled(request: pytest.FixtureRequest) -> CompiledOperations:
    path = FOLDER / f"{request.param}.so"
    if not path.is_file():
        pytest.skip(f"the package was installed without a C++ compiler: no {path.name}")
    return CompiledOperations(path)


def offsets(queries: list[int], keys: list[int]) -> SequenceOffsets:
    return SequenceOffsets(*(torch.tensor([0, *lengths]).cumsum(0) for lengths in (queries, keys)))


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("heads", "head_dim"), [(12, 64), (12, 32), (3, 8), (5, 20), (2, 7), (1, 768)])
def test_attention(compiled: CompiledOperations, dtype: torch.dtype, heads: int, head_dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    keys = [1, 2, 15, 16, 17, 33, 64, 5]
    queries = [1, 2, 0, 16, 5, 33, 1, 9]
    width = heads * head_dim
    q = torch.randn(sum(queries), width, generator=generator).to(dtype)
    k, v = torch.randn(sum(keys), 2 * width, generator=generator).to(dtype).chunk(2, dim=1)  # with a stride
    arguments = (q, k, v, offsets(queries, keys), heads, head_dim**-0.5)
    expected = PLAIN.attend(*(x.float() if isinstance(x, torch.Tensor) else x for x in arguments), None)
    torch.testing.assert_close(compiled.attend(*arguments, None).float(), expected, **TOLERANCES[dtype])
    quantizer = Quantizer(torch.rand(width, generator=generator) * 30, 100)
    integers, expected_integers = compiled.attend(*arguments, quantizer), quantizer(expected)
    assert integers.dtype == torch.uint8
    assert (integers.int() - expected_integers.int()).abs().max() <= (1 if dtype == torch.float32 else 2)


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_attention_of_any_lengths(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(sum(lengths), 3 * 48, generator=generator).chunk(3, dim=1)
    arguments = (q, k, v, offsets(lengths, lengths), 3, 0.25, None)
    torch.testing.assert_close(load_operations().attend(*arguments), PLAIN.attend(*arguments), rtol=1e-5, atol=1e-5)


def test_attention_to_scores_far_apart(compiled: CompiledOperations) -> None:
    """Weights of 0 and of 1, and rows of equal scores, are exact."""
    keys = torch.eye(16)[:5] * 60
    arguments = (keys * 60, keys, torch.arange(80.0).view(5, 16), offsets([5], [5]), 1, 1.0)
    torch.testing.assert_close(compiled.attend(*arguments, None), arguments[2])
    even = (torch.zeros(5, 16), *arguments[1:])
    torch.testing.assert_close(compiled.attend(*even, None), arguments[2].mean(dim=0).expand(5, 16))


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("dim", [768, 384, 24, 5])
def test_sums_with_layer_norm(compiled: CompiledOperations, dtype: torch.dtype, dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(37, dim, generator=generator).to(dtype) + 3 for _ in range(2))
    norm = LayerNormWeights(*torch.randn(2, dim, generator=generator))
    quantizer = Quantizer(torch.rand(dim, generator=generator) * 100 + 50, 128)
    for actual, expected in zip(
        compiled.add_norm(x, y, norm, quantizer), PLAIN.add_norm(x, y, norm, quantizer), strict=True
    ):
        assert actual is not None
        assert expected is not None
        if actual.dtype == torch.uint8:
            assert (actual.int() - expected.int()).abs().max() <= 1
            assert actual.min() == 0 or actual.max() == 255  # values beyond the range are clipped
        else:
            torch.testing.assert_close(actual.float(), expected.float(), **TOLERANCES[dtype])
    assert compiled.add_norm(x, y, norm, None)[1] is None


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("width", [144, 35])
def test_embeddings(compiled: CompiledOperations, dtype: torch.dtype, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    words, positions = (torch.randn(size, 24, generator=generator).to(dtype) for size in (97, 23))
    contributions = [torch.randn(size, width, generator=generator).to(dtype) for size in (11, 23)]
    ids = torch.randint(0, 97, (50,), generator=generator)
    position_ids, slots = torch.arange(50) % 23, torch.arange(50) % 11
    embeddings = EmbeddingWeights(words, positions, LayerNormWeights(*torch.randn(2, 24, generator=generator)))
    actual, _ = compiled.embed_norm(ids, position_ids, embeddings, None)
    expected, _ = PLAIN.embed_norm(ids, position_ids, embeddings, None)
    torch.testing.assert_close(actual.float(), expected.float(), **TOLERANCES[dtype])
    arguments = (
        ids,
        position_ids,
        embeddings,
        slots,
        Contributions(*contributions, torch.randn(width, generator=generator)),
    )
    for actual, expected in zip(compiled.embed_project(*arguments), PLAIN.embed_project(*arguments), strict=True):
        torch.testing.assert_close(actual.float(), expected.float(), **TOLERANCES[dtype])


@pytest.mark.parametrize("rows", [1, 3, 8, 17, 300, 1025])
@pytest.mark.parametrize("outputs", [1, 2, 48, 64, 99])
@pytest.mark.parametrize("depth", [8, 196, 3104])  # the last one is longer than what the kernel multiplies at a time
@pytest.mark.parametrize("gelu", [False, True])
def test_products(compiled: CompiledOperations, rows: int, outputs: int, depth: int, gelu: bool) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.uint8):
        if compiled.multiplies(dtype, depth):
            check_product(compiled, rows, outputs, depth, dtype, gelu)
        else:
            assert compiled.name in ("avx512", "avx2", "base")


def check_product(
    compiled: CompiledOperations, rows: int, outputs: int, depth: int, dtype: torch.dtype, gelu: bool
) -> None:
    generator = torch.Generator().manual_seed(rows * outputs)
    shift = torch.randn(outputs, generator=generator)
    factor = None
    if dtype == torch.uint8:
        x = torch.randint(0, 256, (rows, depth), generator=generator).to(dtype)
        weight = torch.randint(-127, 128, (outputs, depth), generator=generator).to(torch.int8)
        factor = torch.rand(outputs, generator=generator) * 2e-3 / depth
    else:
        x, weight = (torch.randn(size, depth, generator=generator).to(dtype) for size in (rows, outputs))
        weight = weight / depth**0.5
    results = [torch.float32, torch.bfloat16, torch.uint8] if dtype == torch.uint8 else [dtype]
    for result in results:
        product = PackedProduct(pack_weight(weight), outputs, weight.dtype, factor, shift, gelu, result, 0.02, 90)
        assert torch.equal(product.unpacked_weight(), weight)
        actual, expected = compiled.multiply(x, product), PLAIN.multiply(x, product)
        assert actual.dtype == expected.dtype == result
        if result == torch.uint8:
            assert (actual.int() - expected.int()).abs().max() <= 1
        else:
            torch.testing.assert_close(actual.float(), expected.float(), **TOLERANCES[result])


def test_gelu_everywhere(compiled: CompiledOperations) -> None:
    """The error is 1e-6 in fp32, and 2e-4 beside the rounding in bf16, for any input."""
    x = torch.cat([torch.linspace(-9, 9, 4001), torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4])])[:, None]
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 2e-4)):
        if compiled.multiplies(dtype, 2):
            rows, weight = torch.cat([x, 0 * x], dim=1).to(dtype), torch.tensor([[1.0, 0.0]], dtype=dtype)
            actual = compiled.multiply(
                rows, PackedProduct(pack_weight(weight), 1, dtype, None, torch.zeros(1), True, dtype)
            )
            expected = torch.nn.functional.gelu(rows[:, :1].double())
            rounding = 0.0 if dtype == torch.float32 else 2**-8
            assert ((actual.double() - expected).abs() <= tolerance + rounding * expected.abs()).all()


@pytest.mark.parametrize("step", [1e-5, 9e-4, 1e-3, 5e-3, 0.02, 0.1, 1.0, 30.0])
def test_gelu_in_steps(compiled: CompiledOperations, step: float) -> None:
    """In uint8 the error is 1e-3 and a sixth of a step, beside the rounding, for any size of a step and any input."""
    if not compiled.multiplies(torch.uint8, 4):
        assert compiled.name in ("avx512", "avx2", "base")
        return
    x = torch.cat([torch.arange(-1000, 1001) / 100, torch.tensor([-1e4, -100.0, 100.0, 1e4])])
    rows = torch.tensor([[1, 0, 0, 0]] * 5, dtype=torch.uint8)  # the weights vary instead
    weight, zero = torch.tensor([[127, 0, 0, 0]] * len(x), dtype=torch.int8), 20
    actual = compiled.multiply(
        rows, PackedProduct(pack_weight(weight), len(x), torch.int8, x / 254, x / 2, True, torch.uint8, step, zero)
    )
    expected = (torch.nn.functional.gelu(x.double()) / step + zero).clamp(0, 255)
    assert (actual.double() - expected).abs().max() <= 0.5 + 1 / 6 + 1e-3 / step


def test_a_depth_that_the_kernel_cannot_do(compiled: CompiledOperations) -> None:
    for dtype, depth in ((torch.bfloat16, 7), (torch.uint8, 6)):
        assert not compiled.multiplies(dtype, depth)
    for dtype in (torch.float32, torch.bfloat16, torch.uint8):
        assert not PLAIN.multiplies(dtype, 768)


def test_nothing_to_compute(compiled: CompiledOperations) -> None:
    nothing = torch.empty(0, 24)
    norm = LayerNormWeights(torch.ones(24), torch.zeros(24))
    assert compiled.add_norm(nothing, nothing, norm, None)[0].shape == (0, 24)
    assert compiled.attend(nothing, nothing, nothing, offsets([0, 0], [0, 0]), 3, 1.0, None).shape == (0, 24)
    assert PLAIN.attend(nothing, nothing, nothing, offsets([0, 0], [0, 0]), 3, 1.0, None).shape == (0, 24)


def test_any_number_of_threads_gives_the_same(compiled: CompiledOperations) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(90, 3 * 64, generator=generator).chunk(3, dim=1)
    before = torch.get_num_threads()
    outputs = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            outputs.append(compiled.attend(q, k, v, offsets([30, 60], [30, 60]), 4, 0.25, None))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_without_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: Any = load_operations.__wrapped__
    monkeypatch.setenv("DISTILBERT_KERNELS", "0")
    assert chosen().name == "pytorch"
    monkeypatch.delenv("DISTILBERT_KERNELS")
    monkeypatch.setattr(kernel_library, "FOLDER", tmp_path)
    assert chosen().name == "pytorch"
    for name in ("avx512bf16", "avx512", "avx2", "base"):
        (tmp_path / f"{name}.so").write_bytes(b"no library")
    assert chosen().name == "pytorch"


def test_a_library_of_another_version_is_not_used(
    compiled: CompiledOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_library, "VERSION", 0)
    with pytest.raises(OSError, match="install the package again"):
        CompiledOperations(FOLDER / f"{compiled.name}.so")
    assert load_operations.__wrapped__().name == "pytorch"
