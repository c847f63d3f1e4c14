"""PyTorch behind the runner protocol: packed ids in, NumPy arrays out.

Legend: T packed tokens, R requested tokens, B sequences, L labels (or vocabulary, or dim).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.forks import end_threads_before_forks
from ...core.module_snapshot import ModuleSnapshot, evaluation_mode
from ...core.runner_protocol import Batch, check_batch, name_outputs, pools_mean, read_rows
from ...core.schema import Head
from .device import Device, pick_device
from .packing import Packing
from .pretrained import DistilBertPreTrainedModel


class PytorchRunner:
    """Runs a model on packed batches, without padding, in inference mode.

    On a CPU the runner holds a copy of the weights of the linear maps, laid out for the matrix kernels. So it needs
    their memory a second time. Before each batch it looks whether the model has changed, and lays them out anew if so.

    Args:
        model: any of the six classes; it is switched to evaluation mode.
        device: where to move the model; None leaves it on its device.
    """

    def __init__(self, model: DistilBertPreTrainedModel, device: Device = None) -> None:
        if device is not None:
            model.to(pick_device(device))
        end_threads_before_forks()
        self.model = model.eval()
        self._prepared = self._prepare()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the model alone; weights laid out for this machine are made anew."""
        return type(self), (self.model,)

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
        """The device that it runs on."""
        return self.model.device

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        requested = read_rows(batch, self.head, self.config)
        with torch.inference_mode(), self._evaluated() as fast:
            rows = None if requested is None else torch.from_numpy(requested).to(self.device)
            packing = Packing.of_lengths(batch.lengths.tolist(), self.device)
            ids = torch.from_numpy(batch.input_ids).to(self.device)
            hidden = fast.base_model.forward_packed(ids, packing, rows)  # (R, D)
            if pools_mean(self.head, self.config):
                hidden = packing.means(hidden)  # (B, D)
            answers = fast.head(hidden) if self.head.name else hidden  # (R, L)
            return name_outputs(self.head, answers.float().cpu().numpy())

    def _prepare(self) -> tuple[Any, ModuleSnapshot | None]:
        """Return the model to run; and what it was made from, unless it is the model itself."""
        snapshot = ModuleSnapshot(self.model)
        fast = prepack(self.model)
        return fast, None if fast is self.model else snapshot

    @contextmanager
    def _evaluated(self) -> Iterator[Any]:
        """Return a model with the weights of now, in evaluation mode until the block ends."""
        fast, snapshot = self._prepared
        if snapshot is not None and not snapshot.is_current():
            fast, _ = self._prepared = self._prepare()
        if not fast.training:
            yield fast
            return
        with evaluation_mode(fast):
            yield fast


class CudaRunner(PytorchRunner):
    """The same for a GPU, which computes while the host prepares the next batches and decodes the last ones.

    A batch travels in one copy out of page-locked memory, its outputs come back into page-locked memory, and nothing
    between the two waits for the GPU: :meth:`submit` returns as soon as the kernels are queued.
    """

    @property
    def batch_tokens(self) -> int:
        """Tokens that keep the GPU busy for longer than the host takes to queue their kernels."""
        return 16384

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model and wait; see :meth:`PytorchRunner.__call__`."""
        return self.submit(batch)()

    def submit(self, batch: Batch) -> Callable[[], dict[str, np.ndarray]]:
        """Queue a batch; see :class:`distilbert.core.runner_protocol.AsynchronousRunner`.

        Raises:
            InputError: as :meth:`PytorchRunner.__call__`.
        """
        check_batch(batch, self.config, self.head)
        positions = np.arange(len(batch.input_ids)) - np.repeat(batch.offsets[:-1], batch.lengths)  # (T,)
        columns = [batch.input_ids, positions, batch.offsets]
        rows = read_rows(batch, self.head, self.config)
        with torch.inference_mode(), self._evaluated() as fast:
            input_ids, position_ids, offsets, *picked = self._send(columns if rows is None else [*columns, rows])
            packing = Packing(offsets, batch.lengths.tolist(), positions=position_ids)
            hidden = fast.base_model.forward_packed(input_ids, packing, picked[0] if picked else None)  # (R, D)
            if pools_mean(self.head, self.config):
                hidden = packing.means(hidden)  # (B, D)
            answers = fast.head(hidden) if self.head.name else hidden  # (R, L)
            fetched = self._fetch(answers.float())
        return lambda: name_outputs(self.head, fetched())

    def _send(self, columns: Sequence[np.ndarray]) -> Sequence[Tensor]:
        """Copy arrays of integers to the device together, as int32."""
        joined = torch.from_numpy(np.concatenate(columns).astype(np.int32))
        if self.device.type == "cuda":
            joined = joined.pin_memory()
        return joined.to(self.device, non_blocking=True).split([len(column) for column in columns])

    def _fetch(self, answers: Tensor) -> Callable[[], np.ndarray]:
        """Queue the copy of ``answers`` to the host; the returned function waits for it."""
        if self.device.type != "cuda":
            return answers.cpu().numpy
        fetched = torch.empty(answers.shape, dtype=answers.dtype, pin_memory=True)
        fetched.copy_(answers, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(self.device))

        def wait() -> np.ndarray:
            copied.synchronize()
            return fetched.numpy()

        return wait


def make_runner(model: DistilBertPreTrainedModel, device: Device = None) -> PytorchRunner:
    """Return the runner that suits the model's device, or ``device``, to which the model is moved."""
    if device is not None:
        model.to(pick_device(device))
    return (CudaRunner if model.device.type == "cuda" else PytorchRunner)(model)


def prepack(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` whose linear maps use weights laid out for the CPU's matrix kernels.

    The copy is in evaluation mode, and shares everything else with ``model``. Where there is no such layout (another
    device, a type without these kernels, a PyTorch built without oneDNN), the model itself is returned.
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
    twin = copy.deepcopy(model, shared).eval()
    for module in list(twin.modules()):
        for name, child in module.named_children():
            # For small matrices the plain kernel is as fast.
            if isinstance(child, nn.Linear) and _is_plain(child) and min(child.weight.shape) >= 32:
                setattr(module, name, PrepackedLinear(child))
    return twin


def _is_plain(linear: nn.Linear) -> bool:
    """Say whether a linear map is nothing more; a subclass or a hook may compute something else."""
    return type(linear).forward is nn.Linear.forward and not linear._forward_pre_hooks


class PrepackedLinear(nn.Module):
    """A linear map for inference whose weight lies in oneDNN's blocked layout."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), 1024)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
