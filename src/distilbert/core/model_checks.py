"""What the models of every framework refuse, in the same words.

Legend: B batch, C choices, S sequence, D dim, N heads. The functions see shapes, types and NumPy arrays; only
:func:`seen_keys` sees a tensor, with operators that every framework has. A size is None in a shape where a graph is
being traced and the size is not known yet; an unknown size fits everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .config import DistilBertConfig
from .errors import ConfigError, DeviceError, InputError

IGNORED = -100  # the label of a token without a loss

Shape = tuple[int | None, ...]

# The arguments of a call, for the suggestion that an error about an unknown one makes.
CALL_ARGUMENTS = (
    "input_ids", "attention_mask", "head_mask", "inputs_embeds", "position_ids", "token_type_ids", "labels",
    "start_positions", "end_positions", "output_attentions", "output_hidden_states", "return_dict",
)  # fmt: skip


# Configurations -------------------------------------------------------------------------------------------------------


def check_config_type(config: object, where: str) -> None:
    """Check that a model gets a configuration of this package.

    Args:
        config: what it got.
        where: the class or function that takes it, for the message.

    Raises:
        ConfigError: it is something else, such as the configuration of transformers that has the same name.
    """
    if isinstance(config, DistilBertConfig):
        return
    given = type(config)
    name = given.__name__ if given.__module__ == "builtins" else f"{given.__module__}.{given.__name__}"
    advice = ""
    if given.__module__.startswith("transformers."):
        advice = " Convert it: distilbert.DistilBertConfig.from_dict(config.to_dict())."
    raise ConfigError(f"{where} takes a distilbert.DistilBertConfig, got a {name}.{advice}")


# Inputs ---------------------------------------------------------------------------------------------------------------


def check_inputs(
    config: DistilBertConfig, input_ids: Shape | None, inputs_embeds: Shape | None
) -> tuple[int | None, int | None]:
    """Check the shape of ``input_ids`` (B, S) or ``inputs_embeds`` (B, S, D), and return B and S.

    Raises:
        InputError: both or neither are given, the shape is another one, or there are too many tokens.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise InputError("Give either input_ids or inputs_embeds, and not both.")
    if input_ids is not None and len(input_ids) != 2:
        raise InputError(f"input_ids must be (batch, sequence), got shape {input_ids}.")
    if inputs_embeds is not None and (len(inputs_embeds) != 3 or inputs_embeds[-1] not in (None, config.dim)):
        raise InputError(f"inputs_embeds must be (batch, sequence, {config.dim}), got shape {inputs_embeds}.")
    shape = input_ids if input_ids is not None else inputs_embeds
    assert shape is not None
    if shape[1] is not None:
        check_length(config, shape[1])
    return shape[0], shape[1]


def check_choices(input_ids: Shape | None, inputs_embeds: Shape | None) -> Any:
    """Check that a model for multiple choice is given (B, C, S) ids or (B, C, S, D) embeddings, and return C.

    While a graph is being traced, C may be a symbol of the framework.

    Raises:
        InputError: the shape is another one.
    """
    shape, rank = (input_ids, 3) if input_ids is not None else (inputs_embeds, 4)
    if shape is None or len(shape) != rank:
        raise InputError(f"Multiple choice takes (batch, choices, sequence) inputs, got {shape}.")
    return shape[1]


def check_mask_of_tokens(dimensions: int) -> None:
    """Check that a mask says what is a token, for the mean of a text.

    Raises:
        InputError: it is not (B, S).
    """
    if dimensions != 2:
        raise InputError(
            f"classifier_pooling='mean' needs an attention_mask (B, S), which says what is a token; got {dimensions} "
            "dimensions."
        )


def check_first_token(length: int | None) -> None:
    """Check that a sequence to classify has a first token.

    Raises:
        InputError: it has no tokens.
    """
    if length == 0:
        raise InputError("The input has no tokens, and this model reads its answer from the first one, [CLS].")


def check_length(config: DistilBertConfig, length: int) -> None:
    """Check that the model has positions for ``length`` tokens.

    Raises:
        InputError: there are more tokens than positions.
    """
    limit = config.max_position_embeddings
    if length > limit:
        raise InputError(
            f"The input has {length} tokens and the model knows {limit} positions: tokenize with truncation=True, "
            "or with a stride into windows, or enlarge it with resize_position_embeddings()."
        )


