"""The two threads that answer: one turns texts into ids, the other runs batches and turns outputs into answers.

Requests go from the event loop to the first thread, from there to the second, and back. Each passes on everything that
waits, so that under load there is one wake-up for many requests. There is no waiting window: each thread begins as soon
as it is free.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from ..core.errors import DistilBertError, InputError
from ..core.runner_protocol import Batch
from ..tasks.base import Task
from ..tasks.batching import EncodedInput, Outputs, split_outputs
from ..tasks.checks import OR_NULL
from ..tasks.finite_outputs import check_finite
from ..tasks.windows import add_special, split_into_windows, stride_or_default
from .queued_requests import QueuedInput, QueuedRequest, QueuedSequence, RefusedRequest, TokenIds
from .sequence_queue import EXPIRED, SequenceQueue

SLICE_ITEMS = 128  # inputs of a long request that are tokenized before others have their turn
SLICE_CHARACTERS = 50_000
ONE_SEQUENCE_PER_CHOICE = ("zero-shot-classification", "multiple-choice")  # whose sequences are no windows
INTERNAL = RefusedRequest(500, "internal", "An internal error; the server's log has it.")
Encoded: TypeAlias = tuple[QueuedRequest, int, list[EncodedInput]]  # a slice: the request, its first index, its inputs

logger = logging.getLogger("distilbert.serving")


class AnsweringThreads:
    """Tokenizing and computing, each in a thread of its own.

    Args:
        batch_tokens: tokens of a batch.
        loop: the event loop that requests come from.
        on_batch: is called in the engine's thread after each batch with its sequences, tokens and seconds.
    """

    def __init__(
        self,
        batch_tokens: int,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[int, int, float], None],
    ) -> None:
        self._batch_tokens, self._loop, self._on_batch = batch_tokens, loop, on_batch
        self._submitted: SimpleQueue[QueuedRequest | None] = SimpleQueue()
        self._encoded: SimpleQueue[list[Encoded] | Callable[[], None] | None] = SimpleQueue()
        self.queue = SequenceQueue()
        self._calls: deque[Callable[[], None]] = deque()
        self._done: list[QueuedRequest] = []
        self._threads = [
            threading.Thread(target=self._tokenize, name="tokenizer", daemon=True),
            threading.Thread(target=self._compute, name="engine", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, request: QueuedRequest) -> None:
        """Answer a request: its future gets the answers, in the event loop."""
        request.remaining = len(request.items)
        request.answers = [None] * request.remaining
        self._submitted.put(request)

    def run_in_engine(self, call: Callable[[], None]) -> None:
        """Call something in the engine's thread between two batches; requests that wait go before the next call."""
        self._encoded.put(call)

    def stop(self) -> None:
        """End both threads, after what is in the queues."""
        self._submitted.put(None)
        for thread in self._threads:
            thread.join()

    # Tokenizing -------------------------------------------------------------------------------------------------------

    def _tokenize(self) -> None:
        long: deque[tuple[QueuedRequest, int]] = deque()  # requests with the index of their next input
        running = True
        while running or long:
            running = self._tokenize_next(long, running)
        self._encoded.put(None)

    def _tokenize_next(self, long: deque[tuple[QueuedRequest, int]], running: bool) -> bool:
        """Tokenize what has come; False if there is no more to come.

        A method of its own: while it waits, no local variable may hold the request before, and with it a model.
        """
        short = []
        for request in _drain(self._submitted, wait=running and not long):
            if request is None:
                running = False
            elif _is_short(request):
                short.append(request)
            else:
                long.append((request, 0))
        try:
            encoded = self._encode_short(short)
            if long:
                encoded += self._encode_slice(long)
        except Exception:
            logger.exception("Tokenizing failed")
            encoded = []
            for request in [*short, *(each for each, _ in long)]:
                self._refuse(request, INTERNAL)
            long.clear()
        if encoded:
            self._encoded.put(encoded)
        return running

    def _encode_short(self, requests: list[QueuedRequest]) -> list[Encoded]:
        """Tokenize all short requests that wait; those of one task with equal parameters in one call."""
        if len(requests) == 1:
            return self._encode_together(requests)
        groups: dict[tuple[int, int], list[QueuedRequest]] = {}
        for request in requests:
            groups.setdefault((id(request.task), id(request.params)), []).append(request)
        return [encoded for group in groups.values() for encoded in self._encode_together(group)]

    def _encode_together(self, requests: list[QueuedRequest]) -> list[Encoded]:
        """Tokenize requests with one task and the same parameters."""
        start = time.perf_counter()
        alive, parsed = [], []
        for request in requests:
            if request.is_abandoned:
                continue
            try:
                items = parse_items(request, request.items, 0)
            except DistilBertError as error:
                self._refuse(request, refused_input(error))
                continue
            alive.append(request)
            parsed.append(items)
        if not alive:
            return []
        together = [item for items in parsed for item in items]
        try:
            encoded = iter(encode_items(alive[0].task, together, alive[0].params))
        except Exception as error:
            if len(alive) > 1:  # one at a time, so that only the one at fault fails
                return [each for request in alive for each in self._encode_together([request])]
            self._refuse_after(alive[0], error)
            return []
        slices: list[Encoded] = [
            (request, 0, [next(encoded) for _ in items]) for request, items in zip(alive, parsed, strict=True)
        ]
        now = time.perf_counter()
        for request in alive:
            request.encoded_at, request.tokenizing = now, now - start
        return slices

    def _encode_slice(self, long: deque[tuple[QueuedRequest, int]]) -> list[Encoded]:
        """Tokenize the next inputs of a long request, and put it behind the other long ones."""
        request, first = long.popleft()
        if request.is_dead:
            return []
        if time.perf_counter() > request.deadline:
            self._refuse(request, EXPIRED)
            return []
        start, last, characters = time.perf_counter(), first, 0
        while last < len(request.items) and last - first < SLICE_ITEMS and characters < SLICE_CHARACTERS:
            characters += _characters(request.items[last])
            last += 1
        try:
            items = parse_items(request, request.items[first:last], first)
            encoded = encode_items(request.task, items, request.params)
        except Exception as error:
            self._refuse_after(request, error)
            return []
        now = time.perf_counter()
        request.encoded_at, request.tokenizing = now, request.tokenizing + now - start
        if last < len(request.items):
            long.append((request, last))
        return [(request, first, encoded)]

    def _refuse_after(self, request: QueuedRequest, error: Exception) -> None:
        if isinstance(error, DistilBertError):
            self._refuse(request, refused_input(error))
        else:
            logger.error("Tokenizing failed", exc_info=error)
            self._refuse(request, INTERNAL)

    def _refuse(self, request: QueuedRequest, refused: RefusedRequest) -> None:
        request.fail(refused)
        self._loop.call_soon_threadsafe(_deliver, [request])

    # Computing --------------------------------------------------------------------------------------------------------

    def _compute(self) -> None:
        running = True
        while running or len(self.queue) or self._calls:
            running = self._compute_next(running)

    def _compute_next(self, running: bool) -> bool:
        """Compute a batch, after waiting for one if there is none; False if there is no more to come.

        A method of its own for the same reason as :meth:`_tokenize_next`.
        """
        running = self._collect(wait=running and not len(self.queue) and not self._calls) and running
        start = time.perf_counter()
        batch = self.queue.take(self._batch_tokens, start)
        if batch:
            try:
                running = self._run(batch, start) and running
            except Exception:  # of this package's own making: the thread must go on
                logger.exception("A batch failed")
                self._give_up(batch)
        self._send_back()
        if self._calls:
            self._calls.popleft()()
        return running

    def _collect(self, wait: bool) -> bool:
        """Take in what the tokenizing thread has sent; False if that was the last of it."""
        for entry in _drain(self._encoded, wait):
            if entry is None:
                return False
            if callable(entry):
                self._calls.append(entry)
                continue
            for request, first, encoded in entry:
                try:
                    self._enqueue(request, first, encoded)
                except Exception:
                    logger.exception("A request failed")
                    self._fail(request, INTERNAL)
        return True

    def _enqueue(self, request: QueuedRequest, first: int, encoded: list[EncodedInput]) -> None:
        if request.is_dead:
            return
        request.on_done = self._note_done
        is_joint = bool(getattr(request.params, "joint", False))
        for index, each in enumerate(encoded, first):
            tokens = sum(map(len, each.sequences))
            request.tokens += tokens
            request.tokens_of_inputs.append(tokens)
            request.windows.append(windows_of(request.task, each))
            if is_joint:  # several runs, of which each needs the one before
                self._answer_at_once(request, index)
            else:
                self.queue.add(QueuedInput(request, index, each))

    def _answer_at_once(self, request: QueuedRequest, index: int) -> None:
        request.started_at = request.started_at or time.perf_counter()
        try:
            items = parse_items(request, request.items[index : index + 1], index)
            (answer,) = request.task.answer(items, request.params, (self._batch_tokens, None))
        except Exception as error:
            self._fail_after(request, error)
            return
        self._finish_input(request, index, answer, 0)

    def _run(self, batch: list[QueuedSequence], start: float) -> bool:
        """Compute a batch, and answer the inputs that have all their outputs; False if there is no more to come."""
        for sequence in batch:
            for queued, _ in sequence.listeners:
                if not queued.request.started_at:
                    queued.request.started_at = start
        tokens = sum(len(sequence.key[0]) for sequence in batch)
        try:
            outputs: list[Outputs | Exception] = [*run_sequences(batch)]
        except Exception as error:
            outputs = [error] if len(batch) == 1 else run_one_by_one(batch)
        end = time.perf_counter()
        running = self._collect(wait=False)  # equal texts that came meanwhile are answered, too
        for sequence, output in zip(batch, outputs, strict=True):
            self.queue.release(sequence)
            share = len(sequence.key[0])
            for queued, index in sequence.listeners:
                if isinstance(output, Exception):
                    self._fail_after(queued.request, output, queued.request.places[queued.index])
                else:
                    self._take_output(queued, index, output, share)
        batch[0].listeners[0][0].request.speed.measured(tokens, time.perf_counter() - start)
        self._on_batch(len(batch), tokens, end - start)
        return running

    def _take_output(self, queued: QueuedInput, index: int, output: Outputs, tokens: int) -> None:
        request = queued.request
        request.computed += tokens
        queued.outputs[index] = output
        queued.remaining -= 1
        if queued.remaining or request.is_dead:
            return
        try:
            answer = request.task.decode(queued.encoded, queued.outputs, request.params)
        except Exception as error:
            self._fail_after(request, error, request.places[queued.index])
            return
        self._finish_input(request, queued.index, answer, tokens)

    def _finish_input(self, request: QueuedRequest, index: int, answer: Any, tokens: int) -> None:
        request.answers[index] = answer
        request.remaining -= 1
        if not request.remaining:
            request.finished_at = time.perf_counter()
            self._done.append(request)

    def _fail_after(self, request: QueuedRequest, error: Exception, place: str = "") -> None:
        if isinstance(error, DistilBertError):
            self._fail(request, refused_input(error, place))
        else:
            if request.error is None:
                logger.error("A batch failed", exc_info=error)
            self._fail(request, INTERNAL)

    def _fail(self, request: QueuedRequest, refused: RefusedRequest) -> None:
        if request.error is None:
            request.fail(refused)
            self._done.append(request)

    def _give_up(self, batch: list[QueuedSequence]) -> None:
        for sequence in batch:
            self.queue.release(sequence)
            for queued, _ in sequence.listeners:
                if queued.request.remaining:
                    self._fail(queued.request, INTERNAL)

    def _note_done(self, request: QueuedRequest) -> None:
        self._done.append(request)

    def _send_back(self) -> None:
        if self._done:
            self._loop.call_soon_threadsafe(_deliver, self._done)
            self._done = []


