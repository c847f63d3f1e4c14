"""What the engine reads of a PyTorch model, and which models it can run. It imports no model code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.schema import LAYER_NORM_EPS, Head


class PytorchModel(Protocol):
    """One of the six PyTorch classes of :mod:`distilbert.models.pytorch`.

    Attributes:
        config: its configuration.
    """

    config: DistilBertConfig

    @property
    def base_model(self) -> Any:
        """The encoder, with ``embeddings``, ``transformer`` and ``forward_packed``."""

    @property
    def head_spec(self) -> Head:
        """Which head it has."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""

    def eval(self) -> Self:
        """Switch to evaluation mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its weights."""

    def head(self, hidden: Tensor) -> Any:
        """Compute the head's outputs from hidden states (R, D)."""


def check_supported(model: Any) -> None:
    """Check that the engine can run a model.

    The engine computes each layer by itself, from the layer's weights. So a layer that computes something else, such as
    an adapter around a linear map, has to run in PyTorch.

    Raises:
        InputError: the model is something else, is not on the CPU, or has a layer that the engine does not know.
    """
    if not hasattr(model, "head_spec") or not hasattr(model, "base_model"):
        raise InputError(
            f"EngineRunner takes a loaded PyTorch model of this package, got {model!r:.80}. Load one with "
            "from_pretrained(); or use pipeline(), which takes a folder or a name."
        )
    if model.device.type != "cpu":
        raise InputError(f"The engine runs on CPUs and the model is on {model.device}; use runner='pytorch' there.")
    config, encoder = model.config, model.base_model
    words, positions = encoder.embeddings.word_embeddings, encoder.embeddings.position_embeddings
    for module, rows, field in ((words, config.vocab_size, "vocab_size"), (positions, *_positions(config))):
        if not _computes(module, nn.Embedding):
            _refuse(model, module, "an embedding")
        if module.weight.shape[0] < rows or module.weight.shape[1] != config.dim:
            raise InputError(
                f"{_name_of(model, module)} is {tuple(module.weight.shape)}, and the configuration says {field}={rows} "
                f"and dim={config.dim}. resize_token_embeddings() and resize_position_embeddings() change both."
            )
    norms = [encoder.embeddings.LayerNorm]
    for layer in encoder.transformer.layer:
        attention, ffn = layer.attention, layer.ffn
        norms += [layer.sa_layer_norm, layer.output_layer_norm]
        for module in (attention.q_lin, attention.k_lin, attention.v_lin, attention.out_lin, ffn.lin1, ffn.lin2):
            if not is_plain_linear(module):
                _refuse(model, module, "a linear map")
    for norm in norms:
        if not _computes(norm, nn.LayerNorm) or norm.eps != LAYER_NORM_EPS:
            _refuse(model, norm, f"a LayerNorm with eps={LAYER_NORM_EPS:g}")


def is_plain_linear(module: Any) -> bool:
    """Say whether a module computes what ``nn.Linear`` does; an adapter or a hook may compute something else."""
    return _computes(module, nn.Linear) and module.weight.is_floating_point()


def bias_of(linear: nn.Linear) -> Tensor:
    """Return the bias of a linear map, (M,); zeros if it has none."""
    return linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias.detach()


def _computes(module: Any, cls: type[nn.Module]) -> bool:
    return isinstance(module, cls) and type(module).forward is cls.forward and not module._forward_pre_hooks


def _positions(config: DistilBertConfig) -> tuple[int, str]:
    return config.max_position_embeddings, "max_position_embeddings"


def _name_of(model: Any, module: Any) -> str:
    return next((name for name, each in model.named_modules() if each is module), type(module).__name__)


def _refuse(model: Any, module: Any, expected: str) -> None:
    hooks = " with a hook" if getattr(module, "_forward_pre_hooks", None) else ""
    raise InputError(
        f"{_name_of(model, module)} is a {type(module).__name__}{hooks}, and the engine expects {expected} there: "
        "use runner='pytorch', which runs any layer."
    )
