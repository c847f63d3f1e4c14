"""Peak memory and time of the ce and mlm terms: computed in chunks, and by the plain computation with all scores.

    python -m benchmarks.distil_memory [--rounds 5]

32 x 128 tokens, a vocabulary of 30,522, hidden states of width 768 for the teacher, and of 768 and 384 for the student;
forward and backward in fp32, with gradients of the student's hidden states and of the weight and bias of its
projection. Peak memory is measured in a separate process for each, above that of the inputs and weights. Both use the
same plain projections, and times are measured in turn.
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

from distilbert.core.model_checks import IGNORED
from distilbert.training.loss_terms import VocabularyTerms, vocabulary_terms

from .common import best_and_median, in_turn, write_result

TOKENS, VOCABULARY, TEACHER, STUDENTS = 32 * 128, 30_522, 768, (768, 384)
CE, MLM, TEMPERATURE, MASKED = 5.0, 2.0, 2.0, 0.15


@dataclass(frozen=True)
class Inputs:
    """Inputs and weights of both computations."""

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
    """Draw hidden states as a LayerNorm returns them, and weights that give scores of usual size."""
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


def plain(inputs: Inputs) -> float:
    """Compute the formulas directly."""
    scores = F.linear(inputs.student, inputs.weight, inputs.bias)  # (M, V)
    with torch.no_grad():
        teacher_scores = inputs.projector(inputs.teacher)  # (M, V)
    divergence = F.kl_div(
        F.log_softmax(scores / TEMPERATURE, dim=-1),
        F.softmax(teacher_scores / TEMPERATURE, dim=-1),
        reduction="batchmean",
    )
    loss = CE * TEMPERATURE**2 * divergence + MLM * F.cross_entropy(scores, inputs.labels, ignore_index=IGNORED)
    loss.backward()
    return loss.item()


def chunked(inputs: Inputs) -> float:
    """Compute the same with this library."""
    terms = VocabularyTerms(
        ce=CE,
        mlm=MLM,
        temperature=TEMPERATURE,
        tokens=len(inputs.labels),
        masked=int((inputs.labels != IGNORED).sum()),
    )
    loss, _ = vocabulary_terms(
        inputs.student, inputs.weight, inputs.bias, inputs.labels, terms, inputs.teacher, inputs.projector
    )
    loss.backward()
    return loss.item()


SIDES: dict[str, Callable[[Inputs], float]] = {"chunked": chunked, "plain": plain}


def without_gradients(side: Callable[[Inputs], float], inputs: Inputs) -> float:
    """Run a computation after clearing the gradients of the last one."""
    for tensor in inputs.trained.values():
        tensor.grad = None
    return side(inputs)


def peak() -> int:
    """Return the peak resident bytes of this process; getrusage would report those of its parent if they are higher."""
    match = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def measure_memory(side: str, width: int) -> int:
    """Return the bytes that a computation takes above its inputs; call it in a process of its own."""
    SIDES[side](make_inputs(8, 97, width))  # loads kernels and starts threads
    inputs = make_inputs(TOKENS, VOCABULARY, width)
    before = peak()
    SIDES[side](inputs)
    return peak() - before


def memory_of(side: str, width: int) -> int:
    """Call :func:`measure_memory` in a new process."""
    command = [sys.executable, "-m", "benchmarks.distil_memory", "--only", side, "--width", str(width)]
    root = Path(__file__).parents[1]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


def differences(inputs: Inputs) -> dict[str, Any]:
    """Compare losses and gradients; the difference of a gradient is relative to its largest value."""
    losses, gradients = {}, {}
    for name, side in SIDES.items():
        losses[name] = without_gradients(side, inputs)
        gradients[name] = {key: tensor.grad for key, tensor in inputs.trained.items()}
    relative = {}
    for key, expected in gradients["plain"].items():
        gradient = gradients["chunked"][key]
        assert gradient is not None
        assert expected is not None
        relative[key] = float((gradient - expected).abs().max() / expected.abs().max())
    return {"losses": losses, "largest_relative_difference_of_a_gradient": relative}


def measure(width: int, rounds: int) -> dict[str, Any]:
    """Compare both computations for one width of the student."""
    memory = {side: memory_of(side, width) for side in SIDES}
    inputs = make_inputs(TOKENS, VOCABULARY, width)
    agreement = differences(inputs)
    seconds = in_turn({name: lambda side=side: without_gradients(side, inputs) for name, side in SIDES.items()}, rounds)
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
