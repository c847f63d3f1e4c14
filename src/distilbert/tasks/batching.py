"""Run many inputs through a runner: batches of sequences of similar length, under a budget of tokens.

Legend: B sequences of a batch, R rows, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.runner import Batch, Runner

BATCH_TOKENS = 2048
Outputs = dict[str, np.ndarray]


@dataclass
class Work:
    """What one input asks of the model.

    Attributes:
        sequences: ids of each sequence; at least one.
        context: whatever turns the outputs into an answer.
        rows: for each sequence, the positions (sorted, without repeats) that a per-token head answers for; None: all.
    """

    sequences: list[list[int]]
    context: Any = None
    rows: list[list[int]] | None = None


def cut_batches(lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None) -> Iterator[list[int]]:
    """Group sequences of similar length.

    Args:
        lengths: tokens of each sequence.
        batch_tokens: upper limit of sequences x longest sequence in a batch; a longer sequence goes alone.
        batch_size: upper limit of sequences in a batch.

    Yields:
        Indices into ``lengths``, longest sequences first; every index once.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else lengths[index]
        if batch and ((len(batch) + 1) * longest > batch_tokens or len(batch) == batch_size):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def run_works(
    works: Sequence[Work], runner: Runner, batch_tokens: int = BATCH_TOKENS, batch_size: int | None = None
) -> Iterator[tuple[int, list[Outputs]]]:
    """Run every sequence of ``works`` once.

    Args:
        works: what to run; either all of them name rows or none does.
        runner: computes the outputs of a batch.
        batch_tokens: see :func:`cut_batches`.
        batch_size: see :func:`cut_batches`.

    Yields:
        Index of a finished work and its outputs, one dict a sequence: (L,) of a sequence head, (R, ...) of a token
        head. A work comes as soon as its last sequence is done, so that outputs need not all be held at once.
    """
    owners = [(w, s) for w, work in enumerate(works) for s in range(len(work.sequences))]
    sequences = [works[w].sequences[s] for w, s in owners]
    results: list[list[Outputs]] = [[{}] * len(work.sequences) for work in works]
    missing = [len(work.sequences) for work in works]
    for batch in cut_batches([len(sequence) for sequence in sequences], batch_tokens, batch_size):
        rows = [works[w].rows[s] for w, s in (owners[i] for i in batch)] if works[0].rows is not None else None  # type: ignore[index]
        outputs = run_batch([sequences[i] for i in batch], rows, runner)
        for i, output in zip(batch, outputs, strict=True):
            w, s = owners[i]
            results[w][s] = output
            missing[w] -= 1
            if not missing[w]:
                finished, results[w] = results[w], []
                yield w, finished


def run_batch(sequences: list[list[int]], rows: list[list[int]] | None, runner: Runner) -> list[Outputs]:
    """Run one batch and split its outputs by sequence.

    Raises:
        InputError: the runner returned arrays of another length than its protocol says.
    """
    outputs = runner(Batch.of(sequences, rows))
    sizes = [1] * len(sequences) if not runner.head.per_token else [len(row) for row in (rows or sequences)]
    ends = np.cumsum(sizes)
    for name, array in outputs.items():
        if len(array) != ends[-1]:
            raise InputError(
                f"The runner {type(runner).__name__} returned {name!r} with {len(array)} rows for a batch of "
                f"{len(sequences)} sequences; {ends[-1]} were expected. See distilbert.core.runner.Runner."
            )
    if not runner.head.per_token:
        return [{name: array[b] for name, array in outputs.items()} for b in range(len(sequences))]
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]
