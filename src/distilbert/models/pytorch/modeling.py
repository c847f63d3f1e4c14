"""DistilBERT's encoder in PyTorch (arXiv 1910.01108): embeddings and post-LayerNorm transformer blocks.

Legend: B batch, S sequence, T packed tokens, R requested tokens, D dim, F hidden_dim, N heads, H head dim.
Hidden states are (B, S, D) with a mask, or (T, D) with a :class:`Packing`; only attention treats the two differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.config import DistilBertConfig
from ...core.model_checks import (
    check_attention_mask,
    check_first_token,
    check_head_mask,
    check_id_type,
    check_ids,
    check_inputs,
    check_length,
    check_tensor,
    refuse_token_types,
)
from ...core.outputs import BaseModelOutput
from ...core.schema import HEADS, LAYER_NORM_EPS, attention_width
from .arrays import is_tracing, known_shape, to_numpy
from .attention import attend_eager, attend_flash, attend_sdpa, extend_mask, require_flash
from .gradient_checkpointing import GradientCheckpointing
from .packing import Packing
from .pretrained import DistilBertPreTrainedModel

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


class Embeddings(nn.Module):
    """Word plus position embeddings, LayerNorm, dropout."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.dim, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.dim)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Embed ids (..., S), or take embeddings (..., S, D), at positions that broadcast to (..., S): (..., S, D).

        Positions are counted from 0 if they are not given.
        """
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        assert inputs_embeds is not None
        if position_ids is None:
            position_ids = torch.arange(inputs_embeds.shape[-2], device=inputs_embeds.device)
        return self.dropout(self.LayerNorm(inputs_embeds + self.position_embeddings(position_ids)))


class DistilBertSelfAttention(nn.Module):
    """Multi-head self-attention; pruned heads are simply not there."""

    def __init__(self, config: DistilBertConfig, layer: int) -> None:
        super().__init__()
        width = attention_width(config, layer)
        self.head_dim = config.dim // config.n_heads
        self.dropout = nn.Dropout(config.attention_dropout)
        self.q_lin = nn.Linear(config.dim, width)
        self.k_lin = nn.Linear(config.dim, width)
        self.v_lin = nn.Linear(config.dim, width)
        self.out_lin = nn.Linear(width, config.dim)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        implementation: str = "sdpa",
        first_token: bool = False,
        packing: Packing | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return (B, S, D), or (B, 1, D) of the first token; from the eager implementation also maps (B, N, S, S).

        With ``packing``: (T, D), or (R, D) of the ``rows`` of packed tokens.
        """
        queries = hidden[:, :1] if first_token else hidden
        if first_token and attention_mask is not None:
            attention_mask = attention_mask[:, :, :1]
        q, k, v = (
            lin(states).unflatten(-1, (-1, self.head_dim))
            for lin, states in ((self.q_lin, queries), (self.k_lin, hidden), (self.v_lin, hidden))
        )
        dropout = self.dropout.p if self.training else 0.0
        weights = None
        if packing is not None:
            context = attend_flash(q, k, v, packing, dropout)  # (T, N, H)
            context = context if rows is None else context[rows]
        else:
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, N, S, H)
            if implementation == "eager":
                context, weights = attend_eager(q, k, v, attention_mask, dropout, head_mask)
            else:
                context = attend_sdpa(q, k, v, attention_mask, dropout)
            context = context.transpose(1, 2)  # (B, S, N, H)
        return self.out_lin(context.flatten(-2)), weights


class FFN(nn.Module):
    """Two linear maps with the activation between them."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D), through (..., F)."""
        return self.dropout(self.lin2(self.activation(self.lin1(hidden))))


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each followed by a residual sum and LayerNorm."""

    def __init__(self, config: DistilBertConfig, layer: int) -> None:
        super().__init__()
        self.attention = DistilBertSelfAttention(config, layer)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.ffn = FFN(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        implementation: str = "sdpa",
        first_token: bool = False,
        packing: Packing | None = None,
        rows: Tensor | None = None,
        return_maps: bool = False,
    ) -> tuple[Tensor] | tuple[Tensor, Tensor | None]:
        """Return hidden states, and with ``return_maps`` attention maps, both as :class:`DistilBertSelfAttention` does.

        A tuple of one tensor is what hooks for attribution expect of a block.
        """
        context, weights = self.attention(hidden, attention_mask, head_mask, implementation, first_token, packing, rows)
        if rows is not None:
            hidden = hidden[rows]
        hidden = self.sa_layer_norm(context + (hidden[:, :1] if first_token else hidden))
        hidden = self.output_layer_norm(self.ffn(hidden) + hidden)
        return (hidden, weights) if return_maps else (hidden,)


class Transformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([TransformerBlock(config, layer) for layer in range(config.n_layers)])
        self.gradient_checkpointing = False
        self.checkpointing = GradientCheckpointing()

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        implementation: str = "sdpa",
        first_token: bool = False,
        packing: Packing | None = None,
        rows: Tensor | None = None,
        return_maps: bool = True,
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return n_layers + 1 hidden states, the input first, and n_layers attention maps (None unless eager).

        The last block computes the first token of each sequence alone with ``first_token``: (B, 1, D), unless a hook
        watches it, which then sees all tokens; and with ``rows`` (R,) these packed tokens alone: (R, D).
        """
        first_token = first_token and not _has_hooks(self.layer[-1])
        states, maps = [hidden], []
        for number, block in enumerate(self.layer):
            last = number == len(self.layer) - 1
            arguments: tuple[Any, ...] = (
                states[-1],
                attention_mask,
                None if head_mask is None else head_mask[number],
                implementation,
                first_token and last,
                packing,
                rows if last else None,
                return_maps,
            )
            if self.gradient_checkpointing and self.training:
                state, *weights = self.checkpointing.run(block, number, arguments)
            else:
                state, *weights = block(*arguments)
            states.append(state)
            maps.extend(weights)
        return states, maps


