"""DistilBERT's encoder in Keras (arXiv 1910.01108): embeddings and post-LayerNorm transformer blocks.

Legend: B batch, S sequence, D dim, F hidden_dim, N heads, H head dim, W width of the heads kept (N x H).
Every layer creates its weights in ``build``, and a constructor builds all of them. No argument is called ``mask``:
Keras would fill it by itself.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ...core.config import DistilBertConfig
from ...core.model_checks import check_first_token
from ...core.outputs import BaseModelOutput
from ...core.schema import HEADS, LAYER_NORM_EPS, attention_width
from .attention import attend_eager, attend_sdpa, extend_mask
from .gradient_checkpointing import checkpoint
from .pretrained import TFDistilBertPreTrainedModel
from .surgery import set_sinusoidal

ACTIVATIONS = {
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_fast": lambda x: ops.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
}


def linear(width: int, config: DistilBertConfig, name: str, dtype: Any) -> layers.Dense:
    """Return a linear map to ``width`` with fresh weights as the configuration wants them."""
    return layers.Dense(width, kernel_initializer=_normal(config), name=name, dtype=dtype)


def layer_norm(name: str, dtype: Any) -> layers.LayerNormalization:
    """Return a LayerNorm with DistilBERT's epsilon."""
    return layers.LayerNormalization(epsilon=LAYER_NORM_EPS, name=name, dtype=dtype)


class Embeddings(layers.Layer):
    """Word plus position embeddings, LayerNorm, dropout."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(**options)
        dtype = self.dtype_policy
        self.config = config
        self.word_embeddings = layers.Embedding(
            config.vocab_size, config.dim, _normal(config), name="word_embeddings", dtype=dtype
        )
        self.position_embeddings = layers.Embedding(
            config.max_position_embeddings, config.dim, _normal(config), name="position_embeddings", dtype=dtype
        )
        self.LayerNorm = layer_norm("LayerNorm", dtype)
        self.dropout = layers.Dropout(config.dropout, name="dropout", dtype=dtype)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(B, S, D), for ``summary``."""
        return (None, None, self.config.dim)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights."""
        self.word_embeddings.build(None)
        self.position_embeddings.build(None)
        self.LayerNorm.build((None, None, self.config.dim))
        if self.config.sinusoidal_pos_embds:
            set_sinusoidal(self.position_embeddings)

    def call(
        self, input_ids: Any = None, inputs_embeds: Any = None, position_ids: Any = None, training: bool | None = None
    ) -> Any:
        """Embed ids (B, S), or take embeddings (B, S, D), at positions that broadcast to (B, S): (B, S, D).

        Positions are counted from 0 if they are not given.
        """
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
            padding = self.config.pad_token_id
            if padding is not None:  # the padding row is not trained
                frozen = ops.stop_gradient(inputs_embeds)
                inputs_embeds = ops.where(ops.expand_dims(ops.equal(input_ids, padding), -1), frozen, inputs_embeds)
        if position_ids is None:
            position_ids = ops.arange(ops.shape(inputs_embeds)[-2], dtype="int32")
        hidden = inputs_embeds + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(hidden), training=training)


class DistilBertSelfAttention(layers.Layer):
    """Multi-head self-attention; pruned heads are simply not there."""

    def __init__(self, config: DistilBertConfig, layer: int, **options: Any) -> None:
        super().__init__(**options)
        dtype = self.dtype_policy
        self.dim, self.width = config.dim, attention_width(config, layer)
        self.head_dim = config.dim // config.n_heads
        self.dropout = layers.Dropout(config.attention_dropout, name="dropout", dtype=dtype)
        self.q_lin = linear(self.width, config, "q_lin", dtype)
        self.k_lin = linear(self.width, config, "k_lin", dtype)
        self.v_lin = linear(self.width, config, "v_lin", dtype)
        self.out_lin = linear(config.dim, config, "out_lin", dtype)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights."""
        for lin in (self.q_lin, self.k_lin, self.v_lin):
            lin.build((None, None, self.dim))
        self.out_lin.build((None, None, self.width))

    def call(
        self,
        hidden: Any,
        attention_mask: Any = None,
        head_mask: Any = None,
        implementation: str = "sdpa",
        training: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Any, Any]:
        """Return (B, S, D), or (B, 1, D) of the first token; from the eager implementation also maps (B, N, S, S)."""
        queries = hidden[:, :1] if first_token else hidden
        if first_token and attention_mask is not None:
            attention_mask = attention_mask[:, :, :1]
        batch, length = ops.shape(queries)[0], ops.shape(queries)[1]
        heads = (batch, -1, self.width // self.head_dim, self.head_dim)
        q, k, v = (
            ops.transpose(ops.reshape(lin(states), heads), (0, 2, 1, 3))
            for lin, states in ((self.q_lin, queries), (self.k_lin, hidden), (self.v_lin, hidden))
        )  # (B, N, S, H)
        weights = None
        if implementation == "eager" or (training and self.dropout.rate):
            context, weights = attend_eager(
                q, k, v, attention_mask, lambda x: self.dropout(x, training=training), head_mask
            )
        else:
            context = attend_sdpa(q, k, v, attention_mask)
        context = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, self.width))  # (B, S, W)
        return self.out_lin(context), weights


