"""Run many inputs through a runner: batches of sequences of similar length, under a budget of tokens.

Legend: B sequences of a batch, R rows, L labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.runner_protocol import AsynchronousRunner, Batch, Runner

BATCH_TOKENS = 2048
IN_FLIGHT = 4  # batches that an asynchronous runner holds at a time
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


def default_batch_tokens(runner: Runner) -> int:
    """Return the budget of tokens of a batch where the user names none."""
    return runner.batch_tokens if isinstance(runner, AsynchronousRunner) else BATCH_TOKENS


def run_works(
    works: Sequence[Work], runner: Runner, batch_tokens: int = BATCH_TOKENS, batch_size: int | None = None
) -> Iterator[tuple[int, list[Outputs]]]:
    """Run every sequence of ``works`` once.

    An asynchronous runner has its first batches when this function returns, and computes the next ones while the
    caller turns outputs into answers; any other runner computes a batch when its outputs are asked for.

    Args:
        works: what to run; either all of them name rows or none does.
        runner: computes the outputs of a batch.
        batch_tokens: see :func:`cut_batches`.
        batch_size: see :func:`cut_batches`.

    Returns:
        Iterator over the index of a finished work and its outputs, one dict a sequence: (L,) of a sequence head,
        (R, ...) of a token head. A work comes as soon as its last sequence is done, so that outputs need not all be
        held at once.
    """
    owners = [(w, s) for w, work in enumerate(works) for s in range(len(work.sequences))]
    lengths = [len(works[w].sequences[s]) for w, s in owners]
    asynchronous = isinstance(runner, AsynchronousRunner)
    batches = (
        _submit([owners[i] for i in indices], works, runner)
        for indices in cut_batches(lengths, batch_tokens, batch_size)
    )
    in_flight = deque(islice(batches, IN_FLIGHT if asynchronous else 1))
    return _finished(works, batches, in_flight)


@dataclass(frozen=True)
class Submitted:
    """A batch on its way.

    Attributes:
        owners: for each sequence, the index of its work and its own index in that work.
        outputs: waits for the outputs of each sequence.
    """

    owners: list[tuple[int, int]]
    outputs: Callable[[], list[Outputs]]


def _submit(owners: list[tuple[int, int]], works: Sequence[Work], runner: Runner) -> Submitted:
    sequences = [works[w].sequences[s] for w, s in owners]
    rows = [works[w].rows[s] for w, s in owners] if works[0].rows is not None else None  # type: ignore[index]
    batch = Batch.of(sequences, rows)
    wait = runner.submit(batch) if isinstance(runner, AsynchronousRunner) else partial(runner, batch)
    sizes = [len(row) for row in (rows or sequences)] if runner.head.per_token else [1] * len(sequences)
    return Submitted(owners, lambda: split_outputs(wait(), sizes, runner))


def _finished(
    works: Sequence[Work], batches: Iterator[Submitted], in_flight: deque[Submitted]
) -> Iterator[tuple[int, list[Outputs]]]:
    results: list[list[Outputs]] = [[{}] * len(work.sequences) for work in works]
    missing = [len(work.sequences) for work in works]
    while in_flight:
        batch = in_flight.popleft()
        outputs = batch.outputs()
        in_flight.extend(islice(batches, 1))
        for (w, s), output in zip(batch.owners, outputs, strict=True):
            results[w][s] = output
            missing[w] -= 1
            if not missing[w]:
                finished, results[w] = results[w], []
                yield w, finished


def split_outputs(outputs: Outputs, sizes: Sequence[int], runner: Runner) -> list[Outputs]:
    """Split the outputs of a batch by sequence; ``sizes`` are the rows of each.

    Raises:
        InputError: the runner returned arrays of another length than its protocol says.
    """
    ends = np.cumsum(sizes)
    for name, array in outputs.items():
        if len(array) != ends[-1]:
            raise InputError(
                f"The runner {type(runner).__name__} returned {name!r} with {len(array)} rows for a batch of "
                f"{len(sizes)} sequences; {ends[-1]} were expected. See distilbert.core.runner_protocol.Runner."
            )
    if not runner.head.per_token:
        return [{name: array[b] for name, array in outputs.items()} for b in range(len(sizes))]
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]
