"""The one comparison of outputs for all tests of models, whichever framework each output is from."""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers(tensor: Any) -> np.ndarray:
    """A float32 array of a tensor of PyTorch, TensorFlow or JAX, or of an array."""
    if hasattr(tensor, "detach"):  # PyTorch, whose bfloat16 NumPy does not know
        tensor = tensor.detach().float()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor).astype(np.float32)


def assert_close(
    actual: Any, expected: Any, what: str = "", tolerance: float = 1e-5, relative_to_largest: bool = False
) -> None:
    """Equal shapes, finite numbers, and no difference above the tolerance.

    With ``relative_to_largest`` the tolerance is multiplied by the largest expected number, if that is above 1.
    """
    if hasattr(actual, "detach") and hasattr(expected, "detach"):
        assert actual.dtype == expected.dtype, what
    a, b = numbers(actual), numbers(expected)
    assert a.shape == b.shape, what
    assert np.isfinite(a).all(), what
    limit = tolerance * max(1.0, np.abs(b).max(initial=0)) if relative_to_largest else tolerance
    difference = np.abs(a - b).max(initial=0)
    assert difference <= limit, f"{what}: {difference}"


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-5, relative_to_largest: bool = False) -> None:
    """Two outputs of models have the same fields, as many tensors in each, and the same numbers."""
    assert list(actual.keys()) == list(expected.keys())
    for name in expected.keys():  # noqa: SIM118  # an output is not a dictionary
        pair = [value if isinstance(value, tuple) else (value,) for value in (actual[name], expected[name])]
        assert len(pair[0]) == len(pair[1]), name
        for number, tensors in enumerate(zip(*pair, strict=True)):
            assert_close(*tensors, f"{name} {number}", tolerance, relative_to_largest)
