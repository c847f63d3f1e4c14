"""Changing the weights of a model in place: fresh ones, resizing, pruning heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.model_checks import check_number_of_positions, check_vocabulary_size
from ...core.pruning import prune
from ...core.sinusoidal import sinusoidal_positions
from .layer_factory import FixedWeight, LayerFactory

Model = TypeVar("Model", bound=nnx.Module)


def model_without_weights(cls: type[Model], config: DistilBertConfig, rngs: nnx.Rngs, **types: Any) -> Model:
    """Build a model with the shapes of its weights but no numbers, and with dropout that is ready to run."""
    build: Any = cls
    model: Model = nnx.eval_shape(lambda: build(config, rngs=nnx.Rngs(0), **types))
    for _, module in nnx.iter_modules(model):
        if isinstance(module, nnx.Dropout):
            module.rngs = rngs["dropout"].fork()
    return model


def fresh_weight(name: str, shape: tuple[int, ...], dtype: Any, config: DistilBertConfig, rngs: nnx.Rngs) -> Array:
    """Return fresh numbers of a variable's ``shape`` for the weight of a head or an embedding.

    Args:
        name: of the weight in a checkpoint.
        shape: of the weight as a checkpoint or as Flax has it.
        dtype: of the result.
        config: gives the size of random numbers, and the padding.
        rngs: random numbers.
    """
    if name.endswith("bias"):
        return jnp.zeros(shape, dtype)
    if "layer_norm" in name:
        return jnp.ones(shape, dtype)
    if name.endswith("position_embeddings.weight") and config.sinusoidal_pos_embds:
        return jnp.asarray(sinusoidal_positions(*shape), dtype)
    numbers = jax.nn.initializers.normal(config.initializer_range)(rngs.params(), shape, dtype)
    if name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
        numbers = numbers.at[config.pad_token_id].set(0)
    return numbers


def set_sinusoidal(embedding: nnx.Embed) -> None:
    """Fill position embeddings with sines and cosines and keep them from being trained."""
    table = sinusoidal_positions(embedding.num_embeddings, embedding.features)
    embedding.embedding = FixedWeight(jnp.asarray(table, embedding.param_dtype))  # type: ignore[assignment]


def resize_token_embeddings(
    model: Any, new_num_tokens: int | None, pad_to_multiple_of: int | None, mean_resizing: bool = True
) -> nnx.Embed:
    """Change the size of the vocabulary of a model, and of its masked-LM head.

    Args:
        model: any of the Flax models.
        new_num_tokens: new size V; None keeps the old one, for use with ``pad_to_multiple_of``.
        pad_to_multiple_of: round the size up to a multiple of this.
        mean_resizing: new rows start from the mean of the old ones, so that a new word is as likely as the average one;
            False lets them start from random numbers.

    Returns:
        The word embeddings. The old rows are kept.
    """
    old = model.get_input_embeddings()
    size = old.num_embeddings if new_num_tokens is None else new_num_tokens
    size = check_vocabulary_size(size, pad_to_multiple_of)
    layers = _layer_factory(model, size)
    tables = model.base_model.embeddings
    tables.padding_idx = tables.padding_idx if tables.padding_idx is not None and tables.padding_idx < size else None
    new = layers.embedding(size, old.features)
    _copy_rows(old.embedding, new.embedding, mean_resizing)
    model.set_input_embeddings(new)
    projector = model.get_output_embeddings()
    if projector is not None:
        bias, projector.bias = projector.bias, nnx.Param(jnp.zeros(size, model.param_dtype))
        _copy_rows(bias, projector.bias, mean_resizing)
        if isinstance(projector, nnx.Linear):
            kernel, projector.kernel = projector.kernel, layers.linear(old.features, size).kernel
            projector.kernel.set_value(
                _join_rows(kernel.get_value().T, projector.kernel.get_value().T, mean_resizing).T
            )
            projector.out_features = size
    return new


def resize_position_embeddings(model: Any, positions: int) -> None:
    """Change the number of positions of a model. Learned ones are kept and new ones random; sinusoidal are computed."""
    positions = check_number_of_positions(positions)
    old = model.get_position_embeddings()
    new = _layer_factory(model, positions).embedding(positions, old.features)
    if model.config.sinusoidal_pos_embds:
        set_sinusoidal(new)
    else:
        _copy_rows(old.embedding, new.embedding)
    model.base_model.embeddings.position_embeddings = new
    model.config.max_position_embeddings = positions


def prune_heads(model: Any, heads_to_prune: Mapping[int, list[int]]) -> None:
    """Remove attention heads from a model for good; the configuration remembers them under ``pruned_heads``.

    Args:
        model: any of the Flax models.
        heads_to_prune: layer -> heads, numbered as in the unpruned model; heads that are pruned already are ignored.

    Raises:
        ConfigError: there is no such layer or head, or no head would be left.
    """
    for layer, columns in prune(model.config, heads_to_prune).items():
        attention = model.base_model.transformer.layer[layer].attention
        for name in ("q_lin", "k_lin", "v_lin"):
            lin = getattr(attention, name)
            lin.kernel.set_value(lin.kernel.get_value()[:, columns])
            lin.bias.set_value(lin.bias.get_value()[columns])
            lin.out_features = len(columns)
        out = attention.out_lin
        out.kernel.set_value(out.kernel.get_value()[columns])
        out.in_features = len(columns)


def _layer_factory(model: Any, size: int) -> LayerFactory:
    """Return a factory of layers like those of ``model``, with the new size as its seed: resizing can be repeated."""
    return LayerFactory(model.config, nnx.Rngs(size), model.dtype, model.param_dtype)


def _join_rows(old: Array, new: Array, fill_with_mean: bool = False) -> Array:
    """Return ``new`` with its first rows replaced by those of ``old``, and the others by their mean if asked."""
    rows = min(len(old), len(new))
    others = new[rows:]
    if fill_with_mean:
        others = jnp.broadcast_to(old.astype(jnp.float32).mean(axis=0), others.shape).astype(new.dtype)
    return jnp.concatenate([old[:rows].astype(new.dtype), others])


def _copy_rows(old: nnx.Variable[Any], new: nnx.Variable[Any], fill_with_mean: bool = False) -> None:
    new.set_value(_join_rows(old.get_value(), new.get_value(), fill_with_mean))
