"""Changing the weights of a model in place: fresh ones, sinusoidal positions, resizing, pruning heads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...core.config import DistilBertConfig
from ...core.model_checks import check_number_of_positions, check_vocabulary_size
from ...core.pruning import prune
from ...core.sinusoidal import sinusoidal_positions


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules whose parameters have a shape but no memory; loaded parameters replace them."""
    with torch.device("meta"), _NoInit():
        yield


class _NoInit(TorchFunctionMode):
    """Skips ``torch.nn.init``: drawing numbers without memory would take a second, to import PyTorch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def init_module(module: nn.Module, config: DistilBertConfig) -> None:
    """Draw fresh weights: normal with ``initializer_range``, biases zero, the padding row zero."""
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return
    if isinstance(module, (nn.Linear, nn.Embedding)):
        module.weight.data.normal_(0.0, config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.zero_()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx].zero_()
    elif isinstance(module, nn.LayerNorm):
        module.reset_parameters()  # ones and zeros, of what the module has


def fresh_weight(name: str, empty: Tensor, config: DistilBertConfig) -> Tensor:
    """Fill ``empty`` with fresh numbers for the weight of a head or an embedding that a checkpoint calls ``name``."""
    if name.endswith("bias"):
        return empty.zero_()
    if "layer_norm" in name:
        return empty.fill_(1.0)
    if name.endswith("position_embeddings.weight") and config.sinusoidal_pos_embds:
        return empty.copy_(torch.from_numpy(sinusoidal_positions(*empty.shape)))
    empty.normal_(0.0, config.initializer_range)
    if name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
        empty[config.pad_token_id].zero_()
    return empty


def set_parameter(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Replace the parameter called ``name`` by ``tensor``; if that is a parameter, the two are shared."""
    module_name, _, leaf = name.rpartition(".")
    parameter = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor)
    setattr(model.get_submodule(module_name), leaf, parameter)


@torch.no_grad()
def copy_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters and buffers of their names."""
    state = model.state_dict()
    for name, tensor in tensors.items():
        state[name].copy_(tensor)


def mark_loaded(model: nn.Module, names: Iterable[str]) -> None:
    """Mark the modules of these tensors, so that a model which they become part of does not draw weights for them."""
    for name in names:
        model.get_submodule(name.rpartition(".")[0])._keeps_weights = True  # type: ignore[assignment]


def set_sinusoidal(embedding: nn.Embedding) -> None:
    """Fill position embeddings with sines and cosines and keep them from being trained."""
    weight = embedding.weight
    weight.requires_grad_(False)
    if not weight.is_meta:
        weight.copy_(torch.from_numpy(sinusoidal_positions(*weight.shape)))


def resize_token_embeddings(
    model: Any, new_num_tokens: int | None, pad_to_multiple_of: int | None, mean_resizing: bool = True
) -> nn.Embedding:
    """Change the size of the vocabulary of a model, and of its masked-LM head.

    Args:
        model: any of the PyTorch models.
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
    padding = old.padding_idx if old.padding_idx is not None and old.padding_idx < size else None
    new = nn.Embedding(size, old.embedding_dim, padding, device=old.weight.device, dtype=old.weight.dtype)
    init_module(new, model.config)
    _copy_rows(old.weight, new.weight, mean_resizing)
    new._keeps_weights = True  # type: ignore[assignment]
    model.set_input_embeddings(new)
    projector = model.get_output_embeddings()
    if projector is not None:
        resized = nn.Linear(projector.in_features, size, device=new.weight.device, dtype=new.weight.dtype)
        init_module(resized, model.config)
        _copy_rows(projector.weight, resized.weight, mean_resizing)
        _copy_rows(projector.bias, resized.bias, mean_resizing)
        resized._keeps_weights = True  # type: ignore[assignment]
        model.vocab_projector = resized
    model.tie_weights()
    return new


def resize_position_embeddings(model: Any, positions: int) -> None:
    """Change the number of positions of a model. Learned ones are kept and new ones random; sinusoidal are computed."""
    positions = check_number_of_positions(positions)
    old = model.get_position_embeddings()
    new = nn.Embedding(positions, old.embedding_dim, device=old.weight.device, dtype=old.weight.dtype)
    init_module(new, model.config)
    if model.config.sinusoidal_pos_embds:
        set_sinusoidal(new)
    else:
        _copy_rows(old.weight, new.weight)
    model._encoder().embeddings.position_embeddings = new
    model.config.max_position_embeddings = positions


def prune_heads(model: Any, heads_to_prune: Mapping[int, Collection[int]]) -> None:
    """Remove attention heads from a model for good; the configuration remembers them under ``pruned_heads``.

    Args:
        model: any of the PyTorch models.
        heads_to_prune: layer -> heads, numbered as in the unpruned model; heads that are pruned already are ignored.

    Raises:
        ConfigError: there is no such layer or head, or no head would be left.
    """
    blocks = model._encoder().transformer.layer
    for layer, channels in prune(model.config, heads_to_prune).items():
        attention = blocks[layer].attention
        rows = torch.from_numpy(channels)
        for name in ("q_lin", "k_lin", "v_lin"):
            lin = getattr(attention, name)
            replace_linear(lin, lin.weight[rows], lin.bias[rows])
        replace_linear(attention.out_lin, attention.out_lin.weight[:, rows], attention.out_lin.bias)


@torch.no_grad()
def keep_tokens(model: Any, rows: Tensor) -> None:
    """Leave a model the word embeddings of some ids alone; they are numbered anew, in this order.

    Args:
        model: any of the PyTorch models without a masked-LM head.
        rows: (V,) the ids; that of padding is among them.
    """
    old = model.get_input_embeddings()
    padding = None if old.padding_idx is None else int((rows == old.padding_idx).nonzero()[0])
    model.set_input_embeddings(nn.Embedding.from_pretrained(old.weight[rows], freeze=False, padding_idx=padding))
    model.config.vocab_size, model.config.pad_token_id = len(rows), padding


def replace_linear(lin: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Give a linear map other weights (out, in) and biases (out,), in any number."""
    lin.weight = nn.Parameter(weight.detach().clone(), requires_grad=lin.weight.requires_grad)
    lin.bias = nn.Parameter(bias.detach().clone(), requires_grad=lin.bias.requires_grad)
    lin.out_features, lin.in_features = weight.shape


@torch.no_grad()
def _copy_rows(old: Tensor, new: Tensor, fill_with_mean: bool = False) -> None:
    """Let a parameter that replaces another start from its rows; it is trained if the other one was."""
    new.requires_grad_(old.requires_grad)
    rows = min(len(old), len(new))
    new[:rows] = old[:rows]
    if fill_with_mean:
        new[rows:] = old.float().mean(dim=0)
