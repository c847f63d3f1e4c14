"""Which sequences make the next batch."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from distilbert.serving.admission import Admission
from distilbert.serving.engine_speed import EngineSpeed
from distilbert.serving.queued_requests import QueuedInput, QueuedRequest
from distilbert.serving.sequence_queue import SequenceQueue
from distilbert.tasks.batching import EncodedInput

TASK: Any = SimpleNamespace(runner=SimpleNamespace(), task="text-classification")
NOW = 1000.0


def speed(tokens_per_second: float = 1000.0) -> EngineSpeed:
    result = EngineSpeed(100)
    result.tokens_per_second = tokens_per_second
    return result


def make_request(deadline: float = NOW + 30, priority: int = 0, estimate: int = 10, task: Any = TASK) -> QueuedRequest:
    return QueuedRequest(
        task=task, params=None, items=["a"], places=["The input"], deadline=deadline, priority=priority, arrived=NOW,
        speed=speed(), characters=0, estimate=estimate,
    )  # fmt: skip


def add(queue: SequenceQueue, request: QueuedRequest, *lengths: int, first: int = 1) -> None:
    for index, length in enumerate(lengths):
        ids = [first + index] * length
        queue.add(QueuedInput(request, index, EncodedInput([ids])))


def taken(queue: SequenceQueue, budget: int = 100, now: float = NOW) -> list[tuple[int, int]]:
    """(first id, length) of the sequences of the next batch."""
    batch = queue.take(budget, now)
    for sequence in batch:
        queue.release(sequence)
    return [(sequence.key[0][0], len(sequence.key[0])) for sequence in batch]


def test_a_batch_is_filled_to_the_budget() -> None:
    queue = SequenceQueue()
    add(queue, make_request(), 40, 40, 40, 40)
    assert len(taken(queue)) == 2
    assert len(taken(queue)) == 2
    assert not taken(queue)
    assert not len(queue)


def test_a_sequence_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    queue = SequenceQueue()
    add(queue, make_request(), 300)
    assert taken(queue) == [(1, 300)]


def test_the_order_is_by_deadline_then_priority_then_length() -> None:
    queue = SequenceQueue()
    add(queue, make_request(deadline=NOW + 30), 9, first=1)
    add(queue, make_request(deadline=NOW + 30), 5, first=2)
    add(queue, make_request(deadline=NOW + 30, priority=1), 9, first=3)
    add(queue, make_request(deadline=NOW + 10), 9, first=4)
    assert [first for first, _ in taken(queue)] == [4, 3, 2, 1]


def test_a_long_request_makes_room_for_one_that_comes_later() -> None:
    queue = SequenceQueue()
    add(queue, make_request(), *[100] * 50, first=100)  # 5 seconds of work
    for _ in range(10):
        taken(queue)
    add(queue, make_request(deadline=NOW + 31), 10, first=1)  # a second later, when a fifth is done
    assert (1, 10) in taken(queue)


def test_two_long_requests_share() -> None:
    queue = SequenceQueue()
    add(queue, make_request(), *[100] * 20, first=100)
    add(queue, make_request(), *[100] * 20, first=500)
    order = [taken(queue)[0][0] >= 500 for _ in range(20)]
    assert 8 <= sum(order) <= 12


def test_equal_sequences_are_computed_once() -> None:
    queue = SequenceQueue()
    first, second = make_request(), make_request(deadline=NOW + 5)
    add(queue, first, 10, first=7)
    add(queue, second, 10, first=7)
    (sequence,) = queue.take(100, NOW)
    assert [queued.request for queued, _ in sequence.listeners] == [first, second]


def test_nothing_is_computed_for_requests_that_nobody_waits_for() -> None:
    queue = SequenceQueue()
    gone, late, shared = make_request(), make_request(deadline=NOW - 1), make_request()
    finished: list[QueuedRequest] = []
    gone.is_abandoned, late.on_done = True, finished.append
    add(queue, gone, 10, first=1)
    add(queue, late, 10, first=2)
    add(queue, gone, 10, first=3)
    add(queue, shared, 10, first=3)
    assert taken(queue) == [(3, 10)]
    assert not len(queue)
    assert finished == [late]
    assert late.error is not None
    assert late.error.status == 429


def test_batches_hold_sequences_of_one_runner() -> None:
    queue = SequenceQueue()
    other: Any = SimpleNamespace(runner=SimpleNamespace(), task="fill-mask")
    add(queue, make_request(), 10, first=1)
    add(queue, make_request(deadline=NOW + 1, task=other), 10, first=2)
    add(queue, make_request(), 10, first=3)
    assert taken(queue) == [(2, 10)]
    assert taken(queue) == [(1, 10), (3, 10)]


# Admission ------------------------------------------------------------------------------------------------------------


def arriving(seconds: float, estimate: int = 10) -> QueuedRequest:
    return make_request(deadline=time.perf_counter() + seconds, estimate=estimate)


def test_requests_are_let_in_until_they_would_wait_too_long() -> None:
    admission = Admission(None, batch_tokens=100)
    admitted = [request for request in (arriving(30, 100) for _ in range(50)) if admission.refuse(request) is None]
    assert len(admitted) == 11  # a second's work before the last of them
    refused = admission.refuse(arriving(30, 100))
    assert refused is not None
    assert (refused.status, refused.retry_after) == (429, 1)
    for request in admitted:
        admission.leave(request)
    assert admission.refuse(arriving(30, 100)) is None
    assert admission.tokens == 100


def test_a_deadline_that_cannot_be_kept_is_refused_at_once() -> None:
    admission = Admission(None, batch_tokens=100)
    assert admission.refuse(arriving(30, 500)) is None
    refused = admission.refuse(arriving(0.4, 100))
    assert refused is None, "what is due earlier goes first, so only its own work counts"
    refused = admission.refuse(arriving(0.4, 500))
    assert refused is not None
    alone = Admission(None, batch_tokens=100).refuse(arriving(1, 5000))
    assert alone is not None
    assert "needs about 5.0 s" in alone.message


def test_a_request_that_takes_longer_than_its_deadline_leaves_is_not_worth_trying_again() -> None:
    admission = Admission(None, batch_tokens=100)
    assert admission.refuse(arriving(30, 500)) is None
    hopeless, busy = admission.refuse(arriving(1, 5000)), admission.refuse(arriving(30, 29_800))
    assert hopeless is not None
    assert busy is not None
    assert (hopeless.status, hopeless.retry_after) == (429, None)
    assert "needs about 5.0 s" in hopeless.message
    assert busy.retry_after is not None


def test_requests_without_work_leave_like_others() -> None:
    admission = Admission(None, batch_tokens=100)
    for estimates in ((0, 0), (0, 100, 0), (100, 0, 0)):
        requests = [make_request(deadline=time.perf_counter() + 30, estimate=estimate) for estimate in estimates]
        for request in requests:
            request.deadline = requests[0].deadline
            assert admission.refuse(request) is None
        for request in requests:
            admission.leave(request)
        assert (admission.requests, admission.tokens) == (0, 0)


def test_a_long_request_does_not_keep_others_out() -> None:
    admission = Admission(None, batch_tokens=100)
    assert admission.refuse(arriving(30, 12_000)) is None  # 12 seconds of work
    assert admission.refuse(arriving(30, 100)) is None
    assert admission.refuse(arriving(30, 20_000)) is not None, "it would be done after 40 seconds"


def test_a_number_of_tokens_may_be_the_limit() -> None:
    admission = Admission(350, batch_tokens=100)
    assert [admission.refuse(arriving(30, 100)) is None for _ in range(6)] == [True] * 4 + [False] * 2
