"""The folder that an export goes to: what may be in it already, what is added, and how files get there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.companions import (
    card_file,
    companions_of,
    copy_companions,
    license_files,
    remove_companions,
    sentence_files,
)
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.hub import encoder_folder
from ..core.schema import Head, head_of
from ..weights.checkpoint import Checkpoint
from ..weights.folder import weight_files
from .export_record import EXPORT_RECORD, hash_weight_files, read_export_record, write_export_record
from .formats import FORMATS

CONFIG = "config.json"
HOLDS_MODEL = "{} holds a model already; name another folder, or the model's own."


@dataclass(frozen=True)
class Destination:
    """Where an export goes.

    Attributes:
        folder: the folder.
        source: folder of the model.
        is_source: the two are the same; then its configuration and tokenizer stay as they are.
        paths: files of the export in the folder; the first one is opened.
        record: what ``export.json`` holds; None without one.
        overwrite: whether existing exports may be replaced.
    """

    folder: Path
    source: Path
    is_source: bool
    paths: tuple[str, ...]
    record: dict[str, Any] | None
    overwrite: bool

    @classmethod
    def check(
        cls, folder: Path, checkpoint: Checkpoint, head: Head, paths: tuple[str, ...], overwrite: bool
    ) -> Destination:
        """Return the destination, after a check that an export may be written there.

        Raises:
            InputError: there is a file, or another model, or the same export and ``overwrite`` is not set.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; an export is written into a folder.")
        folder = encoder_folder(folder)
        is_source = folder.resolve() == checkpoint.folder.resolve()
        record = read_export_record(folder)
        if is_source:
            _check_source(folder, checkpoint, head)
        elif record is None and (folder / CONFIG).exists():
            raise InputError(HOLDS_MODEL.format(folder))
        existing = [name for name in paths if (folder / name).exists()]
        if existing and not overwrite:
            raise InputError(
                f"{folder / existing[0]} is there already; name another folder, or replace it (--overwrite)."
            )
        return cls(folder, checkpoint.folder, is_source, paths, record, overwrite)

    def check_weights(self, model_hash: str) -> None:
        """Check that existing exports are of the model with this hash.

        Raises:
            InputError: they are of other weights, and ``overwrite`` is not set, or these weights are in the folder.
        """
        if self.record is None or self._holds(model_hash):
            return
        if not self.overwrite:
            raise InputError(
                f"The exports in {self.folder} are of other weights: name another folder, or replace them all "
                "(--overwrite)."
            )
        if not self.is_source and weight_files(self.folder):
            raise InputError(HOLDS_MODEL.format(self.folder))

    def add_companions(self, staging: Path, model_hash: str, config: DistilBertConfig, tokenizer: Any) -> None:
        """Write configuration, tokenizer, modules of sentence-transformers, model card and licences into ``staging``.

        Files that the destination has of this model already are left out, since someone may have edited them.
        """
        config.save_pretrained(staging)
        if tokenizer is not None:
            tokenizer.save_pretrained(staging)
        if not self.is_source:
            copy_companions(sentence_files(self.source) | license_files(self.source) | card_file(self.source), staging)
        if self.is_source or self._holds(model_hash):
            for name in _files(staging):
                if name not in self.paths and (self.folder / name).exists():
                    (staging / name).unlink()

    def move(self, staging: Path, model_hash: str, precision: str, differences: dict[str, Any]) -> list[str]:
        """Move the files of ``staging`` to the destination, ``export.json`` last.

        Args:
            staging: a folder on the same disk.
            model_hash: of the model; exports of other weights are removed, with all that came with them.
            precision: of the export.
            differences: between the model and the export, for ``export.json``.

        Returns:
            Paths of the files in the destination.
        """
        previous = {} if self.record is None else self.record["files"]
        kept = previous if self._holds(model_hash) else {}
        entry = {"precision": precision, "files": list(self.paths), "checked": differences}
        weights_hash = hash_weight_files(self.folder) if self.is_source else None
        write_export_record(staging, model_hash, weights_hash, kept | {self.paths[0]: entry})
        names = sorted(_files(staging), key=lambda name: (name == EXPORT_RECORD, name in self.paths))
        # Exports of other weights go first, so that old and new ones are never in the folder together.
        for name in set(_paths_of(previous)) - set(_paths_of(kept)):
            (self.folder / name).unlink(missing_ok=True)
        if self.record is not None and not self._holds(model_hash) and not self.is_source:
            remove_companions(self.folder, companions_of(self.folder) | card_file(self.folder))
        for name in names:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(target)
        return names

    def _holds(self, model_hash: str) -> bool:
        """Say whether the existing exports are of this model."""
        return self.record is not None and bool(self.record["model"] == model_hash)


def _files(folder: Path) -> list[str]:
    """Return the names of the files in a folder and in those below it."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _paths_of(entries: dict[str, Any]) -> list[str]:
    """Return the paths of the exports in a record; paths that this package does not write are left out."""
    known = {path for each in FORMATS.values() for paths in each.files.values() for path in paths}
    return [path for name, entry in entries.items() for path in (name, *entry.get("files", ())) if path in known]


def _check_source(folder: Path, checkpoint: Checkpoint, head: Head) -> None:
    """Check that the folder of a model may hold an export of it."""
    if checkpoint.bert is not None:
        raise InputError(
            f"{folder} holds a BERT; the export is of its DistilBERT twin and needs a folder of its own, or the twin's "
            "('distilbert convert')."
        )
    own = head_of(checkpoint.config.architectures)
    if own is not None and own.name != head.name:
        raise InputError(
            f"{folder} holds a {own.architecture}; an export of its {head.architecture} needs a folder of its own."
        )
