"""PyTorch behind the runner protocol: packed ids in, NumPy arrays out.

Legend: T packed tokens, R rows asked for, B sequences.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.runner import Batch, check_batch, name_outputs
from ...core.schema import Head
from .device import Device, pick_device
from .packing import Packing
from .pretrained import DistilBertPreTrainedModel


class PytorchRunner:
    """Runs a model on packed batches, without padding, in inference mode.

    On a CPU the weights of the linear maps are laid out once for its matrix kernels, which costs their memory a second
    time; a model that goes on training needs a new runner to be seen.

    Args:
        model: any of the six classes; it is switched to evaluation mode.
        device: moves the model there first; None leaves it where it is.
    """

    def __init__(self, model: DistilBertPreTrainedModel, device: Device = None) -> None:
        if device is not None:
            model.to(pick_device(device))
        self.model = model.eval()
        self._fast: Any = prepack(model)

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.model.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self.model.head_spec

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.device

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        wanted = batch.rows if self.head.per_token else batch.offsets[:-1]
        with torch.inference_mode():
            rows = None if wanted is None else torch.from_numpy(wanted).to(self.device)
            packing = Packing.of_lengths(batch.lengths.tolist(), self.device)
            ids = torch.from_numpy(batch.input_ids).to(self.device)
            hidden = self._fast.base_model.forward_packed(ids, packing, rows)  # (R, D)
            answers = self._fast.head(hidden) if self.head.name else hidden  # (R, L)
            return name_outputs(self.head, answers.float().cpu().numpy())


def prepack(model: nn.Module) -> nn.Module:
    """Return a twin of ``model`` whose linear maps use weights laid out for the CPU's matrix kernels.

    Everything else is shared with ``model``. Where that layout brings nothing (another device, a type without such
    kernels, a PyTorch built without oneDNN), the model itself comes back.
    """
    weight = next(model.parameters())
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if (
        weight.device.type != "cpu"
        or not (weight.dtype == torch.float32 or bf16)
        or not torch.backends.mkldnn.is_available()
    ):
        return model
    shared: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    shared[id(model.config)] = model.config
    twin = copy.deepcopy(model, shared)
    for module in list(twin.modules()):
        for name, child in module.named_children():
            # Short of a few hundred columns the plain kernel is as fast.
            if isinstance(child, nn.Linear) and min(child.weight.shape) >= 32:
                setattr(module, name, PrepackedLinear(child))
    return twin


class PrepackedLinear(nn.Module):
    """A linear map for inference whose weight lies in oneDNN's blocked layout."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), 1024)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