def _drain(queue: SimpleQueue[Any], wait: bool) -> Iterable[Any]:
    """Yield all entries of a queue; with ``wait``, the first is waited for."""
    if wait:
        yield queue.get()
    try:
        while True:
            yield queue.get_nowait()
    except Empty:
        return


def _deliver(requests: list[QueuedRequest]) -> None:
    """Hand requests to the coroutines that wait for them; in the event loop."""
    for request in requests:
        future = request.future
        if future is not None and not future.done():
            future.set_result(None)


def _is_short(request: QueuedRequest) -> bool:
    return len(request.items) <= SLICE_ITEMS and request.estimate < SLICE_CHARACTERS // 4


def _characters(item: Any) -> int:
    return len(item) if isinstance(item, str) else len(str(item))


def parse_items(request: QueuedRequest, items: list[Any], first: int) -> list[Any]:
    """Check inputs, and return them as the task takes them; ``first`` is the index of the first of them."""
    parse, params, places = request.task.parse, request.params, request.places
    return [
        item if isinstance(item, TokenIds) else parse(item, places[index], params)
        for index, item in enumerate(items, first)
    ]


def encode_items(task: Task[Any], items: list[Any], params: Any) -> list[EncodedInput]:
    """Return the sequences of checked inputs, of texts or of ids."""
    if not any(isinstance(item, TokenIds) for item in items):
        return task.encode(items, params)
    texts = iter(task.encode([item for item in items if not isinstance(item, TokenIds)], params))
    return [encode_token_ids(task, item) if isinstance(item, TokenIds) else next(texts) for item in items]


