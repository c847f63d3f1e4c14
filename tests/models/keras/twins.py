"""PyTorch models and their Keras twins with the same weights."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import torch

import distilbert.models.keras as room
from distilbert import DistilBertConfig
from distilbert.core.schema import HEADS
from tests.tiny import tiny_config, tiny_inputs, tiny_labels, tiny_model


def keras_class(head: str) -> Any:
    return getattr(room, f"TF{HEADS[head].architecture}")


def twin_of(model: Any, **options: Any) -> Any:
    """The Keras model with the weights of a PyTorch one."""
    twin = keras_class(model.head_spec.name)(DistilBertConfig.from_dict(model.config.to_dict()), **options)
    twin.set_arrays({name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()})
    return twin


def eager(head: str = "", **changes: Any) -> Any:
    """A PyTorch model whose attention treats a row of padding as the Keras model does."""
    model = tiny_model(head, **changes)
    model.set_attn_implementation("eager")
    return model


def tiny_keras(head: str = "", **changes: Any) -> Any:
    return twin_of(tiny_model(head, **changes))


def fresh_keras(head: str = "", **changes: Any) -> Any:
    return keras_class(head)(tiny_config(head, **changes))


def to_arrays(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}


def inputs(head: str = "") -> dict[str, np.ndarray]:
    return to_arrays(tiny_inputs(head))


def labels(head: str) -> dict[str, np.ndarray]:
    return to_arrays(tiny_labels(head))
