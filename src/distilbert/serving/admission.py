"""Which requests are let in: those that will be answered in time, as far as can be told before any work.

The wait of a request is the work that stands before it, divided by the speed at which it is done. A request that would
wait past its deadline is refused at once and as a whole, with the seconds after which it is worth trying again.
"""

from __future__ import annotations

import math
import time

from .queued_requests import QueuedRequest, RefusedRequest
from .sequence_queue import SHARE

LONG = 4096  # tokens from which a request is paced, so that it is only partly before others
DEADLINE_STEP = 0.25  # seconds: what stands before a request is counted in steps of this
USUAL_WAIT = 1.0  # seconds of work that may stand before a request where the settings name no number of tokens


class Admission:
    """The requests that are in the server, and whether there is room for one more. Only the event loop uses it.

    Args:
        max_tokens_queued: see :class:`.ServerSettings`.
        batch_tokens: see there.
    """

    def __init__(self, max_tokens_queued: int | None, batch_tokens: int) -> None:
        self._max_tokens_queued, self._batch_tokens = max_tokens_queued, batch_tokens
        self._short: dict[int, float] = {}  # step of the deadline -> seconds of work
        self._short_tokens, self._short_seconds, self._last_step = 0, 0.0, 0
        self._long: set[QueuedRequest] = set()
        self.requests = 0

    @property
    def tokens(self) -> int:
        """Tokens that wait or are computed, about."""
        return self._short_tokens + sum(_remaining(request) for request in self._long)

    def refuse(self, request: QueuedRequest) -> RefusedRequest | None:
        """Return why a request is not let in; None if it is. Then :meth:`leave` must follow when it is done."""
        now = time.perf_counter()
        own = request.estimate / request.speed.tokens_per_second
        allowed = request.deadline - now
        if own > allowed:
            return RefusedRequest(
                429,
                "overloaded",
                f"The request needs about {own:.1f} s and its deadline leaves {max(allowed, 0):.1f} s: send fewer or "
                "shorter inputs, or allow more time with the header x-request-timeout-ms.",
            )
        ahead = self._seconds_ahead(request)
        is_long = request.estimate > LONG
        if is_long and self.requests:
            own /= SHARE  # the rest of the engine's time is for others
        if ahead + own > allowed:
            return _busy(ahead, own, allowed)
        if self.requests and ahead > self._longest_wait(request):
            return _busy(ahead, own, self._longest_wait(request))
        self.requests += 1
        if is_long:
            self._long.add(request)
        else:
            step = int(request.deadline / DEADLINE_STEP)
            self._short[step] = self._short.get(step, 0.0) + own
            self._short_tokens += request.estimate
            self._short_seconds += own
            self._last_step = max(self._last_step, step)
            request.seconds = own
        return None

    def leave(self, request: QueuedRequest) -> None:
        """Note that a request is done, or that nobody waits for it."""
        self.requests -= 1
        if request in self._long:
            self._long.discard(request)
            return
        step = int(request.deadline / DEADLINE_STEP)
        rest = self._short.pop(step, 0.0) - request.seconds  # 0.0: of a request without work, when other work is done
        if rest > 1e-9:
            self._short[step] = rest
        self._short_tokens -= request.estimate
        self._short_seconds = self._short_seconds - request.seconds if self._short else 0.0

    def _longest_wait(self, request: QueuedRequest) -> float:
        """Return the seconds of work that may stand before a request."""
        speed = request.speed.tokens_per_second
        if self._max_tokens_queued is not None:
            return self._max_tokens_queued / speed
        return max(USUAL_WAIT, 2 * self._batch_tokens / speed)

    def _seconds_ahead(self, request: QueuedRequest) -> float:
        """Return the seconds of work that comes before a request."""
        step = int(request.deadline / DEADLINE_STEP)
        if step >= self._last_step:
            ahead = self._short_seconds
        else:
            ahead = sum(seconds for each, seconds in self._short.items() if each <= step)
        for other in self._long:
            speed = other.speed.tokens_per_second
            before = (request.deadline - other.deadline) * SHARE * speed - other.computed
            ahead += min(max(before, 0.0), _remaining(other)) / speed
        return ahead


def _busy(ahead: float, own: float, allowed: float) -> RefusedRequest:
    retry_after = max(1.0, math.ceil(ahead + own - allowed))
    return RefusedRequest(
        429,
        "overloaded",
        f"The server is busy: work of about {ahead:.1f} s stands before this request. Try again in "
        f"{retry_after:.0f} s.",
        retry_after,
    )


def _remaining(request: QueuedRequest) -> int:
    return max(max(request.estimate, request.tokens) - request.computed, 0)
