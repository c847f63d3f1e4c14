"""The compiled kernels against their plain twins, on every instruction set that this machine can run."""

from __future__ import annotations

from itertools import product
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.engine import kernel_library
from distilbert.engine.kernel_library import FOLDER, CompiledOperations, available_kernels, load_operations
from distilbert.engine.operations import (
    BF16,
    FP32,
    INT8,
    INT64,
    UINT8,
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    Operations,
    PlainOperations,
    Product,
    Quantizer,
    SequenceOffsets,
)
from tests import emulated_tiles

PLAIN = PlainOperations()
TOLERANCES: dict[np.dtype[Any], dict[str, float]] = {
    FP32: {"rtol": 1e-5, "atol": 1e-5},
    BF16: {"rtol": 2e-2, "atol": 2e-2},
}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)


@pytest.fixture(params=[*kernel_library.PREFERRED, emulated_tiles.NAME])
def compiled(request: pytest.FixtureRequest) -> CompiledOperations:
    if request.param == emulated_tiles.NAME:
        path = emulated_tiles.emulated_library()
        if path is None:
            pytest.skip("the emulated tiles of AMX need a C++ compiler and AVX2")
        return CompiledOperations(path, threads=2)
    if request.param not in available_kernels():
        pytest.skip(f"no kernels {request.param}: this CPU cannot run them, or they were not compiled")
    return CompiledOperations(FOLDER / f"{request.param}.so", threads=2)


