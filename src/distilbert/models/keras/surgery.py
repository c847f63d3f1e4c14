"""Changing the weights of a model in place: sinusoidal positions, resizing.

Legend: V vocabulary, P positions, D dim.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ...core.config import DistilBertConfig
from ...core.errors import InputError
from ...weights.tensors import Tensors
from .arrays import to_numpy


def pick_dtype(dtype: Any, config: DistilBertConfig, tensors: Tensors | None = None) -> Any:
    """Return the dtype policy meant by ``dtype``: Keras's current one unless something else is asked for.

    Args:
        dtype: the name of a floating type (``"bfloat16"``) or of a policy (``"mixed_bfloat16"``), a policy, a NumPy or
            TensorFlow type, or ``"auto"``.
        config: its ``dtype`` is what ``"auto"`` means.
        tensors: where the configuration names none, the type of the first floating tensor is taken.

    Raises:
        InputError: no floating type.
    """
    if dtype is None:
        return keras.config.dtype_policy()
    if dtype == "auto":
        dtype = config.dtype or next((t.dtype for t in (tensors or {}).values() if "float" in t.dtype), "float32")
    if isinstance(dtype, keras.dtype_policies.DTypePolicy):
        return dtype
    name = dtype if isinstance(dtype, str) else str(getattr(dtype, "name", getattr(dtype, "__name__", dtype)))
    name = name.removeprefix("tf.").removeprefix("torch.")
    try:
        policy = keras.dtype_policies.get(name)
    except ValueError:
        policy = None
    if policy is None or "float" not in (policy.compute_dtype or ""):
        raise InputError(
            f"dtype must be a floating type such as 'float16' or a policy such as 'mixed_bfloat16', got {dtype!r}."
        )
    return policy


def sinusoidal_positions(positions: int, dim: int) -> np.ndarray:
    """Return (P, D) fixed positions: sine in even columns, cosine in odd ones (arXiv 1706.03762, section 3.5)."""
    columns = np.arange(dim)
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (columns // 2) / dim)[None, :]  # (P, D) radians
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)


def resize_token_embeddings(model: Any, new_num_tokens: int | None, pad_to_multiple_of: int | None) -> Any:
    """Change the number of word pieces of a model, and of its masked-LM head.

    Args:
        model: any of the Keras models; one that was compiled must be compiled again.
        new_num_tokens: new size V; None keeps it, for use with the next.
        pad_to_multiple_of: round the size up to a multiple of this.

    Returns:
        The word embeddings. The first rows are the old ones; rows beyond start from random numbers.
    """
    embedding = model.get_input_embeddings()
    size = embedding.input_dim if new_num_tokens is None else new_num_tokens
    if pad_to_multiple_of is not None:
        size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
    if size < 1:
        raise InputError(f"A vocabulary needs at least one entry, got {size}.")
    model.config.vocab_size = size
    resize_embedding(embedding, size)
    projector = model.get_output_embeddings()
    if projector is not None:
        projector.resize(size)
    return embedding


def resize_position_embeddings(model: Any, positions: int) -> None:
    """Change the number of positions of a model: learned ones are kept and extended at random, sinusoidal computed."""
    if positions < 1:
        raise InputError(f"A model needs at least one position, got {positions}.")
    embedding = model.get_position_embeddings()
    resize_embedding(embedding, positions)
    if model.config.sinusoidal_pos_embds:
        embedding.embeddings.assign(sinusoidal_positions(positions, embedding.output_dim))
    model.config.max_position_embeddings = positions


def resize_embedding(embedding: Any, size: int) -> None:
    """Give an embedding layer ``size`` rows, the first of them the old ones."""
    old = embedding.embeddings
    rows = to_numpy(old.value)[:size]
    unlock(embedding, old)
    embedding.input_dim = size
    embedding.built = False
    embedding.build(None)
    copy_rows(rows, embedding.embeddings)


def unlock(layer: Any, *variables: Any) -> None:
    """Let go of variables of a layer that is built, so that others can take their place.

    Keras has no public way; its own layers do this where they add LoRA or quantize.
    """
    for variable in variables:
        layer._untrack_variable(variable)
    layer._tracker.unlock()


def copy_rows(rows: np.ndarray, variable: Any) -> None:
    """Overwrite the first rows of a variable."""
    array = to_numpy(variable.value).copy()
    array[: len(rows)] = rows
    variable.assign(array)
