"""The encoder on packed tokens: projections multiplied as one, and nothing computed that the head does not read.

Legend: T packed tokens, R query rows (those that the head reads), B sequences, D dim, W attention width, N heads,
H head dim.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.schema import attention_width
from .model_protocol import bias_of
from .operations import EmbeddingWeights, LayerNormWeights, Operations, Quantizer, SequenceOffsets
from .products import ActivationRange, Product, float_product, int8_product
from .projection_cache import MIN_TOKENS, ProjectionCache

PRODUCT_NAMES = ("qkv", "out", "lin1", "lin2")  # the matrix products of a block, in order
Ranges = Mapping[str, ActivationRange]  # "BLOCK.PRODUCT" -> range of its inputs; products not in it run in floats
ATTENTION_COST = 6  # time of a multiplication in attention, relative to one in a matrix product
WATCHED = 0  # column of the word embeddings that is compared with the model's own
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # size of a number -> integers that compare its bits
SMALL_BATCH = 64  # tokens up to which a product takes as long as reading its weights


@dataclass(frozen=True)
class Block:
    """A transformer block with its weights prepared.

    The last block has ``query``, ``keys``, ``values`` and ``value_bias``, because it computes the rows that the head
    reads alone. Its ``qkv`` computes keys and values only. In other blocks ``qkv`` computes all three.

    Attributes:
        heads: N.
        query: the projection of queries.
        keys: (N, H, D) weight of the keys.
        values: (N, H, D) weight of the values.
        value_bias: (W,).
    """

    heads: int
    qkv: Product
    query: Product | None
    keys: Tensor | None
    values: Tensor | None
    value_bias: Tensor | None
    out: Product
    attention_norm: LayerNormWeights
    lin1: Product
    lin2: Product
    output_norm: LayerNormWeights


class Encoder:
    """The encoder of a model: ids in, last hidden states out.

    Args:
        model: the bare encoder, in fp32.
        dtype: of hidden states, and of all products that ``ranges`` does not name.
        ranges: of the inputs of the products that run in int8.
        operations: what computes.
    """

    def __init__(self, model: Any, dtype: torch.dtype, ranges: Ranges, operations: Operations) -> None:
        config = model.config
        self._config, self.dtype, self._ranges, self._operations = config, dtype, ranges, operations
        known = {f"{block}.{product}" for block in range(config.n_layers) for product in PRODUCT_NAMES}
        if not ranges.keys() <= known:
            raise InputError(
                f"The quantization names {', '.join(sorted(ranges.keys() - known))[:80]}, which this model of "
                f"{config.n_layers} blocks does not have. Run `distilbert quantize` on this model."
            )
        self._head_dim = config.dim // config.n_heads
        embeddings = model.embeddings
        words = embeddings.word_embeddings.weight.detach()
        self._watched_column = words[:, WATCHED].view(INTEGERS[words.element_size()])  # (V,) a view of the model's own
        self._known_column = self._watched_column.clone()
        self._embeddings = EmbeddingWeights(
            words.to(dtype).contiguous(),
            embeddings.position_embeddings.weight.detach().to(dtype).contiguous(),
            _norm_weights(embeddings.LayerNorm),
        )
        layers = list(model.transformer.layer)
        self._blocks = [self._prepare(index, layer) for index, layer in enumerate(layers)]
        self._projection_cache = None
        if len(layers) > 1:
            weight, bias = _concatenate(map(_weight_and_bias, _projections(layers[0])))
            self._projection_cache = ProjectionCache(self._embeddings, weight, bias, operations)

    @torch.inference_mode()
    def __call__(self, ids: Tensor, offsets: np.ndarray, rows: np.ndarray | None) -> Tensor:
        """Compute last hidden states.

        Args:
            ids: (T,) int64.
            offsets: (B + 1,) int64; sequence ``b`` is ``ids[offsets[b]:offsets[b + 1]]``.
            rows: (R,) the tokens to return, sorted; None for all.

        Returns:
            (R, D) or (T, D).
        """
        ends = torch.from_numpy(offsets)
        position_ids = torch.arange(len(ids)) - ends[:-1].repeat_interleave(ends.diff())
        x8: Tensor | None = None  # x in uint8, where the next product is in int8
        qkv: Tensor | None = None
        if self._projection_cache is not None and len(ids) >= MIN_TOKENS:
            x, qkv = self._projection_cache(ids, position_ids)
        else:
            quantizer = self._blocks[0].qkv.quantizer if self._blocks else None
            x, x8 = self._operations.embed_norm(ids, position_ids, self._embeddings, quantizer)
        sequences = SequenceOffsets(ends, ends)
        for block, next_block in itertools.pairwise(self._blocks):
            q, k, v = (block.qkv(x if x8 is None else x8) if qkv is None else qkv).chunk(3, dim=1)  # (T, W) each
            context = self._attend(block, q, k, v, sequences)
            x, x8 = self._feed_forward(block, x, context, next_block.qkv.quantizer)
            qkv = None
        if not self._blocks or (rows is not None and not len(rows)):
            return x if rows is None else x[torch.from_numpy(rows)]
        return self._last_block(self._blocks[-1], x, x8, ends, None if rows is None else torch.from_numpy(rows))

    def has_current_words(self, ids: np.ndarray) -> bool:
        """Say whether the model's embeddings of ids (T,) still are those that the encoder was made with.

        A row that was written through ``.data``, as new words often are, shows in nothing but the row itself.
        """
        rows = torch.from_numpy(ids)
        return torch.equal(self._watched_column[rows], self._known_column[rows])

    def _last_block(self, block: Block, x: Tensor, x8: Tensor | None, ends: Tensor, rows: Tensor | None) -> Tensor:
        """Run the last block for the rows that the head reads: (T, D) -> (R, D)."""
        offsets = SequenceOffsets(ends if rows is None else torch.searchsorted(rows, ends), ends)
        assert block.query is not None
        inputs = x if x8 is None else x8
        q = block.query(inputs if rows is None else inputs[rows])  # (R, W)
        if block.keys is not None and rows is not None and self._skips_keys(offsets):
            context = self._attend_without_keys(block, q, x, offsets)
        else:
            k, v = block.qkv(inputs).chunk(2, dim=1)
            context = self._attend(block, q, k, v, offsets)
        return self._feed_forward(block, x if rows is None else x[rows], context, None)[0]

    def _skips_keys(self, offsets: SequenceOffsets) -> bool:
        """Say whether attending to hidden states is cheaper than computing keys and values of all tokens."""
        if int(offsets.keys[-1]) <= SMALL_BATCH:
            return False
        most_queries = int(offsets.queries.diff().max()) if len(offsets.queries) > 1 else 0  # in one sequence
        return ATTENTION_COST * most_queries < self._head_dim

    def _attend(self, block: Block, q: Tensor, k: Tensor, v: Tensor, offsets: SequenceOffsets) -> Tensor:
        return self._operations.attend(q, k, v, offsets, block.heads, self._head_dim**-0.5, block.out.quantizer)

    def _attend_without_keys(self, block: Block, q: Tensor, x: Tensor, offsets: SequenceOffsets) -> Tensor:
        """Attend to hidden states (T, D) instead of keys and values: ``q (K x)' = (q K) x'``, ``a (V x)' = V (a x)'``.

        The bias of the keys is left out: it adds the same number to all scores of a query, which softmax cancels.
        """
        assert block.keys is not None
        assert block.values is not None
        assert block.value_bias is not None
        heads, dim = block.heads, x.shape[1]
        by_head = q.view(len(q), heads, -1).transpose(0, 1)  # (N, R, H)
        queries = (by_head @ block.keys).transpose(0, 1).contiguous()  # (R, N, D)
        per_head = SequenceOffsets(offsets.queries * heads, offsets.keys)  # each head's query is a row of its own
        means = self._operations.attend(queries.view(-1, dim), x, x, per_head, 1, self._head_dim**-0.5, None)
        contexts = means.view(-1, heads, dim).transpose(0, 1) @ block.values.transpose(1, 2)  # (N, R, H)
        context = contexts.transpose(0, 1).flatten(1) + block.value_bias  # (R, W)
        return context if block.out.quantizer is None else block.out.quantizer(context)

    def _feed_forward(
        self, block: Block, x: Tensor, context: Tensor, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """Run what follows attention in a block; ``quantizer`` is that of the next block."""
        x, x8 = self._operations.add_norm(x, block.out(context), block.attention_norm, block.lin1.quantizer)
        inner = block.lin1(x if x8 is None else x8)
        if block.lin2.quantizer is not None and inner.dtype != torch.uint8:
            inner = block.lin2.quantizer(inner)
        return self._operations.add_norm(x, block.lin2(inner), block.output_norm, quantizer)

    def _prepare(self, index: int, layer: Any) -> Block:
        """Prepare a block of the model, ``model.transformer.layer[index]``."""
        attention, ffn = layer.attention, layer.ffn
        query, key, value = (_weight_and_bias(linear) for linear in _projections(layer))
        heads = attention_width(self._config, index) // self._head_dim
        shape = (heads, self._head_dim, self._config.dim)
        last = index == self._config.n_layers - 1
        return Block(
            heads=heads,
            qkv=self._product(f"{index}.qkv", *_concatenate((key, value) if last else (query, key, value))),
            query=self._product(f"{index}.qkv", *query) if last else None,
            keys=key[0].to(self.dtype).view(shape) if last else None,
            values=value[0].to(self.dtype).view(shape) if last else None,
            value_bias=value[1].to(self.dtype) if last else None,
            out=self._product(f"{index}.out", *_weight_and_bias(attention.out_lin)),
            attention_norm=_norm_weights(layer.sa_layer_norm),
            lin1=self._product(
                f"{index}.lin1",
                *_weight_and_bias(ffn.lin1),
                self._config.activation,
                self._ranges.get(f"{index}.lin2"),
            ),
            lin2=self._product(f"{index}.lin2", *_weight_and_bias(ffn.lin2)),
            output_norm=_norm_weights(layer.output_layer_norm),
        )

    def _product(
        self, name: str, weight: Tensor, bias: Tensor, activation: str = "", results: ActivationRange | None = None
    ) -> Product:
        inputs = self._ranges.get(name)
        if inputs is None:
            return float_product(weight, bias, self.dtype, activation, self._operations)
        if len(inputs.smoothing) != weight.shape[1]:
            raise InputError(
                f"The quantization of {name} is for {len(inputs.smoothing)} features, and the model has "
                f"{weight.shape[1]} there: it belongs to another model. Run `distilbert quantize` on this one."
            )
        return int8_product(weight, bias, inputs, self.dtype, activation, results, self._operations)


def _projections(layer: Any) -> tuple[Any, Any, Any]:
    """Return a block's linear maps for queries, keys and values."""
    return layer.attention.q_lin, layer.attention.k_lin, layer.attention.v_lin


def _concatenate(linears: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one linear map that computes several."""
    weights, biases = zip(*linears, strict=True)
    return torch.cat(weights), torch.cat(biases)


def _weight_and_bias(linear: Any) -> tuple[Tensor, Tensor]:
    return linear.weight.detach(), bias_of(linear)


def _norm_weights(module: Any) -> LayerNormWeights:
    return LayerNormWeights(module.weight.detach().float().contiguous(), module.bias.detach().float().contiguous())