def check_tensor(name: str, value: Any, is_tensor: bool, library: str) -> None:
    """Check that an input is a tensor; texts and lists are what users try first.

    Args:
        name: of the argument.
        value: the input; None fits.
        is_tensor: whether it is one.
        library: whose tensors the model takes, as ``return_tensors`` names it.

    Raises:
        InputError: it is something else.
    """
    if value is not None and not is_tensor:
        raise InputError(f"{name} must be a tensor, got {value!r:.60}.{_advice(name, library)}")


def check_numbers(name: str, value: Any, library: str) -> None:
    """Check an input of a model that takes lists and arrays of NumPy as well as tensors.

    Args:
        name: of the argument.
        value: the input; a tensor or None fits.
        library: whose tensors the model takes, as ``return_tensors`` names it.

    Raises:
        InputError: it holds something else than numbers, or rows of several lengths.
    """
    if isinstance(value, (str, bytes, dict, set)):
        raise InputError(f"{name} must be a tensor, got {value!r:.60}.{_advice(name, library)}")
    if not isinstance(value, (list, tuple, np.ndarray)):
        return
    try:
        kind = np.asarray(value).dtype.kind
    except ValueError:
        raise InputError(f"{name} must be rectangular: pad its rows to one length.") from None
    except TypeError:  # tensors of a graph that is being traced
        return
    if kind in "USO":
        raise InputError(f"{name} must hold numbers, got {value!r:.60}.{_advice(name, library)}")


def _advice(name: str, library: str) -> str:
    """Return what to do with texts, which are what users try first."""
    if name not in ("input_ids", "attention_mask", "inputs_embeds"):
        return " Turn it into a tensor first." if library == "pt" else ""
    return (
        f" Texts go through a tokenizer: model(**tokenizer(texts, padding=True, return_tensors={library!r})). "
        "pipeline() takes texts."
    )


def check_id_type(name: str, integers: bool, dtype: object) -> None:
    """Check that ids or positions are integers.

    Raises:
        InputError: they are of another type, which is ``dtype``.
    """
    if not integers:
        raise InputError(f"{name} must be integers, got {dtype}.")


def check_ids(name: str, ids: Any, size: int) -> None:
    """Check ids or positions that look up the rows of a table.

    Args:
        name: of the argument, for the message.
        ids: NumPy array; or an array that is being traced, of which only the type can be checked.
        size: rows of the table.

    Raises:
        InputError: they are not integers, or one is outside the table.
    """
    check_id_type(name, np.issubdtype(ids.dtype, np.integer), ids.dtype)
    if isinstance(ids, np.ndarray) and ids.size and (ids.min() < 0 or ids.max() >= size):
        raise InputError(
            f"{name} holds ids from {int(ids.min())} to {int(ids.max())}; this model takes 0 to {size - 1}. "
            "Do the tokenizer and the model belong together?"
        )


def refuse_token_types() -> None:
    """Raise the error for ``token_type_ids`` that are not all zero.

    Raises:
        InputError: always.
    """
    raise InputError(
        "token_type_ids holds nonzero ids, and DistilBERT has no token types: it tells two texts apart by the "
        "[SEP] between them. Leave token_type_ids out (return_token_type_ids=False)."
    )


def check_attention_mask(shape: Shape, batch: int | None, length: int | None) -> None:
    """Check the shape of an attention mask: (B, S) or (B, 1 or N, S, S).

    Raises:
        InputError: the shape is another one.
    """
    flat = len(shape) == 2 and shapes_fit(shape, (batch, length))
    square = len(shape) == 4 and shapes_fit((shape[0], *shape[2:]), (batch, length, length))
    if not flat and not square:
        raise InputError(
            f"attention_mask must be ({batch}, {length}) or ({batch}, heads, {length}, {length}) to go with the input, "
            f"got {shape}."
        )


def seen_keys(mask: Any, any_of: Callable[[Any], Any]) -> Any:
    """Return what a floating attention mask of four dimensions lets queries see, as a bool tensor of its shape.

    Such a mask is added to attention scores: 0 where a key is seen, a very low number such as -inf elsewhere. One with
    1 where a key is seen and 0 elsewhere is understood as well: it holds positive numbers and no negative one. So a
    positive number is seen and a negative one is not; 0 is not seen if the mask has positive numbers and no negative
    one, and otherwise it is.

    Args:
        mask: (B, 1 or N, S, S), a tensor of any framework.
        any_of: returns whether a bool tensor holds any True, as a tensor.
    """
    zero_is_seen = any_of(mask < 0) | ~any_of(mask > 0)
    return (mask > 0) | (zero_is_seen & (mask >= 0))


