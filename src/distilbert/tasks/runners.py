"""Which runner computes: the engine on a CPU, a framework elsewhere, or what reads an exported folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.runner_protocol import Runner
from ..models.frameworks import FRAMEWORKS, Framework

RUNNERS = ("engine", "pytorch", "onnxruntime", "openvino")
EXPORTED = RUNNERS[2:]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Choice:
    """What the caller wants to run with.

    Attributes:
        runner: one of ``RUNNERS``; None: the engine for a PyTorch model in fp32 on a CPU, else its framework.
        precision: ``"auto"``, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``; None for what the runner does by
            default.
        threads: on a CPU; None for the library's default.
        framework: of the model.
    """

    runner: str | None
    precision: str | None
    threads: int | None
    framework: Framework

    def check(self) -> None:
        """Check what can be known before anything is loaded.

        Raises:
            InputError: values that do not exist, or do not go together.
        """
        if self.runner is not None and self.runner not in RUNNERS:
            raise InputError(f"runner must be one of {', '.join(map(repr, RUNNERS))}, got {self.runner!r}.")
        if self.precision is not None and self.precision not in ("auto", "int8", *DTYPES):
            raise InputError(f"precision must be one of auto, fp32, bf16, fp16, int8, got {self.precision!r}.")
        if self.framework is not FRAMEWORKS["pt"]:
            for name, value in (("runner", self.runner), ("threads", self.threads)):
                if value is not None:
                    raise InputError(f"{name}= goes with framework='pt'; {self.framework.room} has its own.")
        if self.precision == "fp16" and self.runner == "engine":
            raise InputError("The engine runs in fp32, bf16 or int8; fp16 is for runner='pytorch'.")
        if self.precision == "int8" and (self.runner == "pytorch" or self.framework is not FRAMEWORKS["pt"]):
            raise InputError("int8 is what the engine and exported folders run in; leave runner= and framework= out.")

    def dtype(self, dtype: Any) -> Any:
        """Return the floating type to load the weights in; ``dtype`` is the one that was asked for, if any."""
        framework_runs = self.runner == "pytorch" or self.framework is not FRAMEWORKS["pt"] or self.precision == "fp16"
        if dtype is None and framework_runs and self.precision in DTYPES:
            return DTYPES[self.precision]
        return dtype

    def put(self, model: Any, device: Any, plain: bool, folder: Path | None) -> Runner:
        """Put a loaded model behind a runner.

        Args:
            model: of the framework.
            device: where to run; None for where it is.
            plain: the caller asked for something that only the framework itself does.
            folder: where the model was read from.

        Raises:
            InputError: the runner cannot run it.
        """
        if self.framework is FRAMEWORKS["pt"]:
            if device is not None:
                model.to(self.framework.module("device").pick_device(device))
            wanted = self.runner == "engine" or self.precision == "int8"
            if wanted or (self.runner is None and not plain and self._suits(model)):
                return self._engine(model, folder)
            if self.threads is not None:
                from ..engine.precision import pick_threads

                pick_threads(self.threads)
            return self.framework.run(model)
        return self.framework.run(model, device)

    def exported(self, folder: Path) -> Runner:
        """Open a folder that ``distilbert export`` wrote."""
        from ..exporting.exported_runner import load_exported

        precision = None if self.precision == "auto" else self.precision
        assert self.runner is not None
        return load_exported(folder, self.runner, precision=precision, threads=self.threads)

    def _suits(self, model: Any) -> bool:
        """Say whether the engine is what runs a PyTorch model best."""
        return bool(model.device.type == "cpu" and str(model.dtype) == "torch.float32" and self.precision != "fp16")

    def _engine(self, model: Any, folder: Path | None) -> Runner:
        from ..engine.engine_runner import EngineRunner
        from ..engine.quantization import Quantization

        quantization = Quantization.load(folder) if folder is not None else None
        return EngineRunner(model, self.precision or "auto", self.threads, quantization)
