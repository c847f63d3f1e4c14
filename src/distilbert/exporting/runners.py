"""Exported folders behind the runner protocol: packed ids in, float32 arrays out, whatever runtime computes them.

Legend: T packed tokens, B sequences, S sequence, R rows asked for, L labels, D dim or vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError, suggest
from ..core.files import read_config_file
from ..core.runner_protocol import Batch, Runner, check_batch
from ..core.schema import HEADS, Head, head_of
from ..models.checkpoint import config_from_dict
from .formats import PRECISIONS, Format, find_runner, present
from .record import read_record
from .sessions import SESSIONS, Session


class ExportedRunner:
    """Runs an exported model on padded batches.

    Args:
        session: the loaded file.
        config: configuration of the model.
        head: its head.
        precision: of the file, or None where it is not known.
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
        if longest == 0:  # no runtime takes an empty rectangle: one token stands in, and no answer is taken from it
            batch, count = Batch.of([[0]], [[]]), 0
        ids, mask = batch.padded(self.config.pad_token_id or 0)  # (B, S) each
        if self._session.rank == 3:
            outputs = self._session(ids[:, None], mask[:, None])  # one choice each: (B, 1)
        else:
            outputs = self._session(ids, mask)
        if not self.head.per_token:
            return {name: _float(array[:count]) for name, array in outputs.items()}  # (B, L)
        packed = {name: array[mask.astype(bool)] for name, array in outputs.items()}  # (T, D), (T, L) or (T,)
        return {name: _float(array if batch.rows is None else array[batch.rows]) for name, array in packed.items()}


def load_exported(folder: Path, runner: str, *, precision: str | None = None, threads: int | None = None) -> Runner:
    """Load what ``distilbert export`` wrote. No code from the folder is run.

    Args:
        folder: an exported folder; one that other exporters wrote works too, if its inputs are the same.
        runner: ``"onnxruntime"`` or ``"openvino"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``; None: the most exact one that is there.
        threads: how many the runtime may use; None: what it chooses.

    Raises:
        InputError: no such runner or precision, or nothing in the folder that it runs.
        ModelNotFoundError: there is no configuration in the folder.
        WeightsError: the file cannot be read.
        MissingExtraError: the runtime is not installed.
    """
    folder = Path(folder)
    target = find_runner(runner)
    if precision is not None and precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(f"There is no precision {precision!r}.{suggest(precision, PRECISIONS)} Precisions: {known}.")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}.")
    found = _find(folder, target)
    if not found:
        there = ", ".join(present(folder)) or "no export at all"
        raise InputError(
            f"{folder} holds nothing that {runner} runs, but {there}. "
            f"Make it: distilbert export MODEL --to {target.name} --output FOLDER"
        )
    chosen = precision if precision is not None else next(iter(found))
    if chosen not in found:
        unknown = "" if None not in found else " (one whose precision is not recorded; name none to run it)"
        names = ", ".join(name for name in found if name is not None) or "none"
        raise InputError(
            f"{folder} has no {target.name} export in {precision}; precisions there: {names}{unknown}. "
            f"Make it: distilbert export MODEL --to {target.name} --precision {precision} --output FOLDER"
        )
    path = found[chosen]
    config = config_from_dict(read_config_file(folder / "config.json"), {}, folder)
    session = SESSIONS[runner](path, threads)
    return ExportedRunner(session, config, _head(path, session, config), chosen)


def _find(folder: Path, target: Format) -> dict[str | None, Path]:
    """Return precision -> file, the most exact first; None stands for a precision that nothing tells."""
    record = read_record(folder) or {"files": {}}
    found: dict[str | None, Path] = {}
    for name in dict.fromkeys(paths[0] for paths in target.files.values()):
        path = next((p for p in (folder / name, folder / Path(name).name) if p.is_file()), None)
        if path is None:
            continue
        told = [precision for precision, paths in target.files.items() if paths[0] == name]
        recorded = record["files"].get(name, {}).get("precision")
        found[told[0] if len(told) == 1 else recorded] = path
    return found


def _head(path: Path, session: Session, config: DistilBertConfig) -> Head:
    """Return the head that a file's outputs show; which of those with ``logits``, the configuration tells."""
    outputs = set(session.outputs)
    if outputs == {"last_hidden_state"}:
        return HEADS[""]
    if outputs == {"start_logits", "end_logits"}:
        return HEADS["ForQuestionAnswering"]
    named = head_of(config.architectures)
    if outputs != {"logits"} or named is None or named.name in ("", "ForQuestionAnswering"):
        architecture = "no architecture" if named is None else named.architecture
        raise InputError(
            f"{path} computes {', '.join(session.outputs)}, and its config.json names {architecture}: "
            "they do not belong together."
        )
    return named


def _float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False)
