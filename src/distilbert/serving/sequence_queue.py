"""The sequences that wait for the engine, and which of them make the next batch.

The order is by deadline, then priority, then length. A long request does not hold up others: each of its sequences
counts as if it had arrived when the engine could have reached it at half of its speed, so the other half is there for
whoever comes later. Legend: T tokens.
"""

from __future__ import annotations

import heapq
from itertools import count

from .queued_requests import QueuedInput, QueuedRequest, QueuedSequence, RefusedRequest

DEADLINE_STEP = 0.05  # seconds: deadlines that are closer together count as one
SHARE = 0.5  # of the engine's speed that a long request is paced at
EXPIRED = RefusedRequest(
    429,
    "overloaded",
    "The server was too busy to answer before the request's deadline. Try again, or allow more time with the header "
    "x-request-timeout-ms.",
    1.0,
)
Entry = tuple[int, int, int, int, QueuedSequence]


class SequenceQueue:
    """Sequences in the order in which they are computed. Only the engine's thread uses it."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[Entry]] = {}  # by the identity of a runner
        self._waiting: dict[tuple[int, object], QueuedSequence] = {}
        self._numbers = count()

    def add(self, queued: QueuedInput) -> None:
        """Add the sequences of an input."""
        request, encoded = queued.request, queued.encoded
        rate = SHARE * request.speed.tokens_per_second
        runner = request.task.runner
        identity = id(runner)
        heap = self._heaps.setdefault(identity, [])
        rows = encoded.rows
        for index, ids in enumerate(encoded.sequences):
            key = (tuple(ids), None if rows is None else tuple(rows[index]))
            place = (identity, key)
            sequence = self._waiting.get(place)
            if sequence is None:
                sequence = self._waiting[place] = QueuedSequence(key, runner)
            sequence.listeners.append((queued, index))
            due = request.deadline + request.position / rate
            order = (int(due / DEADLINE_STEP), -request.priority)
            if not sequence.taken and (sequence.order is None or order < sequence.order):
                sequence.order = order
                heapq.heappush(heap, (*order, len(ids), next(self._numbers), sequence))
            request.position += len(ids)

    def take(self, budget: int, now: float) -> list[QueuedSequence]:
        """Return the sequences of the next batch, all of one runner; none are left when the list is empty.

        Sequences whose requests are all abandoned, failed or past their deadlines are dropped.

        Args:
            budget: tokens of a batch; a longer sequence is alone in its batch.
            now: seconds of ``time.perf_counter``.
        """
        batch: list[QueuedSequence] = []
        tokens = 0
        heap = self._first_heap(now)
        while heap:
            sequence = heap[0][-1]
            if not self._is_wanted(sequence, now):
                heapq.heappop(heap)
                continue
            length = len(sequence.key[0])
            if batch and tokens + length > budget:
                break
            heapq.heappop(heap)
            sequence.taken = True
            batch.append(sequence)
            tokens += length
        return batch

    def release(self, sequence: QueuedSequence) -> None:
        """Forget a sequence that is computed, so that an equal one is computed again."""
        self._waiting.pop((id(sequence.runner), sequence.key), None)

    def __len__(self) -> int:
        return len(self._waiting)

    def _first_heap(self, now: float) -> list[Entry]:
        """Return the heap whose first entry comes first of all."""
        if len(self._heaps) == 1:
            return next(iter(self._heaps.values()))
        first: list[Entry] = []
        for identity, heap in list(self._heaps.items()):
            while heap and not self._is_wanted(heap[0][-1], now):
                heapq.heappop(heap)
            if not heap:
                del self._heaps[identity]
            elif not first or heap[0][:4] < first[0][:4]:
                first = heap
        return first

    def _is_wanted(self, sequence: QueuedSequence, now: float) -> bool:
        """Whether a sequence must be computed; one that nobody waits for is dropped."""
        if sequence.taken:  # it was in the heap twice
            return False
        if len(sequence.listeners) == 1 and is_alive(sequence.listeners[0][0].request, now):
            return True
        if any(is_alive(queued.request, now) for queued, _ in sequence.listeners):
            return True
        sequence.taken = True
        self.release(sequence)
        return False


def is_alive(request: QueuedRequest, now: float) -> bool:
    """Whether somebody waits for a request; one whose deadline has passed fails here."""
    if request.is_abandoned or request.error is not None:
        return False
    if now <= request.deadline:
        return True
    request.fail(EXPIRED)
    if request.on_done is not None:
        request.on_done(request)
    return False