def normal(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def close(actual: np.ndarray, expected: np.ndarray, dtype: np.dtype[Any] = FP32) -> None:
    np.testing.assert_allclose(actual.astype(np.float32), expected.astype(np.float32), **TOLERANCES[dtype])


def steps_between(actual: np.ndarray, expected: np.ndarray) -> int:
    """The largest difference of numbers in uint8."""
    assert actual.dtype == expected.dtype == UINT8
    return int(np.abs(actual.astype(int) - expected.astype(int)).max(initial=0))


def offsets(queries: list[int], keys: list[int]) -> SequenceOffsets:
    return SequenceOffsets(*(np.cumsum([0, *lengths]) for lengths in (queries, keys)))


def in_float(x: Any) -> Any:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x


@every_dtype
@pytest.mark.parametrize(("heads", "head_dim"), [(12, 64), (12, 32), (3, 8), (5, 20), (2, 7), (1, 768)])
def test_attention(compiled: CompiledOperations, dtype: np.dtype[Any], heads: int, head_dim: int) -> None:
    keys = [1, 2, 15, 16, 17, 33, 64, 5]
    queries = [1, 2, 0, 16, 5, 33, 1, 9]
    width = heads * head_dim
    q = normal((sum(queries), width)).astype(dtype)
    k, v = np.split(normal((sum(keys), 2 * width), 1).astype(dtype), 2, axis=1)  # with a stride
    arguments = (q, k, v, offsets(queries, keys), heads, head_dim**-0.5)
    expected = PLAIN.attend(*map(in_float, arguments), None)
    close(compiled.attend(*arguments, None), expected, dtype)
    quantizer = Quantizer(np.random.default_rng(2).random(width, np.float32) * 30, 100)
    assert steps_between(compiled.attend(*arguments, quantizer), quantizer(expected)) <= (1 if dtype == FP32 else 2)


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_attention_of_any_lengths(lengths: list[int], seed: int) -> None:
    q, k, v = np.split(normal((sum(lengths), 3 * 48), seed), 3, axis=1)
    arguments = (q, k, v, offsets(lengths, lengths), 3, 0.25, None)
    close(load_operations(2).attend(*arguments), PLAIN.attend(*arguments))


def test_attention_to_scores_far_apart(compiled: CompiledOperations) -> None:
    """Weights of 0 and of 1, and rows of equal scores, are exact."""
    keys = np.eye(16, dtype=np.float32)[:5] * 60
    values = np.arange(80, dtype=np.float32).reshape(5, 16)
    arguments = (keys, values, offsets([5], [5]), 1, 1.0, None)
    np.testing.assert_allclose(compiled.attend(keys * 60, *arguments), values, rtol=1e-6, atol=1e-30)
    even = compiled.attend(np.zeros((5, 16), np.float32), *arguments)
    np.testing.assert_allclose(even, np.broadcast_to(values.mean(axis=0), (5, 16)), rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("dim", [768, 384, 24, 5])
def test_sums_with_layer_norm(compiled: CompiledOperations, dtype: np.dtype[Any], dim: int) -> None:
    x, y = (normal((37, dim), seed).astype(dtype) + dtype.type(3) for seed in range(2))
    norm = LayerNormWeights(*normal((2, dim), 2))
    quantizer = Quantizer(np.random.default_rng(3).random(dim, np.float32) * 100 + 50, 128)
    (actual, integers), (expected, expected_integers) = (
        operations.add_norm(x, y, norm, quantizer) for operations in (compiled, PLAIN)
    )
    close(actual, expected, dtype)
    assert integers is not None
    assert expected_integers is not None
    assert steps_between(integers, expected_integers) <= 1
    assert integers.min() == 0 or integers.max() == 255  # values beyond the range are clipped
    assert compiled.add_norm(x, y, norm, None)[1] is None


@every_dtype
@pytest.mark.parametrize("width", [144, 35])
def test_embeddings(compiled: CompiledOperations, dtype: np.dtype[Any], width: int) -> None:
    words, positions = (normal((size, 24), size).astype(dtype) for size in (97, 23))
    contributions = [normal((size, width), size).astype(dtype) for size in (11, 24)]
    ids = np.random.default_rng(0).integers(0, 97, 50)
    position_ids, slots = np.arange(50) % 23, np.arange(50) % 11
    embeddings = EmbeddingWeights(words, positions, LayerNormWeights(*normal((2, 24))))
    close(
        compiled.embed_norm(ids, position_ids, embeddings, None)[0],
        PLAIN.embed_norm(ids, position_ids, embeddings, None)[0],
        dtype,
    )
    arguments = (ids, position_ids, embeddings, slots, Contributions(*contributions, normal(width)))
    for actual, expected in zip(compiled.embed_project(*arguments), PLAIN.embed_project(*arguments), strict=True):
        close(actual, expected, dtype)


def make_product(
    operations: Operations,
    weight: np.ndarray,
    bias: np.ndarray,
    result: np.dtype[Any],
    factor: np.ndarray | None = None,
    activation: str = "",
    scale: float = 1.0,
    zero: int = 0,
) -> Product:
    groups, outputs, depth = weight.shape
    laid_out = operations.lay_out(weight)
    return Product(laid_out, groups, outputs, depth, weight.dtype, factor, bias, activation, result, scale, zero)


@pytest.mark.parametrize("rows", [1, 3, 8, 17, 300, 1025])
@pytest.mark.parametrize("outputs", [1, 2, 16, 48, 64, 99])
@pytest.mark.parametrize("depth", [8, 196, 3104])  # the last one is longer than what the kernel multiplies at a time
@pytest.mark.parametrize("dtype", [FP32, BF16, UINT8], ids=str)
def test_products(compiled: CompiledOperations, rows: int, outputs: int, depth: int, dtype: np.dtype[Any]) -> None:
    if not compiled.multiplies(dtype, depth):
        assert dtype == BF16
        assert compiled.name not in ("avx512bf16", "amx", "i8mmbf16", emulated_tiles.NAME)
        return
    if compiled.name == emulated_tiles.NAME and rows * depth > 60_000:
        pytest.skip("more tiles of the same kinds take long in emulation")
    rng = np.random.default_rng(rows * outputs)
    groups = 2 if rows < 300 else 1
    bias, factor = normal(groups * outputs), None
    if dtype == UINT8:
        x = rng.integers(0, 256, (rows, groups * depth), np.uint8)
        weight = rng.integers(-127, 128, (groups, outputs, depth), np.int8)
        factor = rng.random(groups * outputs, np.float32) * np.float32(2e-3 / depth)
    else:
        x = normal((rows, groups * depth), 1).astype(dtype)
        weight = (normal((groups, outputs, depth), 2) / np.float32(depth**0.5)).astype(dtype)
    for result, activation in product([FP32, BF16, UINT8] if dtype == UINT8 else [dtype], ["", "gelu"]):
        actual, expected = (
            operations.multiplier(make_product(operations, weight, bias, result, factor, activation, 0.02, 90))(x)
            for operations in (compiled, PLAIN)
        )
        assert actual.dtype == result
        if result == UINT8:
            assert steps_between(actual, expected) <= 1
        else:
            close(actual, expected, result)


def test_extreme_sums_in_int8_do_not_overflow(compiled: CompiledOperations) -> None:
    x = np.full((7, 3072), 255, np.uint8)
    weight = np.repeat(np.array([-127, 127, 126], np.int8), 3072).reshape(1, 3, 3072)
    exact = make_product(compiled, weight, np.zeros(3, np.float32), FP32, np.ones(3, np.float32))
    sums = np.array([-127, 127, 126], np.float64) * 255 * 3072
    np.testing.assert_allclose(compiled.multiplier(exact)(x), np.broadcast_to(sums, (7, 3)), rtol=1e-7)


def exact_gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * value * (1 + erf(value / 2**0.5)) for value in x.ravel().tolist()]).reshape(x.shape)


