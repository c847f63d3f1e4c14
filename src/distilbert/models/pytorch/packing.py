"""Leaving padding out: sequences laid end to end, and attention within each of them.

Legend: B batch, S padded length, T tokens of all sequences together, N heads, H head dim, D dim.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Packing:
    """Where each sequence lies among T packed tokens.

    Attributes:
        offsets: (B + 1,) int32, on the device of the tokens; sequence ``b`` is ``[offsets[b], offsets[b + 1])``.
        lengths: tokens a sequence, on the host.
        indices: (T,) positions of the tokens in the flattened (B * S) rectangle; None where there never was one.
    """

    offsets: Tensor
    lengths: list[int]
    indices: Tensor | None = None

    @classmethod
    def of_mask(cls, attention_mask: Tensor) -> Packing:
        """Read the packing off an ``attention_mask`` (B, S), whose tokens may lie anywhere in a row."""
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

    def position_ids(self) -> Tensor:
        """(T,) position of each token in its own sequence."""
        device = self.offsets.device
        lengths = torch.tensor(self.lengths, device=device)
        starts = self.offsets[:-1].long().repeat_interleave(lengths)
        return torch.arange(sum(self.lengths), device=device) - starts

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first token, number of sequences, length) of each run of neighbours of equal length."""
        start = 0
        for length, group in groupby(self.lengths):
            count = len(list(group))
            yield start, count, length
            start += count * length


def attend_packed(q: Tensor, k: Tensor, v: Tensor, packing: Packing, dropout: float = 0.0) -> Tensor:
    """Attention within each sequence: the plain twin of the FlashAttention kernels, on any device and type.

    Neighbours of equal length go through one call, so batches sorted by length need few.

    Args:
        q: queries (T, N, H).
        k: keys (T, N, H).
        v: values (T, N, H).
        packing: where the sequences lie.
        dropout: probability of dropping an attention weight.

    Returns:
        Contexts (T, N, H).
    """
    contexts = []
    for start, count, length in packing.runs():
        if length == 0:
            continue
        part = slice(start, start + count * length)
        a, b, c = (x[part].view(count, length, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        context = F.scaled_dot_product_attention(a, b, c, dropout_p=dropout)  # (count, N, length, H)
        contexts.append(context.transpose(1, 2).reshape(count * length, *q.shape[1:]))
    return torch.cat(contexts) if contexts else torch.empty_like(q)
