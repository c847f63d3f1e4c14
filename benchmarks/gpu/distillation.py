"""A distillation step, BERT-base's size into six layers, in tokens a second: ours against the reference's way.

The reference's way is that of ``benchmarks/distil_step.py``: padded batches of five paragraphs of similar length, all
scores over the vocabulary in fp32. A second row gives it bf16 by autocast, which its code does not do. Ours is measured
with the settings that are the default, which suit a CPU, and with passes and chunks that suit a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from distilbert import DistilBertForMaskedLM, DistilBertTokenizerFast
from distilbert.training.corpus.masking import token_weights
from distilbert.training.corpus.text_batches import open_text
from distilbert.training.distill_config import DistillConfig
from distilbert.training.distill_objective import DistillObjective, LossPlan
from distilbert.training.loop import optimizer_step
from distilbert.training.optimizer import make_optimizer
from distilbert.training.processes import make_accelerator

from ..common import best_and_median, in_turn
from ..distil_reference import TEMPERATURE, WEIGHTS, make_batches, pad, paragraphs, reference_step
from .setting import SEED, Setting

LARGE = {"micro_tokens": 32768, "chunk": 4096}
TOKENS, TINY_TOKENS = 65536, 64
REFERENCE = "reference, fp32"


def run(setting: Setting) -> dict[str, Any]:
    """Return tokens a second of each way."""
    torch.manual_seed(SEED)
    device, size = setting.torch_device, TINY_TOKENS if setting.tiny else TOKENS
    layers = (4, 2) if setting.tiny else (12, 6)
    tokenizer = DistilBertTokenizerFast(setting.vocabulary)
    teacher = DistilBertForMaskedLM(setting.config(n_layers=layers[0])).to(device).eval().requires_grad_(False)
    student = DistilBertForMaskedLM(setting.config(n_layers=layers[1])).to(device).train()
    contestants: dict[str, Callable[[], Any]] = {}
    tokens: dict[str, int] = {}

    batches, real = _reference_batches(tokenizer, setting, size)
    plain = torch.optim.AdamW(student.parameters(), lr=5e-4, eps=1e-6, betas=(0.9, 0.98))
    for name, low in ((REFERENCE, False), ("reference, bf16 by autocast", True)):
        contestants[name], tokens[name] = partial(_reference_step, student, teacher, plain, batches, device, low), real
    for name, changes in {"ours, bf16, default passes": {}, "ours, bf16, large passes": LARGE}.items():
        contestants[name], tokens[name] = _ours(student, teacher, tokenizer, setting, size, changes)

    for take in contestants.values():  # first calls allocate and choose kernels
        take()
    timed = {name: partial(_timed, take, setting) for name, take in contestants.items()}
    seconds = in_turn(timed, min(3, setting.rounds))
    rates = {
        name: {kind: round(tokens[name] / value) for kind, value in best_and_median(times).items()}
        for name, times in seconds.items()
    }
    return {
        "layers": layers,
        "tokens_of_a_step": tokens,
        "tokens_per_second": rates,
        "faster_than_the_reference": {
            name: {kind: round(rate / rates[REFERENCE][kind], 2) for kind, rate in rates[name].items()}
            for name in rates
            if name != REFERENCE
        },
    }


def _ours(
    student: DistilBertForMaskedLM,
    teacher: DistilBertForMaskedLM,
    tokenizer: DistilBertTokenizerFast,
    setting: Setting,
    size: int,
    changes: dict[str, int],
) -> tuple[Callable[[], Any], int]:
    """Return a step of ours and its tokens."""
    values: dict[str, Any] = {
        "teacher": "-",
        "data": setting.paragraphs(),
        "output": str(setting.scratch / "distillation"),
        "sequence_length": 32 if setting.tiny else 512,
        "tokens_per_step": size,
        "device": "cpu" if setting.device == "cpu" else "auto",
    }
    config = DistillConfig(**values | changes)
    text = open_text(config, tokenizer)
    step = text.step(0, 0, 1)
    objective = DistillObjective(student, LossPlan(WEIGHTS, TEMPERATURE, chunk=config.chunk), _copy(teacher))
    objective.place_teacher(setting.torch_device, torch.bfloat16)
    optimizer, accelerator = make_optimizer(objective, config), make_accelerator(config)
    autocast = torch.autocast(setting.device, torch.bfloat16)
    take = partial(optimizer_step, objective, optimizer, step, config.learning_rate, 0, config, accelerator, autocast)
    return take, step.tokens


def _copy(teacher: DistilBertForMaskedLM) -> DistilBertForMaskedLM:
    """Return the teacher's weights once more: those of ours are cast to bf16, those of the reference's way are not."""
    twin = DistilBertForMaskedLM(teacher.config)
    twin.load_state_dict(teacher.state_dict())
    return twin.eval().requires_grad_(False)


def _reference_batches(
    tokenizer: DistilBertTokenizerFast, setting: Setting, size: int
) -> tuple[list[tuple[torch.Tensor, ...]], int]:
    """Return padded batches of at least ``size`` real tokens in all, and how many these are."""
    sequences = [ids[: 16 if setting.tiny else None] for ids in paragraphs(tokenizer, setting.paragraphs())]
    lengths = [len(ids) for ids in sequences]
    counts = np.bincount(np.concatenate(sequences), minlength=len(tokenizer))
    weights = token_weights(counts, tokenizer.all_special_ids)
    batches, real = [], 0
    for batch in make_batches(lengths, grouped=not setting.tiny):  # a rehearsal has too few of similar length
        if real >= size:
            break
        batches.append(pad([sequences[index] for index in batch], weights, tokenizer.mask_token_id))
        real += sum(lengths[index] for index in batch)
    return batches, real


def _reference_step(
    student: Any, teacher: Any, optimizer: Any, batches: list[Any], device: torch.device, low: bool
) -> None:
    moved = [tuple(tensor.to(device) for tensor in batch) for batch in batches]
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        reference_step(student, teacher, optimizer, moved)


def _timed(take: Callable[[], Any], setting: Setting) -> None:
    take()
    setting.synchronize()