def test_gelu_everywhere(compiled: CompiledOperations) -> None:
    """The error is 1e-6 in fp32, and 2e-4 beside the rounding in bf16, for any input."""
    x = np.concatenate([np.linspace(-9, 9, 4001), [-1e4, -100.0, 0.0, 100.0, 1e4]])[:, None]
    for dtype, tolerance in ((FP32, 1e-6), (BF16, 2e-4)):
        if compiled.multiplies(dtype, 2):
            rows, weight = np.concatenate([x, 0 * x], axis=1).astype(dtype), np.array([[[1, 0]]], dtype)
            product = make_product(compiled, weight, np.zeros(1, np.float32), dtype, activation="gelu")
            actual = compiled.multiplier(product)(rows)
            expected = exact_gelu(rows[:, :1].astype(np.float64))
            rounding = 0.0 if dtype == FP32 else 2**-8
            assert (np.abs(actual.astype(np.float64) - expected) <= tolerance + rounding * np.abs(expected)).all()


@pytest.mark.parametrize("step", [1e-5, 9e-4, 1e-3, 5e-3, 0.02, 0.1, 1.0, 30.0])
def test_gelu_in_steps(compiled: CompiledOperations, step: float) -> None:
    """In uint8 the error is 1e-3 and a sixth of a step, beside the rounding, for any size of a step and any input."""
    x = np.concatenate([np.arange(-1000, 1001) / 100, [-1e4, -100.0, 100.0, 1e4]])
    rows = np.array([[1, 0, 0, 0]] * 5, np.uint8)  # the weights vary instead
    weight, zero = np.array([[[127, 0, 0, 0]] * len(x)], np.int8), 20
    factor, bias = (x / 254).astype(np.float32), (x / 2).astype(np.float32)
    actual = compiled.multiplier(make_product(compiled, weight, bias, UINT8, factor, "gelu", step, zero))(rows)
    expected = np.clip(exact_gelu(x) / step + zero, 0, 255)
    assert np.abs(actual - expected).max() <= 0.5 + 1 / 6 + 1e-3 / step


def test_a_depth_that_the_kernel_cannot_do(compiled: CompiledOperations) -> None:
    for dtype, depth in ((BF16, 7), (UINT8, 7)):
        assert not compiled.multiplies(dtype, depth)
        assert PLAIN.multiplies(dtype, depth)
    for dtype in (INT64, INT8, np.dtype(np.float64)):
        assert not compiled.multiplies(dtype, 768)
        assert not PLAIN.multiplies(dtype, 768)
    with pytest.raises(InputError, match="has no product of uint8 and int8 with 7 features"):
        compiled.multiplier(Product(np.zeros(1), 1, 1, 7, INT8, None, np.zeros(1, np.float32), "", FP32))


def test_nothing_to_compute(compiled: CompiledOperations) -> None:
    nothing = np.empty((0, 24), np.float32)
    norm = LayerNormWeights(np.ones(24, np.float32), np.zeros(24, np.float32))
    weight, bias = normal((1, 5, 24)), np.zeros(5, np.float32)
    for operations in (compiled, PLAIN):
        assert operations.add_norm(nothing, nothing, norm, None)[0].shape == (0, 24)
        assert operations.attend(nothing, nothing, nothing, offsets([0, 0], [0, 0]), 3, 1.0, None).shape == (0, 24)
        assert operations.multiplier(make_product(operations, weight, bias, FP32))(nothing).shape == (0, 5)


def test_any_number_of_threads_gives_the_same(compiled: CompiledOperations) -> None:
    q, k, v = np.split(normal((90, 3 * 64)), 3, axis=1)
    x, weight, bias = normal((300, 768)), normal((1, 3072, 768)), np.zeros(3072, np.float32)
    results = []
    for threads in (1, 2, 5):
        operations = CompiledOperations(compiled.path, threads)
        context = operations.attend(q, k, v, offsets([30, 60], [30, 60]), 4, 0.25, None)
        results.append((context, operations.multiplier(make_product(operations, weight, bias, FP32))(x)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_without_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("numpy", "0"):
        monkeypatch.setenv("DISTILBERT_KERNELS", name)
        assert load_operations().name == "numpy"
    monkeypatch.delenv("DISTILBERT_KERNELS")
    monkeypatch.setattr(kernel_library, "FOLDER", tmp_path)
    kernel_library._say_that_kernels_are_missing.cache_clear()
    for name in kernel_library.PREFERRED:
        (tmp_path / f"{name}.so").write_bytes(b"no library")
        assert load_operations().name == "numpy"
    assert [record.getMessage()[:39] for record in caplog.records] == ["The compiled kernels are not there, so "]


def test_a_library_is_chosen_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in available_kernels():
        monkeypatch.setenv("DISTILBERT_KERNELS", name)
        assert load_operations().name == name
    monkeypatch.setenv("DISTILBERT_KERNELS", "mmx")
    with pytest.raises(InputError, match=r"DISTILBERT_KERNELS=mmx: .* for this CPU\. Set it to one of .*numpy"):
        load_operations()


def test_a_library_of_another_version_is_not_used(
    compiled: CompiledOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_library, "VERSION", 0)
    kernel_library._open_library.cache_clear()
    try:
        with pytest.raises(OSError, match="install the package again"):
            CompiledOperations(compiled.path)
        assert load_operations().name == "numpy"
    finally:
        kernel_library._open_library.cache_clear()
