"""An exported file in its runtime: padded ids and a mask in, float32 arrays by name out.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.errors import InputError, WeightsError
from ..core.extras import require
from .libraries import EXTRA, import_openvino

INPUTS = ("input_ids", "attention_mask")


class Session(Protocol):
    """A loaded export.

    Attributes:
        outputs: names of what it computes.
        rank: dimensions of its inputs: 2, or 3 for multiple choice.
    """

    outputs: tuple[str, ...]
    rank: int

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs for int64 ids and mask, both (B, S), or (B, C, S) for multiple choice."""


class OnnxSession:
    """A file in ONNX Runtime, on the CPU. Several threads may call it.

    Args:
        path: the ``.onnx`` file.
        threads: how many it may use; None: what the library chooses.

    Raises:
        WeightsError: the file cannot be read.
        InputError: it is a model of another kind.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        library = require("onnxruntime", EXTRA)
        options = library.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's errors have no common base
            raise WeightsError(f"{path} cannot be loaded by ONNX Runtime: {_last_line(error)}") from None
        inputs = self._session.get_inputs()
        self.rank = _check_inputs(path, {each.name: len(each.shape) for each in inputs})
        self.outputs = tuple(each.name for each in self._session.get_outputs())

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`Session`."""
        arrays = self._session.run(None, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        return dict(zip(self.outputs, arrays, strict=True))


class OpenvinoSession:
    """A pair of files in OpenVINO, on the CPU. Threads may call it, one after the other.

    Sums are in fp32: left to itself the library would use bf16 where the CPU has it, and the same file would give
    other numbers on another machine.

    Args:
        path: the ``.xml`` file; the ``.bin`` lies beside it.
        threads: how many it may use; None: what the library chooses.

    Raises:
        WeightsError: the files cannot be read.
        InputError: it is a model of another kind.
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        library: Any = import_openvino()
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = library.Core()
            self._model = core.compile_model(core.read_model(path), "CPU", settings)
        except RuntimeError as error:
            raise WeightsError(f"{path} cannot be loaded by OpenVINO: {_last_line(error)}") from None
        self.rank = _check_inputs(path, {each.any_name: len(each.partial_shape) for each in self._model.inputs})
        self.outputs = tuple(each.any_name for each in self._model.outputs)
        self._lock = threading.Lock()

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`Session`."""
        with self._lock:
            arrays = self._model(dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        return {name: arrays[index] for index, name in enumerate(self.outputs)}


SESSIONS: dict[str, type[OnnxSession] | type[OpenvinoSession]] = {
    "onnxruntime": OnnxSession,
    "openvino": OpenvinoSession,
}


def _check_inputs(path: Path, ranks: dict[str, int]) -> int:
    if sorted(ranks) != sorted(INPUTS) or set(ranks.values()) not in ({2}, {3}):
        raise InputError(
            f"{path} takes {', '.join(ranks) or 'nothing'}; an export of a DistilBERT takes {' and '.join(INPUTS)}. "
            "Make one with 'distilbert export'."
        )
    return next(iter(ranks.values()))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
