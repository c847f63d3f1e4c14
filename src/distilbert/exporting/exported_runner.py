"""The runner of an exported folder: packed ids in, float32 arrays out, computed by ONNX Runtime or OpenVINO.

Legend: T packed tokens, B sequences, C choices, S sequence, R rows that the head answers for, L labels, D dim or
vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError, suggest
from ..core.json_files import read_config_file
from ..core.runner_protocol import Batch, Runner, check_batch
from ..core.schema import HEADS, Head, head_of
from ..weights.checkpoint import config_from_dict
from .export_record import check_weights_are_exported, read_export_record
from .formats import PRECISIONS, Format, exported_files, format_of_runner
from .runtime_sessions import SESSIONS, Session


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
        InputError: there is no such runner or precision, nothing in the folder that it runs, or other weights beside it
            than those that were exported.
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
    record = read_export_record(folder) or {"files": {}}
    check_weights_are_exported(folder, record)
    files = _files_by_precision(folder, exported, record)
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


def _files_by_precision(folder: Path, exported: Format, record: Mapping[str, Any]) -> dict[str | None, Path]:
    """Return precision -> file, the most exact first; the precision is None if it is not known."""
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
