"""The encoder on packed tokens: projections multiplied as one, and nothing computed that the head does not read.

Legend: T packed tokens, R query rows (those that the head reads), B sequences, D dim, W attention width, N heads,
H head dim.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.schema import attention_width
from .head_functions import read_linear, read_norm
from .model_weights import ModelWeights
from .operations import UINT8, EmbeddingWeights, LayerNormWeights, Operations, Quantizer, SequenceOffsets
from .products import ActivationRange, LinearMap, float_map, int8_map
from .projection_cache import MIN_TOKENS, ProjectionCache

PRODUCT_NAMES = ("qkv", "out", "lin1", "lin2")  # the matrix products of a block, in order
Ranges = Mapping[str, ActivationRange]  # "BLOCK.PRODUCT" -> range of its inputs; products not in it run in floats
Observer = Callable[[str, np.ndarray], None]  # takes "BLOCK.PRODUCT" and its inputs (T, K)
ATTENTION_COST = 6  # time of a multiplication in attention, relative to one in a matrix product
SMALL_BATCH = 64  # tokens up to which a product takes as long as reading its weights


@dataclass(frozen=True)
class Block:
    """A transformer block with its weights laid out.

    The last block has ``query``, ``keys`` and ``values``, because it computes the rows that the head reads alone. Its
    ``qkv`` computes keys and values only. In other blocks ``qkv`` computes all three.

    Attributes:
        name: its number.
        heads: N.
        query: the projection of queries.
        keys: (T, N * H) -> (T, N * D), which multiplies each head's queries by its weight of the keys.
        values: (T, N * D) -> (T, N * H), each head's projection of values.
    """

    name: str
    heads: int
    qkv: LinearMap
    query: LinearMap | None
    keys: LinearMap | None
    values: LinearMap | None
    out: LinearMap
    attention_norm: LayerNormWeights
    lin1: LinearMap
    lin2: LinearMap
    output_norm: LayerNormWeights


class Encoder:
    """The encoder of a model: ids in, last hidden states out.

    Args:
        weights: of the model.
        dtype: of hidden states, and of all products that ``ranges`` does not name.
        ranges: of the inputs of the products that run in int8.
        operations: what computes.
        observer: is called with the inputs of every product.
    """

    def __init__(
        self,
        weights: ModelWeights,
        dtype: np.dtype[Any],
        ranges: Ranges,
        operations: Operations,
        observer: Observer | None = None,
    ) -> None:
        config = weights.config
        self._config, self.dtype, self._ranges, self._operations = config, dtype, ranges, operations
        self._observe = observer or (lambda name, inputs: None)
        self._keeps_projections = observer is None  # from the cache, the first block computes nothing to observe
        known = {f"{block}.{product}" for block in range(config.n_layers) for product in PRODUCT_NAMES}
        if not ranges.keys() <= known:
            raise InputError(
                f"The quantization names {', '.join(sorted(ranges.keys() - known))[:80]}, which this model of "
                f"{config.n_layers} blocks does not have. Run `distilbert quantize` on this model."
            )
        self._head_dim = config.dim // config.n_heads
        words, positions = (
            np.ascontiguousarray(weights.read(f"embeddings.{name}_embeddings.weight")).astype(dtype, copy=False)
            for name in ("word", "position")
        )
        self._embeddings = EmbeddingWeights(words, positions, read_norm(weights, "embeddings.LayerNorm"))
        self._projection_cache: ProjectionCache | None = None
        self._blocks = [self._prepare(weights, index) for index in range(config.n_layers)]

    def __call__(self, ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Compute last hidden states.

        Args:
            ids: (T,) int64.
            offsets: (B + 1,) int64; sequence ``b`` is ``ids[offsets[b]:offsets[b + 1]]``.
            rows: (R,) the tokens to return, sorted; None for all.

        Returns:
            (R, D) or (T, D).
        """
        position_ids = np.arange(len(ids)) - np.repeat(offsets[:-1], np.diff(offsets))
        x8: np.ndarray | None = None  # x in uint8, where the next product is in int8
        qkv: np.ndarray | None = None
        if self._projection_cache is not None and len(ids) >= MIN_TOKENS:
            x, qkv = self._projection_cache(ids, position_ids)
        else:
            quantizer = self._blocks[0].qkv.quantizer if self._blocks else None
            x, x8 = self._operations.embed_norm(ids, position_ids, self._embeddings, quantizer)
        sequences = SequenceOffsets(offsets, offsets)
        for block, next_block in itertools.pairwise(self._blocks):
            if qkv is None:
                self._observe(f"{block.name}.qkv", x)
                qkv = block.qkv(x if x8 is None else x8)
            q, k, v = _columns(qkv, 3)  # (T, W) each
            context = self._attend(block, q, k, v, sequences)
            x, x8 = self._feed_forward(block, x, context, next_block.qkv.quantizer)
            qkv = None
        if not self._blocks or (rows is not None and not len(rows)):
            return x if rows is None else x[rows]
        return self._last_block(self._blocks[-1], x, x8, offsets, rows)

    def _last_block(
        self, block: Block, x: np.ndarray, x8: np.ndarray | None, ends: np.ndarray, rows: np.ndarray | None
    ) -> np.ndarray:
        """Run the last block for the rows that the head reads: (T, D) -> (R, D)."""
        offsets = SequenceOffsets(ends if rows is None else np.searchsorted(rows, ends), ends)
        assert block.query is not None
        self._observe(f"{block.name}.qkv", x)
        inputs = x if x8 is None else x8
        q = block.query(inputs if rows is None else inputs[rows])  # (R, W)
        if block.keys is not None and rows is not None and self._skips_keys(offsets):
            context = self._attend_without_keys(block, q, x, offsets)
        else:
            k, v = _columns(block.qkv(inputs), 2)
            context = self._attend(block, q, k, v, offsets)
        return self._feed_forward(block, x if rows is None else x[rows], context, None)[0]

    def _skips_keys(self, offsets: SequenceOffsets) -> bool:
        """Say whether attending to hidden states is cheaper than computing keys and values of all tokens."""
        if offsets.keys[-1] <= SMALL_BATCH:
            return False
        most_queries = int(np.diff(offsets.queries).max()) if len(offsets.queries) > 1 else 0  # in one sequence
        return ATTENTION_COST * most_queries < self._head_dim

    def _attend(
        self, block: Block, q: np.ndarray, k: np.ndarray, v: np.ndarray, offsets: SequenceOffsets
    ) -> np.ndarray:
        return self._operations.attend(q, k, v, offsets, block.heads, self._head_dim**-0.5, block.out.quantizer)

    def _attend_without_keys(self, block: Block, q: np.ndarray, x: np.ndarray, offsets: SequenceOffsets) -> np.ndarray:
        """Attend to hidden states (T, D) instead of keys and values: ``q (K x)' = (q K) x'``, ``a (V x)' = V (a x)'``.

        The bias of the keys is left out: it adds the same number to all scores of a query, which softmax cancels.
        """
        assert block.keys is not None
        assert block.values is not None
        dim = x.shape[1]
        queries = block.keys(q).reshape(-1, dim)  # (R * N, D)
        per_head = SequenceOffsets(offsets.queries * block.heads, offsets.keys)  # each head's query is a row of its own
        means = self._operations.attend(queries, x, x, per_head, 1, self._head_dim**-0.5, None)
        context = block.values(means.reshape(len(q), -1))  # (R, W)
        return context if block.out.quantizer is None else block.out.quantizer(context)

    def _feed_forward(
        self, block: Block, x: np.ndarray, context: np.ndarray, quantizer: Quantizer | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Run what follows attention in a block; ``quantizer`` is that of the next block."""
        self._observe(f"{block.name}.out", context)
        x, x8 = self._operations.add_norm(x, block.out(context), block.attention_norm, block.lin1.quantizer)
        self._observe(f"{block.name}.lin1", x)
        inner = block.lin1(x if x8 is None else x8)
        self._observe(f"{block.name}.lin2", inner)
        if block.lin2.quantizer is not None and inner.dtype != UINT8:
            inner = block.lin2.quantizer(inner)
        return self._operations.add_norm(x, block.lin2(inner), block.output_norm, quantizer)

    def _prepare(self, weights: ModelWeights, index: int) -> Block:
        """Read and lay out a block."""
        name = f"transformer.layer.{index}"
        query, key, value = (read_linear(weights, f"{name}.attention.{part}_lin") for part in "qkv")
        heads = attention_width(self._config, index) // self._head_dim
        by_head = (heads, self._head_dim, self._config.dim)
        last = index == self._config.n_layers - 1
        if index == 0 and not last and self._keeps_projections:
            self._projection_cache = ProjectionCache(
                self._embeddings, *_concatenate((query, key, value)), self._operations
            )
        no_bias = np.zeros(heads * self._config.dim, np.float32)
        return Block(
            name=str(index),
            heads=heads,
            qkv=self._linear(f"{index}.qkv", *_concatenate((key, value) if last else (query, key, value))),
            query=self._linear(f"{index}.qkv", *query) if last else None,
            keys=self._float_map(key[0].reshape(by_head).transpose(0, 2, 1), no_bias) if last else None,
            values=self._float_map(value[0].reshape(by_head), value[1]) if last else None,
            out=self._linear(f"{index}.out", *read_linear(weights, f"{name}.attention.out_lin")),
            attention_norm=read_norm(weights, f"{name}.sa_layer_norm"),
            lin1=self._linear(
                f"{index}.lin1",
                *read_linear(weights, f"{name}.ffn.lin1"),
                self._config.activation,
                self._ranges.get(f"{index}.lin2"),
            ),
            lin2=self._linear(f"{index}.lin2", *read_linear(weights, f"{name}.ffn.lin2")),
            output_norm=read_norm(weights, f"{name}.output_layer_norm"),
        )

    def _float_map(self, weight: np.ndarray, bias: np.ndarray, activation: str = "") -> LinearMap:
        return float_map(weight, bias, self.dtype, self._operations, activation)

    def _linear(
        self,
        name: str,
        weight: np.ndarray,
        bias: np.ndarray,
        activation: str = "",
        results: ActivationRange | None = None,
    ) -> LinearMap:
        inputs = self._ranges.get(name)
        if inputs is None:
            return self._float_map(weight, bias, activation)
        if len(inputs.smoothing) != weight.shape[1]:
            raise InputError(
                f"The quantization of {name} is for {len(inputs.smoothing)} features, and the model has "
                f"{weight.shape[1]} there: it belongs to another model. Run `distilbert quantize` on this one."
            )
        return int8_map(weight, bias, inputs, self.dtype, self._operations, activation, results)


def _columns(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Return views of so many equal parts of the columns."""
    width = rows.shape[1] // count
    return [rows[:, start : start + width] for start in range(0, rows.shape[1], width)] if width else [rows] * count


def _concatenate(linears: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of one linear map that computes several."""
    weights, biases = zip(*linears, strict=True)
    return np.concatenate(weights), np.concatenate(biases)
