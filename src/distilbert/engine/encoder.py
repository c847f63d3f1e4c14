"""The encoder on packed tokens: fused projections, nothing computed that the head does not read.

Legend: T packed tokens, R rows asked for, B sequences, D dim, W attention width, N heads, H head dim.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.schema import attention_width
from .lookup import MANY, FirstProjections
from .operations import Embeddings, Norm, Operations, Quantizer, Spans
from .products import Product, Scale, float_product, int8_product

SITES = ("qkv", "out", "lin1", "lin2")
Scales = Mapping[str, Scale]  # "LAYER.SITE" -> scale of that product's input; what is not there runs in floats
KERNEL_COST = 6  # what a multiplication costs in attention, in those of a matrix product
SHORT = 64  # tokens up to which a product takes as long as reading its weights


@dataclass(frozen=True)
class Layer:
    """One block, ready to run.

    Attributes:
        query: first third of ``qkv``, or None where ``qkv`` computes all of it.
        keys: (N, H, D) weight of the keys, and values: (N, H, D), for rows that need no keys of their own.
        value_bias: (W,).
    """

    heads: int
    qkv: Product
    query: Product | None
    keys: Tensor | None
    values: Tensor | None
    value_bias: Tensor | None
    out: Product
    attention_norm: Norm
    lin1: Product
    lin2: Product
    output_norm: Norm


class Encoder:
    """The encoder of a model.

    Args:
        model: the bare encoder, in fp32.
        dtype: of hidden states and of all products that ``scales`` does not name.
        scales: of the inputs of products in int8.
        operations: what computes the rest.
    """

    def __init__(self, model: Any, dtype: torch.dtype, scales: Scales, operations: Operations) -> None:
        config = model.config
        self._config, self.dtype, self._scales, self._operations = config, dtype, scales, operations
        self._head_dim = config.dim // config.n_heads
        embeddings = model.embeddings
        self._embeddings = Embeddings(
            embeddings.word_embeddings.weight.detach().to(dtype).contiguous(),
            embeddings.position_embeddings.weight.detach().to(dtype).contiguous(),
            _norm(embeddings.LayerNorm),
        )
        blocks = list(model.transformer.layer)
        self._layers = [self._layer(index, block) for index, block in enumerate(blocks)]
        self._first = None
        if len(blocks) > 1:
            self._first = FirstProjections(self._embeddings, *_joined(map(_values, _projecting(blocks[0]))), operations)

    @torch.inference_mode()
    def __call__(self, ids: Tensor, offsets: np.ndarray, rows: np.ndarray | None) -> Tensor:
        """Compute last hidden states.

        Args:
            ids: (T,) int64.
            offsets: (B + 1,) int64.
            rows: (R,) sorted tokens that are wanted; None for all.

        Returns:
            (R, D) or (T, D).
        """
        ends = torch.from_numpy(offsets)
        places = torch.arange(len(ids)) - ends[:-1].repeat_interleave(ends.diff())
        x8: Tensor | None = None
        qkv: Tensor | None = None
        if self._first is not None and len(ids) >= MANY:
            x, qkv = self._first(ids, places)
        else:
            quantizer = self._layers[0].qkv.quantizer if self._layers else None
            x, x8 = self._operations.embed_norm(ids, places, self._embeddings, quantizer)
        for layer, following in itertools.pairwise(self._layers):
            q, k, v = (layer.qkv(x if x8 is None else x8) if qkv is None else qkv).chunk(3, dim=1)
            x, x8 = self._after(layer, x, self._attend(layer, q, k, v, Spans(ends, ends)), following.qkv.quantizer)
            qkv = None
        if not self._layers or (rows is not None and not len(rows)):
            return x if rows is None else x[torch.from_numpy(rows)]
        return self._last(self._layers[-1], x, x8, ends, rows)

    def _last(self, layer: Layer, x: Tensor, x8: Tensor | None, ends: Tensor, rows: np.ndarray | None) -> Tensor:
        """Run the last block, for the rows that the head reads."""
        wanted = None if rows is None else torch.from_numpy(rows)
        spans = Spans(ends if wanted is None else torch.searchsorted(wanted, ends), ends)
        chosen = x if wanted is None else x[wanted]
        assert layer.query is not None
        source = x if x8 is None else x8
        q = layer.query(source if wanted is None else source[wanted])
        if layer.keys is not None and wanted is not None and self._few(spans):
            context = self._attend_unprojected(layer, q, x, spans)
        else:
            k, v = layer.qkv(source).chunk(2, dim=1)
            context = self._attend(layer, q, k, v, spans)
        return self._after(layer, chosen, context, None)[0]

    def _few(self, spans: Spans) -> bool:
        """Say whether attention to hidden states is cheaper than keys and values of all tokens."""
        if int(spans.keys[-1]) <= SHORT:
            return False
        most = int(spans.queries.diff().max()) if len(spans.queries) > 1 else 0
        return KERNEL_COST * most < self._head_dim

    def _attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor, spans: Spans) -> Tensor:
        return self._operations.attend(q, k, v, spans, layer.heads, self._head_dim**-0.5, layer.out.quantizer)

    def _attend_unprojected(self, layer: Layer, q: Tensor, x: Tensor, spans: Spans) -> Tensor:
        """Attend without keys and values: ``q (K x)' = (q K) x'`` and ``a (V x) = V (a x)``, head by head.

        A query's product with the bias of the keys is the same for all keys, and softmax does not see it.
        """
        assert layer.keys is not None
        assert layer.values is not None
        assert layer.value_bias is not None
        heads, dim = layer.heads, x.shape[1]
        by_head = q.view(len(q), heads, -1).transpose(0, 1)  # (N, R, H)
        lifted = (by_head @ layer.keys).transpose(0, 1).contiguous()  # (R, N, D)
        per_row = Spans(spans.queries * heads, spans.keys)
        seen = self._operations.attend(lifted.view(-1, dim), x, x, per_row, 1, self._head_dim**-0.5, None)
        mixed = seen.view(-1, heads, dim).transpose(0, 1) @ layer.values.transpose(1, 2)  # (N, R, H)
        context = mixed.transpose(0, 1).flatten(1) + layer.value_bias  # (R, W)
        return context if layer.out.quantizer is None else layer.out.quantizer(context)

    def _after(
        self, layer: Layer, x: Tensor, context: Tensor, following: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """Run what follows attention, row by row."""
        x, x8 = self._operations.add_norm(x, layer.out(context), layer.attention_norm, layer.lin1.quantizer)
        inner = layer.lin1(x if x8 is None else x8)
        if layer.lin2.quantizer is not None and inner.dtype != torch.uint8:
            inner = layer.lin2.quantizer(inner)
        return self._operations.add_norm(x, layer.lin2(inner), layer.output_norm, following)

    def _layer(self, index: int, block: Any) -> Layer:
        attention, ffn = block.attention, block.ffn
        parts = [_values(lin) for lin in _projecting(block)]
        heads = attention_width(self._config, index) // self._head_dim
        shape = (heads, self._head_dim, self._config.dim)
        last = index == self._config.n_layers - 1
        kept = parts[1:] if last else parts
        name = f"{index}.qkv"
        lin2 = self._scales.get(f"{index}.lin2")
        return Layer(
            heads=heads,
            qkv=self._product(name, *_joined(kept)),
            query=self._product(name, *parts[0]) if last else None,
            keys=parts[1][0].to(self.dtype).view(shape) if last else None,
            values=parts[2][0].to(self.dtype).view(shape) if last else None,
            value_bias=parts[2][1].to(self.dtype) if last else None,
            out=self._product(f"{index}.out", *_values(attention.out_lin)),
            attention_norm=_norm(block.sa_layer_norm),
            lin1=self._product(f"{index}.lin1", *_values(ffn.lin1), self._config.activation, lin2),
            lin2=self._product(f"{index}.lin2", *_values(ffn.lin2)),
            output_norm=_norm(block.output_layer_norm),
        )

    def _product(
        self, site: str, weight: Tensor, bias: Tensor, activation: str = "", result: Scale | None = None
    ) -> Product:
        scale = self._scales.get(site)
        if scale is None:
            return float_product(weight, bias, self.dtype, activation, self._operations)
        return int8_product(weight, bias, scale, self.dtype, activation, result, self._operations)


def _projecting(block: Any) -> tuple[Any, Any, Any]:
    """Return a block's linear maps for queries, keys and values."""
    return block.attention.q_lin, block.attention.k_lin, block.attention.v_lin


def _joined(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return weights and biases of maps that run as one."""
    weights, biases = zip(*parts, strict=True)
    return torch.cat(weights), torch.cat(biases)


def _values(linear: Any) -> tuple[Tensor, Tensor]:
    return linear.weight.detach(), linear.bias.detach()


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach().float().contiguous(), module.bias.detach().float().contiguous())
