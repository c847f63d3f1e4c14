"""The encoder on packed tokens: projections multiplied as one, and nothing computed that the head does not read.

Legend: T packed tokens, R query rows (those that the head reads), B sequences, D dim, W attention width, N heads,
H head dim.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.schema import attention_width
from .head_functions import read_linear, read_norm
from .laid_out_weights import MemoryStore, WeightStore
from .model_weights import ModelWeights
from .operations import UINT8, EmbeddingWeights, LayerNormWeights, Operations, Quantizer, SequenceOffsets
from .products import ActivationRange, LinearMap, float_map, int8_map
from .projection_cache import MIN_TOKENS, ProjectionCache

PRODUCT_NAMES = ("qkv", "out", "lin1", "lin2")  # the matrix products of a block, in order
Ranges = Mapping[str, ActivationRange]  # "BLOCK.PRODUCT" -> range of its inputs; products not in it run in floats
Observer = Callable[[str, np.ndarray], None]  # takes "BLOCK.PRODUCT" and its inputs (T, K)
Part = tuple[slice, SequenceOffsets]  # the tokens of some sequences, and where these begin in the part
ATTENTION_COST = 6  # time of a multiplication in attention, relative to one in a matrix product
PART_TOKENS = 512  # of sequences that go through a block at once: what it computes in between takes memory
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


class PackedEncoder:
    """The encoder of a model: ids in, last hidden states out.

    Args:
        weights: of the model.
        dtype: of hidden states, and of all products that ``ranges`` does not name.
        ranges: of the inputs of the products that run in int8.
        operations: what computes.
        observer: is called with the inputs of every product.
        store: where laid-out weights are kept.

    Raises:
        InputError: the ranges are those of another model, or what the store keeps does not fit the model.
    """

    def __init__(
        self,
        weights: ModelWeights,
        dtype: np.dtype[Any],
        ranges: Ranges,
        operations: Operations,
        observer: Observer | None = None,
        store: WeightStore | None = None,
    ) -> None:
        config = weights.config
        self._weights, self._store = weights, store or MemoryStore()
        self._config, self.dtype, self._ranges, self._operations = config, dtype, ranges, operations
        self._observe = observer or (lambda name, inputs: None)
        self._is_observed = observer is not None
        known = {f"{block}.{product}" for block in range(config.n_layers) for product in PRODUCT_NAMES}
        if not ranges.keys() <= known:
            raise InputError(
                f"The quantization names {', '.join(sorted(ranges.keys() - known))[:80]}, which this model of "
                f"{config.n_layers} blocks does not have. Run `distilbert quantize` on this model."
            )
        self._head_dim = config.dim // config.n_heads
        words, positions = (
            self._store.array(f"{name}_embeddings", partial(self._read_embeddings, name))
            for name in ("word", "position")
        )
        self._embeddings = EmbeddingWeights(words, positions, self._norm("embeddings.LayerNorm"))
        sizes = (config.vocab_size, config.max_position_embeddings), (config.dim, config.dim)
        if (words.shape, positions.shape) != tuple(zip(*sizes, strict=True)):
            raise InputError(f"Embeddings of {words.shape} and {positions.shape} do not fit the configuration.")
        self._projection_cache: ProjectionCache | None = None
        self._blocks = [self._prepare(index) for index in range(config.n_layers)]

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
        # Who observes products sees all inputs at once.
        parts = cut_parts(offsets, sys.maxsize if self._is_observed else PART_TOKENS)
        x8: np.ndarray | None = None  # x in uint8, where the next product is in int8
        cache = self._projection_cache if len(ids) >= MIN_TOKENS else None
        if cache is not None:
            x = np.empty((len(ids), self._config.dim), self.dtype)
        else:
            quantizer = self._blocks[0].qkv.quantizer if self._blocks else None
            x, x8 = self._operations.embed_norm(ids, position_ids, self._embeddings, quantizer)
        for block, next_block in itertools.pairwise(self._blocks):
            quantizer = next_block.qkv.quantizer
            results8 = np.empty(x.shape, UINT8) if quantizer else None
            for part, sequences in parts:
                if cache is not None:
                    x[part], qkv = cache(ids[part], position_ids[part])
                else:
                    self._observe(f"{block.name}.qkv", x[part])
                    qkv = block.qkv(x[part] if x8 is None else x8[part])
                context = self._attend(block, _columns(qkv, 3), sequences)
                del qkv  # before the feed-forward layer takes its memory
                x[part], part8 = self._feed_forward(block, x[part], context, quantizer)
                if results8 is not None and part8 is not None:
                    results8[part] = part8
            x8, cache = results8, None
        if not self._blocks or (rows is not None and not len(rows)):
            return x if rows is None else x[rows]
        return self._last_block(self._blocks[-1], x, x8, offsets, parts, rows)

    def _last_block(
        self,
        block: Block,
        x: np.ndarray,
        x8: np.ndarray | None,
        offsets: np.ndarray,
        parts: Sequence[Part],
        rows: np.ndarray | None,
    ) -> np.ndarray:
        """Run the last block for the rows that the head reads: (T, D) -> (R, D)."""
        assert block.query is not None
        self._observe(f"{block.name}.qkv", x)
        inputs = x if x8 is None else x8
        if rows is not None and self._skips_keys(queries := SequenceOffsets(np.searchsorted(rows, offsets), offsets)):
            context = self._attend_without_keys(block, block.query(inputs[rows]), x, queries)
            return self._feed_forward(block, x[rows], context, None)[0]
        results = []
        for part, sequences in parts:
            chosen: slice | np.ndarray = slice(None)  # the rows to compute
            if rows is not None:
                first, last = np.searchsorted(rows, (part.start, part.stop))
                if first == last:
                    continue
                chosen = asked = rows[first:last] - part.start
                sequences = SequenceOffsets(np.searchsorted(asked, sequences.keys), sequences.keys)
            q = block.query(inputs[part][chosen])  # (R, W)
            key_values = _columns(block.qkv(inputs[part]), 2)
            context = self._attend(block, (q, *key_values), sequences)
            results.append(self._feed_forward(block, x[part][chosen], context, None)[0])
        return np.concatenate(results)

    def _skips_keys(self, offsets: SequenceOffsets) -> bool:
        """Say whether attending to hidden states is cheaper than computing keys and values of all tokens."""
        if offsets.keys[-1] <= SMALL_BATCH:
            return False
        most_queries = int(np.diff(offsets.queries).max()) if len(offsets.queries) > 1 else 0  # in one sequence
        return ATTENTION_COST * most_queries < self._head_dim

    def _attend(self, block: Block, qkv: Sequence[np.ndarray], offsets: SequenceOffsets) -> np.ndarray:
        """Attend with queries, keys and values, (T, W) each."""
        q, k, v = qkv
        return self._operations.attend(q, k, v, offsets, block.heads, self._head_dim**-0.5, block.out.quantizer)

    def _attend_without_keys(self, block: Block, q: np.ndarray, x: np.ndarray, offsets: SequenceOffsets) -> np.ndarray:
        """Attend to hidden states (T, D) instead of keys and values: ``q (K x)' = (q K) x'``, ``a (V x)' = V (a x)'``.

        The bias of the keys is left out: it adds the same number to all scores of a query, which softmax cancels.
        """
        assert block.keys is not None
        assert block.values is not None
        dim = x.shape[1]
        queries = block.keys(q).reshape(len(q) * block.heads, dim)  # (R * N, D)
        per_head = SequenceOffsets(offsets.queries * block.heads, offsets.keys)  # each head's query is a row of its own
        means = self._operations.attend(queries, x, x, per_head, 1, self._head_dim**-0.5, None)
        context = block.values(means.reshape(len(q), block.heads * dim))  # (R, W)
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

    def check(self) -> None:
        """Run no tokens through all products, which checks the types and shapes of all weights.

        Raises:
            InputError: they do not fit together.
        """
        nothing, rows = np.zeros(0, np.int64), np.zeros((0, self._config.dim), self.dtype)
        if self(nothing, np.zeros(1, np.int64), None).shape != rows.shape:
            raise InputError("The laid-out weights do not fit the configuration.")
        for block in self._blocks[-1:]:
            if block.keys is not None and block.values is not None:
                queries = np.zeros((0, block.values.product.groups * block.values.product.outputs), self.dtype)
                self._attend_without_keys(
                    block, queries, rows, SequenceOffsets(np.zeros(1, np.int64), np.zeros(1, np.int64))
                )

    def _prepare(self, index: int) -> Block:
        """Read and lay out a block, or take it from the store."""
        name = f"transformer.layer.{index}"
        query, key, value = (f"{name}.attention.{part}_lin" for part in "qkv")
        heads = attention_width(self._config, index) // self._head_dim
        last = index == self._config.n_layers - 1
        block = Block(
            name=str(index),
            heads=heads,
            qkv=self._linear(f"{index}.qkv", (key, value) if last else (query, key, value)),
            query=self._linear(f"{index}.qkv", (query,), stored_as=f"{index}.query") if last else None,
            keys=self._store.linear(f"{index}.keys", partial(self._by_head, heads, key, "keys")) if last else None,
            values=self._store.linear(f"{index}.values", partial(self._by_head, heads, value)) if last else None,
            out=self._linear(f"{index}.out", (f"{name}.attention.out_lin",)),
            attention_norm=self._norm(f"{name}.sa_layer_norm"),
            lin1=self._linear(
                f"{index}.lin1", (f"{name}.ffn.lin1",), self._config.activation, self._ranges.get(f"{index}.lin2")
            ),
            lin2=self._linear(f"{index}.lin2", (f"{name}.ffn.lin2",)),
            output_norm=self._norm(f"{name}.output_layer_norm"),
        )
        if index == 0 and not last and not self._is_observed:  # from the cache, nothing is computed to observe
            # In int8, the projections of the cache are computed in floats all the same.
            project = block.qkv
            if project.quantizer is not None:
                project = self._store.linear(
                    "0.qkv in floats", lambda: self._float_map(*self._read_linears((query, key, value)))
                )
            self._projection_cache = ProjectionCache(self._embeddings, project)
        return block

    def _by_head(self, heads: int, name: str, kind: str = "") -> LinearMap:
        """Return the keys or values of a block as a map of each head's own."""
        weight, bias = self._read_linears((name,))
        by_head = weight.reshape(heads, self._head_dim, self._config.dim)
        if kind == "keys":
            by_head, bias = by_head.transpose(0, 2, 1), np.zeros(heads * self._config.dim, np.float32)
        return self._float_map(by_head, bias)

    def _read_embeddings(self, name: str) -> np.ndarray:
        array = self._weights.read(f"embeddings.{name}_embeddings.weight")
        return np.ascontiguousarray(array).astype(self.dtype, copy=False)

    def _read_linears(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias of one linear map that computes several."""
        weights, biases = zip(*(read_linear(self._weights, name) for name in names), strict=True)
        return np.concatenate(weights), np.concatenate(biases)

    def _norm(self, name: str) -> LayerNormWeights:
        return read_norm(self._weights, name, self._store)

    def _float_map(self, weight: np.ndarray, bias: np.ndarray, activation: str = "") -> LinearMap:
        return float_map(weight, bias, self.dtype, self._operations, activation)

    def _linear(
        self,
        name: str,
        sources: tuple[str, ...],
        activation: str = "",
        results: ActivationRange | None = None,
        stored_as: str = "",
    ) -> LinearMap:
        """Return a product, ``"BLOCK.PRODUCT"``, that computes the linear maps with the names of ``sources``."""
        return self._store.linear(stored_as or name, lambda: self._lay_out(name, sources, activation, results))

    def _lay_out(
        self, name: str, sources: tuple[str, ...], activation: str, results: ActivationRange | None
    ) -> LinearMap:
        weight, bias = self._read_linears(sources)
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


def cut_parts(offsets: np.ndarray, tokens: int) -> list[Part]:
    """Cut packed sequences into parts of about equal size, of about so many tokens at most.

    Args:
        offsets: (B + 1,) int64 of all sequences.
        tokens: of a part.

    Returns:
        The tokens of each part, and where its sequences begin in it. There is at least one part.
    """
    total = int(offsets[-1])
    if total <= tokens:
        return [(slice(0, total), SequenceOffsets(offsets, offsets))]
    count = -(-total // tokens)
    cuts = np.searchsorted(offsets, [total * number // count for number in range(count)]).tolist()
    parts = []
    for first, last in itertools.pairwise(dict.fromkeys([*cuts, len(offsets) - 1])):
        ends = offsets[first : last + 1] - offsets[first]
        parts.append((slice(int(offsets[first]), int(offsets[last])), SequenceOffsets(ends, ends)))
    return parts
