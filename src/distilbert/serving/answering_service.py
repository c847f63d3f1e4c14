"""What all routes have in common: choose a model, let a request in, wait for its answers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from ..core.errors import InputError, RequestError, UnknownArgumentError, suggest
from ..core.runner_protocol import Batch
from ..tasks.base import Task
from ..tasks.pipeline_arguments import task_parameters
from .admission import Admission
from .answering_threads import AnsweringThreads
from .http_exchange import Exchange, Headers, client_gone, to_json
from .queued_requests import QueuedRequest, TokenIds
from .served_models import LoadedTasks, ServedModel, ServedModels, loading_error
from .server_metrics import RELOADS, SECONDS, ServerMetrics
from .server_settings import ServerSettings

WATCHED_AFTER = 0.25  # seconds after which it is looked whether a client is still there
LONGEST_RELOAD = 60.0  # seconds in which all processes must have read a model again
MOST_STEPS = 1000  # of one request that a trace holds
REMEMBERED_PARAMETERS = 256  # of a task
WARM_UP_LENGTH = 64  # tokens of a sequence

logger = logging.getLogger("distilbert.serving")


class ChosenTask:
    """A task of a served model, for one request.

    Attributes:
        model: that was chosen.
        loaded: the model in memory.
        task: of the model.
    """

    __slots__ = ("loaded", "model", "task")

    def __init__(self, model: ServedModel, loaded: LoadedTasks, task: Task[Any]) -> None:
        self.model, self.loaded, self.task = model, loaded, task


class FigurePlaces:
    """Where the figures of a model's task stand, so that counting a request takes little.

    Args:
        metrics: of the server.
        model: name of the model.
        task: name of the task.
    """

    def __init__(self, metrics: ServerMetrics, model: str, task: str) -> None:
        self.inputs = metrics.place("distilbert_inputs", model, task)
        self.tokens = metrics.place("distilbert_tokens", model)
        self.windows = metrics.place("distilbert_windows", model)
        self.total = metrics.place("distilbert_request_seconds", model)
        self.tokenization = metrics.place("distilbert_tokenization_seconds")
        self.queue = metrics.place("distilbert_queue_seconds")
        self.inference = metrics.place("distilbert_inference_seconds")


class AnsweringService:
    """Everything behind the routes. It lives in one event loop.

    Args:
        models: of the server.
        settings: of the server.
        metrics: of the server.
    """

    def __init__(self, models: ServedModels, settings: ServerSettings, metrics: ServerMetrics) -> None:
        self.models, self.settings, self.metrics = models, settings, metrics
        self.admission = Admission(settings.max_tokens_queued, settings.batch_tokens)
        self.is_ready, self.is_draining = False, False
        self.keeps_steps = False
        self.on_tick: Callable[[], None] = lambda: None
        self._parent = 0
        self.route_list: tuple[Any, ...] = ()
        self.reload_everywhere: Callable[[ServedModel], Awaitable[None]] = self.reload
        self._places: dict[tuple[str, str], FigurePlaces] = {}
        self._waiting: dict[Exchange, list[QueuedRequest]] = {}
        self._watched: set[Exchange] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._parameters: WeakKeyDictionary[Task[Any], OrderedDict[bytes, Any]] = WeakKeyDictionary()

    # Life -------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the threads, load the models and answer once with each."""
        self._loop = asyncio.get_running_loop()
        self._threads = AnsweringThreads(self.settings.batch_tokens, self._loop, self._count_batch)
        self.metrics.on_scrape = self.set_gauges
        await asyncio.to_thread(self.models.load_at_start)
        for model in self.models.by_name.values():
            if model.loaded is not None:
                self.metrics.count("distilbert_model_loads", model.name)
                await self._warm_up(model, model.loaded)
        self.is_ready = True
        self._run_in_background(self._tick())

    async def stop(self) -> None:
        """Answer what is left, and end the threads."""
        self.is_ready, self.is_draining = False, True
        for task in list(self._background):
            task.cancel()
        await asyncio.to_thread(self._threads.stop)
        self.set_gauges()

    async def _warm_up(self, model: ServedModel, loaded: LoadedTasks) -> None:
        """Answer once, and measure the speed with a full batch, so that the first request waits for nothing."""
        task = loaded.load(loaded.own_task)
        example = task.spec.example
        length = min(WARM_UP_LENGTH, task.max_tokens)
        count = max(1, self.settings.batch_tokens // length)
        ids = [[(7 * row + column) % task.config.vocab_size for column in range(length)] for row in range(count)]

        def answer() -> None:
            task(example.input, **example.parameters)

        def measure() -> None:
            start = time.perf_counter()
            task.runner(Batch.of(ids))
            loaded.speed_of(task).measured(count * length, time.perf_counter() - start)

        try:
            for step in (answer, measure, measure, measure):  # one at a time: requests that wait go in between
                await self._run_in_engine(step)
        except Exception:
            logger.exception("The model %s did not answer its first request", model.name)
        model.is_warm = True

    async def _run_in_engine(self, call: Callable[[], None]) -> None:
        """Call something in the engine's thread between two batches, and wait until it is done."""
        done: asyncio.Future[None] = self._loop.create_future()

        def run() -> None:
            error: Exception | None = None
            try:
                call()
            except Exception as raised:
                error = raised
            self._loop.call_soon_threadsafe(_finish, done, error)

        self._threads.run_in_engine(run)
        await done

    async def _tick(self) -> None:
        """Look after everything that takes time: clients that have gone, models that nobody uses."""
        while True:
            await asyncio.sleep(WATCHED_AFTER)
            before = time.perf_counter() - WATCHED_AFTER
            for exchange, requests in self._waiting.items():
                if requests[0].arrived < before:
                    self.watch(exchange)
            if self.settings.idle_unload is not None:
                self.models.unload_idle()
            if self._parent and os.getppid() != self._parent:
                logger.error("the process that watched this one is gone, so it stops")
                os.kill(os.getpid(), signal.SIGTERM)
            self.set_gauges()
            self.on_tick()

    def watch(self, exchange: Exchange) -> None:
        """Find out when a client goes; until its whole body has come, whoever reads that finds out."""
        if exchange.is_read and exchange not in self._watched:
            self._watched.add(exchange)
            self._run_in_background(self._watch(exchange))

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.wait_until_gone()
        self._watched.discard(exchange)
        for request in self._waiting.get(exchange, ()):
            request.is_abandoned = True
            if request.future is not None and not request.future.done():
                request.future.set_result(None)

    def _run_in_background(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def set_gauges(self) -> None:
        """Write the figures that are read, not counted."""
        metrics = self.metrics
        metrics.set("distilbert_queued_requests", to=self.admission.requests)
        metrics.set("distilbert_queued_tokens", to=self.admission.tokens)
        metrics.set("distilbert_ready", to=float(self.is_ready and not self.is_draining))
        for model in self.models.by_name.values():
            loaded = model.loaded
            metrics.set("distilbert_model_loaded", model.name, to=float(loaded is not None))
            speed = 0.0 if loaded is None else loaded.speeds[loaded.head.name].tokens_per_second
            metrics.set("distilbert_tokens_per_second", model.name, to=speed)

    def _count_batch(self, sequences: int, tokens: int, seconds: float) -> None:
        self.metrics.observe("distilbert_batch_sequences", sequences)
        self.metrics.observe("distilbert_batch_tokens", tokens)
        self.metrics.observe("distilbert_batch_seconds", seconds)

    # Models -----------------------------------------------------------------------------------------------------------

    async def choose(self, task_name: str, model_name: Any = None) -> ChosenTask:
        """Return a task of a model, loaded.

        Args:
            task_name: name of the task; empty: what the model was made for.
            model_name: as the request says it; None: the first model that can do the task.

        Raises:
            RequestError: there is no such model, it cannot do the task, or it cannot be loaded.
        """
        model = self.find_model(task_name, model_name)
        model.last_used = time.monotonic()
        name = task_name or model.own_task
        loaded = model.loaded
        task = None if loaded is None else loaded.get(name)
        if task is None or loaded is None:
            if name not in model.tasks:
                raise RequestError(
                    f"The model {model.name!r} cannot do {name}; it can do {', '.join(model.tasks)}.", 422, "validation"
                )
            loaded, task = await self._load(model, name)
        return ChosenTask(model, loaded, task)

    def find_model(self, task_name: str, model_name: Any) -> ServedModel:
        """Return the model of a name, or the one that does a task where none is named.

        Raises:
            RequestError: there is none.
        """
        if model_name is None:
            first = self.models.for_task(task_name) if task_name else next(iter(self.models.by_name.values()))
            if first is None:
                able = sorted({name for model in self.models.by_name.values() for name in model.tasks})
                raise RequestError(
                    f"No model of this server can do {task_name}; they can do {', '.join(able)}.", 424, "no_model"
                )
            return first
        model = self.models.by_name.get(model_name) if isinstance(model_name, str) else None
        if model is None:
            names = list(self.models.by_name)
            near = suggest(str(model_name)[:100], names)
            raise RequestError(
                f"There is no model {str(model_name)[:100]!r}.{near} Models are: {', '.join(names)}.", 404, "not_found"
            )
        return model

    async def _load(self, model: ServedModel, task_name: str) -> tuple[LoadedTasks, Task[Any]]:
        is_new = model.loaded is None
        try:
            loaded, task = await asyncio.to_thread(self.models.load, model, task_name)
        except Exception as error:
            raise loading_error(model, error) from None
        if is_new:
            self.metrics.count("distilbert_model_loads", model.name)
        if not model.is_warm:
            await self._warm_up(model, loaded)
        return loaded, task

    async def reload(self, model: ServedModel, *, only_loaded: bool = False) -> None:
        """Read a model's folder again, while requests are answered by what was read before.

        Args:
            model: that is read.
            only_loaded: do nothing if it is not in memory.

        Raises:
            RequestError: it cannot be loaded; what was there before goes on.
        """
        try:
            loaded = await asyncio.to_thread(self.models.reload, model, only_loaded=only_loaded)
        except Exception as error:
            raise loading_error(model, error) from None
        if loaded is not None:
            self.metrics.count("distilbert_model_loads", model.name)
            await self._warm_up(model, loaded)

    def join_group(self, parent: int) -> None:
        """Be one of several processes: reload together, and stop when the one that watches them is gone.

        Args:
            parent: id of the process that watches them.
        """
        self._parent = parent
        self.reload_everywhere = self._reload_in_group

    async def _reload_in_group(self, model: ServedModel) -> None:
        """Read a model again here, and then in all processes.

        Raises:
            RequestError: it cannot be loaded, or not all processes have read it in time.
        """
        await self.reload(model)
        before = self.metrics.values(RELOADS, model.name)
        os.kill(self._parent, signal.SIGHUP)
        end = time.monotonic() + LONGEST_RELOAD
        while time.monotonic() < end:
            now = self.metrics.values(RELOADS, model.name)
            if all(new > old for new, old in zip(now, before, strict=True)):
                return
            await asyncio.sleep(0.02)
        raise RequestError(f"Not all processes have read the model {model.name!r} again yet.", 503, "unhealthy", 5.0)

    def reload_all_soon(self) -> None:
        """Read all models again that are in memory; may be called from a handler of a signal."""
        self._loop.call_soon_threadsafe(lambda: self._run_in_background(self._reload_all()))

    async def _reload_all(self) -> None:
        for model in self.models.by_name.values():
            try:
                await self.reload(model, only_loaded=True)
            except RequestError as error:
                logger.error("%s It goes on with what it had.", error)
            else:
                self.metrics.count(RELOADS, model.name)

    # Requests ---------------------------------------------------------------------------------------------------------

    def parameters(self, task: Task[Any], given: Any) -> Any:
        """Return the parameters of a task that a request asks for; equal ones are the same object.

        Raises:
            RequestError: one is unknown, or has a value that cannot work.
        """
        if given is None or given == {}:
            return task.params
        if not isinstance(given, Mapping):
            raise RequestError(f"parameters must be an object, got {given!r:.80}.", 422, "validation")
        remembered = self._parameters.setdefault(task, OrderedDict())
        key = to_json(given)
        params = remembered.get(key)
        if params is not None:
            remembered.move_to_end(key)
            return params
        if given.get("return_tensors"):
            raise RequestError("return_tensors is for Python: over HTTP answers are JSON.", 422, "validation")
        defaults = {parameter.name: parameter.default for parameter in task.spec.parameters}
        try:
            params = replace(task.params, **task_parameters(given, defaults, f"The task {task.task!r}"))
            task.check(params)
        except (InputError, UnknownArgumentError) as error:
            raise RequestError(str(error), 422, "validation") from None
        except TypeError as error:
            raise RequestError(f"A parameter has a value of the wrong type: {error}", 422, "validation") from None
        remembered[key] = params
        if len(remembered) > REMEMBERED_PARAMETERS:
            remembered.popitem(last=False)
        return params

    async def answer(
        self, exchange: Exchange, chosen: ChosenTask, params: Any, items: list[Any], places: list[str]
    ) -> QueuedRequest:
        """Answer inputs.

        Args:
            exchange: the request that they came with.
            chosen: the task.
            params: parameters of the task.
            items: the inputs; texts, objects, or :class:`.TokenIds`.
            places: how a message names each input.

        Returns:
            The request with its ``answers``.

        Raises:
            RequestError: it is refused, or an input cannot be answered.
        """
        request = self.make_request(exchange, chosen, params, items, places)
        refused = self.admission.refuse(request)
        if refused is not None:
            raise refused.as_error()
        await self.run(exchange, chosen, request)
        if request.error is not None:
            raise request.error.as_error()
        return request

    def make_request(
        self, exchange: Exchange, chosen: ChosenTask, params: Any, items: list[Any], places: list[str]
    ) -> QueuedRequest:
        """Return a request for inputs; the arguments are those of :meth:`answer`.

        Raises:
            RequestError: there are too many inputs, or a text is too long.
        """
        settings, task = self.settings, chosen.task
        if len(items) > settings.max_items:
            raise RequestError(
                f"A request may have {settings.max_items:,} inputs, got {len(items):,}: send them in several, or as "
                "lines of JSON (application/x-ndjson).",
                413,
                "validation",
            )
        characters, texts = 0, 0
        for item, place in zip(items, places, strict=True):
            size, count = self._size(item, place)
            characters, texts = characters + size, texts + count
        for item in items:
            repeated, count = _repeated(task.task, item)
            characters, texts = characters + repeated, texts + count
        characters, texts = _with_repeats(task, params, characters, texts)
        arrived = exchange.arrived
        speed = chosen.loaded.speed_of(task)
        return QueuedRequest(
            task=task,
            params=params,
            items=items,
            places=places,
            deadline=arrived + (exchange.timeout or settings.timeout),
            priority=exchange.priority,
            arrived=arrived,
            speed=speed,
            characters=characters,
            estimate=speed.estimate(characters, texts),
        )

    async def run(self, exchange: Exchange, chosen: ChosenTask, request: QueuedRequest) -> None:
        """Answer a request that was let in.

        Raises:
            RequestError: nobody waits for it any more.
        """
        model = chosen.model
        model.pending += 1
        request.future = self._loop.create_future()
        waiting = self._waiting.setdefault(exchange, [])
        waiting.append(request)
        try:
            self._threads.submit(request)
            await request.future
        except asyncio.CancelledError:
            request.is_abandoned = True
            raise
        finally:
            waiting.remove(request)
            if not waiting:
                del self._waiting[exchange]
            model.pending -= 1
            self.admission.leave(request)
        if request.is_abandoned:
            self.metrics.count("distilbert_abandoned_requests")
            raise client_gone()
        if request.error is None:
            self._count(exchange, chosen, request)

    def _count(self, exchange: Exchange, chosen: ChosenTask, request: QueuedRequest) -> None:
        metrics, name = self.metrics, chosen.model.name
        exchange.model, exchange.tokens = name, exchange.tokens + request.tokens
        exchange.inputs += len(request.items)
        if self.keeps_steps and len(exchange.steps) < MOST_STEPS:
            exchange.steps += request.steps
        request.speed.counted(request.characters, request.tokens)
        key = (name, request.task.task)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = FigurePlaces(metrics, *key)
        metrics.add(places.inputs, len(request.items))
        metrics.add(places.tokens, request.tokens)
        metrics.add(places.windows, sum(request.windows))
        metrics.add_value(places.total, SECONDS, time.perf_counter() - request.arrived)
        metrics.add_value(places.tokenization, SECONDS, request.tokenizing)
        metrics.add_value(places.queue, SECONDS, request.waited)
        metrics.add_value(places.inference, SECONDS, request.finished_at - request.started_at)

    def _size(self, item: Any, place: str) -> tuple[int, int]:
        """Return characters and texts of an input.

        Raises:
            RequestError: a text is too long.
        """
        if isinstance(item, str):
            if len(item) > self.settings.max_characters:
                raise RequestError(
                    f"{place} has {len(item):,} characters; a text may have {self.settings.max_characters:,}.",
                    413,
                    "validation",
                )
            return len(item), 1
        if isinstance(item, TokenIds):
            return 4 * len(item.ids), 1
        values = item.values() if isinstance(item, Mapping) else item if isinstance(item, (list, tuple)) else ()
        characters, texts = 0, 0
        for value in values:
            size, count = self._size(value, place)
            characters, texts = characters + size, texts + count
        return characters, texts


def _finish(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def headers_of(request: QueuedRequest, model: str) -> Headers:
    """Return the headers that say what a request cost; times in milliseconds."""
    return [
        (b"x-model", model.encode("ascii", "replace")),
        (b"x-compute-tokens", b"%d" % request.tokens),
        (b"x-windows", b"%d" % max(request.windows, default=1)),
        (
            b"server-timing",
            b"tokenization;dur=%.2f, queue;dur=%.2f, inference;dur=%.2f, total;dur=%.2f"
            % (
                1000 * request.tokenizing,
                1000 * request.waited,
                1000 * (request.finished_at - request.started_at),
                1000 * (time.perf_counter() - request.arrived),
            ),
        ),
    ]


def headers_of_tei(request: QueuedRequest) -> Headers:
    """Return the headers that text-embeddings-inference has for the same; times in whole milliseconds."""
    return [
        (b"x-compute-tokens", b"%d" % request.tokens),
        (b"x-compute-characters", b"%d" % request.characters),
        (b"x-total-time", b"%d" % (1000 * (time.perf_counter() - request.arrived))),
        (b"x-tokenization-time", b"%d" % (1000 * request.tokenizing)),
        (b"x-queue-time", b"%d" % (1000 * request.waited)),
        (b"x-inference-time", b"%d" % (1000 * (request.finished_at - request.started_at))),
    ]


def _repeated(task: str, item: Any) -> tuple[int, int]:
    """Return characters and texts of an input that are read once more: a text that goes with each of several."""
    if not isinstance(item, Mapping):
        return 0, 0
    if task == "multiple-choice" and isinstance(item.get("choices"), (list, tuple)):
        shared = [item.get("context"), item.get("question")]
        times = len(item["choices"]) - 1
    elif task == "question-answering":
        question, context = item.get("question"), item.get("context")
        if isinstance(question, (list, tuple)) and isinstance(context, str):
            shared, times = [context], len(question) - 1
        elif isinstance(context, (list, tuple)) and isinstance(question, str):
            shared, times = [question], len(context) - 1
        else:
            return 0, 0
    else:
        return 0, 0
    texts = [text for text in shared if isinstance(text, str)]
    return max(times, 0) * sum(map(len, texts)), max(times, 0) * len(texts)


def _with_repeats(task: Task[Any], params: Any, characters: int, texts: int) -> tuple[int, int]:
    """Return how much is read of texts that are read several times: with each label, or in windows that overlap."""
    labels = getattr(params, "labels", None)
    if task.task == "zero-shot-classification" and labels:
        if task.compares_vectors:
            return characters + sum(map(len, labels)), texts + len(labels)
        return characters * len(labels) + texts * sum(map(len, labels)), texts * len(labels)
    stride = getattr(params, "stride", None) or getattr(params, "doc_stride", None)
    if stride:
        length = getattr(task, "window_length", task.max_tokens)
        length = task.max_tokens if callable(length) else length
        return characters * length // max(length - 2 - stride, 1), texts
    return characters, texts
