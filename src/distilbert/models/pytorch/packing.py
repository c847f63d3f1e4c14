"""Running without padding: sequences are laid end to end, and attention stays within each of them.

Legend: B batch, S padded length, T tokens of all sequences together, N heads, H head dim, D dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from .attention_dropout import attend_with_dropout

# Attention scores of one head. Up to so many, an attention call takes longer to start than to compute.
FEW_SCORES = 1 << 13
# The most scores of one call: on a CPU those of all heads still fit into its cache, another device is kept busy.
CPU_SCORES = 1 << 16
OTHER_SCORES = 1 << 22


@dataclass(frozen=True)
class Packing:
    """Where each sequence lies among T packed tokens.

    Attributes:
        offsets: (B + 1,) int32, on the device of the tokens; sequence ``b`` is ``[offsets[b], offsets[b + 1])``.
        lengths: number of tokens of each sequence, on the host.
        indices: (T,) positions of the tokens in the flattened (B * S) rectangle; None if the input was not padded.
        positions: (T,) position of each token in its own sequence; None to compute them when they are needed.
    """

    offsets: Tensor
    lengths: list[int]
    indices: Tensor | None = None
    positions: Tensor | None = None

    @classmethod
    def of_mask(cls, attention_mask: Tensor) -> Packing:
        """Return the packing of an ``attention_mask`` (B, S); the tokens of a row may be anywhere in it."""
        mask = attention_mask.bool()
        lengths = mask.sum(dim=1)
        return cls.of_lengths(lengths.tolist(), mask.device, mask.flatten().nonzero().flatten())

    @classmethod
    def of_lengths(cls, lengths: list[int], device: torch.device, indices: Tensor | None = None) -> Packing:
        """Pack sequences of the given lengths."""
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        torch.cumsum(torch.tensor(lengths, dtype=torch.int32), dim=0, out=offsets[1:])
        return cls(offsets.to(device), lengths, indices)

    def pack(self, padded: Tensor) -> Tensor:
        """(B, S, D) -> (T, D)."""
        assert self.indices is not None
        return padded.flatten(0, 1)[self.indices]

    def unpack(self, packed: Tensor, batch: int, length: int) -> Tensor:
        """(T, D) -> (B, S, D), zeros where padding was."""
        assert self.indices is not None
        padded = packed.new_zeros(batch * length, packed.shape[-1])
        return padded.index_copy(0, self.indices, packed).view(batch, length, -1)

    def means(self, packed: Tensor) -> Tensor:
        """Return the mean of each sequence: (T, D) -> (B, D); none may be empty."""
        lengths = self.offsets.diff().long()
        return torch.segment_reduce(packed.float(), "mean", lengths=lengths, unsafe=True).to(packed.dtype)

    def position_ids(self) -> Tensor:
        """(T,) position of each token in its own sequence."""
        if self.positions is not None:
            return self.positions
        device, tokens = self.offsets.device, sum(self.lengths)
        lengths = torch.tensor(self.lengths, dtype=torch.long, device=device)
        # With output_size the GPU need not wait for the lengths.
        starts = self.offsets[:-1].long().repeat_interleave(lengths, output_size=tokens)
        return torch.arange(tokens, device=device) - starts

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence; 0 if there is none."""
        return max(self.lengths, default=0)

    @cached_property
    def groups(self) -> list[Group]:
        """Neighbouring sequences whose attention is computed in one call, the same for all layers.

        A group is padded to its longest sequence. It grows while that computes less than twice the scores, or so few
        that a call of its own would cost more.
        """
        groups: list[Group] = []
        limit = CPU_SCORES if self.offsets.device.type == "cpu" else OTHER_SCORES
        count = longest = area = 0
        for number, length in enumerate(self.lengths):
            padded_length = max(longest, length)
            scores = (count + 1) * padded_length**2
            if count and scores > FEW_SCORES and (scores > 2 * (area + length**2) or scores > limit):
                groups.append(Group.of(self.lengths[number - count : number], self.offsets.device))
                count = longest = area = 0
                padded_length = length
            count, longest, area = count + 1, padded_length, area + length**2
        if count:
            groups.append(Group.of(self.lengths[len(self.lengths) - count :], self.offsets.device))
        return groups


@dataclass(frozen=True)
class Group:
    """Neighbouring sequences in a rectangle of C sequences and L positions, L the longest.

    Attributes:
        count: C.
        length: L.
        tokens: number of tokens of all of them.
        places: (tokens,) position of each token in the flattened rectangle; None if all lengths are equal.
        sources: (C * L,) index of the token at each position of the rectangle; 0 at padding.
        mask: (C, 1, 1, L) True for tokens.
    """

    count: int
    length: int
    tokens: int
    places: Tensor | None = None
    sources: Tensor | None = None
    mask: Tensor | None = None

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> Group:
        """Lay out sequences of the given lengths."""
        count, longest, tokens = len(lengths), max(lengths), sum(lengths)
        if min(lengths) == longest or not tokens:
            return cls(count, longest, tokens)
        mask = torch.arange(longest) < torch.tensor(lengths)[:, None]  # (C, L)
        places = mask.flatten().nonzero().flatten()
        sources = torch.zeros(count * longest, dtype=torch.long)
        sources[places] = torch.arange(tokens)
        return cls(count, longest, tokens, places.to(device), sources.to(device), mask[:, None, None].to(device))

    def spread(self, x: Tensor) -> Tensor:
        """(tokens, N, H) -> (C, N, L, H)."""
        rectangle = x if self.sources is None else x.index_select(0, self.sources)
        return rectangle.view(self.count, self.length, *x.shape[1:]).transpose(1, 2)

    def gather(self, x: Tensor) -> Tensor:
        """(C, N, L, H) -> (tokens, N, H)."""
        flat = x.transpose(1, 2).flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)


def attend_packed(q: Tensor, k: Tensor, v: Tensor, packing: Packing, dropout: float = 0.0) -> Tensor:
    """Attention within each sequence: the plain twin of the FlashAttention kernels, for any device and type.

    Neighbours of similar length are computed in one call, so a batch that is sorted by length needs few calls.

    Args:
        q: queries (T, N, H).
        k: keys (T, N, H).
        v: values (T, N, H).
        packing: where the sequences lie.
        dropout: probability of dropping an attention weight.

    Returns:
        Contexts (T, N, H).
    """
    sizes = [group.tokens for group in packing.groups]
    contexts = []
    for group, *projections in zip(packing.groups, q.split(sizes), k.split(sizes), v.split(sizes), strict=True):
        if group.tokens:
            queries, keys, values = map(group.spread, projections)
            if dropout and q.device.type == "cpu":
                context = attend_with_dropout(queries, keys, values, group.mask, dropout)
            else:
                context = F.scaled_dot_product_attention(queries, keys, values, attn_mask=group.mask, dropout_p=dropout)
            contexts.append(group.gather(context))
    return torch.cat(contexts) if contexts else torch.empty_like(q)