class FFN(layers.Layer):
    """Two linear maps with the activation between them."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(**options)
        dtype = self.dtype_policy
        self.dim, self.hidden_dim = config.dim, config.hidden_dim
        self.dropout = layers.Dropout(config.dropout, name="dropout", dtype=dtype)
        self.lin1 = linear(config.hidden_dim, config, "lin1", dtype)
        self.lin2 = linear(config.dim, config, "lin2", dtype)
        self.activation = ACTIVATIONS[config.activation]

    def build(self, input_shape: Any = None) -> None:
        """Make the weights."""
        self.lin1.build((None, None, self.dim))
        self.lin2.build((None, None, self.hidden_dim))

    def call(self, hidden: Any, training: bool | None = None) -> Any:
        """(B, S, D) -> (B, S, D), through (B, S, F)."""
        return self.dropout(self.lin2(self.activation(self.lin1(hidden))), training=training)


class TransformerBlock(layers.Layer):
    """Attention and feed-forward, each followed by a residual sum and LayerNorm."""

    def __init__(self, config: DistilBertConfig, layer: int, **options: Any) -> None:
        super().__init__(**options)
        dtype = self.dtype_policy
        self.dim = config.dim
        self.attention = DistilBertSelfAttention(config, layer, name="attention", dtype=dtype)
        self.sa_layer_norm = layer_norm("sa_layer_norm", dtype)
        self.ffn = FFN(config, name="ffn", dtype=dtype)
        self.output_layer_norm = layer_norm("output_layer_norm", dtype)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights."""
        self.attention.build()
        self.sa_layer_norm.build((None, None, self.dim))
        self.ffn.build()
        self.output_layer_norm.build((None, None, self.dim))

    def call(
        self,
        hidden: Any,
        attention_mask: Any = None,
        head_mask: Any = None,
        implementation: str = "sdpa",
        training: bool | None = None,
        first_token: bool = False,
    ) -> tuple[Any, Any]:
        """Return hidden states and attention maps, both as :class:`DistilBertSelfAttention` does."""
        context, weights = self.attention(
            hidden, attention_mask, head_mask,
            implementation=implementation, training=training, first_token=first_token,
        )  # fmt: skip
        hidden = self.sa_layer_norm(context + (hidden[:, :1] if first_token else hidden))
        return self.output_layer_norm(self.ffn(hidden, training=training) + hidden), weights


class Transformer(layers.Layer):
    """The stack of blocks."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.layer = [
            TransformerBlock(config, layer, name=f"layer_{layer}", dtype=self.dtype_policy)
            for layer in range(config.n_layers)
        ]
        self.dim = config.dim
        self.gradient_checkpointing = False

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(B, S, D), for ``summary``."""
        return (None, None, self.dim)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights."""
        for block in self.layer:
            block.build()

    def call(
        self,
        hidden: Any,
        attention_mask: Any = None,
        head_mask: Any = None,
        implementation: str = "sdpa",
        training: bool | None = None,
        first_token: bool = False,
    ) -> tuple[list[Any], list[Any]]:
        """Return n_layers + 1 hidden states, the input first, and n_layers attention maps (None unless eager).

        The last block computes the first token of each sequence alone with ``first_token``: (B, 1, D).
        """
        states, maps = [hidden], []
        for number, block in enumerate(self.layer):
            factors = None if head_mask is None else head_mask[number]
            run = checkpoint(block) if self.gradient_checkpointing and training else block
            state, weights = run(
                states[-1], attention_mask, factors, implementation=implementation, training=training,
                first_token=first_token and number == len(self.layer) - 1,
            )  # fmt: skip
            states.append(state)
            maps.append(weights)
        return states, maps


@keras.saving.register_keras_serializable(package="distilbert")
class TFDistilBertModel(TFDistilBertPreTrainedModel):
    """The bare encoder: token ids to hidden states."""

    head_spec = HEADS[""]

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.embeddings = Embeddings(config, name="embeddings", dtype=self.dtype_policy)
        self.transformer = Transformer(config, name="transformer", dtype=self.dtype_policy)
        self.post_init()

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
        first_token: bool = False,
    ) -> BaseModelOutput:
        """Compute hidden states. The first argument may also be a dictionary of these.

        Args:
            input_ids: (B, S) ids; either these or ``inputs_embeds``.
            attention_mask: (B, S), 1 for tokens and 0 for padding; or (B, 1 or N, S, S), 1 where a query sees a key, or
                floating and added to the scores: 0 where it does, the lowest number elsewhere.
            head_mask: (N,) or (n_layers, N), a factor for each head.
            inputs_embeds: (B, S, D) instead of word embeddings.
            output_attentions: return the maps; computed by the eager implementation whichever is set.
            output_hidden_states: return the hidden states of all layers.
            position_ids: (B, S) or (S,); counted from 0 if not given.
            token_type_ids: accepted if all zero, since tokenizers made for BERT return them.
            training: apply dropout.
            first_token: compute the last block for the first token alone, which is all that a classifier of sequences
                reads; without effect where hidden states or attention maps are returned.

        Returns:
            ``last_hidden_state`` (B, S, D), or (B, 1, D) of the first token, and what was asked for.
        """
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        hidden = self.embeddings(input_ids, inputs_embeds, position_ids, training=training)  # (B, S, D)
        if first_token:
            check_first_token(hidden.shape[1])
        implementation = "eager" if output_attentions or head_mask is not None else self.attn_implementation
        states, maps = self.transformer(
            hidden,
            extend_mask(attention_mask),
            self._head_factors(head_mask),
            implementation=implementation,
            training=training,
            first_token=first_token and not (output_attentions or output_hidden_states),
        )
        return BaseModelOutput(
            last_hidden_state=states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )

    def _head_factors(self, head_mask: Any) -> Any:
        """Bring ``head_mask`` to (n_layers, 1, N, 1, 1)."""
        if head_mask is None:
            return None
        factors = ops.broadcast_to(head_mask, (self.config.n_layers, self.config.n_heads))
        return ops.cast(factors, self.compute_dtype)[:, None, :, None, None]


TFDistilBertMainLayer = TFDistilBertModel  # transformers' name of the encoder where it is a layer of another model


def _normal(config: DistilBertConfig) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=config.initializer_range)
