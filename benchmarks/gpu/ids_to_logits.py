"""The model alone, from ids on the GPU to logits on the GPU: packed tokens against transformers' padded batches.

Two shapes: equal lengths, where nothing is padding, and the lengths of real sentences, sorted, so that transformers
pads as little as it can. Then the host's share: how long it takes to queue a batch of ours, whatever the GPU does.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilbert import DistilBertForSequenceClassification
from distilbert.core.runner_protocol import Batch
from distilbert.models.pytorch.packing import Packing
from distilbert.models.pytorch.runner import CudaRunner
from distilbert.tasks.batching import cut_batches

from ..common import best_and_median, in_turn
from .setting import LOW, SEED, Setting

EQUAL = {"32 x 512": (32, 512), "128 x 128": (128, 128), "512 x 32": (512, 32), "1 x 16": (1, 16)}


def run(setting: Setting) -> dict[str, Any]:
    """Return tokens a second of both models by shape, and microseconds a batch costs the host."""
    import transformers

    folder, device = setting.classifier(), setting.torch_device
    dtype = LOW["bf16"]
    ours = DistilBertForSequenceClassification.from_pretrained(folder, dtype=dtype).to(device).eval()
    kind = transformers.AutoModelForSequenceClassification
    reference = kind.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").to(device).eval()
    shapes = {name: [length] * count for name, (count, length) in EQUAL.items()}
    if setting.tiny:
        shapes = {"2 x 16": [16] * 2}
    shapes["sentences"] = sorted(8 + len(text) // 5 for text in setting.sentences()[:256])
    figures: dict[str, Any] = {"dtype": "bf16"}
    if setting.device == "cuda":
        figures["gpu"] = torch.cuda.get_device_name(device)
    for name, lengths in shapes.items():
        sequences = _draw(lengths, ours.config.vocab_size)
        contestants = {
            "ours": partial(_packed, ours, *_pack(sequences, device)),
            "transformers": partial(_padded, reference, *_pad(sequences, device)),
        }
        difference = (contestants["ours"]() - contestants["transformers"]()).abs().max()  # and chooses kernels
        timed = {who: partial(_timed, contestant, setting) for who, contestant in contestants.items()}
        seconds = in_turn(timed, setting.rounds)
        figures[name] = {
            "tokens_per_second": {
                who: {kind: round(sum(lengths) * repeats(setting) / value) for kind, value in
                      best_and_median(times).items()}
                for who, times in seconds.items()
            },
            "largest_difference": round(float(difference), 5),
        }  # fmt: skip
    figures["host"] = host_share(CudaRunner(ours), setting)
    return figures


def host_share(runner: CudaRunner, setting: Setting) -> dict[str, Any]:
    """Return the time in which the host queues batches of real lengths, and in which all outputs are there."""
    lengths = [8 + len(text) // 5 for text in setting.sentences()]
    sequences = _draw(lengths, runner.config.vocab_size)
    batches = [
        Batch.of([sequences[i].tolist() for i in indices]) for indices in cut_batches(lengths, runner.batch_tokens)
    ]
    for _ in range(2):  # the first time allocates page-locked memory
        setting.synchronize()
        start = time.perf_counter()
        waiting = [runner.submit(batch) for batch in batches]
        queued = time.perf_counter() - start
        for wait in waiting:
            wait()
        done = time.perf_counter() - start
    return {
        "batches": len(batches),
        "tokens": sum(lengths),
        "queued_ms": round(1000 * queued, 2),
        "done_ms": round(1000 * done, 2),
    }


def repeats(setting: Setting) -> int:
    """Calls of a model in one measurement."""
    return 1 if setting.tiny else 10


def _timed(contestant: Any, setting: Setting) -> None:
    for _ in range(repeats(setting)):
        contestant()
    setting.synchronize()


def _draw(lengths: list[int], vocab_size: int) -> list[np.ndarray]:
    random = np.random.default_rng(SEED)
    return [random.integers(5, vocab_size, size=length) for length in lengths]


def _pack(sequences: list[np.ndarray], device: torch.device) -> tuple[Tensor, Packing]:
    packing = Packing.of_lengths([len(sequence) for sequence in sequences], device)
    packing = Packing(packing.offsets, packing.lengths, positions=packing.position_ids())
    return torch.from_numpy(np.concatenate(sequences)).to(device), packing


def _pad(sequences: list[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (len(sequences), max(map(len, sequences)))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = sequence, 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@torch.inference_mode()
def _packed(model: Any, ids: Tensor, packing: Packing) -> Tensor:
    return model.head(model.base_model.forward_packed(ids, packing, packing.offsets[:-1]))  # (B, L)


@torch.inference_mode()
def _padded(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return model(ids, attention_mask=mask).logits  # (B, L)
