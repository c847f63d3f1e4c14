"""What the fields of a configuration may hold. Values may come from a file that anyone wrote, so none is trusted."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
# Sizes and their largest values. They are far above every real model, and small enough that the names and shapes of
# all tensors can be listed at once.
LARGEST = {
    "vocab_size": 10_000_000,
    "max_position_embeddings": 10_000_000,
    "n_layers": 1_000,
    "n_heads": 10_000,
    "dim": 100_000,
    "hidden_dim": 1_000_000,
}
FLAGS = ("sinusoidal_pos_embds", "tie_word_embeddings", "output_hidden_states", "output_attentions", "return_dict")
CLASSIFIER_POOLINGS = ("cls", "mean")
MOST_LABELS = 1_000_000
SHOWN = 80  # characters of a value in a message


def check_config(config: Any) -> None:
    """Check every field of a :class:`~distilbert.core.config.DistilBertConfig`.

    Raises:
        ConfigError: a value is of the wrong type, out of range, or does not fit another one.
    """
    for name, largest in LARGEST.items():
        check_count(name, getattr(config, name), largest)
    for name in ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"):
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ConfigError(f"{name} must be a probability between 0 and 1, got {shown(value)}.")
    for name in FLAGS:
        check_flag(name, getattr(config, name))
    deviation = config.initializer_range
    if isinstance(deviation, bool) or not isinstance(deviation, (int, float)) or not 0 <= deviation < math.inf:
        raise ConfigError(f"initializer_range must be a number of at least 0, got {shown(deviation)}.")
    if config.dim % config.n_heads:
        raise ConfigError(f"dim must be a multiple of n_heads, got dim {config.dim} and n_heads {config.n_heads}.")
    check_choice("activation", config.activation, ACTIVATIONS)
    check_choice("classifier_pooling", config.classifier_pooling, CLASSIFIER_POOLINGS)
    for name, choices in (("problem_type", PROBLEM_TYPES), ("attn_implementation", ATTENTIONS)):
        if getattr(config, name) is not None:
            check_choice(name, getattr(config, name), choices)
    padding = config.pad_token_id
    if padding is not None:
        if isinstance(padding, bool) or not isinstance(padding, int):
            raise ConfigError(f"pad_token_id must be an integer or None, got {shown(padding)}.")
        if not 0 <= padding < config.vocab_size:
            raise ConfigError(f"pad_token_id {padding} is outside the vocabulary of {config.vocab_size}.")
    names = config.architectures
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"architectures must be a list of names, got {shown(names)}.")
    check_labels(config)
    for layer, heads in config.pruned_heads.items():
        if not 0 <= layer < config.n_layers or not set(heads) < set(range(config.n_heads)):
            raise ConfigError(
                f"pruned_heads[{layer}] = {shown(heads)} must name some, not all, of {config.n_heads} heads "
                f"of one of {config.n_layers} layers."
            )


def check_labels(config: Any) -> None:
    """Check that the labels are numbered from 0, and that ``label2id`` maps names to numbers."""
    numbers = list(mapping("id2label", config.id2label))
    if numbers != list(range(len(numbers))):  # the usual order needs no more
        numbers = sorted(int_key("id2label", number) for number in numbers)
    if numbers != list(range(len(numbers))):
        raise ConfigError(f"id2label must number its labels 0 to {len(numbers) - 1}, got {shown(config.id2label)}.")
    check_count("num_labels", len(numbers), MOST_LABELS)
    values = mapping("label2id", config.label2id).values()
    for number in values if set(map(type, values)) != {int} else ():
        int_key("label2id", number)


def check_labels_agree(given: Mapping[str, Any]) -> None:
    """Check that the arguments ``num_labels``, ``id2label`` and ``label2id`` say the same, as far as they are given.

    A file is not checked: transformers writes and reads ones whose ``label2id`` is out of date.
    """
    id2label = None if given.get("id2label") is None else labels_by_id(given["id2label"])
    label2id = ids_by_label(given["label2id"]) if given.get("label2id") else None
    if id2label is not None and label2id is not None:
        differs = any(id2label.get(number) != label for label, number in label2id.items())
        if differs or not set(id2label.values()) <= label2id.keys():
            raise ConfigError(
                f"label2id must be the inverse of id2label, got {shown(label2id)} and {shown(id2label)}. "
                "Leave one of them out."
            )
    numbers = list((id2label or {}).keys() or (label2id or {}).values())
    number = given.get("num_labels")
    counts_from_1 = sorted(numbers) == list(range(1, len(numbers) + 1))
    if number is not None and numbers and number not in (len(numbers), len(numbers) + counts_from_1):
        name = "label2id" if id2label is None else "id2label"
        raise ConfigError(
            f"num_labels is {shown(number)}, but {name} names {len(numbers)} labels. Leave one of them out."
        )


def check_count(name: str, value: Any, largest: int) -> None:
    """Check that a value is an integer from 1 to ``largest``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a positive integer, got {shown(value)}.")
    if value > largest:
        raise ConfigError(f"{name} must be at most {largest}, got {shown(value)}.")


