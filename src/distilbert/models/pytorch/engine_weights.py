"""A PyTorch model as the engine reads it: its arrays, what it computes as its head, and whether it has changed.

Legend: R rows that the head reads, D dim, L labels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.errors import InputError
from ...core.module_snapshot import ModuleSnapshot, evaluation_mode
from ...core.schema import LAYER_NORM_EPS, head_shapes
from ..array_weights import WeightsInMemory
from .arrays import to_numpy, to_torch

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # size of a number -> integers that compare its bits
WATCHED = 0  # column of the word embeddings that is compared with the model's own


class EngineWeights(WeightsInMemory):
    """The weights of a PyTorch model; see ``ModelWeights`` of the engine.

    The engine computes each layer by itself, from the layer's weights. So a layer that computes something else, such as
    an adapter around a linear map, has to run in PyTorch.

    Args:
        model: one of the six classes, or of a class derived from one.

    Raises:
        InputError: the model is not on the CPU, or has a layer that the engine does not know.
    """

    def __init__(self, model: Any) -> None:
        if model.device.type != "cpu":
            raise InputError(f"The engine runs on CPUs and the model is on {model.device}; use runner='pytorch' there.")
        _check_encoder(model)
        super().__init__(model)
        self.head_function = None if _has_usual_head(model) else self._compute_head

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model,)

    def read(self, name: str) -> np.ndarray:
        """Return an array by its name in a checkpoint, without ``distilbert.``; zeros for a bias that there is not."""
        module_name, _, kind = name.rpartition(".")
        in_head = name in head_shapes(self.config, self.head)
        module = (self.model if in_head else self.model.base_model).get_submodule(module_name)
        tensor = getattr(module, kind)
        if tensor is None:
            return np.zeros(len(module.weight), np.float32)
        return to_numpy(tensor)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array, with its whole name in a checkpoint."""
        for name, tensor in self.model.named_parameters():
            yield name, to_numpy(tensor)

    def snapshot(self) -> ModelSnapshot:
        """Return what tells later whether the weights are still those of now."""
        return ModelSnapshot(self.model)

    def _compute_head(self, hidden: np.ndarray) -> np.ndarray:
        """Compute a head that a user changed: (R, D) -> (R, L) or (R, V)."""
        with torch.inference_mode(), evaluation_mode(self.model):
            answers: torch.Tensor = self.model.head(to_torch(hidden).to(self.model.dtype))
        return to_numpy(answers.float())


class ModelSnapshot:
    """A :class:`ModuleSnapshot`, and the bits of one column of the word embeddings.

    A row that was written through ``.data``, as new words often are, shows in nothing but the row itself.
    """

    def __init__(self, model: Any) -> None:
        self._module = ModuleSnapshot(model)
        words = model.base_model.embeddings.word_embeddings.weight.detach()
        self._column = words[:, WATCHED].view(INTEGERS[words.element_size()]).numpy()  # (V,) a view of the model's own
        self._known = self._column.copy()

    def is_current(self, ids: np.ndarray) -> bool:
        """Say whether the model is the same as at that moment, and so are its embeddings of the words ``ids`` (T,)."""
        return self._module.is_current() and np.array_equal(self._column[ids], self._known[ids])


def _check_encoder(model: Any) -> None:
    """Check that each layer of the encoder computes what its class does."""
    config, encoder = model.config, model.base_model
    words, positions = encoder.embeddings.word_embeddings, encoder.embeddings.position_embeddings
    for module, field in ((words, "vocab_size"), (positions, "max_position_embeddings")):
        rows = getattr(config, field)
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
            if not _is_plain_linear(module):
                _refuse(model, module, "a linear map")
    for norm in norms:
        if not _is_plain_norm(norm):
            _refuse(model, norm, f"a LayerNorm with eps={LAYER_NORM_EPS:g}")


def _has_usual_head(model: Any) -> bool:
    """Say whether the head is the one of its class, made of plain layers."""
    if not model.head_spec.name:
        return True
    modules = {name.rpartition(".")[0] for name in head_shapes(model.config, model.head_spec)}
    usual: Any = next(cls for cls in type(model).__mro__ if cls.__module__.startswith(f"{__package__}."))
    return type(model).head is usual.head and all(
        _is_plain_norm(module) if "norm" in name else _is_plain_linear(module)
        for name, module in ((name, getattr(model, name, None)) for name in modules)
    )


def _is_plain_linear(module: Any) -> bool:
    """Say whether a module computes what ``nn.Linear`` does; an adapter or a hook may compute something else."""
    return _computes(module, nn.Linear) and module.weight.is_floating_point()


def _is_plain_norm(module: Any) -> bool:
    return _computes(module, nn.LayerNorm) and module.eps == LAYER_NORM_EPS


def _computes(module: Any, cls: type[nn.Module]) -> bool:
    return (
        isinstance(module, cls)
        and type(module).forward is cls.forward
        and not module._forward_pre_hooks
        and not module._forward_hooks
    )


def _name_of(model: Any, module: Any) -> str:
    return next((name for name, each in model.named_modules() if each is module), type(module).__name__)


def _refuse(model: Any, module: Any, expected: str) -> None:
    hooks = " with a hook" if getattr(module, "_forward_pre_hooks", None) else ""
    raise InputError(
        f"{_name_of(model, module)} is a {type(module).__name__}{hooks}, and the engine expects {expected} there: "
        "use runner='pytorch', which runs any layer."
    )
