"""Which runner computes: the engine on a CPU, a framework elsewhere, or a runtime that reads an exported folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.runner_protocol import Runner
from ..models.frameworks import FRAMEWORKS, Framework, framework_of

RUNNERS = ("engine", "pytorch", "onnxruntime", "openvino")
RUNNERS_OF_EXPORTED = RUNNERS[2:]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_PRECISION_OF = {
    "float32": "fp32", "fp32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16",
}  # fmt: skip


def is_runner(model: Any) -> bool:
    """Whether ``model`` is a runner, and not a model that needs one."""
    is_model = hasattr(model, "head_spec") or hasattr(model, "forward")
    return not is_model and callable(model) and hasattr(model, "head") and hasattr(model, "config")


def runner_of(model: Any, options: RunnerOptions, head: str | None = None, device: Any = None) -> Runner:
    """Return the runner of what a caller has loaded; a runner stays as it is.

    Args:
        model: a model of one of the frameworks, any PyTorch module that computes one, or a runner.
        options: what the caller wants to run with. The model itself decides the framework.
        head: name of the head that is needed, ``""`` for the encoder inside the model; None: that of the model.
        device: where to run; None for where the model is.

    Raises:
        InputError: it is something else, or does not go with the options.
    """
    if is_runner(model):
        if device is not None:
            raise InputError("A runner stays on its device; leave device= out.")
        if (options.runner, options.precision, options.threads) != (None, None, None):
            raise InputError("The model is a runner already; leave runner=, precision= and threads= out.")
        runner: Runner = model
        return runner
    if isinstance(model, (str, os.PathLike)):
        raise InputError(f"A pipeline class takes a loaded model; pipeline() loads {os.fspath(model)!r}.")
    if not hasattr(model, "head_spec") and not hasattr(model, "forward"):
        raise InputError(f"model must be a folder, a name, a loaded model or a runner, got {model!r:.80}.")
    is_module = hasattr(model, "named_parameters") and hasattr(model, "forward")
    options = replace(options, framework=FRAMEWORKS["pt"] if is_module else framework_of(model))
    options.check()
    if options.runner in RUNNERS_OF_EXPORTED:
        raise InputError(f"runner={options.runner!r} opens a folder that was exported; give its path as the model.")
    if head == "":
        inner = options.framework.module("module_runner").unwrap(model) if is_module else model
        encoder = getattr(inner, "base_model", inner)
        model = model if encoder is inner else encoder
    return options.make_runner(model, device, None, head=head)


@dataclass(frozen=True)
class RunnerOptions:
    """What the caller wants to run with.

    Attributes:
        runner: one of ``RUNNERS``; None: the engine for a PyTorch model in fp32 on a CPU, else the model's framework.
        precision: ``"auto"``, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``; None for the runner's default.
        threads: on a CPU; None for the runner's default.
        framework: of the model.
    """

    runner: str | None
    precision: str | None
    threads: int | None
    framework: Framework

    @property
    def is_pytorch(self) -> bool:
        """Whether the model is a PyTorch model, or is in a folder that PyTorch would read."""
        return self.framework is FRAMEWORKS["pt"]

    def check(self) -> None:
        """Check what can be known before anything is loaded.

        Raises:
            InputError: a value that does not exist, or two that do not go together.
        """
        if self.runner is not None and self.runner not in RUNNERS:
            raise InputError(f"runner must be one of {', '.join(map(repr, RUNNERS))}, got {self.runner!r}.")
        if self.precision is not None and self.precision not in ("auto", "int8", *DTYPES):
            raise InputError(f"precision must be one of auto, fp32, bf16, fp16, int8, got {self.precision!r}.")
        if not self.is_pytorch:
            for name, value in (("runner", self.runner), ("threads", self.threads)):
                if value is not None:
                    raise InputError(f"{name}= goes with framework='pt'; {self.framework.room} has its own.")
        if self.precision == "fp16" and self.runner == "engine":
            raise InputError("The engine runs in fp32, bf16 or int8; fp16 is for runner='pytorch'.")
        if self.precision == "int8" and (self.runner == "pytorch" or not self.is_pytorch):
            raise InputError("Only the engine and exported folders run in int8; leave runner= and framework= out.")

    def with_dtype(self, dtype: Any) -> RunnerOptions:
        """Return the options with the precision that a floating type asks for.

        Args:
            dtype: the one that the caller asked for; None and ``"auto"`` leave the precision open.

        Raises:
            InputError: ``precision`` asks for another.
        """
        if dtype is None or (isinstance(dtype, str) and dtype == "auto"):
            return self
        name = _dtype_name(dtype)
        precision = _PRECISION_OF.get(name)
        if self.precision in (None, "auto"):
            return self if precision is None else replace(self, precision=precision)
        if self.precision in (*DTYPES, "int8") and self.precision != precision:
            raise InputError(f"dtype={name!r} and precision={self.precision!r} contradict each other; leave one out.")
        return self

    def dtype_to_load(self, dtype: Any) -> Any:
        """Return the floating type to load the weights in.

        Args:
            dtype: the one that the caller asked for; None: the one that ``precision`` means, if the framework runs.
        """
        framework_runs = self.runner == "pytorch" or not self.is_pytorch or self.precision == "fp16"
        if dtype is None and framework_runs and self.precision in DTYPES:
            return DTYPES[self.precision]
        return dtype

    def make_runner(
        self,
        model: Any,
        device: Any,
        folder: Path | None,
        *,
        needs_framework: bool = False,
        head: str | None = None,
    ) -> Runner:
        """Put a loaded model behind a runner.

        Args:
            model: of the framework.
            device: where to run; None for where it is.
            folder: where the model was read from; None where it was not.
            needs_framework: the caller asked for something that only the framework itself does.
            head: what the task needs, for a class of a user's own whose name does not say which head it has.

        Raises:
            InputError: the runner cannot run it.
        """
        if not self.is_pytorch:
            return self.framework.run(model, device)
        asks_for_engine = self.runner == "engine" or self.precision == "int8"
        modules = self.framework.module("module_runner")
        if not asks_for_engine and not modules.is_plain(model):
            own = _PRECISION_OF.get(_dtype_name(getattr(model, "dtype", None)))
            if self.precision not in (None, "auto", "fp32", own):
                raise InputError(
                    f"precision={self.precision!r} is for models of this package as they are, and this one is changed "
                    "or of another library. Convert it with .to(dtype), and leave precision= out."
                )
            runner: Runner = modules.ModuleRunner(model, device, head)
            return runner
        if device is not None:
            model.to(self.framework.module("device").pick_device(device))
        if asks_for_engine or (self.runner is None and not needs_framework and self._suits_engine(model)):
            return self.make_engine_runner(model, folder)
        if self.threads is not None:
            from ..engine.precision import pick_threads

            self.framework.module("device").use_threads(pick_threads(self.threads))
        return self.framework.run(model)

    def open_exported(self, folder: Path) -> Runner:
        """Open a folder that ``distilbert export`` wrote."""
        from ..exporting.exported_runner import load_exported

        precision = None if self.precision == "auto" else self.precision
        assert self.runner is not None
        return load_exported(folder, self.runner, precision=precision, threads=self.threads)

    def _suits_engine(self, model: Any) -> bool:
        """Whether the engine is the fastest runner of a PyTorch model that gives the same answers."""
        return bool(model.device.type == "cpu" and str(model.dtype) == "torch.float32" and self.precision != "fp16")

    def reads_folder(self, device: Any, model_options: Mapping[str, Any]) -> bool:
        """Whether the engine reads the folder of a model by itself, so that no framework is loaded.

        Args:
            device: where to run.
            model_options: further arguments of the model's ``from_pretrained``.
        """
        on_cpu = device in (None, "cpu", -1) or getattr(device, "type", "") == "cpu"
        on_cpu = on_cpu or (device == "auto" and not _may_have_gpu())
        return (
            self.is_pytorch
            and self.runner in (None, "engine")
            and self.precision != "fp16"
            and on_cpu
            and all(
                value in (None, "cpu", -1) if name == "device_map" else name == "dtype" and _is_fp32(value)
                for name, value in model_options.items()
            )
        )

    def make_engine_runner(self, model: Any, folder: Path | None) -> Runner:
        """Put the engine behind a model, or behind the weights of a folder.

        Args:
            model: a loaded model, or its weights as the engine reads them.
            folder: where the quantization of the model is, if it has one.
        """
        from ..engine.engine_runner import EngineRunner
        from ..engine.quantization import Quantization

        quantization = Quantization.load(folder) if folder is not None else None
        return EngineRunner(model, self.precision or "auto", self.threads, quantization, packed=folder is not None)


def _may_have_gpu() -> bool:
    """Say whether PyTorch might find a GPU here, without loading it."""
    if sys.platform != "linux":
        return True
    return any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev", name).exists() for name in ("kfd", "dxg"))


def _dtype_name(dtype: Any) -> str:
    """Return the bare name of a type of any framework: ``"float16"`` of ``torch.float16``."""
    return str(getattr(dtype, "__name__", dtype)).removeprefix("torch.")


def _is_fp32(dtype: Any) -> bool:
    return _PRECISION_OF.get(_dtype_name(dtype)) == "fp32"
