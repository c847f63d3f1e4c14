"""Linear maps: what is computed where the kernels do not multiply, and int8 from weights in floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import ACTIVATIONS, BF16, FP32, PlainOperations, activate
from distilbert.engine.products import PLAIN, ActivationRange, float_map, int8_map

RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.standard_normal((99, 64), np.float32) / 8, RNG.standard_normal(99, np.float32)
X = RNG.standard_normal((17, 64), np.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(FP32, 1e-5), (BF16, 2e-2)])
@pytest.mark.parametrize("depth", [64, 7])
def test_every_activation(activation: str, dtype: np.dtype[Any], tolerance: float, depth: int) -> None:
    """Rows of 7 numbers are no whole number of words in bf16: then NumPy multiplies."""
    x, weight = X[:, :depth].astype(dtype), WEIGHT[:, :depth].astype(dtype)
    expected = activate(x.astype(np.float32) @ weight.astype(np.float32).T + BIAS, activation)
    for operations in (load_operations(), PlainOperations()):
        linear = float_map(weight, BIAS, dtype, operations, activation)
        actual = linear(x)
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual.astype(np.float32), expected, rtol=tolerance, atol=tolerance)
        if not operations.multiplies(dtype, depth):
            assert linear.operations is PLAIN


def test_groups_are_multiplied_by_weights_of_their_own() -> None:
    weights = RNG.standard_normal((3, 5, 8), np.float32)
    bias, x = RNG.standard_normal(15, np.float32), RNG.standard_normal((11, 24), np.float32)
    expected = np.concatenate([x[:, 8 * g : 8 * g + 8] @ weights[g].T for g in range(3)], axis=1) + bias
    for operations in (load_operations(), PlainOperations()):
        np.testing.assert_allclose(float_map(weights, bias, FP32, operations)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("in_bytes", [False, True])
def test_int8_is_near_to_floats(activation: str, in_bytes: bool) -> None:
    inputs = ActivationRange(np.linspace(0.5, 2, 64, dtype=np.float32), float(X.min()) * 2, float(X.max()) * 2)
    results = ActivationRange(np.ones(99, np.float32), -2.0, 4.0) if in_bytes else None
    expected = activate(X @ WEIGHT.T + BIAS, activation)
    for operations in (load_operations(), PlainOperations()):
        linear = int8_map(WEIGHT, BIAS, inputs, FP32, operations, activation, results)
        assert linear.quantizer is not None
        actual = linear(linear.quantizer(X)).astype(np.float32)
        if results is not None:
            actual = (actual - results.zero_point) * results.scale
            expected = np.clip(expected, -2, 4)
        assert np.abs(actual - expected).mean() < 0.03
