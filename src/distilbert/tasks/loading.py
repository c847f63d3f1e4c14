"""``pipeline``: from the name of a task and a model to something that answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.config import DistilBertConfig
from ..core.errors import InputError, UnsupportedArchitectureError
from ..core.hub import resolve
from ..core.installed import find_installed
from ..core.runner_protocol import Runner
from ..core.schema import Head, head_of
from ..models.frameworks import FRAMEWORKS, framework_of
from .base import Task
from .registry import TASKS, task_class, task_spec, tasks_for
from .runners import EXPORTED, Choice
from .task_spec import TaskSpec


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    config: DistilBertConfig | str | os.PathLike[str] | None = None,
    tokenizer: Any = None,
    framework: str = "pt",
    runner: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    attn_implementation: str | None = None,
    batch_size: int | None = None,
    batch_tokens: int | None = None,
    use_fast: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
    **task_params: Any,
) -> Task[Any]:
    """Load what a task needs.

    Args:
        task: its name, such as ``"text-classification"``; None: what the model was made for.
        model: a folder, the name of an installed model or of one on the hub, a loaded model, or a
            :class:`~distilbert.core.runner_protocol.Runner`; None: the default model of the task, if installed.
        config: a configuration, or where to read it, instead of the model's own.
        tokenizer: a tokenizer, or where to read it; by default it is read from where the model is.
        framework: what loads the model: ``"pt"`` (PyTorch), ``"tf"`` (Keras on TensorFlow) or ``"flax"`` (JAX).
        runner: what runs it: ``"engine"``, the default of a PyTorch model on a CPU; ``"pytorch"``, the model as it is;
            ``"onnxruntime"`` or ``"openvino"`` for folders that ``distilbert export`` wrote.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` (not in the engine), ``"int8"`` (for models that
            ``distilbert quantize`` or ``export`` wrote), or ``"auto"``, the engine's default: int8 for such a model,
            bf16 where the CPU is faster in it and the model's outputs agree with fp32, else fp32.
        threads: to compute with on a CPU; None for the library's default.
        revision: branch, tag or commit on the hub.
        token: access token for the hub.
        cache_dir: where downloads are kept.
        local_files_only: never open a connection.
        device: where to run, such as ``"cuda"`` or 0; None: where the model is, which is the CPU once loaded.
        device_map: the same for loading, such as ``"auto"``; give one of the two.
        dtype: floating type of the weights; another one than fp32 means ``runner="pytorch"``.
        torch_dtype: the older name of ``dtype``.
        attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``, for ``runner="pytorch"``.
        batch_size: upper limit of sequences in a batch; None: only ``batch_tokens`` counts.
        batch_tokens: upper limit of sequences x longest sequence in a batch; None: 2048, or many more on a GPU.
        use_fast: the Rust-backed tokenizer, not the pure-Python one.
        model_kwargs: further arguments of the model's ``from_pretrained``.
        **task_params: default parameters of the task; see its class.

    Returns:
        The task; call it with inputs. It has ``.model``, ``.tokenizer``, ``.task``, ``.runner`` and ``.device``.

    Raises:
        InputError: no model and no default, an unknown task or framework, or a model made for another task.
        UnknownArgumentError: an argument that neither this function nor the task has.
        ModelNotFoundError: there is no such model.
    """
    if model is None and task is None:
        raise InputError("pipeline() needs a task or a model: pass model=, or a task that has a default model.")
    if framework not in FRAMEWORKS:
        raise InputError(f"framework must be one of {', '.join(map(repr, FRAMEWORKS))}, got {framework!r}.")
    for new, old, values in (
        ("dtype", "torch_dtype", (dtype, torch_dtype)),
        ("device", "device_map", (device, device_map)),
    ):
        if None not in values:
            raise InputError(f"{new} and {old} were both given; choose one.")
    choice = Choice(runner, precision, threads, FRAMEWORKS[framework])
    choice.check()
    wanted = None if task is None else task_spec(task)
    if model is None and wanted is not None:
        model = default_model(wanted.name)[1]
    hub = {"revision": revision, "token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    if tokenizer is None and not isinstance(model, (str, os.PathLike)):
        raise InputError("A loaded model does not know its tokenizer: pass tokenizer=, one or the folder of one.")
    options = {
        "device_map": device_map,
        "dtype": choice.dtype(torch_dtype if dtype is None else dtype),
        "attn_implementation": attn_implementation,
    } | dict(model_kwargs or {})
    if isinstance(model, (str, os.PathLike)):
        chosen_options = {name: value for name, value in options.items() if value is not None}
        loaded = _load(model, choice, wanted, config, device, chosen_options, hub)
    else:
        given = [name for name, value in {"config": config, **options}.items() if value is not None]
        if given:
            raise InputError(f"{', '.join(given)} matter while a model is loaded; this one already is. Leave them out.")
        loaded = _wrap(model, choice, wanted, device)
    answering = task_class(wanted.name if wanted is not None else tasks_for(loaded.runner.head)[0])
    return answering(
        loaded.runner,
        _tokenizer(model if tokenizer is None else tokenizer, use_fast, hub),
        model=loaded.model,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        **task_params,
    )


def default_model(task: str, option: str = "model=") -> tuple[str, Path]:
    """Return the default model of a task.

    Args:
        task: its name, or an alias.
        option: what names a model where the caller is, for messages.

    Returns:
        The model's name, and its folder.

    Raises:
        InputError: the task has no default model, or it is not installed.
    """
    spec = task_spec(task)
    advice = f"pass {option}, a folder, an installed model or a name on the hub."
    name = spec.default_model
    if not name:
        others = ", ".join(other.name for other in TASKS.values() if other.default_model)
        raise InputError(f"The task {spec.name!r} has no default model ({others} has one): {advice}")
    folder = find_installed(name)
    if folder is None:
        raise InputError(
            f"The default model of {spec.name}, {name}, is not installed: pip install {name}, or `make run` in the "
            f"repository of distilbert. Or {advice}"
        )
    return name, folder


@dataclass(frozen=True)
class Loaded:
    """A runner and the model behind it, if there is one to show."""

    runner: Runner
    model: Any


def _load(
    name: str | os.PathLike[str],
    choice: Choice,
    wanted: TaskSpec | None,
    config: DistilBertConfig | str | os.PathLike[str] | None,
    device: Any,
    options: dict[str, Any],
    hub: dict[str, Any],
) -> Loaded:
    from ..models.auto import AutoConfig

    if not isinstance(config, DistilBertConfig):
        config = AutoConfig.from_pretrained(name if config is None else config, **hub)
    if choice.runner in EXPORTED:
        runner = choice.exported(resolve(name, **hub))
        _check_fit(runner.head, wanted, str(name))
        return Loaded(runner, None)
    model_class = choice.framework.model_class(_head(config, name, wanted))
    model = model_class.from_pretrained(name, config=config, **options, **hub)
    # Another type or an implementation of attention that was asked for is the framework's own matter.
    other_type = str(options.get("dtype", "float32")).removeprefix("torch.") != "float32"
    plain = other_type or "attn_implementation" in options
    return Loaded(choice.put(model, device, plain, resolve(name, **hub)), model)


def _wrap(model: Any, choice: Choice, wanted: TaskSpec | None, device: Any) -> Loaded:
    """Put a loaded model behind a runner; a runner stays as it is."""
    if not hasattr(model, "head_spec") and not hasattr(model, "forward"):
        if not (callable(model) and hasattr(model, "head") and hasattr(model, "config")):
            raise InputError(f"model must be a folder, a name, a loaded model or a runner, got {model!r:.80}.")
        if device is not None:
            raise InputError("A runner stays on its device; leave device= out.")
        if (choice.runner, choice.precision, choice.threads) != (None, None, None):
            raise InputError("A runner is what it is; leave runner=, precision= and threads= out.")
        _check_fit(model.head, wanted, type(model).__name__)
        return Loaded(model, getattr(model, "model", None))
    choice = replace(choice, framework=framework_of(model))
    choice.check()
    if choice.runner in EXPORTED:
        raise InputError(f"runner={choice.runner!r} opens a folder that was exported; give its path as the model.")
    if wanted is not None and not wanted.head:
        model = model.base_model
    _check_fit(model.head_spec, wanted, f"the given {type(model).__name__}")
    return Loaded(choice.put(model, device, False, None), model)


def _head(config: DistilBertConfig, name: Any, wanted: TaskSpec | None) -> str:
    """Return the name of the head to load for a task, or the one that the configuration names."""
    if wanted is not None and not wanted.head:
        return ""
    try:
        head = head_of(config.architectures)
    except UnsupportedArchitectureError:
        if wanted is None:
            raise
        head = None
    if head is not None:
        _check_fit(head, wanted, str(name))
    elif wanted is None:
        raise InputError(f"The configuration of {name} does not say what the model was made for: pass task=.")
    return wanted.head if wanted is not None else head.name  # type: ignore[union-attr]


def _check_fit(head: Head, wanted: TaskSpec | None, name: str) -> None:
    if wanted is not None and wanted.head != head.name:
        raise InputError(
            f"{name} is a {head.architecture}; the task {wanted.name!r} needs a DistilBert{wanted.head or 'Model'}. "
            f"This model can do: {', '.join(tasks_for(head))}."
        )


def _tokenizer(given: Any, use_fast: bool, hub: dict[str, Any]) -> Any:
    if not isinstance(given, (str, os.PathLike)):
        return given
    from ..models.auto import AutoTokenizer

    return AutoTokenizer.from_pretrained(given, use_fast=use_fast, **hub)
