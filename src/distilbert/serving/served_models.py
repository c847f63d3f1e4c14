"""The models of a server: found at the start, loaded then or when first asked for, reloaded and unloaded on the way.

A model's tasks share one runner for its head and one for its bare encoder. Whoever holds a task goes on with it after
a reload, so no request is dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ..core.config import DistilBertConfig
from ..core.errors import DistilBertError, InputError, ModelNotFoundError, RequestError
from ..core.hub import resolve
from ..core.installed import find_installed
from ..core.runner_protocol import Runner
from ..core.schema import Head, head_of
from ..exporting.formats import exported_files
from ..models.auto import AutoConfig
from ..tasks.base import Task
from ..tasks.loading import default_model, pipeline
from ..tasks.registry import TASKS, task_spec, tasks_for
from ..tasks.sentence_modules import read_sentence_modules
from ..tasks.task_tokenizer import TaskTokenizer
from .engine_speed import EngineSpeed
from .server_settings import ServerSettings

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".h5", ".msgpack")

logger = logging.getLogger("distilbert.serving")


class LoadedTasks:
    """A model in memory.

    Args:
        source: folder or name.
        settings: of the server.

    Attributes:
        own_task: what the model was made for.
        folder: that it was read from.
        head: of the model.
        config: of the model.
        pooling: how the hidden states of a text become one vector.
        tokenizer: of the model.
    """

    def __init__(self, source: str, settings: ServerSettings) -> None:
        self._source, self._settings = source, settings
        self.loaded_at = time.time()
        own = self._load(None)
        self.own_task, self.head = own.task, own.runner.head
        self.tokenizer: TaskTokenizer = own.tokenizer
        self.folder: Path | None = own.model_folder
        self.config: DistilBertConfig = own.config
        self.pooling = pooling_of(source)
        self._runners: dict[str, Runner] = {self.head.name: own.runner}
        self._tasks: dict[str, Task[Any]] = {own.task: own}
        self.speeds: dict[str, EngineSpeed] = {self.head.name: EngineSpeed(settings.batch_tokens)}
        self.names = [name for name in tasks_for(self.head) if self._can(name)]

    def get(self, name: str) -> Task[Any] | None:
        """Return a task that is ready; None if it must be loaded first, or the model cannot do it."""
        return self._tasks.get(name)

    def load(self, name: str) -> Task[Any]:
        """Return a task, which is loaded if needed.

        Raises:
            InputError: the model cannot do it.
        """
        task = self._tasks.get(name)
        if task is None:
            spec = task_spec(name)
            head = spec.head if spec.head == self.head.name else ""  # any other task is one of the encoder alone
            runner = self._runners.get(head)
            task = self._load(spec.name) if runner is None else self._share(spec.name, runner)
            self._runners[head] = task.runner
            self.speeds.setdefault(head, EngineSpeed(self._settings.batch_tokens))
            self._tasks[name] = task
        return task

    def speed_of(self, task: Task[Any]) -> EngineSpeed:
        """Return the speed of the runner of a task."""
        return self.speeds[task.runner.head.name]

    @property
    def runners(self) -> list[Runner]:
        """All runners."""
        return list(self._runners.values())

    @property
    def precision(self) -> str:
        """The precision that the model runs in."""
        return str(getattr(self._runners[self.head.name], "precision", "fp32"))

    def _load(self, name: str | None) -> Task[Any]:
        return pipeline(
            name,
            model=self._source,
            precision=self._settings.precision,
            threads=self._settings.threads,
            batch_tokens=self._settings.batch_tokens,
        )

    def _share(self, name: str, runner: Runner) -> Task[Any]:
        task = pipeline(name, model=runner, tokenizer=self.tokenizer, batch_tokens=self._settings.batch_tokens)
        task.model_folder = self.folder
        return task

    def _can(self, name: str) -> bool:
        """Whether the model can do a task; one of natural language inference needs a label for it."""
        if TASKS[name].head != self.head.name:
            return True
        try:
            self.load(name)
        except InputError:
            return False
        return True


class ServedModel:
    """A model under its name.

    Args:
        name: that requests choose it by.
        source: folder or installed name.
        settings: of the server.

    Attributes:
        loaded: the model in memory; None: it is not there.
        head: of the model; like ``config`` and ``pooling`` as it was read last, at the start or into the memory.
        config: of the model.
        pooling: how the hidden states of a text become one vector.
        tasks: names of the tasks that it can do; those that its head allows, until it was loaded once.
        last_used: when a request came last, in seconds of ``time.monotonic``.
        pending: requests that wait for its answers.
        is_warm: it has answered once.
    """

    def __init__(self, name: str, source: str, settings: ServerSettings) -> None:
        # A folder stays one: nobody's model of that name on the hub takes its place when it is gone.
        folder = Path(source).expanduser()
        local = folder.absolute() if folder.is_dir() else find_installed(source)
        self.name, self.source, self._settings = name, source if local is None else str(local), settings
        self._is_folder, self._weight_bytes = local is not None, 0
        self._lock = threading.Lock()
        self.loaded: LoadedTasks | None = None
        self.last_used, self.pending, self.is_warm = time.monotonic(), 0, False
        self.config: DistilBertConfig = AutoConfig.from_pretrained(self.source)
        self.head = self._head_of_config()
        self.pooling = pooling_of(self.source)
        self.tasks = tasks_for(self.head)
        self._check_has_weights()

    def load(self) -> LoadedTasks:
        """Load the model, if it is not loaded."""
        with self._lock:
            if self.loaded is None:
                self._check_is_there()
                start = time.perf_counter()
                loaded = LoadedTasks(self.source, self._settings)
                self.last_used = time.monotonic()  # loading may take longer than a model may be idle
                self._replace(loaded)
                logger.info("loaded the model %s in %.2f s", self.name, time.perf_counter() - start)
            assert self.loaded is not None
            return self.loaded

    def load_task(self, name: str) -> tuple[LoadedTasks, Task[Any]]:
        """Load the model and a task of it, if needed."""
        loaded = self.load()
        with self._lock:
            return loaded, loaded.load(name)

    def reload(self) -> LoadedTasks:
        """Read the model's folder again; requests that have the earlier one are answered by it."""
        self._check_is_there()
        fresh = LoadedTasks(self.source, self._settings)
        with self._lock:
            if self.loaded is not None:
                for name in self.loaded.names:
                    if self.loaded.get(name) is not None and name in fresh.names:
                        fresh.load(name)
            self._replace(fresh)
        logger.info("reloaded the model %s", self.name)
        return fresh

    def _replace(self, loaded: LoadedTasks) -> None:
        self.loaded, self.head, self.config, self.pooling = loaded, loaded.head, loaded.config, loaded.pooling
        self.tasks = loaded.names

    def unload(self) -> None:
        """Free the memory; the next request loads it again."""
        with self._lock:
            self.loaded, self.is_warm = None, False
        logger.info("unloaded the model %s", self.name)

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory; if it is being loaded now, that is waited for."""
        with self._lock:
            return self.loaded is not None

    @property
    def label_names(self) -> list[str]:
        """Names of the labels."""
        return [str(name) for name in self.config.id2label.values()]

    @property
    def can_rerank(self) -> bool:
        """Whether it ranks texts: a classifier with one output, or a bare encoder."""
        return not self.head.name or (self.head.name == "ForSequenceClassification" and len(self.label_names) == 1)

    @property
    def own_task(self) -> str:
        """Name of the task that it was made for."""
        return tasks_for(self.head)[0]

    @property
    def weight_bytes(self) -> int:
        """Bytes of its files of weights, about what it takes in memory; of a folder that is gone, those it had."""
        if self._is_gone:
            return self._weight_bytes
        folder = resolve(self.source)
        sizes = dict.fromkeys(WEIGHT_SUFFIXES, 0)
        for path in folder.iterdir():
            if path.suffix in sizes and path.name != "openvino_model.bin":
                sizes[path.suffix] += path.stat().st_size
        self._weight_bytes = next((size for size in sizes.values() if size), 0)
        return self._weight_bytes

    @property
    def _is_gone(self) -> bool:
        return self._is_folder and not Path(self.source).is_dir()

    def _check_is_there(self) -> None:
        if self._is_gone:
            raise ModelNotFoundError(f"the folder is gone: {self.source}")

    def _check_has_weights(self) -> None:
        if not self._is_folder or self.weight_bytes:
            return
        exports = exported_files(resolve(self.source))
        if exports:
            raise InputError(
                f"{self.source} holds no weights but an export, {exports[0]}, and distilbert serve cannot run exports: "
                "name the folder that it was exported from."
            )

    def _head_of_config(self) -> Head:
        head = head_of(self.config.architectures)
        if head is None:
            raise InputError(
                f"The configuration of {self.name} does not say what the model was made for: its field 'architectures' "
                "is empty."
            )
        return head


class ServedModels:
    """All models of a server, in the order in which they were named.

    Args:
        names: folders, installed names or ``name=folder``; none: the installed defaults of all tasks.
        settings: of the server.

    Raises:
        InputError: two models have one name, none is named and none is installed, one is an export, or one is larger
            than the memory limit.
        ModelNotFoundError: there is no such model.
    """

    def __init__(self, names: Sequence[str], settings: ServerSettings) -> None:
        self._settings = settings
        # Under a limit one model is loaded at a time, so that nobody takes the room that was made for it.
        has_limit = settings.memory_limit is not None
        self._loading: AbstractContextManager[Any] = threading.Lock() if has_limit else nullcontext()
        self.by_name: dict[str, ServedModel] = {}
        for name, source in [split_name(each) for each in names] or installed_defaults():
            if name in self.by_name:
                raise InputError(f"Two models have the name {name!r}: write name=folder for one of them.")
            self.by_name[name] = ServedModel(name, source, settings)
        if settings.memory_limit is not None:
            self._check_each_fits(settings.memory_limit)

    def for_task(self, task: str) -> ServedModel | None:
        """Return the model that answers where none is named: the first made for the task, or the first that can."""
        first = None
        for model in self.by_name.values():
            if task in model.tasks:
                if model.head.name == TASKS[task].head:
                    return model
                first = first or model
        return first

    def _check_each_fits(self, limit: int) -> None:
        for model in self.by_name.values():
            needed = model.weight_bytes
            if needed > limit:
                raise InputError(
                    f"The model {model.name} takes {size_in_words(needed)}, and the memory limit is "
                    f"{size_in_words(limit)}, so it could never answer: allow {size_in_words(needed)} or more."
                )

    def load(self, model: ServedModel, task: str) -> tuple[LoadedTasks, Task[Any]]:
        """Load a model, for which other models may leave the memory, and a task of it, if needed.

        Raises:
            RequestError: the model does not fit into the memory limit.
        """
        with self._loading:
            if model.loaded is None:
                self._make_room(model)
            return model.load_task(task)

    def reload(self, model: ServedModel, *, only_loaded: bool = False) -> LoadedTasks | None:
        """Read a model's folder again, for which other models may leave the memory.

        Args:
            model: that is read; what was read before stays in memory as long as a request needs it.
            only_loaded: do nothing, and return None, if the model is not in memory: its next request reads the folder.

        Raises:
            RequestError: the model does not fit into the memory limit.
        """
        with self._loading:
            if only_loaded and not model.is_loaded:
                return None
            self._make_room(model)
            return model.reload()

    def _make_room(self, model: ServedModel) -> None:
        """Unload models that nobody uses now, the least recently used first, until one fits into the memory limit."""
        limit = self._settings.memory_limit
        if limit is None:
            return
        needed = model.weight_bytes
        others = [other for other in self.by_name.values() if other.loaded is not None and other is not model]
        used = {other.name: other.weight_bytes for other in others}
        for other in sorted(others, key=lambda each: each.last_used):
            if sum(used.values()) + needed <= limit:
                break
            if not other.pending:
                other.unload()
                del used[other.name]
        if sum(used.values()) + needed > limit:
            raise RequestError(
                f"The model {model.name} takes {size_in_words(needed)}, which does not fit into the memory limit of "
                f"{size_in_words(limit)} now.",
                503,
                "unhealthy",
                5.0,
            )

    def unload_idle(self) -> None:
        """Unload the models that no request has asked for lately."""
        if self._settings.idle_unload is None:
            return
        before = time.monotonic() - self._settings.idle_unload
        for model in self.by_name.values():
            if model.loaded is not None and not model.pending and model.last_used < before:
                model.unload()

    def load_at_start(self) -> None:
        """Load the models in their order, as many as fit into the memory limit."""
        for model in self.by_name.values():
            limit = self._settings.memory_limit
            used = sum(other.weight_bytes for other in self.by_name.values() if other.loaded is not None)
            if limit is None or used + model.weight_bytes <= limit:
                model.load()


def size_in_words(size: int) -> str:
    """Return a size in words, rounded up."""
    return f"{-(-size // 10**6)} MB" if size >= 10**7 else f"{-(-size // 1000)} kB"


def split_name(text: str) -> tuple[str, str]:
    """Return name and source of ``name=folder``, of a folder or of an installed name."""
    name, equals, source = text.partition("=")
    if equals and name and "/" not in name:
        return name, source
    if find_installed(text) is not None and not Path(text).is_dir():
        return text, text
    return Path(text).expanduser().resolve().name if Path(text).expanduser().is_dir() else text, text


def installed_defaults() -> list[tuple[str, str]]:
    """Return names and folders of the default models that are installed.

    Raises:
        InputError: none is.
    """
    models: dict[str, str] = {}
    for name, spec in TASKS.items():
        if spec.default_model:
            try:
                model, folder = default_model(name, "a model")
            except (InputError, ModelNotFoundError):
                continue
            models.setdefault(model, str(folder))
    if not models:
        raise InputError("No model is named, and no default model is installed: name a folder or an installed model.")
    return list(models.items())


def pooling_of(source: str) -> str:
    """Return how the hidden states of a text become one vector, as text-embeddings-inference names it."""
    try:
        modules = read_sentence_modules(resolve(source, local_files_only=True))
    except DistilBertError:  # requests for vectors say why these modules cannot be used
        return "unknown"
    names = ("mean",) if modules is None else modules.poolings
    return "+".join({"lasttoken": "last_token"}.get(name, name) for name in names)


def loading_error(model: ServedModel, error: Exception) -> RequestError:
    """Return why a model cannot be loaded, without paths; the log has the rest."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, DistilBertError):
        logger.error("The model %s cannot be loaded: %s", model.name, error)
    else:
        logger.error("The model %s cannot be loaded", model.name, exc_info=error)
    reason = type(error).__name__ if isinstance(error, DistilBertError) else "an internal error"
    message = f"The model {model.name!r} cannot be loaded ({reason}); the server's log says why."
    return RequestError(message, 503, "unhealthy", 5.0)
