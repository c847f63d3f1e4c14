"""A DistilBERT so small that tests take milliseconds. All its dimensions differ, so that swapped axes are an error."""

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


def all_but_one_slow(heads: tuple[str, ...] | list[str]) -> list[Any]:
    """Parameters of a test that compiles each head for seconds: one head normally, the others in the slow run."""
    not_slow = "ForSequenceClassification"
    assert not_slow in heads
    return [head if head == not_slow else pytest.param(head, marks=pytest.mark.slow) for head in heads]


def tiny_config(head: str = "", **changes: Any) -> DistilBertConfig:
    labels = 2 if head == "ForQuestionAnswering" else LABELS
    count = {} if "id2label" in changes else {"num_labels": labels}
    return DistilBertConfig(**(count | SIZES | changes))


def model_class(head: str) -> Any:
    import distilbert.models.pytorch as models

    return getattr(models, HEADS[head].architecture)


def tiny_model(head: str = "", seed: int = 0, **changes: Any) -> Any:
    """A model in evaluation mode whose weights are large enough for every tensor to influence the output."""
    torch.manual_seed(seed)
    model = model_class(head)(tiny_config(head, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def tiny_inputs(head: str = "", seed: int = 1) -> dict[str, torch.Tensor]:
    """Ids and a mask: a row without padding, one padded on the right, one on the left, and one of padding alone."""
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

    def random_integers(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    if head == "ForMaskedLM":
        labels = random_integers(SIZES["vocab_size"], BATCH, LENGTH)
        return {"labels": labels.masked_fill(random_integers(2, BATCH, LENGTH) == 0, -100)}
    if head == "ForTokenClassification":
        return {
            "labels": random_integers(LABELS, BATCH, LENGTH).masked_fill(random_integers(4, BATCH, LENGTH) == 0, -100)
        }
    if head == "ForSequenceClassification":
        return {"labels": random_integers(LABELS, BATCH)}
    if head == "ForMultipleChoice":
        return {"labels": random_integers(CHOICES, BATCH)}
    if head == "ForQuestionAnswering":
        return {
            "start_positions": random_integers(LENGTH + 4, BATCH) - 2,
            "end_positions": random_integers(LENGTH + 4, BATCH) - 2,
        }
    return {}
