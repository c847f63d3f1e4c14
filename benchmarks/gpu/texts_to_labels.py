"""Texts to labels: our pipeline in fp16 and bf16 against that of transformers, in turn in one run.

Both have the same folder, the same texts in the order in which they come, truncation at 512 tokens, and nothing is
sorted by hand. For transformers the best of several batch sizes is looked for first, for each data set on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from distilbert import pipeline

from ..common import best_and_median, in_turn
from .setting import LOW, Setting

BATCH_SIZES = (8, 16, 32, 64, 128, 256)
GOALS = {"sentences": 3.0, "reviews": 1.5}  # times as fast as transformers' best batch
FEW = 128  # texts that batch sizes are compared on, with which one costs no minute

Label = Callable[[list[str]], list[str]]


def run(setting: Setting) -> dict[str, Any]:
    """Return texts a second of every contestant, by data set, and how often labels differ."""
    folder = setting.classifier()
    kinds = {"bf16": LOW["bf16"]} if setting.device == "cpu" else LOW  # fp16 on a CPU takes minutes
    ours = {f"ours, {name}": pipeline("text-classification", folder, torch_dtype=dtype, **_place(setting))
            for name, dtype in kinds.items()}  # fmt: skip
    reference = {f"transformers, {name}": _transformers(folder, dtype, setting) for name, dtype in kinds.items()}
    figures: dict[str, Any] = {"rounds": setting.rounds, "goals": GOALS}
    for name, texts in {"sentences": setting.sentences(), "reviews": setting.reviews()}.items():
        contestants = {who: partial(_label, task) for who, task in ours.items()}
        sizes = {who: best_batch_size(task, texts[:FEW], setting) for who, task in reference.items()}
        contestants |= {who: partial(_label, task, batch_size=sizes[who]) for who, task in reference.items()}
        figures[name] = {"texts": len(texts), "batch_sizes": sizes} | compare(contestants, texts, setting.rounds)
    return figures


def compare(contestants: dict[str, Label], texts: list[str], rounds: int) -> dict[str, Any]:
    """Return texts a second, ratios of ours to the fastest other, and the share of labels that agree with it."""
    labels = {who: label(texts) for who, label in contestants.items()}  # the first run allocates and chooses kernels
    seconds = in_turn({who: partial(label, texts) for who, label in contestants.items()}, rounds)
    rates = {
        who: {kind: round(len(texts) / value, 1) for kind, value in best_and_median(times).items()}
        for who, times in seconds.items()
    }
    other = max((who for who in rates if not who.startswith("ours")), key=lambda who: rates[who]["best"])
    ours = [who for who in rates if who.startswith("ours")]
    return {
        "texts_per_second": rates,
        "faster_than_transformers": {
            who: {kind: round(rate / rates[other][kind], 2) for kind, rate in rates[who].items()} for who in ours
        },
        "labels_that_agree": {
            who: round(sum(a == b for a, b in zip(labels[who], labels[other], strict=True)) / len(texts), 4)
            for who in ours
        },
    }


def best_batch_size(task: Any, texts: list[str], setting: Setting) -> int:
    """Return the batch size with which transformers labels ``texts`` fastest."""
    sizes = BATCH_SIZES[:2] if setting.tiny else BATCH_SIZES
    _label(task, texts[: sizes[0]], batch_size=sizes[0])
    seconds = in_turn({str(size): partial(_label, task, texts, batch_size=size) for size in sizes}, 1)
    return min(sizes, key=lambda size: seconds[str(size)][0])


def _label(task: Any, texts: list[str], **options: Any) -> list[str]:
    return [answer["label"] for answer in task(texts, truncation=True, **options)]


def _transformers(folder: Any, dtype: Any, setting: Setting) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.pipeline("text-classification", str(folder), dtype=dtype, device=setting.torch_device)


def _place(setting: Setting) -> dict[str, Any]:
    return {"device": setting.torch_device, "runner": "pytorch"}
