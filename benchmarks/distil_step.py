"""A training step of BERT-base into six layers on real text: ours, and that of the paper's code, measured in turn.

    python -m benchmarks.distil_step [--rounds 3] [--tokens 4096]

The paper's code does the following by default. A paragraph is a sequence of up to 512 tokens; five of similar length
are a batch, padded to the longest. Teacher and student compute all of it, padding included, and its scores over the
vocabulary in fp32. The scores of real tokens are selected by a mask of the scores' size. Then come the three losses,
accumulation, clipping at 5 and AdamW. Its other setting, batches of any length, is measured as well.

Both use this library's models (their attention is fused, as in transformers today), random weights, dropout and the
same text, and draw the masks before the clock starts. Tokens are counted without padding.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilbert import DistilBertConfig, DistilBertTokenizerFast
from distilbert.core.model_checks import IGNORED
from distilbert.training.corpus.masking import token_weights
from distilbert.training.corpus.text_batches import MaskedText, open_text
from distilbert.training.distill_config import DistillConfig
from distilbert.training.distill_objective import DistillObjective, LossPlan
from distilbert.training.loop import optimizer_step
from distilbert.training.optimizer import make_optimizer
from distilbert.training.processes import bf16_is_faster, make_accelerator

from .common import best_and_median, data_folder, in_turn, write_result
from .distil_reference import (
    LONGEST,
    SEED,
    TEMPERATURE,
    WEIGHTS,
    Model,
    as_batch,
    make_batches,
    pad,
    paragraphs,
    real_part,
    reference_loss,
    reference_step,
)

FILES = ("wikipedia/000.txt", "wikipedia/001.txt", "books/000.txt")  # in the proportion of the whole text
REFERENCES = ("reference, grouped by length (its default)", "reference, not grouped")
CONTRIBUTIONS = {  # of each change: the competitors before and after it
    "packing, against grouped batches": (REFERENCES[0], "packed"),
    "packing, against batches of any length": (REFERENCES[1], "packed"),
    "chunked loss": ("packed", "packed, chunked loss"),
    "laid-out teacher": ("packed, chunked loss", "ours, 512"),
    "sequences of 128 instead of 512": ("ours, 512", "ours, 128"),
    "bf16, 512": ("ours, 512", "ours in bf16, 512"),
    "bf16, 128": ("ours, 128", "ours in bf16, 128"),
}


class Bench:
    """Models, text and steps of all competitors, each a function without arguments.

    Attributes:
        competitors: by name.
        tokens: real tokens of a step, by name.
        facts: about the text and the padding.
    """

    def __init__(self, folder: Path, tokens: int, micro_tokens: int, layers: tuple[int, int]) -> None:
        torch.manual_seed(SEED)
        self.files = [str(data_folder() / "text" / name) for name in FILES]
        self.folder, self.size, self.micro_tokens = folder, tokens, micro_tokens
        self.tokenizer = DistilBertTokenizerFast(data_folder() / "vocab" / "uncased.txt")
        self.teacher = Model(DistilBertConfig(n_layers=layers[0])).eval().requires_grad_(False)
        self.student = Model(DistilBertConfig(n_layers=layers[1])).train()
        self.plain = torch.optim.AdamW(
            self.student.parameters(), lr=5e-4, eps=1e-6, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.fused = make_optimizer(self.student, self._config(LONGEST))
        self.competitors: dict[str, Callable[[], Any]] = {}
        self.tokens: dict[str, int] = {}
        self.facts: dict[str, Any] = {}
        short, long = self._text(128), self._text(512)
        step = long.step(0, 0, 1)
        self._add_reference()
        packed = [as_batch(micro_batch.arrays) for micro_batch in step.micro_batches]
        self._add("packed", step.tokens, lambda: reference_step(self.student, self.teacher, self.plain, packed))
        self._add_ours("packed, chunked loss", long, self._objective(None))
        self._add_ours("ours, 512", long, self._objective("fp32"))
        self._add_ours("ours, 128", short, self._objective("fp32"))
        low = self._objective("bf16")
        self._add_ours("ours in bf16, 512", long, low, low=True)
        self._add_ours("ours in bf16, 128", short, low, low=True)

    def check(self) -> dict[str, float]:
        """Return the difference of each term between the two losses, on one sequence without dropout."""
        step = self._text(128).step(0, 0, 1)
        arrays = {name: array[:1] for name, array in step.micro_batches[0].arrays.items()}
        counts = {"tokens": arrays["labels"].size, "masked": int((arrays["labels"] != IGNORED).sum())}
        objective = self._objective("fp32").eval()
        with torch.no_grad():
            expected = reference_loss(self.student, self.teacher, as_batch(arrays))
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            _, terms = objective(**tensors, counts=counts)
        self.student.train()
        return {name: abs(float(terms[name] - value)) for name, value in expected.items()}

    def _config(self, length: int) -> DistillConfig:
        return DistillConfig(
            teacher="-",
            data=self.files,
            output=str(self.folder),
            sequence_length=length,
            tokens_per_step=self.size,
            micro_tokens=self.micro_tokens,
            device="cpu",
            precision="fp32",
        )

    def _text(self, length: int) -> MaskedText:
        return open_text(self._config(length), self.tokenizer)

    def _objective(self, precision: str | None) -> DistillObjective:
        """Return our objective; with ``None`` the teacher's weights are not laid out for the kernels."""
        teacher = copy.deepcopy(self.teacher) if precision == "bf16" else self.teacher
        objective = DistillObjective(self.student, LossPlan(WEIGHTS, TEMPERATURE), teacher)
        if precision is not None:
            objective.place_teacher(torch.device("cpu"), torch.bfloat16 if precision == "bf16" else torch.float32)
        return objective

    def _add(self, name: str, tokens: int, run: Callable[[], Any]) -> None:
        self.competitors[name], self.tokens[name] = run, tokens

    def _add_ours(self, name: str, text: MaskedText, objective: DistillObjective, low: bool = False) -> None:
        config, step = text.config, text.step(0, 0, 1)
        accelerator, autocast = make_accelerator(config), torch.autocast("cpu", torch.bfloat16, enabled=low)

        def run() -> None:
            optimizer_step(objective, self.fused, step, config.learning_rate, 0, config, accelerator, autocast)

        self._add(name, step.tokens, run)

    def _add_reference(self) -> None:
        sequences = paragraphs(self.tokenizer, self.files)
        lengths = [len(ids) for ids in sequences]
        counts = np.bincount(np.concatenate(sequences), minlength=len(self.tokenizer))
        weights = token_weights(counts, self.tokenizer.all_special_ids)
        self.facts["paragraphs"], self.facts["mean_length"] = len(lengths), round(float(np.mean(lengths)), 1)
        for name, grouped in zip(REFERENCES, (True, False), strict=True):
            epoch = make_batches(lengths, grouped)
            totals = list(accumulate(sum(lengths[index] for index in batch) for batch in epoch))
            taken = epoch[: 1 + next(at for at, total in enumerate(totals) if total >= self.size)]
            batches = [
                pad([sequences[index] for index in batch], weights, self.tokenizer.mask_token_id) for batch in taken
            ]
            self.facts[name] = {
                "real_part_of_an_epoch": round(real_part(epoch, lengths), 3),
                "real_part_of_this_step": round(real_part(taken, lengths), 3),
                "batches_of_this_step": [list(ids.shape) for ids, _, _ in batches],
            }
            step = partial(reference_step, self.student, self.teacher, self.plain, batches)
            self._add(name, totals[len(taken) - 1], step)


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=4096, help="of a step")
    parser.add_argument("--micro-tokens", type=int, default=2048, help="of our forward passes")
    parser.add_argument("--layers", type=int, nargs=2, default=(12, 6), help="of teacher and student")
    arguments = parser.parse_args()
    teacher, student = arguments.layers
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.tokens, arguments.micro_tokens, (teacher, student))
        agreement = bench.check()
        for run in bench.competitors.values():  # first calls allocate and choose kernels
            run()
        seconds = in_turn(bench.competitors, arguments.rounds)
    rates = {
        name: {kind: round(bench.tokens[name] / value, 1) for kind, value in best_and_median(times).items()}
        for name, times in seconds.items()
    }
    write_result(
        "distil_step",
        {
            "threads": torch.get_num_threads(),
            "load_before": load,
            "matrix_units_for_bf16": torch.cpu._is_amx_tile_supported(),
            "bf16_is_faster": bf16_is_faster("cpu"),
            "rounds": arguments.rounds,
            "layers": {"teacher": teacher, "student": student},
            "tokens": bench.tokens,
            "micro_tokens": arguments.micro_tokens,
            "text": bench.facts,
            "largest_difference_of_a_term": agreement,
            "tokens_per_second": rates,
            "faster_than_the_reference": {
                rival: {ours: ratios(rates, ours, rival) for ours in rates if ours.startswith("ours")}
                for rival in REFERENCES
            },
            "split": {what: ratios(rates, after, before) for what, (before, after) in CONTRIBUTIONS.items()},
        },
    )


def ratios(rates: dict[str, dict[str, float]], after: str, before: str) -> dict[str, float]:
    """Return how many times faster ``after`` is, by the best and by the median round."""
    return {kind: round(rates[after][kind] / rates[before][kind], 2) for kind in ("best", "median")}


if __name__ == "__main__":
    main()
