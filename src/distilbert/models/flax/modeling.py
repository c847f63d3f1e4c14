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
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.errors import reject_unknown
from ...core.outputs import BaseModelOutput
from ...core.schema import HEADS, attention_width
from .attention import attend_eager, attend_sdpa, extend_mask, require_implementation
from .checks import check_ids, check_inputs, head_factors
from .layers import Layers, set_sinusoidal
from .pretrained import FlaxDistilBertPreTrainedModel

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

    def __init__(self, config: DistilBertConfig, make: Layers) -> None:
        self.padding_idx = config.pad_token_id
        self.word_embeddings = make.embedding(config.vocab_size, config.dim, config.pad_token_id)
        self.position_embeddings = make.embedding(config.max_position_embeddings, config.dim)
        self.LayerNorm = make.norm(config.dim)
        self.dropout = make.dropout(config.dropout)
        if config.sinusoidal_pos_embds:
            set_sinusoidal(self.position_embeddings)

    def __call__(
        self,
        input_ids: Array | None,
        inputs_embeds: Array | None,
        position_ids: Array,
        deterministic: bool | None = None,
    ) -> Array:
        """Embed ids (..., S), or take embeddings (..., S, D), at positions that broadcast to (..., S): (..., S, D)."""
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.word_embeddings(input_ids)
            if self.padding_idx is not None:  # the padding row is not trained through the input, as in PyTorch
                is_padding = (input_ids == self.padding_idx)[..., None]
                inputs_embeds = jnp.where(is_padding, jax.lax.stop_gradient(inputs_embeds), inputs_embeds)
        embedded = self.LayerNorm(inputs_embeds + self.position_embeddings(position_ids))
        return self.dropout(embedded, deterministic=deterministic)


class DistilBertSelfAttention(nnx.Module):
    """Multi-head self-attention; pruned heads are simply not there."""

    def __init__(self, config: DistilBertConfig, layer: int, make: Layers) -> None:
        width = attention_width(config, layer)
        self.head_dim = config.dim // config.n_heads
        self.dropout = make.dropout(config.attention_dropout)
        self.q_lin = make.linear(config.dim, width)
        self.k_lin = make.linear(config.dim, width)
        self.v_lin = make.linear(config.dim, width)
        self.out_lin = make.linear(width, config.dim)

    def __call__(
        self,
        hidden: Array,
        mask: Array | None,
        head_mask: Array | None,
        implementation: str,
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Array, Array | None]:
        """Return (B, S, D), or (B, 1, D) of the first token; from the eager implementation also maps (B, N, S, S)."""
        asking = hidden[:, :1] if first_token else hidden
        if first_token and mask is not None:
            mask = mask[:, :, :1]
        q, k, v = (
            lin(states).reshape(*states.shape[:-1], -1, self.head_dim)
            for lin, states in ((self.q_lin, asking), (self.k_lin, hidden), (self.v_lin, hidden))
        )  # (B, S, N, H)
        quiet = self.dropout.deterministic if deterministic is None else deterministic
        weights = None
        if implementation == "eager" or not (quiet or self.dropout.rate == 0):  # JAX's attention knows no dropout
            dropout = partial(self.dropout, deterministic=deterministic)
            context, weights = attend_eager(q, k, v, mask, dropout, head_mask)
        else:
            context = attend_sdpa(q, k, v, mask)
        return self.out_lin(context.reshape(*asking.shape[:-1], -1)), weights


