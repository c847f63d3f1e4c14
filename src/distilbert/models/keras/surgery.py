"""Changing the weights of a model in place: sinusoidal positions, resizing, pruning heads.

Legend: V vocabulary, P positions, D dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.model_checks import check_number_of_positions, check_vocabulary_size
from ...core.pruning import prune
from ...core.sinusoidal import sinusoidal_positions
from .arrays import to_numpy


def set_sinusoidal(embedding: Any) -> None:
    """Fill position embeddings with sines and cosines and keep them from being trained."""
    table = embedding.embeddings
    table.assign(sinusoidal_positions(*table.shape))
    # Keras sorts a variable when it is added to a layer; one that was not trained then never is.
    unlock(embedding, table)
    table.trainable = False
    embedding._track_variable(table)
    embedding._tracker.lock()


def resize_token_embeddings(
    model: Any, new_num_tokens: int | None, pad_to_multiple_of: int | None, mean_resizing: bool = True
) -> Any:
    """Change the size of the vocabulary of a model, and of its masked-LM head.

    Args:
        model: any of the Keras models; one that was compiled must be compiled again.
        new_num_tokens: new size V; None keeps the old one, for use with ``pad_to_multiple_of``.
        pad_to_multiple_of: round the size up to a multiple of this.
        mean_resizing: new rows start from the mean of the old ones, so that a new word is as likely as the average one;
            False lets them start from random numbers.

    Returns:
        The word embeddings. The old rows are kept.
    """
    embedding = model.get_input_embeddings()
    old = embedding.input_dim
    size = check_vocabulary_size(old if new_num_tokens is None else new_num_tokens, pad_to_multiple_of)
    model._set_vocabulary_size(size)
    resize_embedding(embedding, size)
    projector = model.get_output_embeddings()
    if projector is not None:
        projector.resize(size)
    if mean_resizing and size > old:
        _fill_with_mean(embedding.embeddings, old)
        if projector is not None:
            _fill_with_mean(projector.bias, old)
            if not projector.tied:
                _fill_with_mean(projector.kernel, old, axis=1)
    return embedding


def resize_position_embeddings(model: Any, positions: int) -> None:
    """Change the number of positions of a model. Learned ones are kept and new ones random; sinusoidal are computed."""
    positions = check_number_of_positions(positions)
    embedding = model.get_position_embeddings()
    resize_embedding(embedding, positions)
    if model.config.sinusoidal_pos_embds:
        set_sinusoidal(embedding)
    model.config.max_position_embeddings = positions


def resize_embedding(embedding: Any, size: int) -> None:
    """Change the number of rows of an embedding layer; the first ones are kept."""
    rows = to_numpy(embedding.embeddings.value)[:size]
    embedding.input_dim = size
    rebuild(embedding, "embeddings")
    copy_rows(rows, embedding.embeddings)


def prune_heads(model: Any, heads_to_prune: Mapping[int, list[int]]) -> None:
    """Remove attention heads from a model for good; the configuration remembers them under ``pruned_heads``.

    Args:
        model: any of the Keras models; one that was compiled must be compiled again.
        heads_to_prune: layer -> heads, numbered as in the unpruned model; heads that are pruned already are ignored.

    Raises:
        ConfigError: there is no such layer or head, or no head would be left.
    """
    for layer, columns in prune(model.config, heads_to_prune).items():
        attention = model.base_model.transformer.layer[layer].attention
        for lin in (attention.q_lin, attention.k_lin, attention.v_lin):
            _replace_linear(lin, to_numpy(lin.kernel.value)[:, columns], to_numpy(lin.bias.value)[columns])
        out = attention.out_lin
        _replace_linear(out, to_numpy(out.kernel.value)[columns], to_numpy(out.bias.value))
        attention.width = len(columns)


def _replace_linear(lin: Any, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Replace the weights of a linear map by a kernel (in, out) and a bias (out,)."""
    lin.units = len(bias)
    rebuild(lin, "kernel", "bias", input_shape=(None, None, len(kernel)))
    lin.kernel.assign(kernel)
    lin.bias.assign(bias)


def rebuild(layer: Any, *names: str, input_shape: Any = None) -> None:
    """Make the variables of a layer anew, in the sizes that it has now; each is trained if the one before was."""
    before = {name: getattr(layer, name) for name in names}
    unlock(layer, *before.values())
    layer.built = False
    layer.build(input_shape)
    for name, variable in before.items():
        getattr(layer, name).trainable = variable.trainable


def unlock(layer: Any, *variables: Any) -> None:
    """Remove variables from a layer that is built, so that others can replace them.

    Keras has no public function for this; its own layers do it where they add LoRA or quantize.
    """
    for variable in variables:
        layer._untrack_variable(variable)
    layer._tracker.unlock()


def copy_rows(rows: np.ndarray, variable: Any) -> None:
    """Overwrite the first rows of a variable."""
    array = to_numpy(variable.value).copy()
    array[: len(rows)] = rows
    variable.assign(array)


def _fill_with_mean(variable: Any, old: int, axis: int = 0) -> None:
    """Overwrite all but the first ``old`` rows, or columns with ``axis`` 1, with the mean of these."""
    array = np.moveaxis(to_numpy(variable.value).copy(), axis, 0)
    array[old:] = array[:old].astype(np.float32).mean(axis=0)
    variable.assign(np.moveaxis(array, 0, axis))
