"""The folder that an export goes to: what may already be there, what is added, and how it gets there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.schema import Head, head_of
from ..models.checkpoint import Checkpoint
from ..models.packaging.contents import CARD, LICENSE_FILE
from .formats import FORMATS
from .record import RECORD, read_record, write_record

CONFIG = "config.json"


@dataclass(frozen=True)
class Destination:
    """Where an export goes.

    Attributes:
        folder: the folder.
        source: folder of the model.
        own: it is the model's own folder, whose configuration and tokenizer stay as they are.
        paths: files of the export, the one that is opened first.
        record: what ``export.json`` says, if there is one.
        overwrite: whether exports that are there may be replaced.
    """

    folder: Path
    source: Path
    own: bool
    paths: tuple[str, ...]
    record: dict[str, Any] | None
    overwrite: bool

    @classmethod
    def of(
        cls, folder: Path, checkpoint: Checkpoint, head: Head, paths: tuple[str, ...], overwrite: bool
    ) -> Destination:
        """Look at a folder before anything is computed.

        Raises:
            InputError: a file stands there, another model, or the same export and ``overwrite`` is not set.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; an export is written into a folder.")
        own = folder.resolve() == checkpoint.folder.resolve()
        record = read_record(folder)
        if own:
            _check_own(folder, checkpoint, head)
        elif record is None and (folder / CONFIG).exists():
            raise InputError(f"{folder} holds a model already; name another folder, or the model's own.")
        there = [name for name in paths if (folder / name).exists()]
        if there and not overwrite:
            raise InputError(f"{folder / there[0]} is there already; name another folder, or replace it (--overwrite).")
        return cls(folder, checkpoint.folder, own, paths, record, overwrite)

    def check_model(self, model: str) -> None:
        """Check that the exports that are there are of the model with this hash.

        Raises:
            InputError: they are of other weights, and ``overwrite`` is not set.
        """
        if self.record is not None and self.record["model"] != model and not self.overwrite:
            raise InputError(
                f"The exports in {self.folder} are of other weights: name another folder, or replace them all "
                "(--overwrite)."
            )

    def add_companions(self, made: Path, model: str, config: DistilBertConfig, tokenizer: Any) -> None:
        """Write what belongs beside an export into ``made``: configuration, tokenizer, model card and licences.

        What the destination has of this model already stays as it is, since someone may have edited it.
        """
        config.save_pretrained(made)
        if tokenizer is not None:
            tokenizer.save_pretrained(made)
        if not self.own:
            for path in sorted(self.source.iterdir()):
                if path.is_file() and (path.name == CARD or LICENSE_FILE.fullmatch(path.name)):
                    shutil.copyfile(path, made / path.name)
        if self.own or self._same(model):
            for path in made.iterdir():
                if path.is_file() and path.name not in self.paths and (self.folder / path.name).exists():
                    path.unlink()

    def move(self, made: Path, model: str, precision: str, found: dict[str, Any]) -> list[str]:
        """Move the files in ``made`` to the destination, the record last, and return their paths there.

        Args:
            made: a folder on the same disk.
            model: hash of the model; exports of another one are removed.
            precision: of the export.
            found: what its check found.
        """
        before = {} if self.record is None else self.record["files"]
        kept = before if self._same(model) else {}
        entry = {"precision": precision, "files": list(self.paths), "checked": found}
        write_record(made, model, kept | {self.paths[0]: entry})
        names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        names.sort(key=lambda name: (name == RECORD, name in self.paths))
        for name in set(_files_of(before)) - set(_files_of(kept)):  # before anything new, so that none is mixed with it
            (self.folder / name).unlink(missing_ok=True)
        for name in names:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (made / name).replace(target)
        return names

    def _same(self, model: str) -> bool:
        """Say whether the exports that are there are of this model."""
        return self.record is not None and bool(self.record["model"] == model)


def _files_of(entries: dict[str, Any]) -> list[str]:
    """Return the paths of the exports in a record, as far as they are names that this package gives."""
    known = {path for each in FORMATS.values() for paths in each.files.values() for path in paths}
    return [path for name, entry in entries.items() for path in (name, *entry.get("files", ())) if path in known]


def _check_own(folder: Path, checkpoint: Checkpoint, head: Head) -> None:
    if checkpoint.bert is not None:
        raise InputError(
            f"{folder} holds a BERT; the export is of its DistilBERT twin and needs a folder of its own, or the twin's "
            "('distilbert convert')."
        )
    named = head_of(checkpoint.config.architectures)
    if named is not None and named.name != head.name:
        raise InputError(
            f"{folder} holds a {named.architecture}; an export of its {head.architecture} needs a folder of its own."
        )
