"""Writing a traced model as a PyTorch program, and running the one just written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..models.pytorch.pretrained import DistilBertPreTrainedModel
from .libraries import quiet
from .sessions import INPUTS
from .trace import output_names, rank, trace


def write_torch(model: DistilBertPreTrainedModel, path: Path, precision: str) -> None:
    """Write ``model`` as a program that ``torch.export.load`` reads.

    Args:
        model: in fp32.
        path: the ``.pt2`` file.
        precision: ``"fp32"`` or ``"fp16"``, the type of weights and sums; outputs are float32.
    """
    program = trace(model, torch.float16 if precision == "fp16" else torch.float32)
    with quiet():
        torch.export.save(program, path)


class ProgramSession:
    """A program of our own making. Never open one from elsewhere: reading it can run code that is hidden in it.

    Args:
        path: the ``.pt2`` file.
        head: name of the head that it was made with.
    """

    def __init__(self, path: Path, head: str) -> None:
        with quiet():
            self._module = torch.export.load(path).module()
        self.outputs = output_names(head)
        self.rank = rank(head)

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`distilbert.exporting.sessions.Session`."""
        feeds = {name: torch.from_numpy(array) for name, array in zip(INPUTS, (input_ids, attention_mask), strict=True)}
        with torch.inference_mode():
            answers = self._module(**feeds)
        return {name: answers[name].numpy() for name in self.outputs}
