"""DistilBERT's encoder in JAX (arXiv 1910.01108): embeddings and post-LayerNorm transformer blocks.

Legend: B batch, S sequence, D dim, F hidden_dim, N heads, H head dim. ``deterministic`` True leaves dropout out, False
applies it, and None leaves it to ``model.train()`` and ``model.eval()``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.errors import reject_unknown
from ...core.model_checks import (
    CALL_ARGUMENTS,
    check_attention_mask,
    check_first_token,
    check_head_mask,
    check_ids,
    check_inputs,
    check_numbers,
    refuse_flash_attention,
    refuse_token_types,
)
from ...core.outputs import BaseModelOutput
from ...core.schema import HEADS, attention_width
from .arrays import concrete
from .attention import attend_eager, attend_sdpa, extend_mask
from .functional import functional
from .layer_factory import LayerFactory
from .pretrained import FlaxDistilBertPreTrainedModel
from .surgery import set_sinusoidal

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": jax.nn.gelu,
    "gelu_fast": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}


class Embeddings(nnx.Module):
    """Word plus position embeddings, LayerNorm, dropout."""

    def __init__(self, config: DistilBertConfig, layers: LayerFactory) -> None:
        self.padding_idx = config.pad_token_id
        self.word_embeddings = layers.embedding(config.vocab_size, config.dim, config.pad_token_id)
        self.position_embeddings = layers.embedding(config.max_position_embeddings, config.dim)
        self.LayerNorm = layers.norm(config.dim)
        self.dropout = layers.dropout(config.dropout)
        if config.sinusoidal_pos_embds:
            set_sinusoidal(self.position_embeddings)

    def __call__(
        self,
        input_ids: Array | None = None,
        inputs_embeds: Array | None = None,
        position_ids: Array | None = None,
        deterministic: bool | None = None,
    ) -> Array:
        """Embed ids (..., S), or take embeddings (..., S, D), at positions that broadcast to (..., S): (..., S, D).

        Positions are counted from 0 if they are not given.
        """
        if inputs_embeds is None:
            assert input_ids is not None
            input_ids = jnp.asarray(input_ids)
            inputs_embeds = self.word_embeddings(input_ids)
            if self.padding_idx is not None:  # the padding row is not trained through the input, as in PyTorch
                is_padding = (input_ids == self.padding_idx)[..., None]
                inputs_embeds = jnp.where(is_padding, jax.lax.stop_gradient(inputs_embeds), inputs_embeds)
        if position_ids is None:
            position_ids = jnp.arange(inputs_embeds.shape[-2])
        embedded = self.LayerNorm(inputs_embeds + self.position_embeddings(position_ids))
        return self.dropout(embedded, deterministic=deterministic)


class DistilBertSelfAttention(nnx.Module):
    """Multi-head self-attention; pruned heads are simply not there."""

    def __init__(self, config: DistilBertConfig, layer: int, layers: LayerFactory) -> None:
        width = attention_width(config, layer)
        self.head_dim = config.dim // config.n_heads
        self.dropout = layers.dropout(config.attention_dropout)
        self.q_lin = layers.linear(config.dim, width)
        self.k_lin = layers.linear(config.dim, width)
        self.v_lin = layers.linear(config.dim, width)
        self.out_lin = layers.linear(width, config.dim)

    def __call__(
        self,
        hidden: Array,
        attention_mask: Array | None = None,
        head_mask: Array | None = None,
        implementation: str = "sdpa",
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Array, Array | None]:
        """Return (B, S, D), or (B, 1, D) of the first token; from the eager implementation also maps (B, N, S, S)."""
        queries = hidden[:, :1] if first_token else hidden
        if first_token and attention_mask is not None:
            attention_mask = attention_mask[:, :, :1]
        q, k, v = (
            lin(states).reshape(*states.shape[:-1], lin.out_features // self.head_dim, self.head_dim)
            for lin, states in ((self.q_lin, queries), (self.k_lin, hidden), (self.v_lin, hidden))
        )  # (B, S, N, H)
        weights = None
        # JAX's attention has no dropout.
        if implementation == "eager" or not (_without_dropout(self.dropout, deterministic) or self.dropout.rate == 0):
            dropout = partial(self.dropout, deterministic=deterministic)
            context, weights = attend_eager(q, k, v, attention_mask, dropout, head_mask)
        else:
            context = attend_sdpa(q, k, v, attention_mask)
        return self.out_lin(context.reshape(*queries.shape[:-1], self.out_lin.in_features)), weights


class FFN(nnx.Module):
    """Two linear maps with the activation between them."""

    def __init__(self, config: DistilBertConfig, layers: LayerFactory) -> None:
        self.dropout = layers.dropout(config.dropout)
        self.lin1 = layers.linear(config.dim, config.hidden_dim)
        self.lin2 = layers.linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]

    def __call__(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """(..., D) -> (..., D), through (..., F)."""
        return self.dropout(self.lin2(self.activation(self.lin1(hidden))), deterministic=deterministic)


class TransformerBlock(nnx.Module):
    """Attention and feed-forward, each followed by a residual sum and LayerNorm."""

    def __init__(self, config: DistilBertConfig, layer: int, layers: LayerFactory) -> None:
        self.attention = DistilBertSelfAttention(config, layer, layers)
        self.sa_layer_norm = layers.norm(config.dim)
        self.ffn = FFN(config, layers)
        self.output_layer_norm = layers.norm(config.dim)

    def __call__(
        self,
        hidden: Array,
        attention_mask: Array | None = None,
        head_mask: Array | None = None,
        implementation: str = "sdpa",
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Array, Array | None]:
        """Return hidden states and attention maps, both as :class:`DistilBertSelfAttention` does."""
        context, weights = self.attention(hidden, attention_mask, head_mask, implementation, deterministic, first_token)
        hidden = self.sa_layer_norm(context + (hidden[:, :1] if first_token else hidden))
        return self.output_layer_norm(self.ffn(hidden, deterministic) + hidden), weights


class Transformer(nnx.Module):
    """The stack of blocks."""

    def __init__(self, config: DistilBertConfig, layers: LayerFactory) -> None:
        self.layer = nnx.List([TransformerBlock(config, layer, layers) for layer in range(config.n_layers)])
        self.gradient_checkpointing = False

    def __call__(
        self,
        hidden: Array,
        attention_mask: Array | None = None,
        head_mask: Array | None = None,
        implementation: str = "sdpa",
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[list[Array], list[Array | None]]:
        """Return n_layers + 1 hidden states, the input first, and n_layers attention maps (None unless eager).

        The last block computes the first token of each sequence alone with ``first_token``: (B, 1, D).
        """

        def run_block(
            first: bool, block: TransformerBlock, hidden: Array, attention_mask: Any, factor: Array | None
        ) -> Any:
            return block(hidden, attention_mask, factor, implementation, deterministic, first)

        states, maps = [hidden], []
        for number, block in enumerate(self.layer):
            run: Any = partial(run_block, first_token and number == len(self.layer) - 1)
            if self.gradient_checkpointing:
                run = nnx.remat(run)
                # nnx.remat writes to the random numbers of its block, drawn or not, and a plain jax.jit forbids that.
                block = nnx.clone(block) if _without_dropout(block.ffn.dropout, deterministic) else block
            state, weights = run(block, states[-1], attention_mask, None if head_mask is None else head_mask[number])
            states.append(state)
            maps.append(weights)
        return states, maps


class FlaxDistilBertModel(FlaxDistilBertPreTrainedModel):
    """The bare encoder: token ids to hidden states."""

    head_spec = HEADS[""]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        self.embeddings = Embeddings(config, layers)
        self.transformer = Transformer(config, layers)

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        first_token: bool = False,
        **unknown: Any,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Compute hidden states.

        Args:
            input_ids: (B, S) ids; either these or ``inputs_embeds``.
            attention_mask: (B, S), 1 for tokens and 0 for padding; or (B, 1 or N, S, S), 1 where a query sees a key, or
                floating and added to the scores: 0 where it does, the lowest number elsewhere.
            head_mask: (N,) or (n_layers, N), a factor for each head.
            inputs_embeds: (B, S, D) instead of word embeddings.
            output_attentions: return the maps; computed by the eager implementation whichever is set.
            output_hidden_states: return the hidden states of all layers.
            return_dict: False for a tuple.
            position_ids: (B, S) or (S,); counted from 0 if not given.
            token_type_ids: accepted if all zero, since tokenizers made for BERT return them.
            deterministic: True without dropout, False with it; None as ``train()`` or ``eval()`` left it.
            first_token: compute the last block for the first token alone, which is all that a classifier of sequences
                reads; without effect where hidden states or attention maps are returned.
            **unknown: anything else is an error that names the nearest argument.

        Returns:
            ``last_hidden_state`` (B, S, D), or (B, 1, D) of the first token, and what was asked for.

        Raises:
            InputError: the input cannot be used; the message says why.
        """
        if unknown:
            reject_unknown(unknown, (*CALL_ARGUMENTS, "deterministic"), f"{type(self).__name__}.__call__")
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        refuse_flash_attention(self.attn_implementation)
        for name, value in (
            ("input_ids", input_ids),
            ("attention_mask", attention_mask),
            ("inputs_embeds", inputs_embeds),
            ("position_ids", position_ids),
            ("token_type_ids", token_type_ids),
            ("head_mask", head_mask),
        ):
            check_numbers(name, value, "jax")
        length = self._check(input_ids, attention_mask, inputs_embeds, token_type_ids)
        hidden = self._embed(input_ids, inputs_embeds, position_ids, length, deterministic)  # (B, S, D)
        mask = extend_mask(attention_mask)
        implementation = "eager" if output_attentions or head_mask is not None else self.attn_implementation
        head_factors = self._head_factors(head_mask)
        if first_token:
            check_first_token(length)
        first_token = first_token and not (output_attentions or output_hidden_states)
        states, maps = self.transformer(hidden, mask, head_factors, implementation, deterministic, first_token)
        output = BaseModelOutput(
            last_hidden_state=states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )
        return_dict = config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def _check(self, input_ids: Any, attention_mask: Any, inputs_embeds: Any, token_type_ids: Any) -> int:
        """Check what can be checked before the layers see it, and return S."""
        shapes = (None if x is None else np.shape(x) for x in (input_ids, inputs_embeds))
        batch, length = check_inputs(self.config, *shapes)
        assert length is not None
        if attention_mask is not None:
            check_attention_mask(np.shape(attention_mask), batch, length)
        # Values can be looked at only where JAX does not trace; shapes always.
        types = concrete(token_type_ids)
        if types is not None and types.any():
            refuse_token_types()
        return length

    def _embed(
        self, input_ids: Any, inputs_embeds: Any, position_ids: Any, length: int, deterministic: bool | None
    ) -> Array:
        tables = self.embeddings
        for name, ids, table in (
            ("input_ids", input_ids, tables.word_embeddings),
            ("position_ids", position_ids, tables.position_embeddings),
        ):
            if ids is not None:
                numbers = concrete(ids)
                check_ids(name, ids if numbers is None else numbers, table.num_embeddings)
        positions = jnp.arange(length) if position_ids is None else jnp.asarray(position_ids)
        if inputs_embeds is not None:
            return tables(None, jnp.asarray(inputs_embeds, self.dtype), positions, deterministic)
        return tables(jnp.asarray(input_ids), None, positions, deterministic)

    def _head_factors(self, head_mask: Any) -> Array | None:
        """Bring ``head_mask`` to (n_layers, 1, N, 1, 1)."""
        if head_mask is None:
            return None
        check_head_mask(self.config, np.shape(head_mask))
        factors = jnp.broadcast_to(jnp.asarray(head_mask, self.dtype), (self.config.n_layers, self.config.n_heads))
        return factors[:, None, :, None, None]


def _without_dropout(dropout: nnx.Dropout, deterministic: bool | None) -> bool:
    """Return whether a call leaves dropout out: as it says, else as ``train()`` or ``eval()`` left the layer."""
    return bool(dropout.deterministic if deterministic is None else deterministic)