def encode_token_ids(task: Task[Any], item: TokenIds) -> EncodedInput:
    """Return the sequences of an input that is ids: with special tokens, and in windows where it is long.

    Raises:
        InputError: an id is not in the vocabulary.
    """
    ids, vocabulary = item.ids, task.config.vocab_size
    if not all(0 <= each < vocabulary for each in ids):
        raise InputError(f"Token ids of this model are 0 to {vocabulary - 1}, got {min(ids)} to {max(ids)}.")
    tokenizer = task.tokenizer
    if len(ids) > 1 and ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id:
        ids = ids[1:-1]
    if len(ids) <= task.max_tokens - 2:
        return EncodedInput([add_special(tokenizer, ids)])
    stride = stride_or_default(None, task.max_tokens)
    return EncodedInput(split_into_windows(tokenizer, ids, None, max_tokens=task.max_tokens, stride=stride))


def windows_of(task: Task[Any], encoded: EncodedInput) -> int:
    """Return how many windows an input was read in; the longest text of several counts."""
    if task.task in ONE_SEQUENCE_PER_CHOICE:
        return 1
    if task.task == "sentence-similarity":
        return int(max(encoded.metadata[0]))
    return len(encoded.sequences)


def run_sequences(sequences: list[QueuedSequence]) -> list[Outputs]:
    """Compute sequences in one batch; all have the same runner."""
    runner = sequences[0].runner
    ids = [sequence.key[0] for sequence in sequences]
    per_token = runner.head.per_token
    rows: list[Any] | None = None
    if per_token and any(sequence.key[1] is not None for sequence in sequences):
        rows = [range(len(sequence.key[0])) if sequence.key[1] is None else sequence.key[1] for sequence in sequences]
    batch = Batch.of(ids, rows)
    outputs = check_finite(runner(batch), batch, runner)
    sizes = [len(each) for each in (rows or ids)] if per_token else [1] * len(ids)
    return split_outputs(outputs, sizes, runner)


def run_one_by_one(sequences: list[QueuedSequence]) -> list[Outputs | Exception]:
    """Compute each sequence alone, after a batch has failed, so that only those at fault fail."""
    outputs: list[Outputs | Exception] = []
    for sequence in sequences:
        try:
            outputs += run_sequences([sequence])
        except Exception as error:
            outputs.append(error)
    return outputs


def refused_input(error: DistilBertError, place: str = "") -> RefusedRequest:
    """Return the answer to a request with an input that cannot be used; ``place`` names the input."""
    message = str(error).replace(OR_NULL, "")
    if place and place not in message:
        message = f"{place}: {message}"
    return RefusedRequest(422, "validation", message)
