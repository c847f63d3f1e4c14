"""The heads on NumPy arrays and the engine's products.

Legend: R rows that a head reads, D dim, L labels, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .laid_out_weights import MemoryStore, WeightStore
from .model_weights import HeadFunction, ModelWeights
from .operations import LayerNormWeights, Operations
from .products import LinearMap, float_map


def build_head(
    weights: ModelWeights, dtype: np.dtype[Any], operations: Operations, store: WeightStore | None = None
) -> HeadFunction | None:
    """Return what computes the head of a model from hidden states: (R, D) -> (R, L) or (R, V); None without a head.

    Args:
        weights: of the model.
        dtype: of the hidden states.
        operations: what computes.
        store: where laid-out weights are kept.
    """
    if weights.head_function is not None:
        compute = weights.head_function
        return lambda hidden: compute(hidden.astype(np.float32, copy=False))
    name, config = weights.head.name, weights.config
    if not name:
        return None
    kept = store or MemoryStore()

    def linear(module: str, activation: str = "") -> LinearMap:
        return kept.linear(module, lambda: float_map(*read_linear(weights, module), dtype, operations, activation))

    if name == "ForMaskedLM":
        transform, projector = linear("vocab_transform", config.activation), linear("vocab_projector")
        return _masked_lm(transform, projector, read_norm(weights, "vocab_layer_norm", kept), operations)
    if name in ("ForSequenceClassification", "ForMultipleChoice"):
        pre_classifier, classifier = linear("pre_classifier", "relu"), linear("classifier")
        return lambda hidden: classifier(pre_classifier(hidden))
    return linear("qa_outputs" if name == "ForQuestionAnswering" else "classifier")


def mean_by_sequence(hidden: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the mean of each sequence's hidden states: (T, D) and offsets (B + 1,) -> (B, D); none may be empty."""
    if len(offsets) < 2:
        return hidden[:0]
    sums = np.add.reduceat(hidden.astype(np.float32, copy=False), offsets[:-1], axis=0)
    means: np.ndarray = sums / np.diff(offsets)[:, None].astype(np.float32)
    return means.astype(hidden.dtype, copy=False)


def _masked_lm(
    transform: LinearMap, projector: LinearMap, norm: LayerNormWeights, operations: Operations
) -> HeadFunction:
    def compute(hidden: np.ndarray) -> np.ndarray:
        x = transform(hidden)
        return projector(operations.add_norm(x, np.zeros_like(x), norm, None)[0])

    return compute


def read_linear(weights: ModelWeights, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (M, K) and bias (M,) of a linear map, in fp32."""
    weight, bias = (weights.read(f"{name}.{part}").astype(np.float32, copy=False) for part in ("weight", "bias"))
    return weight, bias


def read_norm(weights: ModelWeights, name: str, store: WeightStore | None = None) -> LayerNormWeights:
    """Return weight and bias of a LayerNorm, (D,) each; ``store`` keeps them."""
    kept = store or MemoryStore()

    def read(part: str) -> np.ndarray:
        return kept.array(f"{name}.{part}", lambda: np.ascontiguousarray(weights.read(f"{name}.{part}"), np.float32))

    return LayerNormWeights(read("weight"), read("bias"))
