"""The heads on NumPy arrays and the engine's products.

Legend: R rows that a head reads, D dim, L labels, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .model_weights import HeadFunction, ModelWeights
from .operations import LayerNormWeights, Operations
from .products import LinearMap, float_map


def build_head(weights: ModelWeights, dtype: np.dtype[Any], operations: Operations) -> HeadFunction | None:
    """Return what computes the head of a model from hidden states: (R, D) -> (R, L) or (R, V); None without a head.

    Args:
        weights: of the model.
        dtype: of the hidden states.
        operations: what computes.
    """
    if weights.head_function is not None:
        compute = weights.head_function
        return lambda hidden: compute(hidden.astype(np.float32, copy=False))
    name = weights.head.name
    if not name:
        return None
    if name == "ForMaskedLM":
        return _masked_lm(weights, dtype, operations)
    if name in ("ForSequenceClassification", "ForMultipleChoice"):
        pre_classifier = _linear(weights, "pre_classifier", dtype, operations, "relu")
        classifier = _linear(weights, "classifier", dtype, operations)
        return lambda hidden: classifier(pre_classifier(hidden))
    return _linear(weights, "qa_outputs" if name == "ForQuestionAnswering" else "classifier", dtype, operations)


def _masked_lm(weights: ModelWeights, dtype: np.dtype[Any], operations: Operations) -> HeadFunction:
    transform = _linear(weights, "vocab_transform", dtype, operations, weights.config.activation)
    projector = _linear(weights, "vocab_projector", dtype, operations)
    norm = read_norm(weights, "vocab_layer_norm")

    def compute(hidden: np.ndarray) -> np.ndarray:
        x = transform(hidden)
        return projector(operations.add_norm(x, np.zeros_like(x), norm, None)[0])

    return compute


def _linear(
    weights: ModelWeights, name: str, dtype: np.dtype[Any], operations: Operations, activation: str = ""
) -> LinearMap:
    return float_map(*read_linear(weights, name), dtype, operations, activation)


def read_linear(weights: ModelWeights, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (M, K) and bias (M,) of a linear map, in fp32."""
    weight, bias = (weights.read(f"{name}.{part}").astype(np.float32, copy=False) for part in ("weight", "bias"))
    return weight, bias


def read_norm(weights: ModelWeights, name: str) -> LayerNormWeights:
    """Return weight and bias of a LayerNorm, (D,) each."""
    return LayerNormWeights(
        *(np.ascontiguousarray(weights.read(f"{name}.{part}"), np.float32) for part in ("weight", "bias"))
    )
