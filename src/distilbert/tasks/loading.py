"""``pipeline``: from the name of a task and a model to something that answers.

A model is resolved once and its configuration is read once: the checkpoint that is opened here gives the configuration,
the weights, the tokenizer and what the engine needs.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.config import DistilBertConfig
from ..core.errors import InputError, ModelNotFoundError, UnsupportedArchitectureError, reject_unknown
from ..core.hub import Kind, resolve
from ..core.installed import find_installed
from ..core.loading_arguments import LOADING
from ..core.runner_protocol import Runner
from ..core.schema import HEADS, Head, head_of
from ..models.auto import AutoConfig, AutoTokenizer
from ..models.frameworks import FRAMEWORKS, Framework
from ..weights.checkpoint import OPENING_ARGUMENTS, Checkpoint, open_checkpoint
from .base import Task
from .foreign_tokenizers import is_tokenizer
from .pipeline_arguments import CALLING, PIPELINE
from .pipeline_base import Pipeline
from .registry import task_class, task_spec, tasks_for
from .runner_options import RUNNERS_OF_EXPORTED, RunnerOptions, runner_of
from .task_spec import TaskSpec

logger = logging.getLogger("distilbert")


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: DistilBertConfig | str | os.PathLike[str] | None = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    processor: Any = None,
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    pipeline_class: type[Task[Any]] | None = None,
    *,
    runner: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    torch_dtype: Any = None,
    attn_implementation: str | None = None,
    batch_size: int | None = None,
    batch_tokens: int | None = None,
    on_error: str = "raise",
    **task_params: Any,
) -> Task[Any]:
    """Load a model and its tokenizer for a task.

    Args:
        task: its name, such as ``"text-classification"``; None: what the model was made for.
        model: a folder, the name of an installed model or of one on the hub, a loaded model, or a
            :class:`~distilbert.core.runner_protocol.Runner`; None: the default model of the task,
            installed or from the hub.
        config: a configuration, or where to read it, instead of the model's own.
        tokenizer: a tokenizer, or where to read it, or a pair of this and options of the tokenizer's
            ``from_pretrained``; by default it is read from the model's folder.
        feature_extractor: no effect, and neither have ``image_processor``, ``processor`` and ``trust_remote_code``;
            they are known from transformers.
        image_processor: no effect.
        processor: no effect.
        framework: what loads the model: ``"pt"`` (PyTorch, the default), ``"tf"`` (Keras on TensorFlow) or ``"flax"``
            (JAX). A loaded model decides it.
        revision: branch, tag or commit on the hub.
        use_fast: take the Rust-backed tokenizer instead of the pure-Python one.
        token: access token for the hub, or True for the one stored on this machine.
        device: where to run, such as ``"cuda"`` or 0; None: where the model is, which is the CPU once loaded.
        device_map: where to load the weights, such as ``"auto"``; give ``device`` or this.
        dtype: floating type of the weights, in which the model also computes; any but fp32 means ``runner="pytorch"``.
            None and ``"auto"`` leave it to ``precision``.
        trust_remote_code: no effect: code from a checkpoint never runs.
        model_kwargs: further arguments of the model's ``from_pretrained``.
        pipeline_class: a class derived from that of the task.
        runner: what runs it: ``"engine"``, the default of a PyTorch model on a CPU; ``"pytorch"``, the model as it is;
            ``"onnxruntime"`` or ``"openvino"`` for folders that ``distilbert export`` wrote.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` (not in the engine), ``"int8"`` (for models that
            ``distilbert quantize`` or ``export`` wrote), or ``"auto"``, the engine's default: int8 for such a model,
            bf16 where the CPU is faster in it and the model's outputs agree with fp32, else fp32.
        threads: to compute with on a CPU; None for the runner's default.
        cache_dir: where downloads are kept.
        local_files_only: never open a connection.
        torch_dtype: the older name of ``dtype``.
        attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``, for ``runner="pytorch"``.
        batch_size: most sequences in a batch; None: only ``batch_tokens`` counts.
        batch_tokens: most tokens of a batch, counted as sequences x longest sequence; None: 2048, many more on a GPU.
        on_error: what an input that cannot be answered does, such as an empty text: ``"raise"`` stops with its error,
            ``"null"`` gives None in its place; the number of these is logged at the end.
        **task_params: default parameters of the task, see its class; and further arguments of the model's
            ``from_pretrained``.

    Returns:
        The task; call it with inputs. It has ``.model``, ``.tokenizer``, ``.task``, ``.runner`` and ``.device``.

    Raises:
        InputError: no model and no default, an unknown task or framework, or a model made for another task.
        UnknownArgumentError: an argument that neither this function nor the task has.
        ModelNotFoundError: there is no such model.
    """
    if model is None and task is None:
        raise InputError("pipeline() needs a task or a model: pass model=, or a task that has a default model.")
    if framework not in (None, *FRAMEWORKS):
        raise InputError(f"framework must be one of {', '.join(map(repr, FRAMEWORKS))}, got {framework!r}.")
    if is_tokenizer(config):
        if tokenizer is not None:
            raise InputError("config must be a configuration or where to read one, got a tokenizer; leave it out.")
        config, tokenizer = None, config
    spec = None if task is None else task_spec(task)
    options = _sort_options(task_params, model_kwargs, spec)
    use_auth_token = options.model.pop("use_auth_token", None)
    if use_auth_token is not None and token is not None:
        raise InputError("token and use_auth_token were both given; choose one.")
    if device is not None and device_map is not None:
        raise InputError("device and device_map were both given; choose one.")
    dtype = _only_dtype(options.model, dtype=dtype, torch_dtype=torch_dtype)
    runner_options = RunnerOptions(runner, precision, threads, FRAMEWORKS[framework or "pt"]).with_dtype(dtype)
    runner_options.check()
    hub: dict[str, Any] = {
        "revision": revision,
        "token": use_auth_token if token is None else token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    hub = {name: value or options.model.pop(name, value) for name, value in hub.items()}
    if model is None and spec is not None:
        model = installed_or_downloaded_default(spec.name, **hub)[1]
    if tokenizer is None and not isinstance(model, (str, os.PathLike)):
        raise InputError("A loaded model does not know its tokenizer: pass tokenizer=, one or the folder of one.")
    model_options = {
        "device_map": device_map,
        "dtype": runner_options.dtype_to_load(dtype),
        "attn_implementation": attn_implementation,
    } | options.model
    model_options = {name: value for name, value in model_options.items() if value is not None}
    if isinstance(model, (str, os.PathLike)):
        kind: Kind = "model" if tokenizer is not None else "model and tokenizer"
        loaded = _load(model, runner_options, spec, config, device, model_options, hub, kind)
    else:
        if str(model_options.get("dtype")).removeprefix("torch.") in ("auto", str(getattr(model, "dtype", ""))[6:]):
            del model_options["dtype"]
        own_config = config is None or config is getattr(model, "config", None)
        ignored = [*([] if own_config else ["config"]), *model_options]
        if ignored:
            raise InputError(
                f"{', '.join(ignored)}: only for loading a model, and this one is loaded already. Leave it out."
            )
        loaded = _use_loaded(model, runner_options, spec, device)
    if tokenizer is None:
        assert loaded.folder is not None, "a model without a folder comes with its tokenizer"
        tokenizer = AutoTokenizer.from_pretrained(loaded.folder, use_fast=use_fast)
        tokenizer.name_or_path = os.fspath(model)
    elif isinstance(tokenizer, tuple):
        name, tokenizer_options = tokenizer
        tokenizer = AutoTokenizer.from_pretrained(name, **{"use_fast": use_fast} | hub | dict(tokenizer_options))
    elif isinstance(tokenizer, (str, os.PathLike)):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer, use_fast=use_fast, **hub)
    _warn_of_missing_entries(tokenizer, loaded.runner.config, model)
    answering = task_class(spec.name if spec is not None else tasks_for(loaded.runner.head)[0])
    if pipeline_class is not None and not issubclass(pipeline_class, answering):
        name = pipeline_class.__name__
        advice = (
            f" Call {name}(model=model, tokenizer=tokenizer) itself." if issubclass(pipeline_class, Pipeline) else ""
        )
        raise InputError(f"pipeline_class must be derived from {answering.__name__}, got {name}.{advice}")
    result = (pipeline_class or answering)(
        loaded.runner,
        tokenizer,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        on_error=on_error,
        **options.task,
    )
    result.model_folder = loaded.folder
    result.modules_in_use(result.params)  # so that what cannot be honoured is said before the first text
    return result


def _warn_of_missing_entries(tokenizer: Any, config: DistilBertConfig, model: Any) -> None:
    """Say that a vocabulary is shorter than that of its model, as a ``vocab.txt`` is that was cut off.

    Embeddings are often padded to a multiple of 8 rows or more, which is no reason to say anything.
    """
    if not isinstance(tokenizer, Sized):
        return
    missing = config.vocab_size - len(tokenizer)
    if missing > 0 and not (missing < 128 and config.vocab_size % 8 == 0):
        logger.warning(
            "The tokenizer of %s has %d entries and the model %d: is its vocabulary cut off, or of another model?",
            model if isinstance(model, (str, os.PathLike)) else type(model).__name__,
            len(tokenizer),
            config.vocab_size,
        )


@dataclass(frozen=True)
class SortedOptions:
    """The further arguments of :func:`pipeline`.

    Attributes:
        model: those of the model's ``from_pretrained``.
        task: parameters of the task.
    """

    model: dict[str, Any]
    task: dict[str, Any]


def _sort_options(
    given: Mapping[str, Any], model_kwargs: Mapping[str, Any] | None, spec: TaskSpec | None
) -> SortedOptions:
    """Sort the further arguments of :func:`pipeline`, and leave out those without effect.

    Raises:
        InputError: an argument is refused.
        UnknownArgumentError: an argument is not known. Where the model says what the task is, only the task itself will
            find out.
    """
    given = PIPELINE.keep_meaningful(given, "pipeline()")
    of_model = {name: value for name, value in given.items() if name in LOADING.rows}
    of_task = {name: value for name, value in given.items() if name not in LOADING.rows}
    for name in ("output_loading_info", "state_dict"):
        if of_model.get(name) or (model_kwargs or {}).get(name):
            raise InputError(f"pipeline() does not take {name}: load the model with from_pretrained(), and pass it.")
    if spec is not None:
        own = [parameter.name for parameter in spec.parameters]
        arguments = [name for name in inspect.signature(pipeline).parameters if name != "task_params"]
        unknown = [name for name in of_task if name not in own and name not in CALLING.rows]
        reject_unknown(unknown, [*own, *arguments, *CALLING.names("no effect")], "pipeline()")
    return SortedOptions({**of_model, **(model_kwargs or {})}, of_task)


def _only_dtype(model_options: dict[str, Any], **arguments: Any) -> Any:
    """Return the floating type that :func:`pipeline` got under one of its names, and take it out of ``model_options``.

    Raises:
        InputError: it was given under two.
    """
    of_model = {f"model_kwargs[{name!r}]": model_options.pop(name, None) for name in ("dtype", "torch_dtype")}
    given = {name: value for name, value in (arguments | of_model).items() if value is not None}
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} were both given; choose one.")
    return next(iter(given.values()), None)


def default_model(task: str, option: str = "model=") -> tuple[str, Path]:
    """Return the installed model that answers where none is named; nothing is downloaded.

    Args:
        task: name of the task, or an alias.
        option: how a caller names a model, for messages.

    Returns:
        The model's name, and its folder.

    Raises:
        InputError: the task has no default model, or it is not installed.
    """
    spec = task_spec(task)
    folder = find_installed(spec.default_model, by_package=True) if spec.default_model else None
    if folder is None:
        raise InputError(_no_default(spec, option))
    return spec.default_model, folder


def installed_or_downloaded_default(
    task: str,
    option: str = "model=",
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> tuple[str, Path]:
    """Return the default model that is installed, or else the well-known one of the task from the hub or its cache.

    Args:
        task: name of the task, or an alias.
        option: how a caller names a model, for messages.
        revision: branch, tag or commit of the model on the hub; None: the one that the task's specification states.
        token: access token for the hub.
        cache_dir: where downloads are kept.
        local_files_only: never open a connection.

    Returns:
        The model's name, and its folder.

    Raises:
        InputError: neither is there, and nothing can be downloaded; the message says what to install or to pass.
    """
    spec = task_spec(task)
    try:
        return default_model(task, option)
    except InputError:
        if spec.hub_model is None:
            raise
    try:
        folder = resolve(
            spec.hub_model.name,
            kind="model and tokenizer",
            revision=revision or spec.hub_model.revision or None,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
    except ModelNotFoundError as error:
        raise InputError(_no_default(spec, option, is_out_of_reach=True)) from error
    logger.info("%s is answered by %s", spec.name, spec.hub_model.name)
    return spec.hub_model.name, folder


def _no_default(spec: TaskSpec, option: str, *, is_out_of_reach: bool = False) -> str:
    """Return why a task has no model, and what to install or to pass.

    Args:
        spec: the task.
        option: how a caller names a model.
        is_out_of_reach: its model on the hub was looked for in vain.
    """
    advice = f"pass {option}, a folder, an installed model or a name on the hub."
    name, hub_model, hub = spec.default_model, spec.hub_model, ""
    if is_out_of_reach and hub_model is not None:
        hub = f" Its model on the hub, {hub_model.name}, is not in the cache and cannot be downloaded here."
    if name:
        return (
            f"The default model of {spec.name}, {name}, is not installed. In a checkout of distilbert, `make run` or "
            f"`pip install packages/{name}` installs it.{hub} Or {advice}"
        )
    if hub:
        return f"The task {spec.name!r} has no default model that is installed.{hub} Go online once, or {advice}"
    where = ", installed or on the hub" if hub_model is None else " that is installed"
    return f"The task {spec.name!r} has no default model{where}: {advice}"


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        runner: computes its outputs.
        folder: where it was read from; None where the caller had loaded it.
    """

    runner: Runner
    folder: Path | None = None


def _load(
    name: str | os.PathLike[str],
    runner_options: RunnerOptions,
    spec: TaskSpec | None,
    config: DistilBertConfig | str | os.PathLike[str] | None,
    device: Any,
    model_options: dict[str, Any],
    hub: dict[str, Any],
    kind: Kind,
) -> LoadedModel:
    """Read a model from its folder; ``kind`` says which files to download where it is on the hub."""
    if runner_options.runner in RUNNERS_OF_EXPORTED:
        if device is not None and str(device) not in ("cpu", "-1"):
            raise InputError(
                f"runner={runner_options.runner!r} runs on the CPU, and device={str(device)!r} is another: "
                "leave it out."
            )
        folder = resolve(name, kind=kind, **hub)
        runner = runner_options.open_exported(folder)
        _check_fit(runner.head, spec, str(name))
        return LoadedModel(runner, folder)
    if config is not None and not isinstance(config, DistilBertConfig):
        config = AutoConfig.from_pretrained(config, **hub)
    opening = hub | {option: model_options.pop(option) for option in OPENING_ARGUMENTS if option in model_options}
    overrides = _pop_config_fields(model_options, runner_options)
    checkpoint = open_checkpoint(
        name, config=config, overrides=overrides, kind=kind, where="pipeline(model_kwargs=...)", **opening
    )
    head = _head_to_load(checkpoint.config, name, spec)
    load_model = functools.partial(_load_model, runner_options.framework, head, checkpoint, model_options)
    try:
        if runner_options.reads_folder(device, model_options):
            from ..engine.model_weights import FolderWeights

            weights = FolderWeights(checkpoint, HEADS[head], load_model)
            if weights.is_complete():
                return LoadedModel(runner_options.make_engine_runner(weights, checkpoint.folder), checkpoint.folder)
        model = load_model()
    except ModelNotFoundError:
        _raise_if_exported(checkpoint.folder)
        raise
    needs_framework = "attn_implementation" in model_options  # the engine has its own attention
    runner = runner_options.make_runner(model, device, checkpoint.folder, needs_framework=needs_framework)
    return LoadedModel(runner, checkpoint.folder)


def _load_model(framework: Framework, head: str, checkpoint: Checkpoint, options: Mapping[str, Any]) -> Any:
    return framework.model_class(head).from_checkpoint(checkpoint, **options)


def _raise_if_exported(folder: Path) -> None:
    """Say how to run a folder that holds no weights but an export.

    Raises:
        ModelNotFoundError: it does.
    """
    from ..exporting.formats import RUNNERS, exported_files

    exports = exported_files(folder)
    for runner, format in RUNNERS.items():
        if any(paths[0] in exports for paths in format.files.values()):
            raise ModelNotFoundError(
                f"{folder} holds no weights but an export, {exports[0]}: pass runner={runner!r} to run it."
            )


def _pop_config_fields(model_options: dict[str, Any], runner_options: RunnerOptions) -> dict[str, Any]:
    """Take out of ``model_options`` what is no argument of ``from_checkpoint``: fields of the configuration."""
    usual = {"device_map", "dtype", "attn_implementation"}
    if model_options.keys() <= usual:
        return {}
    known = inspect.signature(runner_options.framework.model_class("").from_checkpoint).parameters
    return {name: model_options.pop(name) for name in list(model_options) if name not in known}


def _use_loaded(model: Any, runner_options: RunnerOptions, spec: TaskSpec | None, device: Any) -> LoadedModel:
    """Put a loaded model behind a runner; a runner stays as it is."""
    runner = runner_of(model, runner_options, None if spec is None else spec.head, device)
    _check_fit(runner.head, spec, type(model).__name__ if runner is model else f"the given {type(model).__name__}")
    return LoadedModel(runner)


def _head_to_load(config: DistilBertConfig, name: Any, spec: TaskSpec | None) -> str:
    """Return the name of the head that a task needs, or where none is named the one that the configuration names."""
    if spec is not None and not spec.head:
        return ""
    try:
        head = head_of(config.architectures)
    except UnsupportedArchitectureError:
        if spec is None:
            raise
        head = None
    if head is not None:
        _check_fit(head, spec, str(name))
        return head.name
    if spec is None:
        raise InputError(f"The configuration of {name} does not say what the model was made for: pass task=.")
    return spec.head


def _check_fit(head: Head, spec: TaskSpec | None, name: str) -> None:
    if spec is not None and not spec.accepts(head):
        raise InputError(
            f"{name} is a {head.architecture}; the task {spec.name!r} needs a DistilBert{spec.head or 'Model'}. "
            f"This model can do: {', '.join(tasks_for(head))}."
        )
