"""``torch.compile(fullgraph=True)``: outputs and gradients of the model that is not compiled.

On the CPU the graph is traced whole and run without generating code, which would take a compiler and minutes.
"""

from __future__ import annotations

import pytest
import torch

from distilbert.models.pytorch.packing import Packing
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels, tiny_model

from .device import DEVICE, ON_CPU, distance, on_gpu

pytestmark = on_gpu
BACKEND = "aot_eager" if ON_CPU else "inductor"


@pytest.mark.parametrize("head", ["ForSequenceClassification"] if ON_CPU else HEAD_NAMES)
def test_whole_graphs(head: str) -> None:
    torch._dynamo.reset()
    model = tiny_model(head).to(DEVICE)
    inputs = {name: tensor[:3].to(DEVICE) for name, tensor in (tiny_inputs(head) | tiny_labels(head)).items()}
    compiled = torch.compile(model, fullgraph=True, backend=BACKEND)
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
def test_flash_attention_in_a_whole_graph() -> None:
    """The packed path, whose kernel a compiler takes as one operation."""
    torch._dynamo.reset()
    model = tiny_model().to(DEVICE, torch.float16)
    packing = Packing.of_lengths([5, 23, 1, 9], DEVICE)
    packing = Packing(packing.offsets, packing.lengths, positions=packing.position_ids())
    ids = torch.arange(1, 39, device=DEVICE)
    with torch.no_grad():
        expected = model.forward_packed(ids, packing)
        got = torch.compile(model.forward_packed, fullgraph=True)(ids, packing)
    assert distance(got, expected) < 0.02
