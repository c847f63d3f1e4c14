"""A model folder that is open: its configuration, and its tensors by DistilBERT's names, for every framework.

:func:`open_checkpoint` finds the folder and reads ``config.json``. A checkpoint can then be handed on, so that neither
happens twice: ``from_checkpoint`` of the model classes loads its weights; its tokenizer is in ``checkpoint.folder``.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import hub
from ..core.config import ARGUMENTS, DistilBertConfig, field_names, find_config, own_parameters, split_fields
from ..core.config_checks import shown
from ..core.errors import InputError, UnsupportedArchitectureError
from ..core.json_files import naming_config, read_config_file
from ..core.loading_arguments import HUB_ARGUMENTS, LOADING, WEIGHT_ARGUMENTS, hub_arguments
from ..core.model_checks import check_config_type
from ..core.schema import Head, Shapes
from . import bert
from .file_names import FileTensors, has_names, plain_names
from .folder import weight_files
from .match import Matched, match, match_shapes, normalize
from .source import WeightSource
from .tensors import Tensors

logger = logging.getLogger("distilbert")

# The arguments of ``from_pretrained`` that :func:`open_checkpoint` takes.
OPENING_ARGUMENTS = (*HUB_ARGUMENTS, "use_auth_token", *WEIGHT_ARGUMENTS)


@dataclass(frozen=True)
class Checkpoint:
    """A model folder whose configuration has been read.

    Attributes:
        path: of the folder; None where the weights come from a ``state_dict``.
        config: DistilBERT's configuration; for a folder with a BERT, that of its DistilBERT twin.
        bert: name of the BERT class that was saved, or None for a DistilBERT.
        source: which weights are read.
    """

    path: Path | None
    config: DistilBertConfig
    bert: str | None
    source: WeightSource = field(default_factory=WeightSource)

    @property
    def folder(self) -> Path:
        """The folder.

        Raises:
            InputError: there is none.
        """
        if self.path is None:
            raise InputError("This model comes from a state_dict and has no folder.")
        return self.path

    @property
    def _place(self) -> Path | str:
        """Where the weights come from, for messages."""
        return self.path or "state_dict"

    def weight_files(self) -> list[Path]:
        """Return the files that its tensors are read from; none where a ``state_dict`` or other names replace them."""
        if self.path is None or self.source.state_dict is not None or self.source.key_mapping:
            return []
        return weight_files(self.path, self.source.formats(), variant=self.source.variant)

    def tensors(self, head: Head | None = None) -> Tensors:
        """Return all tensors by DistilBERT's names, without the ``distilbert.`` prefix."""
        return self._translated(plain_names(self.source.open(self.path), self._place), head)

    def _translated(self, file: FileTensors, head: Head | None) -> Tensors:
        if self.bert is not None:
            return bert.tensors_from_bert(file.tensors, self.bert, head)
        return normalize(file.tensors)

    def match(self, head: Head, *, ignore_mismatched_sizes: bool = False) -> Matched:
        """Return exactly the tensors of a model with ``head``; a warning names those that start from random numbers."""
        matched = self.find_tensors(head, ignore_mismatched_sizes=ignore_mismatched_sizes)
        self._say_fresh(matched, head.architecture)
        return matched

    def find_tensors(self, head: Head, *, ignore_mismatched_sizes: bool = False) -> Matched:
        """Do the same without a warning."""
        file = plain_names(self.source.open(self.path), self._place)

        def name_in_file(name: str) -> str | None:
            saved_name = name if self.bert is None else bert.bert_name(name)
            return saved_name and file.name_in_file(saved_name)

        return match(
            self._translated(file, head),
            self.config,
            head,
            where=self._place,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            name_in_file=name_in_file,
        )

    def match_shapes(
        self,
        shapes: Shapes,
        model: str,
        *,
        encoders: Collection[str],
        shared: Mapping[str, str],
        ignore_mismatched_sizes: bool = False,
    ) -> Matched:
        """Return the tensors of a class that a user wrote; a warning names those that start afresh.

        Args:
            shapes: name -> shape of everything that the class saves.
            model: name of the class.
            encoders: what stands before the names of each encoder in the class. All of its tensors have to be there,
                under these names or under DistilBERT's own.
            shared: name -> name of the tensor that it is tied to.
            ignore_mismatched_sizes: let tensors outside the blocks that have another shape start afresh.
        """
        raw = {} if self.bert is not None else self.source.open(self.path)
        if has_names(raw, shapes.keys() - shared.keys(), encoders):
            others = {name: tensor for name, tensor in raw.items() if name not in shapes}
            tensors = normalize(plain_names(others, self._place, prefix="").tensors)
        else:
            tensors = self.tensors()
        matched = match_shapes(
            tensors | {name: raw[name] for name in shapes if name in raw},
            shapes,
            encoders=encoders,
            shared=shared,
            where=self._place,
            model=model,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        self._say_fresh(matched, model)
        return matched

    def _say_fresh(self, matched: Matched, model: str) -> None:
        if matched.fresh:
            logger.warning(
                "%s has no weights for %s of %s: they start from random numbers, train before use.",
                self._place,
                ", ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in matched.fresh)),
                model,
            )


def open_checkpoint(
    name_or_path: str | os.PathLike[str] | None,
    *,
    config: DistilBertConfig | str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    config_class: type[DistilBertConfig] = DistilBertConfig,
    kind: hub.Kind = "model",
    where: str = "from_pretrained",
    **arguments: Any,
) -> Checkpoint:
    """Find a model and read its configuration.

    Args:
        name_or_path: a folder, or a name on the hub; None if ``config`` and ``state_dict`` are given.
        config: a configuration, which is copied, or where to read one, to use instead of that of the folder.
        overrides: fields that replace those of the configuration; and other arguments of ``from_pretrained`` that are
            known from transformers, see :data:`distilbert.core.loading_arguments.LOADING`.
        config_class: of the configuration, where a model has one with fields of its own.
        kind: which files are needed.
        where: the function that a user called, for messages.
        **arguments: those of :data:`OPENING_ARGUMENTS`.

    Raises:
        ModelNotFoundError: there is no such model or no ``config.json`` in it.
        UnsupportedArchitectureError: the model is neither a DistilBERT nor a BERT.
        UnknownArgumentError: an override is neither a field nor an argument that is known from transformers.
    """
    if config is not None and not isinstance(config, (str, os.PathLike)):
        check_config_type(config, where)
    place = hub_arguments(arguments)
    source = WeightSource(**{name: arguments[name] for name in WEIGHT_ARGUMENTS if name in arguments})
    folder = None
    if name_or_path is not None:
        folder = hub.resolve(name_or_path, kind=kind, weight_files=source.formats(), variant=source.variant, **place)
    elif config is None or source.state_dict is None:
        raise InputError(f"{where} needs a folder or a name; None needs both config= and state_dict=.")
    file = None if folder is None else folder / "config.json"
    values = read_config_file(file) if file is not None and (not config or file.is_file()) else {}
    is_bert = bert.is_bert(values)
    if config is not None and not isinstance(config, DistilBertConfig):
        config = open_checkpoint(
            config, overrides=overrides, config_class=config_class, kind="config", where=where
        ).config
    else:
        present = values if config is None else config.to_dict()
        overrides = LOADING.check(overrides or {}, where, [*ARGUMENTS, *own_parameters(config_class), *present])
        if config is None:
            config = config_from_dict(values, overrides, folder, config_class)
        else:
            config = config.replaced(overrides) if overrides else copy.deepcopy(config)
    if name_or_path is not None:
        config.name_or_path = name_or_path
    names = values.get("architectures") or ["BertModel"]
    return Checkpoint(folder, config, str(names[0]) if is_bert else None, source)


def open_config(
    name_or_path: str | os.PathLike[str], options: Mapping[str, Any], where: str
) -> DistilBertConfig | tuple[DistilBertConfig, dict[str, Any]]:
    """Read a configuration, of a DistilBERT or of a BERT as its twin.

    Args:
        name_or_path: a folder, or a name on the hub.
        options: fields of the configuration to replace, and arguments of
            :data:`distilbert.core.loading_arguments.CONFIG_LOADING`.
        where: the function that a user called, for messages.

    Returns:
        The configuration; with ``return_unused_kwargs`` also the arguments that are not its fields.
    """
    folder, values, chosen = find_config(name_or_path, options, where)
    return_unused = bool(chosen.pop("return_unused_kwargs", False))
    fields, unused = split_fields(chosen, values, where, return_unused=return_unused)
    config = config_from_dict(values, fields, folder)
    config.name_or_path = name_or_path
    return (config, unused) if return_unused else config


def config_from_dict(
    values: Mapping[str, Any],
    overrides: Mapping[str, Any],
    where: object,
    config_class: type[DistilBertConfig] = DistilBertConfig,
) -> DistilBertConfig:
    """Return the configuration in the content of a ``config.json``, of a DistilBERT or a BERT.

    Args:
        values: the content.
        overrides: fields that replace some of it.
        where: the folder of the file, or what a message calls the content.
        config_class: of the configuration.

    Raises:
        ConfigError: a value cannot work.
        UnsupportedArchitectureError: it belongs to another model; the message says which and where.
    """
    model_type = values.get("model_type", "distilbert")
    with naming_config(where / "config.json", field_names(overrides)) if isinstance(where, Path) else nullcontext():
        if bert.is_bert(values):
            values = bert.config_from_bert(values)
        elif model_type not in ("distilbert", config_class.model_type):
            raise UnsupportedArchitectureError(
                f"{where} holds a {shown(model_type)} model; this package runs 'distilbert' and, as its twin, 'bert'."
            )
        config: DistilBertConfig = config_class.from_dict(values, **overrides)
    return config
