"""All six classes on the GPU against the CPU: padded and packed, in three types, on every device that may be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert.core.errors import DeviceError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.models.pytorch.runner import CudaRunner, PytorchRunner, make_runner
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_model

from .device import DEVICE, ON_CPU, distance, on_gpu

pytestmark = on_gpu
LIMITS = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.15}
HEADS_HERE = HEAD_NAMES[::2] if ON_CPU else HEAD_NAMES  # a rehearsal has to be short
CPU = torch.device("cpu")
types = pytest.mark.parametrize("dtype", LIMITS, ids=lambda dtype: str(dtype).removeprefix("torch."))


@types
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("head", HEADS_HERE)
def test_padded(head: str, implementation: str, dtype: torch.dtype) -> None:
    inputs = tiny_inputs(head)
    kept = inputs["attention_mask"].bool().any(-1)  # what a row of padding gives, differs between implementations
    outputs = []
    for device, kind in ((CPU, torch.float32), (DEVICE, dtype)):
        model = tiny_model(head, attn_implementation=implementation).to(device, kind)
        with torch.inference_mode():
            output = model(**{name: tensor.to(device) for name, tensor in inputs.items()})
        outputs.append([x[kept.to(device)] if x.shape[: kept.dim()] == kept.shape else x for x in output.to_tuple()])
    for expected, got in zip(*outputs, strict=True):
        assert got.device.type == DEVICE.type
        finite = expected.isfinite()
        assert distance(got[finite.to(got.device)], expected[finite]) < LIMITS[dtype]


@types
@pytest.mark.parametrize("rows", [False, True], ids=["all rows", "some rows"])
@pytest.mark.parametrize("head", HEADS_HERE)
def test_packed(head: str, rows: bool, dtype: torch.dtype) -> None:
    """Batches in flight together come back to their own; each equals the CPU."""
    draw = np.random.default_rng(0)
    plain = PytorchRunner(tiny_model(head))
    queued = CudaRunner(tiny_model(head).to(DEVICE, dtype))
    batches = []
    for _ in range(6):
        sequences = [draw.integers(1, 97, size=length).tolist() for length in draw.integers(1, 24, size=9)]
        some = [sorted({0, len(sequence) // 2}) for sequence in sequences]
        batches.append(Batch.of(sequences, some if rows and HEADS[head].per_token else None))
    waiting = [queued.submit(batch) for batch in batches]
    for batch, wait in zip(batches, waiting, strict=True):
        got = wait()
        for name, expected in plain(batch).items():
            assert got[name].dtype == np.float32
            assert distance(torch.from_numpy(got[name]), torch.from_numpy(expected)) < LIMITS[dtype], name


@pytest.mark.parametrize(
    "place",
    [
        {"device_map": "auto"},
        {"device_map": "cuda:0"},
        {"device_map": "cuda"},
        {"device_map": 0},
        {"device_map": {"": 0}},
        {"device_map": {"distilbert": 0, "pre_classifier": 0, "classifier": 0}},
        {"device_map": {"distilbert": "cuda:0", "pre_classifier": "cuda:0", "classifier": "cuda:0"}},
    ],
    ids=str,
)
def test_places(place: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification")
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, torch_dtype=torch.float16, **_for_cpu(place))
    assert {parameter.device for parameter in loaded.parameters()} == {DEVICE}
    assert loaded.dtype == torch.float16
    assert type(make_runner(loaded)) is (PytorchRunner if ON_CPU else CudaRunner)


def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(DeviceError, match=r"device 'cuda:99' is not there"):
        type(tiny_model()).from_pretrained(tmp_path, device_map="cuda:99")


def _for_cpu(place: Any) -> Any:
    """On a rehearsal, name the CPU wherever a GPU is named."""
    if not ON_CPU:
        return place
    if isinstance(place, dict):
        return {name: _for_cpu(value) for name, value in place.items()}
    return "cpu" if place in (0, "cuda", "cuda:0") else place
