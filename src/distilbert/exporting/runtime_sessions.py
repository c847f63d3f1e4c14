"""Exported files, opened in ONNX Runtime or OpenVINO.

Neither library's threads survive a fork. A child of a process that has used ONNX Runtime opens its files anew. OpenVINO
fails in such a child whatever it opens there, now and then and without an end, so that is an error.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.content_hash import FileState, file_state
from ..core.errors import InputError, WeightsError
from ..core.extras import require
from ..core.forks import ForkSafeLock, PerProcess
from .formats import INPUTS
from .libraries import EXTRA, import_openvino


class Session(Protocol):
    """An exported file, opened in its runtime.

    Attributes:
        outputs: names of what it computes.
        rank: number of dimensions of its inputs: 2, or 3 for multiple choice.
    """

    outputs: tuple[str, ...]
    rank: int

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs for int64 ids and mask, (B, S) each, or (B, C, S) for multiple choice."""


class OnnxSession:
    """A file in ONNX Runtime, on the CPU. Several threads may call it, and processes that were forked.

    Args:
        path: the ``.onnx`` file.
        threads: that it may use; None leaves the library's number.

    Raises:
        WeightsError: the file cannot be read.
        InputError: it takes other inputs.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path, self._threads = path, threads
        self._session = PerProcess(partial(_open_in_onnxruntime, path, threads, file_state(path)))
        session = self._session()
        self.rank = _check_inputs(path, {each.name: len(each.shape) for each in session.get_inputs()})
        self.outputs = tuple(each.name for each in session.get_outputs())

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`Session`.

        Raises:
            WeightsError: this process was forked, and the file has changed or cannot be opened again.
        """
        arrays = self._session().run(None, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        return dict(zip(self.outputs, arrays, strict=True))

    def __reduce__(self) -> tuple[type[OnnxSession], tuple[Path, int | None]]:
        """A copy, also one in another process, opens the file again."""
        return OnnxSession, (self._path, self._threads)


class OpenvinoSession:
    """A pair of files in OpenVINO, on the CPU. Several threads may call it; the calls run one after the other.

    It computes in fp32. By default the library would take bf16 where the CPU has it, and the same file would give
    other numbers on another machine.

    Args:
        path: the ``.xml`` file; the ``.bin`` lies beside it.
        threads: that it may use; None leaves the library's number.

    Raises:
        WeightsError: the files cannot be read.
        InputError: it takes other inputs, or this process was forked from one that has used OpenVINO.
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._path, self._threads = path, threads
        self._model = PerProcess(partial(_open_in_openvino, path, threads))
        model = self._model()
        self.rank = _check_inputs(path, {each.any_name: len(each.partial_shape) for each in model.inputs})
        self.outputs = tuple(each.any_name for each in model.outputs)
        self._lock = ForkSafeLock()

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`Session`.

        Raises:
            InputError: this process was forked from one that has used OpenVINO.
        """
        with self._lock:
            arrays = self._model()(dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        return {name: arrays[index] for index, name in enumerate(self.outputs)}

    def __reduce__(self) -> tuple[type[OpenvinoSession], tuple[Path, int | None]]:
        """A copy, also one in another process, opens the files again."""
        return OpenvinoSession, (self._path, self._threads)


SESSIONS: dict[str, type[OnnxSession] | type[OpenvinoSession]] = {
    "onnxruntime": OnnxSession,
    "openvino": OpenvinoSession,
}


def _open_in_onnxruntime(path: Path, threads: int | None, state: FileState | None) -> Any:
    """Return a session of the library, in this process or in one that is forked from it later."""
    if file_state(path) != state:
        raise WeightsError(f"{path} has changed since the process opened it that forked this one. Load it again.")
    library = require("onnxruntime", EXTRA)
    options = library.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's errors have no common base
        raise WeightsError(f"{path} cannot be loaded by ONNX Runtime: {_last_line(error)}") from None


_process_of_openvino: int | None = None  # that used it first; a forked child keeps its parent's


def _open_in_openvino(path: Path, threads: int | None) -> Any:
    """Return a compiled model of the library."""
    global _process_of_openvino
    library: Any = import_openvino()
    if _process_of_openvino not in (None, os.getpid()):
        raise InputError(
            "The process that forked this one has used OpenVINO, whose threads do not survive a fork: here it could "
            "wait for them for ever. Start processes with multiprocessing.get_context('spawn'), or use OpenVINO in the "
            "children alone."
        )
    _process_of_openvino = os.getpid()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        core = library.Core()
        return core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as error:
        raise WeightsError(f"{path} cannot be loaded by OpenVINO: {_last_line(error)}") from None


def _check_inputs(path: Path, ranks: dict[str, int]) -> int:
    """Return the number of dimensions of the inputs, after a check of their names."""
    if sorted(ranks) != sorted(INPUTS) or set(ranks.values()) not in ({2}, {3}):
        raise InputError(
            f"{path} takes {', '.join(ranks) or 'nothing'}; an export of a DistilBERT takes {' and '.join(INPUTS)}. "
            "Make one with 'distilbert export'."
        )
    return next(iter(ranks.values()))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