def check_flag(name: str, value: Any) -> None:
    """Check that a value is True or False; files also hold them as 1 and 0."""
    if not isinstance(value, int) or value not in (0, 1):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}.")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Check that a value is one of several."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}.")


def labels_by_id(id2label: Any) -> dict[int, str]:
    """Return label names by number; the keys may be text, as JSON has them."""
    if not isinstance(id2label, Mapping):
        raise ConfigError(f"id2label must map integers to names, got {shown(id2label)}.")
    check_count("num_labels", len(id2label), MOST_LABELS)
    return {int_key("id2label", number): str(label) for number, label in id2label.items()}


def ids_by_label(label2id: Any) -> dict[str, int]:
    """Return the numbers of labels by name; they may be text."""
    return {str(label): int_key("label2id", number) for label, number in mapping("label2id", label2id).items()}


def heads_by_layer(pruned_heads: Any, n_layers: Any) -> dict[int, list[int]]:
    """Return the pruned heads of each layer, sorted; the keys may be text, as JSON has them, or count from the end."""
    result: dict[int, set[int]] = {}
    for layer, heads in mapping("pruned_heads", pruned_heads).items():
        if isinstance(heads, (str, bytes, Mapping)) or not hasattr(heads, "__iter__"):
            raise ConfigError(f"pruned_heads must map layers to lists of heads, got {shown(heads)}.")
        number = int_key("pruned_heads", layer)
        if isinstance(n_layers, int) and -n_layers <= number < 0:
            number += n_layers
        result.setdefault(number, set()).update(int_key("pruned_heads", head) for head in heads)
    return {layer: sorted(heads) for layer, heads in result.items()}


def mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """Return a value that must be a dictionary."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dictionary, got {shown(value)}.")
    return value


def plain_integer(value: Any) -> Any:
    """Return an integer of NumPy or PyTorch as an int of Python, and any other value as it is."""
    if isinstance(value, int):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value


def int_key(name: str, value: Any) -> int:
    """Return an integer that may be text."""
    value = plain_integer(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return int(value)
    kind = "map integers to names" if name == "id2label" else "hold integers"
    raise ConfigError(f"{name} must {kind}, got {shown(value)}.")


def dtype_name(dtype: Any) -> str | None:
    """Return the bare name of a type: ``torch.float16`` and ``"torch.float16"`` become ``"float16"``."""
    if dtype is None:
        return None
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    name = name.removeprefix("torch.")
    if not re.fullmatch(r"[A-Za-z]\w{0,30}", name):
        raise ConfigError(f"dtype must be the name of a type, such as 'float32', got {shown(dtype)}.")
    return name


def shown(value: Any) -> str:
    """Return a value for a message, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a very large {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
