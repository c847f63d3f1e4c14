"""A model as one PyTorch program, from which every format is made.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..models.pytorch.pretrained import DistilBertPreTrainedModel
from .libraries import quiet
from .sessions import INPUTS

OUTPUTS = {"": ("last_hidden_state",), "ForQuestionAnswering": ("start_logits", "end_logits")}
AXES = {2: ("batch_size", "sequence_length"), 3: ("batch_size", "num_choices", "sequence_length")}


class _Program(nn.Module):
    """What is exported: two inputs, float32 outputs by name whatever type the weights have."""

    def __init__(self, model: DistilBertPreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.names = output_names(model.head_spec.name)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        output: Any = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_attentions=False,
            output_hidden_states=False,
            return_dict=True,
        )
        return {name: output[name].float() for name in self.names}


def output_names(head: str) -> tuple[str, ...]:
    """Return what a model with ``head`` computes, in order."""
    return OUTPUTS.get(head, ("logits",))


def rank(head: str) -> int:
    """Return the dimensions of the ids: (B, S), and (B, C, S) for multiple choice."""
    return 3 if head == "ForMultipleChoice" else 2


def trace(model: DistilBertPreTrainedModel, dtype: torch.dtype = torch.float32) -> ExportedProgram:
    """Record what a model computes, for any batch and any length up to the model's own.

    Attention is the eager one: its mask is a finite number, so that a row of nothing but padding stays finite in every
    runtime, and the runtimes find their fused kernels in it just as well.

    Args:
        model: any of the six classes; it is left as it is.
        dtype: floating type of the weights in the program.

    Returns:
        A program that takes ``input_ids`` and ``attention_mask`` and returns a dictionary of float32 tensors. It
        names no file of this machine.
    """
    head = model.head_spec.name
    model = copy.deepcopy(model).to(dtype).eval()
    model.set_attn_implementation("eager")
    ids = torch.ones((2, 3, 4)[-rank(head) :], dtype=torch.int64)
    limits = {"sequence_length": model.config.max_position_embeddings}
    axes = {axis: Dim(name, max=limits.get(name)) for axis, name in enumerate(AXES[rank(head)])}
    with quiet():
        program = torch.export.export(
            _Program(model),
            (),
            dict(zip(INPUTS, (ids, ids.clone()), strict=True)),  # one tensor for both would become one input
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