def check_head_mask(config: DistilBertConfig, shape: Shape) -> None:
    """Check the shape of a head mask: (N,) or (n_layers, N).

    Raises:
        InputError: the shape is another one, or the model has pruned heads.
    """
    layers, heads = config.n_layers, config.n_heads
    if shape not in ((heads,), (layers, heads)) or config.pruned_heads:
        raise InputError(
            f"head_mask must be ({heads},) or ({layers}, {heads}) and needs a model without pruned heads, got {shape}."
        )


def shapes_fit(shape: Shape, other: Shape) -> bool:
    """Return whether two shapes are equal as far as their sizes are known."""
    return len(shape) == len(other) and all(a is None or b is None or a == b for a, b in zip(shape, other, strict=True))


# Labels ---------------------------------------------------------------------------------------------------------------


def pick_problem_type(problem_type: str | None, num_labels: int, integers: bool) -> str:
    """Return what a sequence classifier is trained for.

    Args:
        problem_type: that of the configuration, which decides unless it is None.
        num_labels: L; one label is regression.
        integers: whether the labels are integers, which name one label a sequence; other numbers say which of several
            labels hold.
    """
    if problem_type is not None:
        return problem_type
    if num_labels == 1:
        return "regression"
    return "single_label_classification" if integers else "multi_label_classification"


def check_labels(labels: Shape, logits: Shape, fits: bool) -> None:
    """Raise the error for labels whose shape does not go with the logits, unless it ``fits``.

    Raises:
        InputError: it does not fit.
    """
    if not fits:
        raise InputError(f"labels of shape {labels} do not go with logits of shape {logits}.")


def check_class_labels(integers: bool, dtype: object) -> None:
    """Check that labels which name a class are integers.

    Raises:
        InputError: they are of another type, which is ``dtype``.
    """
    if not integers:
        raise InputError(f"labels that name a class must be integers, got {dtype}.")


# Sizes, devices, attention --------------------------------------------------------------------------------------------


def check_vocabulary_size(new_num_tokens: int, pad_to_multiple_of: int | None) -> int:
    """Return the size of a resized vocabulary, rounded up to a multiple, as an int of Python.

    Raises:
        InputError: a number is not an integer, or nothing would be left.
    """
    size = new_num_tokens
    for name, number in (("new_num_tokens", new_num_tokens), ("pad_to_multiple_of", pad_to_multiple_of)):
        if number is not None and not isinstance(number, (int, np.integer)):
            raise InputError(f"{name} must be an integer, got {number!r}.")
    if pad_to_multiple_of is not None:
        size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
    if size < 1:
        raise InputError(f"A vocabulary needs at least one entry, got {size}.")
    return int(size)


def check_number_of_positions(positions: int) -> int:
    """Return the new number of positions of a model as an int of Python.

    Raises:
        InputError: it is not an integer, or nothing would be left.
    """
    if not isinstance(positions, (int, np.integer)):
        raise InputError(f"new_num_position_embeddings must be an integer, got {positions!r}.")
    if positions < 1:
        raise InputError(f"A model needs at least one position, got {positions}.")
    return int(positions)


def only_device(device_map: Mapping[str, Any]) -> Any:
    """Return the device that a map such as ``{"": device}`` names.

    Raises:
        DeviceError: the map spreads the model over several devices.
    """
    if len(set(map(str, device_map.values()))) != 1:
        raise DeviceError(f"device_map must put the whole model on one device, got {dict(device_map)!r}.")
    return next(iter(device_map.values()))


def refuse_flash_attention(attn_implementation: str) -> None:
    """Check that an attention implementation is one that every framework has.

    Raises:
        DeviceError: it is FlashAttention, which only the PyTorch classes have.
    """
    if attn_implementation == "flash_attention_2":
        raise DeviceError(
            "attn_implementation='flash_attention_2' belongs to the PyTorch classes; use 'sdpa', "
            "which is as exact and runs everywhere."
        )


def check_label_range(labels: np.ndarray, classes: int, ignored: int | None) -> None:
    """Check that labels name classes.

    Args:
        labels: integers of any shape.
        classes: how many there are, numbered from 0.
        ignored: the number that leaves a label out; None where there is none.

    Raises:
        InputError: a label names none.
    """
    wrong = labels[((labels < 0) | (labels >= classes)) & (labels != ignored)]
    if wrong.size:
        left_out = "" if ignored is None else f", or {ignored} for what is left out"
        raise InputError(f"labels holds {int(wrong.flat[0])}; this model takes 0 to {classes - 1}{left_out}.")
