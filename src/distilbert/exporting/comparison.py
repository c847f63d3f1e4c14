"""How far an export is from the model it was made of, and whether that is near enough.

Legend: B batch, C choices, S sequence, L labels or vocabulary, D dim, N answers: sequences, or tokens
that are not padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import ExportError
from ..core.schema import HEADS
from .cases import Case

EXACT = 1e-4  # fp32: the largest difference of an output
HALF = 0.01  # fp16: the largest change of a probability
COARSE = 0.05  # int8: the mean change of a probability, over sentences

Model = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Comparison:
    """Differences between a model and its export.

    Attributes:
        batches: how many there were.
        answers: how many sequences, or tokens, were answered.
        difference: the largest between two numbers of the outputs.
        change: the largest of a probability; of a value, against its size, in regression; one minus the cosine of the
            vectors of a bare encoder.
        mean_change: the same, on average over the answers (of each, the largest).
        labels: answers whose label is another one.
        finite: no output is infinite or not a number.
        place: where the largest difference is.
    """

    batches: int = 0
    answers: int = 0
    difference: float = 0.0
    change: float = 0.0
    mean_change: float = 0.0
    labels: int = 0
    finite: bool = True
    place: str = ""

    def __add__(self, other: Comparison) -> Comparison:
        answers = self.answers + other.answers
        total = self.mean_change * self.answers + other.mean_change * other.answers
        return Comparison(
            batches=self.batches + other.batches,
            answers=answers,
            difference=max(self.difference, other.difference),
            change=max(self.change, other.change),
            mean_change=total / max(answers, 1),
            labels=self.labels + other.labels,
            finite=self.finite and other.finite,
            place=self.place if self.difference >= other.difference and self.place else other.place,
        )


def compare(model: Model, export: Model, cases: Iterable[Case], config: DistilBertConfig, head: str) -> Comparison:
    """Run both on every case; outputs of padding do not count.

    Raises:
        ExportError: the export does not run, or has other outputs, or of other shapes.
    """
    total = Comparison()
    for case in cases:
        expected = model(case.input_ids, case.attention_mask)
        try:
            got = export(case.input_ids, case.attention_mask)
        except Exception as error:  # the runtimes' own, which have no common base
            raise ExportError(f"The export does not run on {case.name}: {error}.") from error
        shapes = [{name: array.shape for name, array in outputs.items()} for outputs in (expected, got)]
        if shapes[0] != shapes[1]:
            raise ExportError(f"For {case.name} the export gives {shapes[1]}, the model {shapes[0]}.")
        total += _compare(case, expected, got, config, head)
    return total


def _compare(
    case: Case, expected: dict[str, np.ndarray], got: dict[str, np.ndarray], config: DistilBertConfig, head: str
) -> Comparison:
    found = Comparison(batches=1)
    real = case.attention_mask.astype(bool)
    for name, want in expected.items():
        have = got[name].astype(np.float32, copy=False)
        kept = real if HEADS[head].per_token else np.ones(len(want), dtype=bool)
        gaps = np.abs(have - want)
        gaps[~kept] = 0
        finite = bool(np.isfinite(gaps).all())
        worst = np.unravel_index(np.argmax(np.where(np.isfinite(gaps), gaps, np.inf)), gaps.shape)
        place = f"{name}[{', '.join(map(str, worst))}] for {case.name}"
        if not finite:
            return Comparison(1, 1, float("inf"), float("inf"), float("inf"), 1, False, place)
        if head == "ForQuestionAnswering":  # an answer is a sequence, whose positions are the labels
            changes, labels = _changes(np.where(real, want, -np.inf), np.where(real, have, -np.inf), config, head)
        else:
            changes, labels = _changes(want[kept], have[kept], config, head)
        found += Comparison(
            0,
            len(changes),
            float(gaps.max()),
            float(changes.max()),
            float(changes.mean()),
            int(labels.sum()),
            True,
            place,
        )
    return replace(found, batches=1)


def _changes(want: np.ndarray, have: np.ndarray, config: DistilBertConfig, head: str) -> tuple[np.ndarray, np.ndarray]:
    """Return, for two (N, L) or (N, D), the change of each answer (N,), and whether its label changes (N,)."""
    none = np.zeros(len(want), dtype=bool)
    if not head:
        sizes = np.linalg.norm(want, axis=-1) * np.linalg.norm(have, axis=-1)
        return 1 - (want * have).sum(-1) / np.maximum(sizes, 1e-12), none
    if head == "ForSequenceClassification" and (config.problem_type == "regression" or want.shape[-1] == 1):
        return (np.abs(want - have) / np.maximum(np.abs(want), 1)).max(-1), none
    if head == "ForSequenceClassification" and config.problem_type == "multi_label_classification":
        changes = np.abs(np.tanh(want / 2) - np.tanh(have / 2)).max(-1) / 2  # of sigmoids
        return changes, ((want > 0) != (have > 0)).any(-1)
    return np.abs(_softmax(want) - _softmax(have)).max(-1), want.argmax(-1) != have.argmax(-1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return result


def judge(precision: str, random: Comparison, sentences: Comparison | None) -> None:
    """Check that an export is as near to its model as its precision allows.

    fp32 and fp16 are judged by the worst of all batches. int8 is judged by the sentences, since rounding that real
    text hardly notices can turn random ids upside down; without a tokenizer there is nothing but those.

    Raises:
        ExportError: it is not; the message says by how much and where.
    """
    total = random if sentences is None else random + sentences
    if not total.finite:
        raise ExportError(f"The export gives numbers that are not finite, at {total.place}.")
    if precision == "fp32" and total.difference > EXACT:
        raise ExportError(
            f"The export differs from the model by {total.difference:.2g} at {total.place}; fp32 allows {EXACT:g}."
        )
    if precision == "fp16" and total.change > HALF:
        raise ExportError(
            f"The export changes a probability (or direction) by {total.change:.2g}, where fp16 allows {HALF:g}; "
            f"the largest difference is {total.difference:.2g} at {total.place}."
        )
    judged = random if sentences is None else sentences
    if precision == "int8" and judged.mean_change > COARSE:
        raise ExportError(
            f"The export changes probabilities (or directions) by {judged.mean_change:.2g} on average, int8 allows "
            f"{COARSE:g}, and {judged.labels} of {judged.answers} labels; the largest difference is "
            f"{judged.difference:.2g} at {judged.place}."
        )