class FFN(nnx.Module):
    """Two linear maps with the activation between them."""

    def __init__(self, config: DistilBertConfig, make: Layers) -> None:
        self.dropout = make.dropout(config.dropout)
        self.lin1 = make.linear(config.dim, config.hidden_dim)
        self.lin2 = make.linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]

    def __call__(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """(..., D) -> (..., D), through (..., F)."""
        return self.dropout(self.lin2(self.activation(self.lin1(hidden))), deterministic=deterministic)


class TransformerBlock(nnx.Module):
    """Attention and feed-forward, each followed by a residual sum and LayerNorm."""

    def __init__(self, config: DistilBertConfig, layer: int, make: Layers) -> None:
        self.attention = DistilBertSelfAttention(config, layer, make)
        self.sa_layer_norm = make.norm(config.dim)
        self.ffn = FFN(config, make)
        self.output_layer_norm = make.norm(config.dim)

    def __call__(
        self,
        hidden: Array,
        mask: Array | None = None,
        head_mask: Array | None = None,
        implementation: str = "sdpa",
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Array, Array | None]:
        """Return hidden states of the shape given, or (B, 1, D) of the first token, and attention maps."""
        context, weights = self.attention(hidden, mask, head_mask, implementation, deterministic, first_token)
        hidden = self.sa_layer_norm(context + (hidden[:, :1] if first_token else hidden))
        return self.output_layer_norm(self.ffn(hidden, deterministic) + hidden), weights


class Transformer(nnx.Module):
    """The stack of blocks."""

    def __init__(self, config: DistilBertConfig, make: Layers) -> None:
        self.layer = nnx.List([TransformerBlock(config, layer, make) for layer in range(config.n_layers)])
        self.gradient_checkpointing = False

    def __call__(
        self,
        hidden: Array,
        mask: Array | None = None,
        head_mask: Array | None = None,
        implementation: str = "sdpa",
        deterministic: bool | None = None,
        first_token: bool = False,
    ) -> tuple[list[Array], list[Array | None]]:
        """Return n_layers + 1 hidden states, the input first, and n_layers attention maps (None unless eager).

        With ``first_token`` the last block answers for the first token alone: (B, 1, D).
        """

        def run_block(first: bool, block: TransformerBlock, hidden: Array, mask: Any, factor: Array | None) -> Any:
            return block(hidden, mask, factor, implementation, deterministic, first)

        states, maps = [hidden], []
        for number, block in enumerate(self.layer):
            run: Any = partial(run_block, first_token and number == len(self.layer) - 1)
            if self.gradient_checkpointing:
                run = nnx.remat(run)
            state, weights = run(block, states[-1], mask, None if head_mask is None else head_mask[number])
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
    ) -> None:
        make = self._begin(config, rngs, seed, dtype, param_dtype)
        self.embeddings = Embeddings(config, make)
        self.transformer = Transformer(config, make)

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
            attention_mask: (B, S), 1 for tokens and 0 for padding; or (B, 1 or N, S, S).
            head_mask: (N,) or (n_layers, N), a factor for each head.
            inputs_embeds: (B, S, D) instead of word embeddings.
            output_attentions: return the maps; computed by the eager implementation whichever is set.
            output_hidden_states: return the hidden states of all layers.
            return_dict: False for a tuple.
            position_ids: (B, S) or (S,); counted from 0 if not given.
            token_type_ids: accepted if all zero, since tokenizers made for BERT return them.
            deterministic: True without dropout, False with it; None as ``train()`` or ``eval()`` left it.
            first_token: let the last block answer for the first token alone, which is all that a classifier of
                sequences reads; not where hidden states or attention maps are returned.
            **unknown: anything else is an error that names the nearest argument.

        Returns:
            ``last_hidden_state`` (B, S, D), or (B, 1, D) of the first token, and what was asked for.

        Raises:
            InputError: the input cannot be used; the message says why.
        """
        if unknown:
            reject_unknown(unknown, _CALL_ARGUMENTS, f"{type(self).__name__}.__call__")
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        require_implementation(self.attn_implementation)
        batch, length = check_inputs(config, input_ids, inputs_embeds, token_type_ids)
        hidden = self._embed(input_ids, inputs_embeds, position_ids, length, deterministic)  # (B, S, D)
        mask = extend_mask(attention_mask, batch, length)
        implementation = "eager" if output_attentions or head_mask is not None else self.attn_implementation
        factors = head_factors(config, head_mask, self.dtype)
        first_token = first_token and not (output_attentions or output_hidden_states)
        states, maps = self.transformer(hidden, mask, factors, implementation, deterministic, first_token)
        output = BaseModelOutput(
            last_hidden_state=states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )
        return_dict = config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def _embed(
        self, input_ids: Any, inputs_embeds: Any, position_ids: Any, length: int, deterministic: bool | None
    ) -> Array:
        tables = self.embeddings
        check_ids("input_ids", input_ids, tables.word_embeddings.num_embeddings)
        check_ids("position_ids", position_ids, tables.position_embeddings.num_embeddings)
        positions = jnp.arange(length) if position_ids is None else jnp.asarray(position_ids)
        if inputs_embeds is not None:
            return tables(None, jnp.asarray(inputs_embeds, self.dtype), positions, deterministic)
        return tables(jnp.asarray(input_ids), None, positions, deterministic)


_CALL_ARGUMENTS = (
    "input_ids", "attention_mask", "head_mask", "inputs_embeds", "position_ids", "token_type_ids", "labels",
    "start_positions", "end_positions", "output_attentions", "output_hidden_states", "return_dict", "deterministic",
)  # fmt: skip
