"""A distillation step as the paper's training code does it: paragraphs, padded batches, all scores, fp32.

``distil_step.py`` compares with it. It is written from what that code does (transformers-research-projects,
``distillation/``); no line is copied.
Shapes: B sequences, S tokens of the longest, M real tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distilbert import DistilBertForMaskedLM, DistilBertTokenizerFast
from distilbert.core.model_checks import IGNORED
from distilbert.data.corpus import documents
from distilbert.training.corpus.masking import mask_tokens

LONGEST, SHORTEST, BATCH, GROUP, TEMPERATURE, CLIP, SEED = 512, 12, 5, 4, 2.0, 5.0, 56
WEIGHTS = {"ce": 5.0, "mlm": 2.0, "cos": 1.0}
Batch = tuple[Tensor, Tensor, Tensor]  # ids, mask and labels, (B, S) each
Model = DistilBertForMaskedLM


def paragraphs(tokenizer: DistilBertTokenizerFast, files: list[str]) -> list[np.ndarray]:
    """Return each paragraph as a sequence; long paragraphs are cut, very short ones left out."""
    texts = [text for document in documents(files) for text in document]
    framed = []
    for ids in tokenizer.encode_ids(texts, add_special_tokens=False):
        for start in range(0, len(ids), LONGEST - 2):
            piece = [tokenizer.cls_token_id, *ids[start : start + LONGEST - 2], tokenizer.sep_token_id]
            framed.append(np.array(piece))
    return [ids for ids in framed if len(ids) >= SHORTEST]


def make_batches(lengths: list[int], grouped: bool) -> list[list[int]]:
    """Return the batches of an epoch in random order; ``grouped``: their lengths differ by less than 4."""
    random = np.random.default_rng(SEED)
    waiting: dict[int, list[int]] = defaultdict(list)
    batches = []
    for number in random.permutation(len(lengths)).tolist():
        group = waiting[(lengths[number] - 3) // GROUP if grouped else 0]
        group.append(number)
        if len(group) == BATCH:
            batches.append(group.copy())
            group.clear()
    return [batches[index] for index in random.permutation(len(batches))]


def pad(sequences: list[np.ndarray], weights: np.ndarray, mask_token_id: int) -> Batch:
    """Mask sequences and pad them to the longest."""
    shape = (len(sequences), max(map(len, sequences)))
    ids, mask, labels = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, IGNORED)
    for row, sequence in enumerate(sequences):
        masked = mask_tokens(
            sequence[None], weights, seed=SEED, first=row, mask_token_id=mask_token_id, vocab_size=len(weights)
        )
        size = len(sequence)
        ids[row, :size], mask[row, :size], labels[row, :size] = masked.input_ids[0], 1, masked.labels[0]
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(labels)


def reference_loss(student: Model, teacher: Model, batch: Batch) -> dict[str, Tensor]:
    """Return the three terms, computed from all scores."""
    ids, mask, labels = batch
    output = student(ids, attention_mask=mask, output_hidden_states=True)
    with torch.no_grad():
        teacher_output = teacher(ids, attention_mask=mask, output_hidden_states=True)

    def select(x: Tensor) -> Tensor:
        return x.masked_select(mask.bool()[..., None].expand_as(x)).view(-1, x.shape[-1])

    s, t = select(output.logits), select(teacher_output.logits)  # (M, V)
    h, g = select(output.hidden_states[-1]), select(teacher_output.hidden_states[-1])  # (M, D)
    log_p, target = F.log_softmax(s / TEMPERATURE, dim=-1), F.softmax(t / TEMPERATURE, dim=-1)
    return {
        "ce": F.kl_div(log_p, target, reduction="batchmean") * TEMPERATURE**2,
        "mlm": F.cross_entropy(output.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED),
        "cos": F.cosine_embedding_loss(h, g, h.new_ones(len(h))),
    }


def reference_step(student: Model, teacher: Model, optimizer: torch.optim.Optimizer, batches: list[Batch]) -> None:
    """Accumulate over the batches and take one step."""
    for batch in batches:
        terms = reference_loss(student, teacher, batch)
        loss = torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()
        (loss / len(batches)).backward()
        assert loss.isfinite()
    torch.nn.utils.clip_grad_norm_(student.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad()


def real_part(batches: list[list[int]], lengths: list[int]) -> float:
    """Return the fraction of the padded batches that is not padding."""
    real = sum(lengths[index] for batch in batches for index in batch)
    return real / sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


def as_batch(arrays: dict[str, np.ndarray]) -> Batch:
    """Return full sequences as a batch with an attention mask."""
    ids, labels = (torch.from_numpy(arrays[name]) for name in ("input_ids", "labels"))
    return ids, torch.ones_like(ids), labels
