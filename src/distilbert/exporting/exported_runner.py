"""The runner of an exported folder: packed ids in, float32 arrays out, computed by ONNX Runtime or OpenVINO.

Legend: T packed tokens, B sequences, C choices, S sequence, R rows that the head answers for, L labels, D dim or
vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError, WeightsError, suggest
from ..core.extras import require
from ..core.forks import ForkSafeLock
from ..core.json_files import read_config_file
from ..core.runner_protocol import Batch, Runner, check_batch
from ..core.schema import HEADS, Head, head_of
from ..weights.checkpoint import config_from_dict
from .export_record import read_export_record
from .formats import INPUTS, PRECISIONS, Format, exported_files, format_of_runner
from .libraries import EXTRA, import_openvino


class ExportedRunner:
    """Runs an exported model on padded batches.

    Args:
        session: the opened file.
        config: configuration of the model.
        head: its head.
        precision: of the file; None if it is not known.
    """

    def __init__(self, session: Session, config: DistilBertConfig, head: Head, precision: str | None = None) -> None:
        self._session = session
        self._config = config
        self._head = head
        self.precision = precision

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self._config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self._head

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        longest, limit = int(batch.lengths.max(initial=0)), self.config.max_position_embeddings
        if longest > limit:
            raise InputError(
                f"The input has {longest} tokens and the model knows {limit} positions: tokenize with truncation=True, "
                "or with a stride into windows."
            )
        count = len(batch.lengths)
        if longest == 0:  # no runtime takes an empty batch: run a single token, and return none of its outputs
            batch, count = Batch.of([[0]], [[]]), 0
        ids, mask = batch.padded(self.config.pad_token_id or 0)  # (B, S) each
        if self._session.rank == 3:
            outputs = self._session(ids[:, None], mask[:, None])  # one choice for each sequence: (B, 1, S)
        else:
            outputs = self._session(ids, mask)
        if not self.head.per_token:
            return {name: _to_float32(array[:count]) for name, array in outputs.items()}  # (B, L)
        packed = {name: array[mask.astype(bool)] for name, array in outputs.items()}  # (T, D), (T, L) or (T,)
        return {name: _to_float32(array if batch.rows is None else array[batch.rows]) for name, array in packed.items()}


def load_exported(folder: Path, runner: str, *, precision: str | None = None, threads: int | None = None) -> Runner:
    """Load a folder that ``distilbert export`` wrote. No code from the folder is run.

    Args:
        folder: an exported folder. One that another exporter wrote works too, if its inputs are the same.
        runner: ``"onnxruntime"`` or ``"openvino"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``; None takes the most exact one in the folder.
        threads: that the runtime may use; None leaves the runtime's number.

    Raises:
        InputError: there is no such runner or precision, or nothing in the folder that it runs.
        ModelNotFoundError: there is no configuration in the folder.
        WeightsError: the file cannot be read.
        MissingExtraError: the runtime is not installed.
    """
    folder = Path(folder)
    exported = format_of_runner(runner)
    if precision is not None and precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(f"There is no precision {precision!r}.{suggest(precision, PRECISIONS)} Precisions: {known}.")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}.")
    files = _files_by_precision(folder, exported)
    if not files:
        contents = ", ".join(exported_files(folder)) or "no export at all"
        raise InputError(
            f"{folder} holds nothing that {runner} runs, but {contents}. "
            f"Make it: distilbert export MODEL --to {exported.name} --output FOLDER"
        )
    chosen = precision if precision is not None else next(iter(files))
    if chosen not in files:
        unknown = "" if None not in files else " (one whose precision is not recorded; name none to run it)"
        names = ", ".join(name for name in files if name is not None) or "none"
        raise InputError(
            f"{folder} has no {exported.name} export in {precision}; precisions there: {names}{unknown}. "
            f"Make it: distilbert export MODEL --to {exported.name} --precision {precision} --output FOLDER"
        )
    path = files[chosen]
    config = config_from_dict(read_config_file(folder / "config.json"), {}, folder)
    session = SESSIONS[runner](path, threads)
    return ExportedRunner(session, config, _head_of(path, session, config), chosen)


def _files_by_precision(folder: Path, exported: Format) -> dict[str | None, Path]:
    """Return precision -> file, the most exact first; the precision is None if it is not known."""
    record = read_export_record(folder) or {"files": {}}
    files: dict[str | None, Path] = {}
    for name in dict.fromkeys(paths[0] for paths in exported.files.values()):
        path = next((p for p in (folder / name, folder / Path(name).name) if p.is_file()), None)
        if path is None:
            continue
        by_name = [precision for precision, paths in exported.files.items() if paths[0] == name]
        recorded = record["files"].get(name, {}).get("precision")
        files[by_name[0] if len(by_name) == 1 else recorded] = path
    return files


def _head_of(path: Path, session: Session, config: DistilBertConfig) -> Head:
    """Return the head by the names of the outputs; the configuration tells which of the heads with ``logits``."""
    outputs = set(session.outputs)
    if outputs == {"last_hidden_state"}:
        return HEADS[""]
    if outputs == {"start_logits", "end_logits"}:
        return HEADS["ForQuestionAnswering"]
    head = head_of(config.architectures)
    if outputs != {"logits"} or head is None or head.name in ("", "ForQuestionAnswering"):
        architecture = "no architecture" if head is None else head.architecture
        raise InputError(
            f"{path} computes {', '.join(session.outputs)}, and its config.json names {architecture}: "
            "they do not belong together."
        )
    return head


def _to_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False)


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
    """A file in ONNX Runtime, on the CPU. Several threads may call it.

    Args:
        path: the ``.onnx`` file.
        threads: that it may use; None leaves the library's number.

    Raises:
        WeightsError: the file cannot be read.
        InputError: it takes other inputs.
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
    """A pair of files in OpenVINO, on the CPU. Several threads may call it; the calls run one after the other.

    It computes in fp32. By default the library would take bf16 where the CPU has it, and the same file would give
    other numbers on another machine.

    Args:
        path: the ``.xml`` file; the ``.bin`` lies beside it.
        threads: that it may use; None leaves the library's number.

    Raises:
        WeightsError: the files cannot be read.
        InputError: it takes other inputs.
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
        self._lock = ForkSafeLock(forks_wait=True)  # a child could not end a call of another thread

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