def _has_hooks(module: nn.Module) -> bool:
    """Whether a hook watches what a module or one inside it takes or gives."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(inner, kind) for inner in module.modules() for kind in kinds)


class DistilBertModel(DistilBertPreTrainedModel):
    """The bare encoder: token ids to hidden states."""

    head_spec = HEADS[""]
    is_encoder = True

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
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
            first_token: compute the last block for the first token alone, which is all that a classifier of sequences
                reads; without effect where hidden states or attention maps are returned.
            **unknown: arguments that transformers' models take, see
                :data:`distilbert.core.loading_arguments.CALLING`; anything else is an error that names the nearest one.

        Returns:
            ``last_hidden_state`` (B, S, D), or (B, 1, D) of the first token, and what was asked for.

        Raises:
            InputError: the input cannot be used; the message says why.
        """
        self._check_call(unknown)
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        self._check(input_ids, attention_mask, inputs_embeds, position_ids, token_type_ids)
        source = input_ids if input_ids is not None else inputs_embeds
        assert source is not None
        batch, length = source.shape[:2]
        if position_ids is None:
            position_ids = torch.arange(length, device=source.device)
        # torch.onnx turns the default False into a tensor.
        if first_token is True and not torch.compiler.is_compiling() and not is_tracing():
            check_first_token(length)
        first_token = first_token is True and not (output_attentions or output_hidden_states)
        hidden = self._embed(input_ids, inputs_embeds, position_ids)  # (B, S, D)

        implementation = "eager" if output_attentions or head_mask is not None else self.attn_implementation
        head_factors = self._head_factors(head_mask)
        if implementation == "flash_attention_2" and (attention_mask is None or attention_mask.dim() == 2):
            require_flash(hidden.device)
            mask = hidden.new_ones(batch, length) if attention_mask is None else attention_mask
            packing = Packing.of_mask(mask)
            packed, maps = self.transformer(packing.pack(hidden), packing=packing, return_maps=False)
            states = [
                packing.unpack(state, batch, length) for state in (packed if output_hidden_states else packed[-1:])
            ]
        else:
            extended_mask = extend_mask(attention_mask)
            states, maps = self.transformer(
                hidden, extended_mask, head_factors, implementation, first_token, return_maps=output_attentions
            )
        output = BaseModelOutput(
            last_hidden_state=states[-1][:, :1] if first_token else states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )
        return output if self._returns_dict(return_dict) else output.to_tuple()

    def forward_packed(self, input_ids: Tensor, packing: Packing | Sequence[int], rows: Tensor | None = None) -> Tensor:
        """Compute last hidden states without padding.

        Args:
            input_ids: (T,) ids of all sequences, end to end.
            packing: where each sequence lies, or the length of each.
            rows: (R,) indices of the tokens to compute; the last block leaves the others out. None for all.

        Returns:
            (R, D) or (T, D).
        """
        if not isinstance(packing, Packing):
            packing = Packing.of_lengths(list(packing), input_ids.device)
        check_length(self.config, packing.longest)
        hidden = self._embed(input_ids, None, packing.position_ids())
        states, _ = self.transformer(hidden, packing=packing, rows=rows, return_maps=False)
        return states[-1]

    def _check(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        position_ids: Tensor | None,
        token_type_ids: Tensor | None,
    ) -> None:
        """Check what can be checked before the layers see it."""
        for name, value in (
            ("input_ids", input_ids),
            ("attention_mask", attention_mask),
            ("inputs_embeds", inputs_embeds),
            ("position_ids", position_ids),
            ("token_type_ids", token_type_ids),
        ):
            check_tensor(name, value, isinstance(value, Tensor), "pt")
        batch, length = check_inputs(self.config, known_shape(input_ids), known_shape(inputs_embeds))
        mask_shape = known_shape(attention_mask)
        if mask_shape is not None:
            check_attention_mask(mask_shape, batch, length)
        for name, ids in (("input_ids", input_ids), ("position_ids", position_ids)):
            if ids is not None:
                check_id_type(name, not ids.is_floating_point(), str(ids.dtype).removeprefix("torch."))
        # Values cannot be looked at while a graph is recorded, so a compiled or traced model trusts its input.
        recording = torch.compiler.is_compiling() or is_tracing()
        if token_type_ids is not None and not recording and bool(token_type_ids.any()):
            refuse_token_types()

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None, position_ids: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return self.embeddings(input_ids, inputs_embeds, position_ids)
        try:
            return self.embeddings(input_ids, inputs_embeds, position_ids)
        except IndexError:
            tables = self.embeddings
            if input_ids is not None:
                check_ids("input_ids", to_numpy(input_ids), tables.word_embeddings.num_embeddings)
            check_ids("position_ids", to_numpy(position_ids), tables.position_embeddings.num_embeddings)
            raise

    def _head_factors(self, head_mask: Tensor | None) -> Tensor | None:
        """Bring ``head_mask`` to (n_layers, 1, N, 1, 1)."""
        if head_mask is None:
            return None
        check_tensor("head_mask", head_mask, isinstance(head_mask, Tensor), "pt")
        check_head_mask(self.config, tuple(head_mask.shape))
        factors = head_mask.to(self.dtype).expand(self.config.n_layers, -1)
        return factors[:, None, :, None, None]
