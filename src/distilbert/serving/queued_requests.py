"""A request on its way: its inputs, the sequences that they become, and the answers that come back.

A request has inputs, an input has one or more sequences of ids. Two inputs whose sequences are equal share them, so
each is computed once. The objects are written by one thread at a time: the event loop makes a request, the tokenizing
thread encodes it, and from then on it belongs to the engine's thread until its answers return to the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..core.errors import RequestError
from ..core.runner_protocol import Runner
from ..tasks.base import Task
from ..tasks.batching import EncodedInput, Outputs
from .engine_speed import EngineSpeed

SequenceKey: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...] | None]"


@dataclass(frozen=True)
class TokenIds:
    """An input that is ids of the model's vocabulary already, for vectors.

    Attributes:
        ids: with or without the special tokens around them.
    """

    ids: list[int]


@dataclass(frozen=True)
class RefusedRequest:
    """Why a request has no answer.

    Attributes:
        status: of HTTP.
        kind: one word for programs.
        message: for people.
        retry_after: seconds after which it is worth trying again; None: it is not.
    """

    status: int
    kind: str
    message: str
    retry_after: float | None = None

    def as_error(self) -> RequestError:
        """Return the error to raise."""
        return RequestError(self.message, self.status, self.kind, self.retry_after)


class QueuedSequence:
    """A sequence of ids that waits to be computed, for one input or for several that have the same.

    Attributes:
        key: its ids and rows, by which equal ones are found.
        runner: computes it.
        listeners: the inputs that wait for its outputs, and which of their sequences it is.
        order: deadline and priority of the input that needs it first.
        taken: it is in a batch, or done.
    """

    __slots__ = ("key", "listeners", "order", "runner", "taken")

    def __init__(self, key: SequenceKey, runner: Runner) -> None:
        self.key, self.runner = key, runner
        self.listeners: list[tuple[QueuedInput, int]] = []
        self.order: tuple[int, int] | None = None
        self.taken = False


class QueuedInput:
    """An input of a request.

    Attributes:
        request: that it belongs to.
        index: its place there.
        encoded: its sequences.
        outputs: of each sequence, as far as they are computed.
        remaining: sequences that are not.
    """

    __slots__ = ("encoded", "index", "outputs", "remaining", "request")

    def __init__(self, request: QueuedRequest, index: int, encoded: EncodedInput) -> None:
        self.request, self.index, self.encoded = request, index, encoded
        self.remaining = len(encoded.sequences)
        self.outputs: list[Outputs] = [{}] * self.remaining


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """A request.

    Attributes:
        task: answers it.
        params: parameters of the task.
        items: the inputs as they were sent.
        places: how a message names each input.
        deadline: when it must be answered, in seconds of ``time.perf_counter``.
        priority: of two requests with one deadline, the higher goes first.
        arrived: when it arrived.
        speed: of the model.
        characters: of its texts.
        estimate: its tokens, as they were estimated from its characters.
        seconds: that it will take to compute, about.
        future: is done when the request has its answers or an error; in the event loop.
        answers: to each input.
        remaining: inputs without an answer.
        tokens: that its sequences have.
        windows: sequences of each input that is one text, 1 for others.
        tokens_of_inputs: of each input.
        computed: its tokens that are computed.
        encoded_at: when its ids were ready.
        started_at: when the first batch with one of its sequences began.
        finished_at: when the last one was done.
        tokenizing: seconds that tokenizing took, together with the requests that were tokenized with it.
        position: tokens before its next sequence, by which long requests make room for others.
        is_abandoned: its client has gone.
        error: why it failed; nothing of it is computed any more.
        on_done: is called in the thread that finishes it, when it has all answers or an error.
    """

    task: Task[Any]
    params: Any
    items: list[Any]
    places: list[str]
    deadline: float
    priority: int
    arrived: float
    speed: EngineSpeed
    characters: int
    estimate: int
    seconds: float = 0.0
    future: asyncio.Future[Any] | None = None
    answers: list[Any] = field(default_factory=list)
    remaining: int = 0
    tokens: int = 0
    windows: list[int] = field(default_factory=list)
    tokens_of_inputs: list[int] = field(default_factory=list)
    computed: int = 0
    encoded_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    tokenizing: float = 0.0
    position: int = 0
    is_abandoned: bool = False
    error: RefusedRequest | None = None
    on_done: Callable[[QueuedRequest], None] | None = None

    @property
    def waited(self) -> float:
        """Seconds from its ids to its first batch."""
        return max(self.started_at - self.encoded_at, 0.0)

    @property
    def steps(self) -> list[tuple[str, float, float]]:
        """Name, start and end of what was done for it."""
        return [
            ("tokenization", self.encoded_at - self.tokenizing, self.encoded_at),
            ("queue", self.encoded_at, self.encoded_at + self.waited),
            ("inference", self.started_at, self.finished_at),
        ]

    @property
    def is_dead(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_abandoned or self.error is not None

    def fail(self, refused: RefusedRequest) -> None:
        """Say why it has no answer; the first reason stays."""
        if self.error is None:
            self.error = refused
