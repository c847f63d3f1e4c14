"""Tuning of an encoder for few examples: texts of one label come together, those of others apart.

The idea is SetFit's (arXiv 2209.11055): the encoder learns from pairs of examples before a linear model is fitted. Here
all pairs of a step count at once (arXiv 2004.11362, equation 2), which needs fewer passes than single pairs.

Shapes: B texts of a step, S tokens of the longest, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import DataError, TrainingError
from ...data.examples import TextExample
from ...models.auto import AutoTokenizer
from ...models.pytorch import DistilBertModel
from ..loss_terms import pool
from ..processes import cpu_threads
from ..seeded_random import RandomStream

LABELS, TEXTS_A_LABEL = 24, 4  # of a step
LEARNING_RATE, WARMUP = 5e-5, 10  # the rate falls to 0 after so many steps
TEMPERATURE = 0.07
LONGEST = 128  # tokens of a text


def tune_encoder(
    source: Path,
    target: Path,
    examples: Sequence[TextExample],
    labels: np.ndarray,
    *,
    steps: int,
    seed: int,
    threads: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Tune the encoder in ``source``, and write it with its tokenizer into ``target``.

    Args:
        source: folder of the model.
        target: folder to write.
        examples: texts or pairs.
        labels: (N,) number of the label of each.
        steps: of tuning, with ``LABELS`` times ``TEXTS_A_LABEL`` texts each.
        seed: of the draws.
        threads: CPU threads; 0 for one per core.
        on_step: called with the number of steps done, and the loss.

    Raises:
        DataError: no label has two examples.
        TrainingError: the loss became infinite or NaN.
    """
    by_label = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if all(len(own) < 2 for own in by_label):
        raise DataError("No label has two examples, so there are no texts that belong together: leave contrastive out.")
    draw = np.random.default_rng(seed)
    stream = RandomStream(seed)
    with cpu_threads(threads):
        with stream.drawn():
            tokenizer, model = AutoTokenizer.from_pretrained(source), DistilBertModel.from_pretrained(source)
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        for step in range(steps):
            chosen = draw.choice(len(by_label), min(LABELS, len(by_label)), replace=False)
            rows = np.concatenate(
                [draw.choice(by_label[number], min(TEXTS_A_LABEL, len(by_label[number])), replace=False)
                 for number in chosen]
            )  # fmt: skip
            with stream.drawn():  # dropout
                vectors = _vectors(model, tokenizer, [examples[row] for row in rows])  # (B, D)
            loss = contrastive_loss(vectors, torch.from_numpy(labels[rows]))
            if not torch.isfinite(loss):
                raise TrainingError(f"The loss of contrastive tuning became {loss.item()} in step {step + 1}.")
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            on_step(step + 1, loss.item())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def contrastive_loss(vectors: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the supervised contrastive loss, a mean over all ordered pairs of different texts with one label.

    A pair's loss is the cross-entropy of finding the second text among all texts but the first, by the cosines divided
    by the temperature. Without such pairs it is 0.

    Args:
        vectors: (B, D) of length 1.
        labels: (B,) numbers of the labels.
        temperature: see above.
    """
    itself = torch.eye(len(labels), dtype=torch.bool)
    scores = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)  # (B, B)
    together = (labels[:, None] == labels[None]) & ~itself
    log_shares = scores - scores.logsumexp(dim=1, keepdim=True)
    return -log_shares[together].sum() / together.sum().clamp(min=1)


def _vectors(model: DistilBertModel, tokenizer: Any, examples: Sequence[TextExample]) -> Tensor:
    """Return the means of the last hidden states, of length 1: (B, D)."""
    pairs = [each.text_pair for each in examples]
    batch = tokenizer(
        [each.text for each in examples],
        None if pairs[0] is None else pairs,
        padding=True, truncation=True, max_length=min(LONGEST, model.config.max_position_embeddings),
        return_tensors="pt",
    )  # fmt: skip
    hidden = model(batch["input_ids"], batch["attention_mask"], return_dict=True).last_hidden_state  # (B, S, D)
    return functional.normalize(pool(hidden, batch["attention_mask"], "mean"), dim=-1)
