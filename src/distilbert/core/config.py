"""The configuration of a DistilBERT: sizes, dropouts, labels; reading and writing ``config.json``."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from .config_checks import (
    MOST_LABELS,
    check_config,
    check_count,
    check_labels_agree,
    dtype_name,
    heads_by_layer,
    ids_by_label,
    labels_by_id,
    mapping,
    plain_integer,
    shown,
)
from .errors import ConfigError, UnsupportedArchitectureError, reject_unknown
from .files import output_folder, write_text
from .hub import push, push_saved, resolve
from .json_files import naming_config, read_config_file
from .loading_arguments import CONFIG_LOADING, CONFIG_SAVING, HUB_ARGUMENTS, hub_arguments, upload_arguments
from .transformers_types import KnownToTransformers

# Names that BERT's users and other libraries know, and the field that each of them means.
ALIASES = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "dtype": "dtype_name",
    "torch_dtype": "dtype_name",
    "_attn_implementation": "attn_implementation",
}
# Fields that other models of transformers have, with their values where nothing sets them. Nothing here reads them.
FOREIGN_FIELDS: dict[str, Any] = {
    "is_encoder_decoder": False, "is_decoder": False, "add_cross_attention": False, "cross_attention_hidden_size": None,
    "tie_encoder_decoder": False, "torchscript": False, "use_bfloat16": False, "tf_legacy_loss": False,
    "chunk_size_feed_forward": 0, "bos_token_id": None, "eos_token_id": None, "sep_token_id": None,
    "decoder_start_token_id": None, "prefix": None, "task_specific_params": None, "tokenizer_class": None,
    "finetuning_task": None, "transformers_version": None,
}  # fmt: skip
# Keys of old files. They are accepted by name and kept.
OLD_KEYS = ("tie_weights_", "output_past", "use_cache")
# They say where a configuration comes from and how it runs, and are never written.
OF_THIS_RUN: dict[str, Any] = {
    "_name_or_path": "", "_commit_hash": None, "_auto_class": None,
    # What transformers reads and sets in the configuration of a model of its own.
    "_attn_implementation_internal": None, "_experts_implementation": None, "_experts_implementation_internal": None,
}  # fmt: skip
# Where a model was read from and how it was saved.
SET_BY_SAVING = ("architectures", "dtype_name", "_name_or_path")
# They describe the labels together.
LABEL_FIELDS = ("num_labels", "id2label", "label2id")
# How near an unknown name must be to a known one, as difflib measures it, to be taken for a mistake in writing.
MISSPELT = 0.85


class DistilBertConfig(KnownToTransformers):
    """Sizes and options of one DistilBERT (arXiv 1910.01108; a BERT encoder without token types and pooler).

    Args:
        vocab_size: number of word pieces (V).
        max_position_embeddings: longest sequence in tokens.
        sinusoidal_pos_embds: use fixed sine and cosine positions instead of learned ones.
        n_layers: number of transformer blocks.
        n_heads: attention heads a block (N); must divide ``dim``.
        dim: width of the hidden states (D).
        hidden_dim: width inside the feed-forward network.
        dropout: probability of dropping an embedding or feed-forward output.
        attention_dropout: probability of dropping an attention weight.
        activation: one of ``ACTIVATIONS``; ``"gelu"`` is the exact one (erf).
        initializer_range: standard deviation of fresh weights.
        qa_dropout: dropout before the question-answering head.
        seq_classif_dropout: dropout inside the sequence-classification and multiple-choice heads.
        classifier_pooling: what the sequence-classification head reads: ``"cls"``, the first token, or ``"mean"``, the
            mean of all tokens. transformers' DistilBERT does not know this field and always reads the first token.
        pad_token_id: id of ``[PAD]``, or None.
        num_labels: number of labels (L); 2 unless ``id2label`` says otherwise.
        id2label: label names by id; string keys, as JSON has them, become int.
        label2id: the inverse; either may be absent, and is then derived from the other.
        problem_type: ``"regression"``, ``"single_label_classification"``, ``"multi_label_classification"`` or None
            (chosen from the labels at each call).
        tie_word_embeddings: the masked-LM projection shares the word embeddings.
        output_hidden_states: return all hidden states by default.
        output_attentions: return attention maps by default.
        return_dict: return output objects rather than tuples by default.
        dtype: type the weights were saved in, such as ``"float32"``. ``torch_dtype`` is an alias. Reading it gives a
            ``torch.dtype`` if PyTorch is loaded, else the name, which :attr:`dtype_name` always is.
        attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``; belongs to a run and is never saved.
        **others: aliases (``hidden_size``, ``num_hidden_layers``, ...), the fields in ``FOREIGN_FIELDS``, and fields of
            your own, which are kept and written. A name that is close to a known one counts as a mistake.

    Raises:
        ConfigError: a value cannot work; the message names the field.
        UnknownArgumentError: a misspelt argument; the message names the nearest.
    """

    transformers_type = ("transformers.configuration_utils", "PreTrainedConfig")
    model_type: ClassVar[str] = "distilbert"
    attribute_map: ClassVar[dict[str, str]] = {name: field for name, field in ALIASES.items() if name[0] != "_"}
    keys_to_ignore_at_inference: ClassVar[list[str]] = []
    base_config_key: ClassVar[str] = ""
    sub_configs: ClassVar[dict[str, Any]] = {}
    is_composition: ClassVar[bool] = False
    # What transformers asks the configuration of a model of its own: no further files, no plan to split it.
    extra_files: ClassVar[tuple[str, ...]] = ()
    extra_config_files: ClassVar[tuple[str, ...]] = ()
    base_model_tp_plan: ClassVar[dict[str, Any] | None] = None
    base_model_pp_plan: ClassVar[dict[str, Any] | None] = None
    base_model_ep_plan: ClassVar[dict[str, Any] | None] = None
    base_model_fsdp_plan: ClassVar[dict[str, Any] | None] = None

    # Always written to config.json. The constructor takes these by position too.
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True
    # Written to config.json only where they differ from these defaults.
    problem_type: str | None = None
    classifier_pooling: str = "cls"
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    dtype_name: str | None = None
    architectures: list[str] | None = None
    pruned_heads: dict[int, list[int]] = {}  # noqa: RUF012  (copied for each configuration)
    # Never written.
    attn_implementation: str | None = None
    # Set from num_labels, id2label and label2id together.
    id2label: dict[int, str]
    label2id: dict[str, int]
    extra: dict[str, Any]

    def __init__(self, *args: Any, **others: Any) -> None:
        if len(args) > len(ALWAYS_WRITTEN):
            raise ConfigError(
                f"DistilBertConfig takes {len(ALWAYS_WRITTEN)} positional arguments, {len(args)} were given."
            )
        values = dict(zip(ALWAYS_WRITTEN, args, strict=False)) | others
        self._check_model_type(values)
        if "model_type" not in values:  # it is part of to_dict(), which may hold fields of any name
            for name in others:
                self._refuse_misspelt(name)
            check_labels_agree(values)
        self._assign(values)

    @classmethod
    def _check_model_type(cls, values: Mapping[str, Any]) -> None:
        kind = values.get("model_type", cls.model_type)
        if kind not in (cls.model_type, DistilBertConfig.model_type):
            advice = " AutoConfig and the Auto classes turn a BERT into its DistilBERT twin." if kind == "bert" else ""
            raise UnsupportedArchitectureError(
                f"This is the configuration of a {shown(kind)}, not of a DistilBERT.{advice}"
            )

    @classmethod
    def _refuse_misspelt(cls, name: str) -> None:
        known = [*ARGUMENTS, *own_parameters(cls)]
        if name in known or name.startswith("_") or hasattr(cls, name):
            return
        if difflib.get_close_matches(name, known, n=1, cutoff=MISSPELT):
            reject_unknown([name], known, cls.__name__)

    def _assign(self, values: Mapping[str, Any]) -> None:
        named: dict[str, Any] = {}
        for name, value in values.items():
            target = ALIASES.get(name, name)
            if target == "dtype_name":
                value = dtype_name(value)
                if name != "dtype" and named.get(target) is not None:
                    continue
            elif target in named and named[target] != value:
                raise ConfigError(f"{name!r} means the field {target!r}, which was given too, with another value.")
            named[target] = value
        for name, default in DEFAULTS.items():
            value = named.pop(name, default)
            if value is None and isinstance(default, bool):
                value = default
            object.__setattr__(self, name, copy.deepcopy(plain_integer(value)))
        self.pruned_heads = heads_by_layer(self.pruned_heads or {}, self.n_layers)
        self._assign_labels(named.pop("num_labels", None), named.pop("id2label", None), named.pop("label2id", None))
        named.pop("model_type", None)
        if "name_or_path" in named:
            named["_name_or_path"] = named.pop("name_or_path")
        for name, value in named.items():
            self._keep(name, value)
        self.validate()

    def _assign_labels(self, num_labels: int | None, id2label: Any, label2id: Any) -> None:
        num_labels = plain_integer(num_labels)
        label2id = None if label2id is None else ids_by_label(label2id)
        if id2label is None and label2id is not None:
            id2label = {number: label for label, number in label2id.items()}
            if len(id2label) < len(label2id):
                raise ConfigError(f"label2id must give each label a number of its own, got {shown(label2id)}.")
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
            return
        self.id2label = labels_by_id(id2label)
        count = len(self.id2label)
        if count and sorted(self.id2label) == list(range(1, count + 1)):
            if num_labels == count + 1:  # output 0 has no name
                self.id2label = {0: "LABEL_0", **dict(sorted(self.id2label.items()))}
            else:
                self.id2label = {number - 1: label for number, label in sorted(self.id2label.items())}
                warnings.warn(
                    f"id2label counts from 1, and outputs count from 0: output 0 is {shown(self.id2label[0])}.",
                    stacklevel=4,
                )
            label2id = None
        if num_labels is not None and num_labels != len(self.id2label):
            self.num_labels = num_labels  # a new number makes old names meaningless
            return
        self.label2id = label2id or {label: index for index, label in self.id2label.items()}

    def _keep(self, name: str, value: Any) -> None:
        """Keep a field that is not a DistilBERT's own."""
        if name in OF_THIS_RUN or name in own_fields(type(self)):
            object.__setattr__(self, name, value)
        else:
            self.__dict__.setdefault("extra", {})[name] = value

    def validate(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a value is of the wrong type, out of range, or does not fit another one.
        """
        check_config(self)

    @property
    def num_labels(self) -> int:
        """Number of labels (L). Setting another number replaces the names by ``LABEL_0``, ``LABEL_1``, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        number = plain_integer(number)
        check_count("num_labels", number, MOST_LABELS)
        if number != len(getattr(self, "id2label", {})):
            self.id2label = {index: f"LABEL_{index}" for index in range(number)}
            self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether the models return output objects: ``return_dict``, unless ``torchscript`` asks for tuples."""
        return self.return_dict and not self.extra.get("torchscript", False)

    @property
    def dtype(self) -> Any:
        """Type the weights were saved in: a ``torch.dtype`` if PyTorch is loaded, else its name; None if not known."""
        torch: Any = sys.modules.get("torch")
        name = self.dtype_name
        return name if name is None or torch is None else getattr(torch, name, name)

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self.dtype_name = dtype_name(value)

    @property
    def torch_dtype(self) -> Any:
        """The older name of :attr:`dtype`."""
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, value: Any) -> None:
        self.dtype = value

    @property
    def _attn_implementation(self) -> str:
        """The attention implementation in use."""
        return self.attn_implementation or "sdpa"

    @property
    def name_or_path(self) -> str:
        """Where the configuration was read: a folder or a name; empty for a new one."""
        return str(self._name_or_path)

    @name_or_path.setter
    def name_or_path(self, value: Any) -> None:
        self._name_or_path = os.fspath(value)

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        extra = self.__dict__.get("extra", {})
        for fields in (extra, FOREIGN_FIELDS, OF_THIS_RUN):
            if name in fields:
                return fields[name]
        if name == "extra":
            return self.__dict__.setdefault("extra", {})
        raise AttributeError(f"{type(self).__name__} has no field {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("dtype", "torch_dtype", "num_labels", "name_or_path"):
            object.__setattr__(self, name, value)
            return
        name = ALIASES.get(name, name)
        value = plain_integer(value)
        if name == "pruned_heads":
            value = heads_by_layer(value or {}, self.n_layers)
        elif name == "id2label":
            value = labels_by_id(value)
        elif name == "label2id":
            value = ids_by_label(value)
        if name in DistilBertConfig.__annotations__:
            object.__setattr__(self, name, value)
            return
        if name not in self.extra:
            self._refuse_misspelt(name)
        self._keep(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.extra:
            del self.extra[name]
        else:
            object.__delattr__(self, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistilBertConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a configuration is mutable

    def __repr__(self) -> str:
        return f"DistilBertConfig {self.to_json_string()}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields; the constructor takes them."""
        values: dict[str, Any] = {
            name: value for name, value in FOREIGN_FIELDS.items() if name != "transformers_version"
        }
        values |= {WRITTEN_AS.get(name, name): getattr(self, name) for name in (*ALWAYS_WRITTEN, *WRITTEN_IF_SET)}
        return copy.deepcopy(values | {"id2label": self.id2label, "label2id": self.label2id} | self.to_diff_dict())

    def to_diff_dict(self) -> dict[str, Any]:
        """Return what belongs in ``config.json``: the sizes, and all else that differs from the defaults."""
        values: dict[str, Any] = {"model_type": self.model_type}
        values |= {name: getattr(self, name) for name in ALWAYS_WRITTEN}
        for name in WRITTEN_IF_SET:
            if getattr(self, name) != DEFAULTS[name]:
                values[WRITTEN_AS.get(name, name)] = getattr(self, name)
        values |= {name: getattr(self, name) for name in own_fields(type(self))}
        if self.id2label != {0: "LABEL_0", 1: "LABEL_1"}:
            values |= {"id2label": self.id2label, "label2id": self.label2id}
        return copy.deepcopy(self.extra | values)

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return :meth:`to_diff_dict`, or with ``use_diff=False`` :meth:`to_dict`, as indented JSON.

        Raises:
            ConfigError: a field that you added cannot be written as JSON.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        try:
            return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        except (TypeError, ValueError, RecursionError):
            for name, value in values.items():
                try:
                    json.dumps(value)
                except (TypeError, ValueError, RecursionError):
                    raise ConfigError(
                        f"The field {name!r} of the configuration cannot be written as JSON, it holds {shown(value)}."
                    ) from None
            raise

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write :meth:`to_json_string` into a file."""
        write_text(Path(json_file_path), self.to_json_string(use_diff))

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set several fields.

        Raises:
            ConfigError: a value cannot work; no field has been changed then.
        """
        before = copy.deepcopy(self.__dict__)
        try:
            for name, value in config_dict.items():
                setattr(self, name, value)
            self.pruned_heads = heads_by_layer(self.pruned_heads, self.n_layers)
            self.validate()
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def update_from_string(self, update_str: str) -> None:
        """Set several fields from text such as ``"n_layers=3,dropout=0.2"``; each keeps the type that it has.

        Raises:
            ConfigError: a value is not of the field's type, or the field does not exist.
        """
        values: dict[str, Any] = {}
        for item in update_str.split(","):
            name, _, text = item.strip().partition("=")
            present = getattr(self, name, None)
            if present is None:
                raise ConfigError(f"{name!r} is no field whose type is known; set it in Python.")
            try:
                values[name] = text if isinstance(present, str) else json.loads(text.lower())
            except (ValueError, RecursionError):
                values[name] = None
            if type(values[name]) is not type(present) and not (
                isinstance(present, float) and type(values[name]) is int
            ):
                raise ConfigError(f"{name} must be of type {type(present).__name__}, got {shown(text)}.")
        self.update(values)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Self:
        """Return this configuration: a DistilBERT reads text only, and has no decoder."""
        return self

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], *, return_unused_kwargs: bool = False, **overrides: Any) -> Any:
        """Build a configuration from the content of a ``config.json``; keys it does not know are kept in ``extra``.

        Args:
            config_dict: the dictionary; a ``model_type`` other than ``"distilbert"`` is an error.
            return_unused_kwargs: return a pair: the configuration, and the overrides that it has no use for.
            **overrides: arguments of the constructor that replace values of the file. A new ``id2label``, ``label2id``
                or another ``num_labels`` replaces all that the file says about labels.
        """
        values = mapping("The content of config.json", config_dict)
        cls._check_model_type(values)
        known = {*ARGUMENTS, *own_parameters(cls), *values}
        unused = {name: value for name, value in overrides.items() if return_unused_kwargs and name not in known}
        overrides = {name: value for name, value in overrides.items() if name not in unused}
        reject_unknown(overrides, known, cls.__name__)
        check_labels_agree(overrides)
        replaced = {ALIASES.get(name, name) for name in overrides}
        if replaced & set(LABEL_FIELDS) and not _keeps_labels(values, overrides):
            replaced.update(LABEL_FIELDS)
        merged = {name: value for name, value in values.items() if ALIASES.get(name, name) not in replaced} | overrides
        accepted = {*ARGUMENTS, *own_parameters(cls)}
        arguments = {name: value for name, value in merged.items() if name in accepted}
        config = cls(**arguments, model_type=cls.model_type)
        for name in merged.keys() - accepted - {"model_type"}:
            config._keep(name, merged[name])
        return (config, unused) if return_unused_kwargs else config

    def replaced(self, fields: Mapping[str, Any]) -> Self:
        """Return a copy in which some fields have other values, given as to the constructor."""
        copied: Self = self.from_dict(self.to_dict(), **fields)
        if not {"attn_implementation", "_attn_implementation"} & fields.keys():
            copied.attn_implementation = self.attn_implementation
        return copied

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str], **overrides: Any) -> Self:
        """Read a ``config.json``."""
        values = read_config_file(Path(path))
        with naming_config(Path(path), field_names(overrides)):
            config: Self = cls.from_dict(values, **overrides)
        return config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the content of ``config.json`` as it is.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            **options: as in :meth:`from_pretrained`.

        Returns:
            The content, and the options that do not say where it is.
        """
        where = f"{cls.__name__}.get_config_dict"
        _, values, chosen = find_config(pretrained_model_name_or_path, options, where)
        return values, {name: value for name, value in chosen.items() if name not in CONFIG_LOADING.rows}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        return_unused_kwargs: bool = False,
        **options: Any,
    ) -> Any:
        """Read the configuration of a model folder, or of a model on the hub.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            cache_dir: where downloads are kept.
            revision: branch, tag or commit on the hub.
            token: access token for the hub.
            local_files_only: never open a connection.
            force_download: fetch again what is in the cache.
            subfolder: folder inside the model's folder.
            return_unused_kwargs: return a pair: the configuration, and the arguments that it has no use for.
            **options: fields that replace those of the file; and other arguments that are known from transformers, see
                :data:`distilbert.core.loading_arguments.CONFIG_LOADING`.

        Raises:
            ModelNotFoundError: there is no such model.
            ConfigError: the file is not valid JSON or holds an impossible value.
        """
        given = locals()
        where = f"{cls.__name__}.from_pretrained"
        options = {name: given[name] for name in HUB_ARGUMENTS} | options
        folder, values, chosen = find_config(pretrained_model_name_or_path, options, where)
        fields, unused = split_fields(chosen, values, where, cls, return_unused=return_unused_kwargs)
        with naming_config(folder / "config.json", field_names(fields)):
            config = cls.from_dict(values, **fields)
        config.name_or_path = pretrained_model_name_or_path
        return (config, unused) if return_unused_kwargs else config

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *, push_to_hub: bool = False, **options: Any
    ) -> None:
        """Write ``config.json`` into a folder, which is created if needed.

        Args:
            save_directory: the folder.
            push_to_hub: upload it afterwards.
            **options: those of :func:`distilbert.core.hub.push`, for the upload; and other arguments that are known
                from transformers, see :data:`distilbert.core.loading_arguments.CONFIG_SAVING`.
        """
        upload = upload_arguments(CONFIG_SAVING.check(options, f"{type(self).__name__}.save_pretrained"))
        self.validate()
        text = self.to_json_string()
        write_text(output_folder(save_directory) / "config.json", text)
        if push_to_hub:
            push(save_directory, upload.pop("repo_id", Path(save_directory).name), **upload)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload ``config.json`` to the hub; arguments as :func:`distilbert.core.hub.push`."""
        upload = upload_arguments(CONFIG_SAVING.check(options, f"{type(self).__name__}.push_to_hub"))
        return push_saved(self.save_pretrained, repo_id, **upload)


