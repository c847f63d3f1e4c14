"""A DistilBERT so small that tests take milliseconds, with all dimensions different, so that a swapped axis shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from distilbert import DistilBertConfig
from distilbert.core.schema import HEADS

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "max_position_embeddings": 23,
    "dim": 24,
    "n_heads": 3,
    "n_layers": 2,
    "hidden_dim": 40,
}
HEAD_NAMES = tuple(HEADS)
BATCH, LENGTH, CHOICES, LABELS = 4, 11, 3, 5


def quick(heads: tuple[str, ...] | list[str]) -> list[Any]:
    """Parameters of a test that compiles for seconds a head: one head in the normal run, the others in the slow one."""
    kept = "ForSequenceClassification"
    return [head if head == kept else pytest.param(head, marks=pytest.mark.slow) for head in heads]


def tiny_config(head: str = "", **changes: Any) -> DistilBertConfig:
    labels = 2 if head == "ForQuestionAnswering" else LABELS
    return DistilBertConfig(**({"num_labels": labels} | SIZES | changes))


def model_class(head: str) -> Any:
    import distilbert.models.pytorch as room

    return getattr(room, HEADS[head].architecture)


def tiny_model(head: str = "", seed: int = 0, **changes: Any) -> Any:
    """A model in evaluation mode whose weights are large enough for every part to matter."""
    torch.manual_seed(seed)
    model = model_class(head)(tiny_config(head, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def tiny_inputs(head: str = "", seed: int = 1) -> dict[str, torch.Tensor]:
    """Ids and a mask with short rows, padding on either side, and one row of nothing but padding."""
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, CHOICES, LENGTH) if head == "ForMultipleChoice" else (BATCH, LENGTH)
    ids = torch.randint(1, SIZES["vocab_size"], shape, generator=generator)
    mask = torch.ones_like(ids)
    mask[1, ..., 7:] = 0
    mask[2, ..., :4] = 0
    mask[3] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def tiny_labels(head: str, seed: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    if head == "ForMaskedLM":
        labels = draw(SIZES["vocab_size"], BATCH, LENGTH)
        return {"labels": labels.masked_fill(draw(2, BATCH, LENGTH) == 0, -100)}
    if head == "ForTokenClassification":
        return {"labels": draw(LABELS, BATCH, LENGTH).masked_fill(draw(4, BATCH, LENGTH) == 0, -100)}
    if head == "ForSequenceClassification":
        return {"labels": draw(LABELS, BATCH)}
    if head == "ForMultipleChoice":
        return {"labels": draw(CHOICES, BATCH)}
    if head == "ForQuestionAnswering":
        return {"start_positions": draw(LENGTH + 4, BATCH) - 2, "end_positions": draw(LENGTH + 4, BATCH) - 2}
    return {}
