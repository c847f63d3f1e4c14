"""The configuration of a DistilBERT: sizes, dropouts, labels; reading and writing ``config.json``."""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from .errors import ConfigError, UnsupportedArchitectureError, reject_unknown
from .files import output_folder, read_config_file, write_json
from .hub import push, push_saved, resolve
from .loading_arguments import CONFIG_LOADING, CONFIG_SAVING, HUB_ARGUMENTS, hub_arguments, upload_arguments

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
# Names that BERT's users and other libraries know, and the field that each of them means.
ALIASES = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "torch_dtype": "dtype",
    "_attn_implementation": "attn_implementation",
}
# Keys that other libraries write. They are accepted by name and kept in ``extra``, and nothing here reads them.
FOREIGN_KEYS = (
    "_name_or_path", "transformers_version", "finetuning_task", "tie_weights_", "output_past", "torchscript",
    "use_bfloat16", "use_cache", "chunk_size_feed_forward", "is_encoder_decoder", "is_decoder", "add_cross_attention",
    "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id", "prefix", "task_specific_params",
    "tokenizer_class",
)  # fmt: skip


class DistilBertConfig:
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
        pad_token_id: id of ``[PAD]``, or None.
        num_labels: number of labels (L); 2 unless ``id2label`` says otherwise.
        id2label: label names by id; string keys, as JSON has them, become int.
        label2id: the inverse; derived from ``id2label`` where absent.
        problem_type: ``"regression"``, ``"single_label_classification"``, ``"multi_label_classification"`` or None
            (chosen from the labels at each call).
        tie_word_embeddings: the masked-LM projection shares the word embeddings.
        output_hidden_states: return all hidden states by default.
        output_attentions: return attention maps by default.
        return_dict: return output objects rather than tuples by default.
        dtype: name of the type the weights were saved in, such as ``"float32"``. ``torch_dtype`` is an alias.
        attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``; belongs to a run and is never saved.
        **others: aliases (``hidden_size``, ``num_hidden_layers``, ...) and the keys of ``FOREIGN_KEYS``.

    Raises:
        ConfigError: a value cannot work; the message names the field.
        UnknownArgumentError: an argument that is none of these; the message names the nearest.
    """

    model_type: ClassVar[str] = "distilbert"

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
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    dtype: str | None = None
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
        values = dict(zip(ALWAYS_WRITTEN, args, strict=False))
        reject_unknown(others, ARGUMENTS, "DistilBertConfig")
        self._assign(values | others)

    def _assign(self, values: Mapping[str, Any]) -> None:
        named: dict[str, Any] = {}
        for name, value in values.items():
            target = ALIASES.get(name, name)
            if target in named and named[target] != value:
                raise ConfigError(f"{name!r} means the field {target!r}, which was given too, with another value.")
            named[target] = value
        self.extra = {}
        for name, default in DEFAULTS.items():
            object.__setattr__(self, name, copy.deepcopy(named.pop(name, default)))
        self.dtype = _dtype_name(self.dtype)
        self.pruned_heads = {int(layer): sorted(heads) for layer, heads in (self.pruned_heads or {}).items()}
        self._assign_labels(named.pop("num_labels", None), named.pop("id2label", None), named.pop("label2id", None))
        named.pop("model_type", None)
        self.extra.update(named)
        self.validate()

    def _assign_labels(self, num_labels: int | None, id2label: Any, label2id: Any) -> None:
        if id2label is None and label2id is not None:
            id2label = {index: label for label, index in label2id.items()}
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
            return
        try:
            self.id2label = {int(index): str(label) for index, label in id2label.items()}
        except (AttributeError, TypeError, ValueError):
            raise ConfigError(f"id2label must map integers to names, got {id2label!r}.") from None
        count = len(self.id2label)
        if count and sorted(self.id2label) == list(range(1, count + 1)):
            if num_labels == count + 1:  # output 0 has no name
                self.id2label = {0: "LABEL_0", **dict(sorted(self.id2label.items()))}
            else:
                self.id2label = {number - 1: label for number, label in sorted(self.id2label.items())}
                warnings.warn(
                    f"id2label counts from 1, and outputs count from 0: output 0 is {self.id2label[0]!r}.", stacklevel=4
                )
            label2id = None
        if num_labels is not None and num_labels != len(self.id2label):
            self.num_labels = num_labels  # a new number makes old names meaningless
            return
        self.label2id = dict(label2id) if label2id else {label: index for index, label in self.id2label.items()}

    def validate(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a value is of the wrong type, out of range, or does not fit another one.
        """
        for name in ("vocab_size", "max_position_embeddings", "n_layers", "n_heads", "dim", "hidden_dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a positive integer, got {value!r}.")
        for name in ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigError(f"{name} must be a probability between 0 and 1, got {value!r}.")
        if not isinstance(self.initializer_range, (int, float)) or self.initializer_range < 0:
            raise ConfigError(f"initializer_range must be a number of at least 0, got {self.initializer_range!r}.")
        if self.dim % self.n_heads:
            raise ConfigError(f"dim must be a multiple of n_heads, got dim {self.dim} and n_heads {self.n_heads}.")
        for name, choices in (("activation", ACTIVATIONS), ("problem_type", PROBLEM_TYPES)):
            value = getattr(self, name)
            if value not in choices and not (name == "problem_type" and value is None):
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
        if self.attn_implementation is not None and self.attn_implementation not in ATTENTIONS:
            raise ConfigError(
                f"attn_implementation must be one of {', '.join(ATTENTIONS)}, got {self.attn_implementation!r}."
            )
        if self.pad_token_id is not None and not 0 <= self.pad_token_id < self.vocab_size:
            raise ConfigError(f"pad_token_id {self.pad_token_id} is outside the vocabulary of {self.vocab_size}.")
        if sorted(self.id2label) != list(range(len(self.id2label))):
            raise ConfigError(f"id2label must number its labels 0 to {len(self.id2label) - 1}, got {self.id2label!r}.")
        for layer, heads in self.pruned_heads.items():
            if not 0 <= layer < self.n_layers or not set(heads) < set(range(self.n_heads)):
                raise ConfigError(
                    f"pruned_heads[{layer}] = {heads} must name some, not all, of {self.n_heads} heads "
                    f"of one of {self.n_layers} layers."
                )

    @property
    def num_labels(self) -> int:
        """Number of labels (L). Setting another number replaces the names by ``LABEL_0``, ``LABEL_1``, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigError(f"num_labels must be a positive integer, got {number!r}.")
        if number != len(getattr(self, "id2label", {})):
            self.id2label = {index: f"LABEL_{index}" for index in range(number)}
            self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether the models return output objects: ``return_dict``, unless ``torchscript`` asks for tuples."""
        return self.return_dict and not self.extra.get("torchscript", False)

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        if name != "extra" and name in self.__dict__.get("extra", {}):
            return self.extra[name]
        raise AttributeError(f"DistilBertConfig has no field {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        name = ALIASES.get(name, name)
        if name in self.__dict__.get("extra", {}) or name in FOREIGN_KEYS:
            self.extra[name] = value
        elif name in type(self).__annotations__ or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            reject_unknown([name], ARGUMENTS, "DistilBertConfig")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistilBertConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a configuration is mutable

    def __repr__(self) -> str:
        return f"DistilBertConfig {self.to_json_string()}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything that belongs in ``config.json``."""
        values: dict[str, Any] = {"model_type": self.model_type}
        values |= {name: getattr(self, name) for name in ALWAYS_WRITTEN}
        values |= {name: getattr(self, name) for name in WRITTEN_IF_SET if getattr(self, name) != DEFAULTS[name]}
        if self.id2label != {0: "LABEL_0", 1: "LABEL_1"}:
            values |= {"id2label": self.id2label, "label2id": self.label2id}
        return copy.deepcopy(self.extra | values)

    def to_json_string(self) -> str:
        """Return :meth:`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> Self:
        """Build a configuration from the content of a ``config.json``; keys it does not know are kept in ``extra``.

        Args:
            values: the dictionary; a ``model_type`` other than ``"distilbert"`` is an error.
            **overrides: arguments of the constructor that replace values of the file.
        """
        kind = values.get("model_type", cls.model_type)
        if kind != cls.model_type:
            advice = " AutoConfig and the Auto classes turn a BERT into its DistilBERT twin." if kind == "bert" else ""
            raise UnsupportedArchitectureError(f"This is the configuration of a {kind!r}, not of a DistilBERT.{advice}")
        reject_unknown(overrides, ARGUMENTS, "DistilBertConfig")
        merged = {ALIASES.get(name, name): value for name, value in values.items()}
        merged |= {ALIASES.get(name, name): value for name, value in overrides.items()}
        if "num_labels" in overrides and "id2label" not in overrides and "label2id" not in overrides:
            labels = merged.get("id2label") or {}
            if len(labels) != overrides["num_labels"]:
                merged.pop("id2label", None)
                merged.pop("label2id", None)
        if "id2label" in overrides:
            merged.pop("num_labels", None)
            if "label2id" not in overrides:
                merged.pop("label2id", None)
        config = cls.__new__(cls)
        config._assign(merged)
        return config

    def replaced(self, fields: Mapping[str, Any]) -> Self:
        """Return a copy in which some fields have other values, given as to the constructor."""
        copied = self.from_dict(self.to_dict(), **fields)
        if not {"attn_implementation", "_attn_implementation"} & fields.keys():
            copied.attn_implementation = self.attn_implementation
        return copied

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str], **overrides: Any) -> Self:
        """Read a ``config.json``."""
        return cls.from_dict(read_config_file(Path(path)), **overrides)

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
        place = {name: given[name] for name in HUB_ARGUMENTS} | options
        chosen = split_options(place, f"{cls.__name__}.from_pretrained", return_unused=return_unused_kwargs)
        folder = resolve(pretrained_model_name_or_path, kind="config", **chosen.hub)
        config = cls.from_json_file(folder / "config.json", **chosen.fields)
        return (config, chosen.unused) if return_unused_kwargs else config

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
        write_json(output_folder(save_directory) / "config.json", self.to_dict())
        if push_to_hub:
            push(save_directory, upload.pop("repo_id", Path(save_directory).name), **upload)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload ``config.json`` to the hub; arguments as :func:`distilbert.core.hub.push`."""
        upload = upload_arguments(CONFIG_SAVING.check(options, f"{type(self).__name__}.push_to_hub"))
        return push_saved(self.save_pretrained, repo_id, **upload)


@dataclass(frozen=True)
class ConfigOptions:
    """The arguments of a configuration's ``from_pretrained``, sorted.

    Attributes:
        hub: those of :func:`distilbert.core.hub.resolve`.
        fields: fields of the configuration.
        unused: anything else, where it is not an error.
    """

    hub: dict[str, Any]
    fields: dict[str, Any]
    unused: dict[str, Any]


def split_options(options: Mapping[str, Any], where: str, *, return_unused: bool) -> ConfigOptions:
    """Sort the arguments of ``from_pretrained``.

    Args:
        options: name -> value.
        where: the function that was called, for messages.
        return_unused: whether names that are not known are returned, rather than an error.

    Raises:
        UnknownArgumentError: a name is not known.
        InputError: an argument asks for something that does not exist here.
    """
    known = {*CONFIG_LOADING.rows, *ARGUMENTS}
    unused = {name: value for name, value in options.items() if return_unused and name not in known}
    kept = {name: value for name, value in options.items() if name not in unused}
    kept = CONFIG_LOADING.check(kept, where, ARGUMENTS)
    fields = {name: value for name, value in kept.items() if name not in CONFIG_LOADING.rows}
    return ConfigOptions(hub_arguments(kept), fields, unused)


# The three groups of fields, in the order of the class above.
_FIELDS = [name for name in DistilBertConfig.__annotations__ if name in vars(DistilBertConfig) and name != "model_type"]
DEFAULTS: dict[str, Any] = {name: vars(DistilBertConfig)[name] for name in _FIELDS}
ALWAYS_WRITTEN = tuple(_FIELDS[: _FIELDS.index("problem_type")])
WRITTEN_IF_SET = tuple(_FIELDS[_FIELDS.index("problem_type") : _FIELDS.index("attn_implementation")])
# Everything that the constructor takes by name.
ARGUMENTS = (*DEFAULTS, *ALIASES, *FOREIGN_KEYS, "num_labels", "id2label", "label2id")


def _dtype_name(dtype: Any) -> str | None:
    """Return the bare name of a type: ``torch.float16`` and ``"torch.float16"`` become ``"float16"``."""
    if dtype is None:
        return None
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    return name.removeprefix("torch.")
