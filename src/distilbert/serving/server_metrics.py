"""What the server counts, for Prometheus: every figure from zero, over all processes behind the port.

Each process has a row of numbers in memory that all of them share, and writes only that; whoever is asked adds the rows
up. A process that takes the place of one that died goes on with its row, so counters never fall.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
STATUSES = (200, 204, 400, 401, 403, 404, 405, 408, 413, 415, 422, 424, 429, 499, 500, 503)
FAULTS = ("syntax", "url", "headers")  # of requests that are answered with 400, 414 and 431 before they have a route
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Family:
    """Figures with one name.

    Attributes:
        name: without ``_total``.
        text: what it says.
        kind: ``"counter"``, ``"gauge"`` or ``"histogram"``.
        labels: names of the labels.
        bounds: of a histogram, the upper bounds of its buckets.
        alias: the name of text-embeddings-inference for the sum over all labels; empty: there is none.
    """

    name: str
    text: str
    kind: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    alias: str = ""


FAMILIES = (
    Family("distilbert_requests", "Requests that were answered, by route and status of HTTP.", "counter",
           ("route", "status")),
    Family("distilbert_inputs", "Inputs that were answered.", "counter", ("model", "task")),
    Family("distilbert_tokens", "Tokens that were computed for requests.", "counter", ("model",)),
    Family("distilbert_windows", "Windows that texts were read in.", "counter", ("model",)),
    Family("distilbert_abandoned_requests", "Requests whose client went away before the answer.", "counter"),
    Family("distilbert_unreadable_requests", "Requests that are no HTTP, or have too long a URL or headers.",
           "counter", ("fault",)),
    Family("distilbert_model_loads", "How often a model was read from its folder.", "counter", ("model",)),
    Family("distilbert_request_seconds", "Time from a request to its answer.", "histogram", ("model",), SECONDS,
           "te_request_duration"),
    Family("distilbert_tokenization_seconds", "Time in which a request was tokenized.", "histogram", (), SECONDS,
           "te_request_tokenization_duration"),
    Family("distilbert_queue_seconds", "Time that a request waited for the engine.", "histogram", (), SECONDS,
           "te_request_queue_duration"),
    Family("distilbert_inference_seconds", "Time from a request's first batch to the end of its last.", "histogram",
           (), SECONDS, "te_request_inference_duration"),
    Family("distilbert_batch_sequences", "Sequences of a batch.", "histogram", (), SIZES, "te_batch_next_size"),
    Family("distilbert_batch_tokens", "Tokens of a batch.", "histogram", (), TOKENS, "te_batch_next_tokens"),
    Family("distilbert_batch_seconds", "Time in which a batch was computed.", "histogram", (), SECONDS),
    Family("distilbert_queued_requests", "Requests that wait or are computed.", "gauge", (), (), "te_queue_size"),
    Family("distilbert_queued_tokens", "Tokens that wait or are computed, about.", "gauge"),
    Family("distilbert_tokens_per_second", "Speed of the engine in large batches.", "gauge", ("model",)),
    Family("distilbert_model_loaded", "Whether a model is in memory, in how many processes.", "gauge", ("model",)),
    Family("distilbert_ready", "Processes that have answered once and are not stopping.", "gauge"),
)  # fmt: skip
RELOADS = "reloads"  # of a model, done in a process; not shown: it tells the other processes
BY_NAME = {family.name: family for family in FAMILIES}
FAILURES = {400: "validation", 413: "validation", 415: "validation", 422: "validation", 424: "backend",
            429: "overloaded", 499: "cancelled", 500: "backend", 503: "unhealthy"}  # fmt: skip


class ServerMetrics:
    """The figures of a server.

    Args:
        routes: all routes, as they are written in the description of the server.
        models: names of all models.
        tasks: names of all tasks.
        processes: how many share the port.
    """

    def __init__(self, routes: Iterable[str], models: Iterable[str], tasks: Iterable[str], processes: int = 1) -> None:
        values = {
            "route": list(routes),
            "status": [str(status) for status in STATUSES],
            "model": list(models),
            "task": list(tasks),
            "fault": list(FAULTS),
        }
        self._places: dict[tuple[str, ...], int] = {}
        size = 0
        for family in FAMILIES:
            for labels in product(*(values[label] for label in family.labels)):
                self._places[(family.name, *labels)] = size
                size += len(family.bounds) + 2 if family.kind == "histogram" else 1
        for model in values["model"]:
            self._places[(RELOADS, model)] = size
            size += 1
        self._size, self._processes = size, processes
        self._numbers = memoryview(mmap.mmap(-1, max(size * processes * 8, 8))).cast("d")
        self.on_scrape: Callable[[], None] = lambda: None
        self.use_row(0)

    def use_row(self, process: int) -> None:
        """Count in the row of a process from now on."""
        self._row = self._numbers[process * self._size : (process + 1) * self._size]

    def place(self, name: str, *labels: str) -> int:
        """Return where a figure stands, for :meth:`add`."""
        return self._places[(name, *labels)]

    def add(self, place: int, by: float = 1.0) -> None:
        """Add to a counter, by its place."""
        self._row[place] += by

    def add_value(self, place: int, bounds: Sequence[float], value: float) -> None:
        """Add a value to a histogram, by its place."""
        row = self._row
        row[place + bisect_left(bounds, value)] += 1
        row[place + len(bounds) + 1] += value

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter."""
        self._row[self._places[(name, *labels)]] += by

    def set(self, name: str, *labels: str, to: float) -> None:
        """Set a gauge."""
        self._row[self._places[(name, *labels)]] = to

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add a value to a histogram."""
        self.add_value(self._places[(name, *labels)], BY_NAME[name].bounds, value)

    def value(self, name: str, *labels: str) -> float:
        """Return a counter or gauge, over all processes."""
        return self._sum(self._places[(name, *labels)])

    def values(self, name: str, *labels: str) -> list[float]:
        """Return a counter or gauge of each process."""
        place = self._places[(name, *labels)]
        return [self._numbers[place + row * self._size] for row in range(self._processes)]

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest

        self.on_scrape()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> Sequence[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all figures, as Prometheus' library asks for them."""
        for family in FAMILIES:
            places = {key[1:]: place for key, place in self._places.items() if key[0] == family.name}
            yield self._metric(family.name, family, places)
            if family.alias:
                yield self._metric(family.alias, family, {(): list(places.values())}, labels=())
        yield from self._requests_of_tei()

    def _requests_of_tei(self) -> Iterator[Metric]:
        """Yield the counters of requests by the names of text-embeddings-inference."""
        from prometheus_client.core import Metric

        counts = dict.fromkeys(STATUSES, 0.0)
        for key, place in self._places.items():
            if key[0] == "distilbert_requests":
                counts[int(key[2])] += self._sum(place)
        count = Metric("te_request_count", "Requests.", "unknown")
        count.add_sample("te_request_count", {}, sum(counts.values()))
        success = Metric("te_request_success", "Requests that were answered.", "unknown")
        success.add_sample("te_request_success", {}, counts[200] + counts[204])
        failure = Metric("te_request_failure", "Requests that were not, by their error.", "unknown")
        for kind in dict.fromkeys(FAILURES.values()):
            total = sum(counts[status] for status, each in FAILURES.items() if each == kind)
            failure.add_sample("te_request_failure", {"err": kind}, total)
        yield from (count, success, failure)

    def _metric(
        self, name: str, family: Family, places: dict[tuple[str, ...], Any], labels: tuple[str, ...] | None = None
    ) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names = family.labels if labels is None else labels
        metric: Any
        if family.kind == "histogram":
            metric = HistogramMetricFamily(name, family.text, labels=names)
            for values, place in places.items():
                starts = place if isinstance(place, list) else [place]
                total, buckets = 0.0, []
                for index, bound in enumerate([*map(str, map(float, family.bounds)), "+Inf"]):
                    total += sum(self._sum(start + index) for start in starts)
                    buckets.append((bound, total))
                added = sum(self._sum(start + len(family.bounds) + 1) for start in starts)
                metric.add_metric(values, buckets, added)
            return metric
        metric = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
            name, family.text, labels=names
        )
        for values, place in places.items():
            metric.add_metric(values, sum(map(self._sum, place)) if isinstance(place, list) else self._sum(place))
        return metric

    def _sum(self, place: int) -> float:
        return sum(self._numbers[place + row * self._size] for row in range(self._processes))
