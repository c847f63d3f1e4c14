"""Which runner computes: the engine on a CPU, a framework elsewhere, or a runtime that reads an exported folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.runner_protocol import Runner
from ..models.frameworks import FRAMEWORKS, Framework

RUNNERS = ("engine", "pytorch", "onnxruntime", "openvino")
RUNNERS_OF_EXPORTED = RUNNERS[2:]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
        """Whether the model is a PyTorch model, the only kind that the engine runs."""
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

    def dtype_to_load(self, dtype: Any) -> Any:
        """Return the floating type to load the weights in.

        Args:
            dtype: the one that the caller asked for; None: the one that ``precision`` means, if the framework runs.
        """
        framework_runs = self.runner == "pytorch" or not self.is_pytorch or self.precision == "fp16"
        if dtype is None and framework_runs and self.precision in DTYPES:
            return DTYPES[self.precision]
        return dtype

    def make_runner(self, model: Any, device: Any, folder: Path | None, *, needs_framework: bool = False) -> Runner:
        """Put a loaded model behind a runner.

        Args:
            model: of the framework.
            device: where to run; None for where it is.
            folder: where the model was read from; None where it was not.
            needs_framework: the caller asked for something that only the framework itself does.

        Raises:
            InputError: the runner cannot run it.
        """
        if not self.is_pytorch:
            return self.framework.run(model, device)
        if device is not None:
            model.to(self.framework.module("device").pick_device(device))
        asks_for_engine = self.runner == "engine" or self.precision == "int8"
        if asks_for_engine or (self.runner is None and not needs_framework and self._suits_engine(model)):
            return self._make_engine_runner(model, folder)
        if self.threads is not None:
            from ..engine.precision import pick_threads

            pick_threads(self.threads)
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

    def _make_engine_runner(self, model: Any, folder: Path | None) -> Runner:
        from ..engine.engine_runner import EngineRunner
        from ..engine.quantization import Quantization

        quantization = Quantization.load(folder) if folder is not None else None
        return EngineRunner(model, self.precision or "auto", self.threads, quantization)
