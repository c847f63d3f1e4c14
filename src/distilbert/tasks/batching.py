"""Run many inputs through a runner: batches of sequences of similar length, under a budget of tokens.

Legend: B sequences of a batch, S tokens of a sequence, R rows asked for, L labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ..core.counted import counted
from ..core.errors import InputError
from ..core.runner_protocol import AsynchronousRunner, Batch, Runner
from .finite_outputs import check_finite

BATCH_TOKENS = 2048
IN_FLIGHT = 4  # batches that an asynchronous runner holds at a time
Outputs = dict[str, np.ndarray]


@dataclass
class EncodedInput:
    """An input of a task as sequences of ids.

    Attributes:
        sequences: ids of each sequence; at least one.
        metadata: whatever the task needs, besides the outputs, to make an answer.
        rows: for each sequence, the positions (sorted, without repeats) that a per-token head answers for; None: all.
    """

    sequences: list[list[int]]
    metadata: Any = None
    rows: list[list[int]] | None = None


def cut_batches(lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None) -> Iterator[list[int]]:
    """Group sequences of similar length.

    Args:
        lengths: tokens of each sequence.
        batch_tokens: most tokens of a batch, counted as sequences x longest sequence. A sequence that is longer is a
            batch of its own.
        batch_size: most sequences in a batch.

    Yields:
        The indices into ``lengths`` of a batch; the longest sequences come first, and every index comes once.
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
    """Return the token budget of a batch that suits the runner, for users who name none."""
    return runner.batch_tokens if isinstance(runner, AsynchronousRunner) else BATCH_TOKENS


def run_encoded(
    inputs: Sequence[EncodedInput], runner: Runner, batch_tokens: int = BATCH_TOKENS, batch_size: int | None = None
) -> Iterator[tuple[int, list[Outputs]]]:
    """Run every sequence of ``inputs`` once; sequences that are equal are computed once for all of them.

    An asynchronous runner has its first batches when this function returns, and computes the next ones while the
    caller turns outputs into answers. Any other runner computes a batch when its outputs are asked for.

    Args:
        inputs: what to run; either all of them name rows or none does.
        runner: computes the outputs of a batch.
        batch_tokens: see :func:`cut_batches`.
        batch_size: see :func:`cut_batches`.

    Returns:
        Iterator over the index of a finished input and its outputs, one dict per sequence: (L,) of a sequence head,
        (R, ...) of a token head. An input comes as soon as its last sequence is done, so that the outputs of all
        inputs are never held at once.
    """
    places = _equal_places(inputs)
    lengths = [len(inputs[i].sequences[s]) for (i, s), *_ in places]
    batches = (
        _submit([places[number] for number in numbers], inputs, runner)
        for numbers in cut_batches(lengths, batch_tokens, batch_size)
    )
    in_flight = deque(islice(batches, IN_FLIGHT if isinstance(runner, AsynchronousRunner) else 1))
    return _collect(inputs, batches, in_flight)


def _equal_places(inputs: Sequence[EncodedInput]) -> list[list[tuple[int, int]]]:
    """Return the places of each different sequence: the index of an input, and one among the sequences of it."""
    places: dict[Any, list[tuple[int, int]]] = {}
    for i, encoded in enumerate(inputs):
        for s, sequence in enumerate(encoded.sequences):
            rows = None if encoded.rows is None else tuple(encoded.rows[s])
            places.setdefault((tuple(sequence), rows), []).append((i, s))
    return list(places.values())


@dataclass(frozen=True)
class SubmittedBatch:
    """A batch that a runner has, or that it computes when asked.

    Attributes:
        places: of each sequence, see :func:`_equal_places`.
        wait: returns the outputs of each sequence, once they are computed.
    """

    places: list[list[tuple[int, int]]]
    wait: Callable[[], list[Outputs]]


def _submit(places: list[list[tuple[int, int]]], inputs: Sequence[EncodedInput], runner: Runner) -> SubmittedBatch:
    sequences = [inputs[i].sequences[s] for (i, s), *_ in places]
    rows = [inputs[i].rows[s] for (i, s), *_ in places] if inputs[0].rows is not None else None  # type: ignore[index]
    batch = Batch.of(sequences, rows)
    wait = runner.submit(batch) if isinstance(runner, AsynchronousRunner) else partial(runner, batch)
    sizes = [len(row) for row in (rows or sequences)] if runner.head.per_token else [1] * len(sequences)
    return SubmittedBatch(places, lambda: split_outputs(check_finite(wait(), batch, runner), sizes, runner))


def _collect(
    inputs: Sequence[EncodedInput], batches: Iterator[SubmittedBatch], in_flight: deque[SubmittedBatch]
) -> Iterator[tuple[int, list[Outputs]]]:
    """Yield the inputs whose sequences are all done; each batch that is waited for makes room for the next one."""
    collected: list[list[Outputs]] = [[{}] * len(encoded.sequences) for encoded in inputs]
    remaining = [len(encoded.sequences) for encoded in inputs]
    while in_flight:
        batch = in_flight.popleft()
        outputs = batch.wait()
        in_flight.extend(islice(batches, 1))
        for places, output in zip(batch.places, outputs, strict=True):
            for i, s in places:
                collected[i][s] = output
                remaining[i] -= 1
                if not remaining[i]:
                    finished, collected[i] = collected[i], []
                    yield i, finished


def split_outputs(outputs: Outputs, sizes: Sequence[int], runner: Runner) -> list[Outputs]:
    """Split the outputs of a batch by sequence; ``sizes`` are the rows of each.

    Raises:
        InputError: the runner returned arrays of another length than its protocol says.
    """
    ends = np.cumsum(sizes)
    for name, array in outputs.items():
        if len(array) != ends[-1]:
            raise InputError(
                f"The runner {type(runner).__name__} returned {name!r} with {counted(len(array), 'row')} for a batch "
                f"of {counted(len(sizes), 'sequence')}; {ends[-1]} were expected. See "
                "distilbert.core.runner_protocol.Runner."
            )
    if not runner.head.per_token:
        return [{name: array[b] for name, array in outputs.items()} for b in range(len(sizes))]
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]
