"""A fine-tuning step on SST-2, batches of 32 sentences: ours in bf16 against a plain loop over transformers.

The plain loop is what most people write: batches padded to the longest, AdamW, clipping at 1; in fp32, and with bf16 by
autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from distilbert import AutoTokenizer, DistilBertForSequenceClassification
from distilbert.data.examples import TextExample
from distilbert.data.labels import collect_labels
from distilbert.training.finetuning.encoded_examples import encode_examples
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetune_objective import FinetuneObjective
from distilbert.training.finetuning.labelled_batches import LabelledBatches
from distilbert.training.loop import optimizer_step
from distilbert.training.optimizer import make_optimizer
from distilbert.training.processes import make_accelerator

from ..common import best_and_median, in_turn
from .setting import SEED, Setting

BATCH, STEPS = 32, 20
PLAIN = "transformers, fp32, padded"
RATE = 2e-5


def run(setting: Setting) -> dict[str, Any]:
    """Return sentences a second of each way."""
    rows = setting.labelled()[: 16 if setting.tiny else None]
    batch, steps = (4, 1) if setting.tiny else (BATCH, STEPS)
    takes = {
        PLAIN: _plain(setting, rows, batch, False),
        "transformers, bf16 by autocast": _plain(setting, rows, batch, True),
        "ours, fp32": _ours(setting, rows, batch, False),
        "ours, bf16": _ours(setting, rows, batch, True),
    }
    timed = {name: partial(_timed, take, steps, setting) for name, take in takes.items()}
    for take in timed.values():  # first calls allocate and choose kernels
        take()
    seconds = in_turn(timed, min(3, setting.rounds))
    rates = {
        name: {kind: round(steps * batch / value, 1) for kind, value in best_and_median(times).items()}
        for name, times in seconds.items()
    }
    return {
        "batch_size": batch,
        "sentences_per_second": rates,
        "faster_than_the_plain_loop": {
            name: {kind: round(rate / rates[PLAIN][kind], 2) for kind, rate in rates[name].items()}
            for name in rates
            if name != PLAIN
        },
    }


def _ours(setting: Setting, rows: list[tuple[str, int]], batch: int, low: bool) -> Callable[[int], None]:
    """Return a function that takes step N."""
    torch.manual_seed(SEED)
    config = FinetuneConfig(
        task="text-classification",
        model=str(setting.classifier()),
        train_data=["-"],
        output="-",
        batch_size=batch,
        device="cpu" if setting.device == "cpu" else "auto",
    )
    tokenizer = AutoTokenizer.from_pretrained(setting.classifier())
    examples = [TextExample(f"row {number}", text, label=str(label)) for number, (text, label) in enumerate(rows)]
    labels = collect_labels("text-classification", examples)
    encoded = encode_examples("text-classification", examples, labels, tokenizer, max_length=512, stride=128)
    batches = LabelledBatches(config, encoded)
    model = DistilBertForSequenceClassification.from_pretrained(setting.classifier()).to(setting.torch_device).train()
    objective = FinetuneObjective(model, config, labels.problem)
    optimizer, accelerator = make_optimizer(objective, config), make_accelerator(config)
    autocast = torch.autocast(setting.device, torch.bfloat16, enabled=low)

    def take(number: int) -> None:
        step = batches.step(number % batches.steps_per_epoch, 0, 1)
        optimizer_step(objective, optimizer, step, RATE, number, config, accelerator, autocast)

    return take


def _plain(setting: Setting, rows: list[tuple[str, int]], batch: int, low: bool) -> Callable[[int], None]:
    """Return the same of a plain loop over transformers."""
    import transformers

    torch.manual_seed(SEED)
    folder, device = setting.classifier(), setting.torch_device
    kind = transformers.AutoModelForSequenceClassification
    model = kind.from_pretrained(folder, dtype=torch.float32).to(device).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)

    def take(number: int) -> None:
        first = number * batch % (len(rows) - batch + 1)
        texts, labels = zip(*rows[first : first + batch], strict=True)
        inputs = tokenizer(list(texts), padding=True, return_tensors="pt").to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            loss = model(inputs["input_ids"], inputs["attention_mask"], labels=torch.tensor(labels).to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return take


def _timed(take: Callable[[int], None], steps: int, setting: Setting) -> None:
    for number in range(steps):
        take(number)
    setting.synchronize()
