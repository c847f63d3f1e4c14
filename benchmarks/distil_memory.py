"""The ce and mlm terms in chunks, and the plain computation that holds all scores: peak memory, and time in turn.

    python -m benchmarks.distil_memory [--rounds 5]

32 x 128 tokens, a vocabulary of 30,522, a teacher's vectors of width 768, a student's of 768 and of 384; forward and
backward, through the student's vectors and its projection's weight and bias, in fp32. Peak memory is that of a process
of its own, above what it had with inputs and weights in place. Both sides use the same plain projections.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilbert.training.corpus.masking import IGNORED
from distilbert.training.vocabulary_terms import VocabularyTerms, vocabulary_terms

from .common import best_and_median, in_turn, write_result

TOKENS, VOCABULARY, TEACHER, STUDENTS = 32 * 128, 30_522, 768, (768, 384)
CE, MLM, TEMPERATURE, MASKED = 5.0, 2.0, 2.0, 0.15


@dataclass(frozen=True)
class Inputs:
    """What both sides compute from."""

    student: Tensor  # (M, D)
    weight: Tensor  # (V, D)
    bias: Tensor  # (V,)
    labels: Tensor  # (M,)
    teacher: Tensor  # (M, E)
    projector: nn.Linear

    @property
    def trained(self) -> dict[str, Tensor]:
        return {"vectors": self.student, "weight": self.weight, "bias": self.bias}


def make_inputs(tokens: int, vocabulary: int, width: int) -> Inputs:
    """Draw vectors of the size that a LayerNorm gives, and weights that turn them into scores of ordinary size."""
    torch.manual_seed(0)
    labels = torch.randint(vocabulary, (tokens,))
    labels[torch.rand(tokens) > MASKED] = IGNORED
    projector = nn.Linear(TEACHER, vocabulary).requires_grad_(False)
    nn.init.normal_(projector.weight, std=0.05)
    return Inputs(
        torch.randn(tokens, width).requires_grad_(),
        (torch.randn(vocabulary, width) * 0.05).requires_grad_(),
        torch.zeros(vocabulary).requires_grad_(),
        labels,
        torch.randn(tokens, TEACHER),
        projector,
    )


def plain(given: Inputs) -> float:
    """The computation as the formulas read."""
    scores = F.linear(given.student, given.weight, given.bias)  # (M, V)
    with torch.no_grad():
        wise = given.projector(given.teacher)  # (M, V)
    divergence = F.kl_div(
        F.log_softmax(scores / TEMPERATURE, dim=-1), F.softmax(wise / TEMPERATURE, dim=-1), reduction="batchmean"
    )
    loss = CE * TEMPERATURE**2 * divergence + MLM * F.cross_entropy(scores, given.labels, ignore_index=IGNORED)
    loss.backward()
    return loss.item()


def chunked(given: Inputs) -> float:
    """The same by the library."""
    terms = VocabularyTerms(
        ce=CE,
        mlm=MLM,
        temperature=TEMPERATURE,
        tokens=len(given.labels),
        masked=int((given.labels != IGNORED).sum()),
    )
    loss, _ = vocabulary_terms(
        given.student, given.weight, given.bias, given.labels, terms, given.teacher, given.projector
    )
    loss.backward()
    return loss.item()


SIDES: dict[str, Callable[[Inputs], float]] = {"chunked": chunked, "plain": plain}


def afresh(side: Callable[[Inputs], float], given: Inputs) -> float:
    """Run a side with no gradients there."""
    for tensor in given.trained.values():
        tensor.grad = None
    return side(given)


def peak() -> int:
    """Peak resident bytes of this process alone; getrusage would report its parent's where that is higher."""
    match = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def measure_memory(side: str, width: int) -> int:
    """Return the bytes that one side takes on top of its inputs; runs in a process of its own."""
    SIDES[side](make_inputs(8, 97, width))  # loads kernels and starts threads
    given = make_inputs(TOKENS, VOCABULARY, width)
    before = peak()
    SIDES[side](given)
    return peak() - before


def memory_of(side: str, width: int) -> int:
    """Start that process."""
    command = [sys.executable, "-m", "benchmarks.distil_memory", "--only", side, "--width", str(width)]
    root = Path(__file__).parents[1]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


def differences(given: Inputs) -> dict[str, Any]:
    """Compare losses and gradients; a gradient's difference is relative to its largest number."""
    losses, gradients = {}, {}
    for name, side in SIDES.items():
        losses[name] = afresh(side, given)
        gradients[name] = {key: tensor.grad for key, tensor in given.trained.items()}
    ours, theirs = gradients.values()
    relative = {}
    for key, expected in theirs.items():
        found = ours[key]
        assert found is not None
        assert expected is not None
        relative[key] = float((found - expected).abs().max() / expected.abs().max())
    return {"losses": losses, "largest_relative_difference_of_a_gradient": relative}


def measure(width: int, rounds: int) -> dict[str, Any]:
    """Compare both sides for one width of the student."""
    memory = {side: memory_of(side, width) for side in SIDES}
    given = make_inputs(TOKENS, VOCABULARY, width)
    agreement = differences(given)
    seconds = in_turn({name: lambda side=side: afresh(side, given) for name, side in SIDES.items()}, rounds)
    times = {name: best_and_median(values) for name, values in seconds.items()}
    return {
        "peak_mb": {side: round(size / 1e6, 1) for side, size in memory.items()},
        "memory_ratio": round(memory["chunked"] / memory["plain"], 3),
        "seconds": times,
        "faster_by": {kind: round(times["plain"][kind] / times["chunked"][kind], 2) for kind in ("best", "median")},
    } | agreement


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=SIDES, help="measure this side's memory in this process")
    parser.add_argument("--width", type=int, choices=STUDENTS, default=TEACHER)
    arguments = parser.parse_args()
    if arguments.only:
        print(measure_memory(arguments.only, arguments.width))
        return
    sizes = {"tokens": TOKENS, "vocabulary": VOCABULARY, "teacher_width": TEACHER, "chunk": VocabularyTerms().chunk}
    result = {f"student_width_{width}": measure(width, arguments.rounds) for width in STUDENTS}
    write_result("distil_memory", {"threads": torch.get_num_threads(), "rounds": arguments.rounds} | sizes | result)


if __name__ == "__main__":
    main()
