"""Int8 of a model: calibration on texts of its user, and the file beside the weights that keeps the result.

Legend: T tokens kept, K input features, M output features.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..core.errors import InputError, WeightsError
from ..core.files import replacing
from ..core.runner_protocol import Batch, read_rows
from ..weights.folder import QUANTIZATION
from .head_functions import read_linear
from .kernel_library import load_operations
from .model_weights import ModelWeights, weights_of
from .operations import FP32
from .packed_encoder import PRODUCT_NAMES, PackedEncoder
from .precision import DTYPES, pick_threads
from .products import ActivationRange, quantize_weight

KEPT_TOKENS = 512  # inputs of a product to try ranges on; of all others only the extremes count
SMOOTHING_POWERS = (0.0, 0.3, 0.5, 0.7)  # how much of a channel's size moves into the weights; 0: none
CLIPPINGS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # parts of the full range to try


@dataclass(frozen=True)
class Quantization:
    """Which products of a model run in int8, and how.

    Attributes:
        ranges: ``"BLOCK.PRODUCT"``, such as ``"0.qkv"``, -> range of its inputs. Other products run in floats.
        float_precision: ``"bf16"`` or ``"fp32"``, for everything that is not in int8.
        measured: what was measured when it was made, for the model card.
    """

    ranges: Mapping[str, ActivationRange]
    float_precision: str = "bf16"
    measured: Mapping[str, Any] = field(default_factory=dict)

    def without(self, *names: str) -> Quantization:
        """Return the same with these products in floats."""
        kept = {name: inputs for name, inputs in self.ranges.items() if name not in names}
        return Quantization(kept, self.float_precision, self.measured)

    def save(self, folder: Path) -> None:
        """Write ``quantization.safetensors`` into ``folder``."""
        tensors = {f"{name}.smooth": inputs.smoothing for name, inputs in self.ranges.items()}
        tensors |= {
            f"{name}.range": np.array([inputs.low, inputs.high], dtype=np.float32)
            for name, inputs in self.ranges.items()
        }
        metadata = {
            "format": "distilbert",
            "beside": self.float_precision,
            "measured": json.dumps(dict(self.measured)),
        }
        with replacing(folder / QUANTIZATION) as temporary:
            save_file(tensors, temporary, metadata)

    @classmethod
    def load(cls, folder: Path) -> Quantization | None:
        """Read the file of ``folder``; None if there is none.

        Raises:
            WeightsError: it is damaged.
        """
        path = folder / QUANTIZATION
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            names = [name.removesuffix(".range") for name in tensors if name.endswith(".range")]
            ranges = {
                name: ActivationRange(tensors[f"{name}.smooth"], *tensors[f"{name}.range"].tolist()) for name in names
            }
            unknown = tensors.keys() - {f"{name}.{kind}" for name in names for kind in ("smooth", "range")}
            if unknown:
                raise ValueError(f"unknown tensors {', '.join(sorted(unknown)):.80}")
            if metadata["beside"] not in DTYPES:
                raise ValueError(f"there is no precision {metadata['beside']!r}")
            measured = json.loads(metadata["measured"])
            if not isinstance(measured, dict):
                raise ValueError(f"measured must be an object, got {measured!r:.80}")
            return cls(ranges, metadata["beside"], measured)
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise WeightsError(f"{path} is damaged ({error}); run `distilbert quantize` again.") from error


class _InputStatistics:
    """The inputs of one product: the extremes of all tokens, and a sample of tokens to try ranges on."""

    def __init__(self) -> None:
        self.low, self.high, self.tokens = 0.0, 0.0, 0
        self._samples: list[np.ndarray] = []

    def add(self, x: np.ndarray) -> None:
        """Record inputs (T, K)."""
        if len(x):
            self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.tokens += len(x)
        order = np.random.default_rng(self.tokens).permutation(len(x))
        self._samples.append(x[order[:64]])

    def sample(self) -> np.ndarray:
        """Return at most KEPT_TOKENS inputs, (T, K)."""
        rows = np.concatenate(self._samples)
        return rows[np.random.default_rng(0).permutation(len(rows))[:KEPT_TOKENS]]


def calibrate(model: Any, batches: Iterable[Batch], float_precision: str = "bf16") -> Quantization:
    """Find the ranges of every product on texts that run through the model.

    For each product, several smoothings are tried and then several ranges; those with the least error of the product
    itself are taken.

    Args:
        model: a loaded model, or its weights as the engine reads them.
        batches: texts like those that the model is for; some hundreds are enough.
        float_precision: precision of everything that is not a product in int8.

    Raises:
        InputError: there is no token in the batches.
    """
    weights = weights_of(model)
    statistics = {
        f"{block}.{product}": _InputStatistics()
        for block in range(weights.config.n_layers)
        for product in PRODUCT_NAMES
    }
    observed = PackedEncoder(
        weights, FP32, {}, load_operations(pick_threads(None)), lambda name, inputs: statistics[name].add(inputs)
    )
    for batch in batches:
        observed(batch.input_ids, batch.offsets, read_rows(batch, weights.head, weights.config))
    if not all(inputs.tokens for inputs in statistics.values()):
        raise InputError("There is no text to calibrate on.")
    ranges = {
        name: _best_range(inputs, _weight(weights, name), smoothed=not name.endswith("lin2"))
        for name, inputs in statistics.items()
    }
    return Quantization(ranges, float_precision)


def _weight(weights: ModelWeights, name: str) -> np.ndarray:
    """Return the weight (M, K) of a product, ``"BLOCK.PRODUCT"``."""
    block, product = name.split(".")
    names = {
        "qkv": ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
        "out": ["attention.out_lin"],
        "lin1": ["ffn.lin1"],
        "lin2": ["ffn.lin2"],
    }[product]
    return np.concatenate([read_linear(weights, f"transformer.layer.{block}.{each}")[0] for each in names])


def _best_range(statistics: _InputStatistics, weight: np.ndarray, smoothed: bool) -> ActivationRange:
    """Return the best of several smoothings, then of several clippings, on the sample of inputs.

    The inputs of ``lin2`` are not smoothed: they are written in uint8 by the product before it.
    """
    x = statistics.sample()
    exact = x @ weight.T  # (T, M)
    tried: list[tuple[float, ActivationRange]] = []
    for power in SMOOTHING_POWERS if smoothed else SMOOTHING_POWERS[:1]:
        inputs = _full_range(x, weight, power, statistics)
        tried.append((_error(x, weight, exact, inputs), inputs))
    full = min(tried, key=lambda pair: pair[0])[1]
    for part in CLIPPINGS[1:]:
        inputs = ActivationRange(full.smoothing, full.low * part, full.high * part)
        tried.append((_error(x, weight, exact, inputs), inputs))
    return min(tried, key=lambda pair: pair[0])[1]


def _full_range(x: np.ndarray, weight: np.ndarray, power: float, statistics: _InputStatistics) -> ActivationRange:
    """Return the range of all inputs after smoothing: with power 0 that of all tokens, else that of the sample."""
    if power == 0.0:
        low, high = statistics.low, max(statistics.high, statistics.low + 1e-6)
        return ActivationRange(np.ones(x.shape[1], np.float32), low, high)
    input_sizes, weight_sizes = (np.maximum(np.abs(array).max(axis=0), 1e-5) for array in (x, weight))  # (K,)
    smoothing = input_sizes**power / weight_sizes ** (1 - power)
    smoothing = np.ascontiguousarray(smoothing / np.exp(np.log(smoothing).mean()), np.float32)
    smoothed = x / smoothing
    return ActivationRange(smoothing, min(0.0, float(smoothed.min())), max(float(smoothed.max()), 1e-6))


def _error(x: np.ndarray, weight: np.ndarray, exact: np.ndarray, inputs: ActivationRange) -> float:
    """Return the mean squared error of the product in int8."""
    integers, weight_scales = quantize_weight(weight * inputs.smoothing)
    rounded = (inputs.quantizer()(x).astype(np.float32) - inputs.zero_point) * np.float32(inputs.scale)
    return float(np.square(rounded @ (integers * weight_scales[:, None]).T - exact).mean())
