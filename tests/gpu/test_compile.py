"""``torch.compile(fullgraph=True)``: outputs and gradients of the model that is not compiled.

On the CPU a graph is traced whole and run without generating code, which would take a compiler and minutes.
"""

from __future__ import annotations

import pytest
import torch

from distilbert.models.pytorch.attention import attend_varlen
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels, tiny_model

from .device import DEVICE, ON_CPU, distance, on_gpu

pytestmark = on_gpu
GENERATED = ("", "ForSequenceClassification")  # the others are traced only: code for all six would take minutes


@pytest.mark.parametrize("head", ["ForSequenceClassification"] if ON_CPU else HEAD_NAMES)
def test_whole_graphs(head: str) -> None:
    torch._dynamo.reset()
    model = tiny_model(head).to(DEVICE)
    inputs = {name: tensor[:3].to(DEVICE) for name, tensor in (tiny_inputs(head) | tiny_labels(head)).items()}
    backend = "eager" if ON_CPU else "inductor" if head in GENERATED else "aot_eager"
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    found = []
    for each in (model, compiled):
        model.zero_grad()
        output = each(**inputs).to_tuple()
        sum(x.float()[x.isfinite()].sum() for x in output).backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append([x.detach() for x in output] + gradients)
    for expected, got in zip(*found, strict=True):
        finite = expected.isfinite()
        if expected[finite].abs().max() > 1e-4:
            assert distance(got[finite], expected[finite]) < 1e-4


@pytest.mark.skipif(ON_CPU, reason="FlashAttention needs a CUDA GPU")
def test_the_varlen_operation_in_a_whole_graph() -> None:
    torch._dynamo.reset()
    q, k, v = (torch.randn(38, 4, 32, dtype=torch.float16, device=DEVICE) for _ in range(3))
    offsets = torch.tensor([0, 5, 28, 29, 38], dtype=torch.int32, device=DEVICE)
    compiled = torch.compile(attend_varlen, fullgraph=True)
    expected = attend_varlen(q, k, v, offsets, offsets, 23, 23)
    assert distance(compiled(q, k, v, offsets, offsets, 23, 23), expected) < 2e-3