def call_options(config: DistilBertConfig) -> str:
    """Return what a call may depend on, as text: a compiled function of a model is out of date where it has changed.

    This is the whole configuration, except for what saving a model writes into it.
    """
    fields = vars(config) | {"extra": config.extra}
    return repr({name: value for name, value in fields.items() if name not in SET_BY_SAVING})


def _keeps_labels(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> bool:
    """Return whether the labels of a file remain: the overrides have no names, and as many labels as the file."""
    if "id2label" in overrides or "label2id" in overrides:
        return False
    names = values.get("id2label") or values.get("label2id")
    return isinstance(names, Mapping) and len(names) == overrides["num_labels"]


def field_names(names: Iterable[str]) -> set[str]:
    """Return arguments of the constructor by the names of the fields that they set."""
    return {ALIASES.get(name, name) for name in names}


def find_config(
    name_or_path: str | os.PathLike[str], options: Mapping[str, Any], where: str
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Find a model's folder for the ``from_pretrained`` of a configuration, and read its ``config.json``.

    Args:
        name_or_path: a folder, or a name on the hub.
        options: all arguments.
        where: the function that was called, for messages.

    Returns:
        The folder, the content of the file, and the arguments that mean something.

    Raises:
        ModelNotFoundError: there is no such model.
        ConfigError: the file is not valid JSON.
        InputError: an argument is refused.
    """
    chosen = CONFIG_LOADING.keep_meaningful(options, where)
    folder = resolve(name_or_path, kind="config", **hub_arguments(chosen))
    return folder, read_config_file(folder / "config.json"), chosen


def split_fields(
    options: Mapping[str, Any],
    values: Mapping[str, Any],
    where: str,
    config_class: type[DistilBertConfig] = DistilBertConfig,
    *,
    return_unused: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields among the arguments of a configuration's ``from_pretrained``, and what has no use.

    Args:
        options: all arguments.
        values: the content of ``config.json``; its keys are fields too.
        where: the function that was called, for messages.
        config_class: of the configuration.
        return_unused: whether there may be arguments that have no use.

    Raises:
        UnknownArgumentError: there are some, and may not be.
    """
    known = [*ARGUMENTS, *own_parameters(config_class), *values]
    rest = {name: value for name, value in options.items() if name not in CONFIG_LOADING.rows}
    unused = {name: value for name, value in rest.items() if return_unused and name not in known}
    fields = {name: value for name, value in rest.items() if name not in unused}
    CONFIG_LOADING.check(fields, where, known)
    return fields, unused


def own_fields(config_class: type[DistilBertConfig]) -> list[str]:
    """Return the fields that a subclass declares in its body: ``depth: int = 3``."""
    classes = config_class.__mro__[: config_class.__mro__.index(DistilBertConfig)]
    ours = {*vars(DistilBertConfig), *DistilBertConfig.__annotations__}
    declared = {name: value for each in reversed(classes) for name, value in vars(each).items()}
    return [
        name
        for name, value in declared.items()
        if name not in ours and not name.startswith("_") and not callable(value)
        and not isinstance(value, (property, classmethod, staticmethod))
    ]  # fmt: skip


def own_parameters(config_class: type[DistilBertConfig]) -> list[str]:
    """Return the fields of a subclass: those in its body, and the arguments of its constructor."""
    if config_class is DistilBertConfig:
        return []
    parameters = inspect.signature(config_class).parameters.values()
    named = [each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return [*own_fields(config_class), *named]


# The three groups of fields, in the order of the class above.
_FIELDS = [
    name for name in DistilBertConfig.__annotations__
    if name in vars(DistilBertConfig) and "ClassVar" not in str(DistilBertConfig.__annotations__[name])
]  # fmt: skip
DEFAULTS: dict[str, Any] = {name: vars(DistilBertConfig)[name] for name in _FIELDS}
ALWAYS_WRITTEN = tuple(_FIELDS[: _FIELDS.index("problem_type")])
WRITTEN_IF_SET = tuple(_FIELDS[_FIELDS.index("problem_type") : _FIELDS.index("attn_implementation")])
WRITTEN_AS = {"dtype_name": "dtype"}
# Everything that the constructor takes by name.
ARGUMENTS = (
    *(name for name in DEFAULTS if name not in WRITTEN_AS), *ALIASES, *FOREIGN_FIELDS, *OLD_KEYS, *OF_THIS_RUN,
    "name_or_path", "num_labels", "id2label", "label2id",
)  # fmt: skip

# The names of the base class in transformers 4 and 5. There is one class here.
PretrainedConfig = PreTrainedConfig = DistilBertConfig
