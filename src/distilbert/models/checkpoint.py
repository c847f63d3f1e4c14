"""A model folder that is open: its configuration, and its tensors by DistilBERT's names, for every framework.

:func:`open_checkpoint` finds the folder and reads ``config.json``. A checkpoint can then be handed on, so that neither
happens twice: ``from_checkpoint`` of the model classes loads its weights; its tokenizer is in ``checkpoint.folder``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import hub
from ..core.config import DistilBertConfig
from ..core.errors import UnsupportedArchitectureError
from ..core.files import read_config_file
from ..core.schema import Head
from ..weights import bert
from ..weights.folder import open_tensors
from ..weights.match import Matched, match, normalize
from ..weights.tensors import Tensors

logger = logging.getLogger("distilbert")

HUB_ARGUMENTS = ("cache_dir", "revision", "token", "local_files_only", "force_download", "subfolder")


@dataclass(frozen=True)
class Checkpoint:
    """A model folder whose configuration has been read.

    Attributes:
        folder: its path.
        config: DistilBERT's configuration; for a folder with a BERT, that of its DistilBERT twin.
        bert: name of the BERT class that was saved, or None for a DistilBERT.
    """

    folder: Path
    config: DistilBertConfig
    bert: str | None

    def tensors(self, head: Head | None = None, *, use_safetensors: bool | None = None) -> Tensors:
        """Return all tensors by DistilBERT's names, without the ``distilbert.`` prefix."""
        tensors = open_tensors(self.folder, use_safetensors=use_safetensors)
        if self.bert is not None:
            return bert.tensors_from_bert(tensors, self.bert, head)
        return normalize(tensors)

    def match(
        self, head: Head, *, ignore_mismatched_sizes: bool = False, use_safetensors: bool | None = None
    ) -> Matched:
        """Return exactly the tensors of a model with ``head``; a warning names those that start from random numbers."""
        matched = match(
            self.tensors(head, use_safetensors=use_safetensors),
            self.config,
            head,
            where=self.folder,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            name_in_file=None if self.bert is None else bert.bert_name,
        )
        if matched.fresh:
            logger.warning(
                "%s has no weights for %s of %s: they start from random numbers, train before use.",
                self.folder,
                ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in matched.fresh)),
                head.architecture,
            )
        return matched


def open_checkpoint(
    name_or_path: str | os.PathLike[str],
    *,
    config: DistilBertConfig | str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    kind: hub.Kind = "model",
    **hub_arguments: Any,
) -> Checkpoint:
    """Find a model and read its configuration.

    Args:
        name_or_path: a folder, or a name on the hub.
        config: a configuration, or where to read one, to use instead of that of the folder.
        overrides: fields that replace those of ``config.json``.
        kind: which files are needed.
        **hub_arguments: those of :func:`distilbert.core.hub.resolve`.

    Raises:
        ModelNotFoundError: there is no such model or no ``config.json`` in it.
        UnsupportedArchitectureError: the model is neither a DistilBERT nor a BERT.
    """
    folder = hub.resolve(name_or_path, kind=kind, **hub_arguments)
    values = read_config_file(folder / "config.json") if not config or (folder / "config.json").is_file() else {}
    is_bert = values.get("model_type") == "bert"
    if config is not None and not isinstance(config, DistilBertConfig):
        config = open_checkpoint(config, overrides=overrides, kind="config").config
    if config is None:
        config = config_from_dict(values, overrides or {}, folder)
    architectures = values.get("architectures") or ["BertModel"]
    return Checkpoint(folder, config, architectures[0] if is_bert else None)


def config_from_dict(values: Mapping[str, Any], overrides: Mapping[str, Any], where: object) -> DistilBertConfig:
    """Return the configuration in the content of a ``config.json``, of a DistilBERT or a BERT.

    Raises:
        UnsupportedArchitectureError: it belongs to another model; the message says which and where.
    """
    model_type = values.get("model_type", "distilbert")
    if model_type == "bert":
        values = bert.config_from_bert(values)
    elif model_type != "distilbert":
        raise UnsupportedArchitectureError(
            f"{where} holds a {model_type!r} model; this package runs 'distilbert' and, as its twin, 'bert'."
        )
    return DistilBertConfig.from_dict(values, **overrides)
