"""The check of an export: batches to run model and export on, their differences, and what each precision allows.

Legend: B batch, C choices, S sequence, L labels or vocabulary, D dim, N answers: sequences, or tokens that are not
padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import ExportError
from ..core.schema import HEADS

FP32_DIFFERENCE = 1e-4  # allowed: the largest difference of an output
FP16_CHANGE = 0.01  # allowed: the largest change of a probability
INT8_MEAN_CHANGE = 0.05  # allowed: the mean change of a probability, over sentences
RANDOM_SHAPES = ((1, 1), (2, 2), (5, 7), (3, 16), (1, 33), (4, 64), (2, 128))  # (B, S); the longest S is added
CHOICES = (1, 2, 3, 4)
SENTENCES = (
    "The food was cold, but the waiter made up for it.",
    "A warm and funny film that never talks down to its audience.",
    "Two hours of noise.",
    "The museum in Berlin opened in 1830 and is closed on Mondays.",
    "Which of these trains leaves first, and from where?",
    "Researchers at the University of Oslo found that sleeping less than six hours a night for two weeks harmed memory "
    "as much as one night without any sleep, although most people did not notice that they had become slower.",
    "Yes!",
    "Mary Anna Wolf, who had lived in Paris for ten years, sold her company last spring.",
    "Please send the invoice again; the first one got lost.",
    "I would not recommend this phone to anybody who takes photographs.",
    "Heavy rain is expected along the coast tonight, with winds of up to 90 km/h.",
    "He said he'd come, he didn't come, and then he said he had never said so.",
)

ModelFunction = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]  # of ids and mask


@dataclass(frozen=True)
class VerificationBatch:
    """A padded batch that a model and its export are run on.

    Attributes:
        name: what it is, for messages.
        input_ids: (B, S) or (B, C, S) int64.
        attention_mask: of the same shape, int64; no row is padding alone.
    """

    name: str
    input_ids: np.ndarray
    attention_mask: np.ndarray


def random_batches(config: DistilBertConfig, rank: int) -> list[VerificationBatch]:
    """Return batches of random ids, always the same: 1 to 5 rows, from one token to the model's longest, padded.

    Args:
        config: of the model.
        rank: number of dimensions of the ids: 3 for multiple choice, else 2.
    """
    generator = np.random.default_rng(0)
    longest = config.max_position_embeddings
    shapes = {(rows, min(length, longest)) for rows, length in (*RANDOM_SHAPES, (2, longest))}
    batches = []
    for number, (rows, length) in enumerate(sorted(shapes, key=lambda shape: (shape[1], shape[0]))):
        shape = (rows, length) if rank == 2 else (rows, CHOICES[number % len(CHOICES)], length)
        ids = generator.integers(0, config.vocab_size, shape)
        lengths = generator.integers(1, length + 1, shape[:-1])
        lengths.flat[0] = length
        mask = (np.arange(length) < lengths[..., None]).astype(np.int64)
        if number % 2:
            mask[-1] = mask[-1, ..., ::-1]  # padding on the left
        ids[mask == 0] = config.pad_token_id or 0
        batches.append(VerificationBatch(f"random ids of {' x '.join(map(str, shape))}", ids, mask))
    return batches


def sentence_batches(tokenizer: Any, config: DistilBertConfig, rank: int, pairs: bool) -> list[VerificationBatch]:
    """Return :data:`SENTENCES` in order, as padded batches.

    Args:
        tokenizer: of the model.
        config: of the model.
        rank: 3 for multiple choice, where the choices of a sentence are the three after it; else 2.
        pairs: pair each sentence with the one after it, as for questions.
    """
    if rank == 3:
        count = len(SENTENCES)
        choices = [(SENTENCES[i], SENTENCES[(i + step) % count]) for i in range(count) for step in (1, 2, 3)]
        ids, mask = tokenize(tokenizer, choices, config)
        shape = (count, 3, -1)
        return [VerificationBatch("sentences with three choices", ids.reshape(shape), mask.reshape(shape))]
    next_sentences = [*SENTENCES[1:], SENTENCES[0]]
    texts: list[Any] = list(zip(SENTENCES, next_sentences, strict=True)) if pairs else list(SENTENCES)
    half = len(texts) // 2
    return [
        VerificationBatch(
            f"sentences {first + 1} to {first + half}", *tokenize(tokenizer, texts[first : first + half], config)
        )
        for first in (0, half)
    ]


def tokenize(tokenizer: Any, texts: Iterable[Any], config: DistilBertConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask, (B, S) int64 each, of texts or pairs of texts, truncated to what the model takes."""
    encoded = tokenizer(
        list(texts), padding=True, truncation=True, max_length=config.max_position_embeddings, return_tensors="np"
    )
    return encoded["input_ids"].astype(np.int64), encoded["attention_mask"].astype(np.int64)


@dataclass(frozen=True)
class ExportDifference:
    """How much the outputs of an export differ from those of its model.

    A change is that of the most changed probability of an answer; of a value, relative to its size, in regression; and
    one minus the cosine of the two vectors for a bare encoder.

    Attributes:
        batches: number of batches.
        answers: number of sequences, or of tokens, that were answered.
        largest_difference: between two numbers of the outputs.
        largest_change: over all answers.
        mean_change: over all answers.
        changed_labels: number of answers with another label.
        finite: no output is infinite or NaN.
        location: where the largest difference is.
    """

    batches: int = 0
    answers: int = 0
    largest_difference: float = 0.0
    largest_change: float = 0.0
    mean_change: float = 0.0
    changed_labels: int = 0
    finite: bool = True
    location: str = ""

    def __add__(self, other: ExportDifference) -> ExportDifference:
        answers = self.answers + other.answers
        total_change = self.mean_change * self.answers + other.mean_change * other.answers
        is_largest = self.largest_difference >= other.largest_difference and bool(self.location)
        return ExportDifference(
            batches=self.batches + other.batches,
            answers=answers,
            largest_difference=max(self.largest_difference, other.largest_difference),
            largest_change=max(self.largest_change, other.largest_change),
            mean_change=total_change / max(answers, 1),
            changed_labels=self.changed_labels + other.changed_labels,
            finite=self.finite and other.finite,
            location=self.location if is_largest else other.location,
        )

    def to_dict(self) -> dict[str, float]:
        """Return the numbers for ``export.json``."""
        return {
            "batches": self.batches,
            "answers": self.answers,
            "largest_difference": self.largest_difference,
            "largest_change": self.largest_change,
            "mean_change": self.mean_change,
            "changed_labels": self.changed_labels,
        }


def measure_difference(
    model: ModelFunction,
    export: ModelFunction,
    batches: Iterable[VerificationBatch],
    config: DistilBertConfig,
    head: str,
) -> ExportDifference:
    """Run a model and its export on batches. Outputs of padding do not count.

    Raises:
        ExportError: the export does not run, or its outputs have other names or shapes.
    """
    total = ExportDifference()
    for batch in batches:
        expected = model(batch.input_ids, batch.attention_mask)
        try:
            actual = export(batch.input_ids, batch.attention_mask)
        except Exception as error:  # the runtimes' errors have no common base
            raise ExportError(f"The export does not run on {batch.name}: {error}.") from error
        expected_shapes, shapes = (
            {name: array.shape for name, array in outputs.items()} for outputs in (expected, actual)
        )
        if shapes != expected_shapes:
            raise ExportError(f"For {batch.name} the export gives {shapes}, the model {expected_shapes}.")
        total += _difference_on(batch, expected, actual, config, head)
    return total


def _difference_on(
    batch: VerificationBatch,
    expected: dict[str, np.ndarray],
    actual: dict[str, np.ndarray],
    config: DistilBertConfig,
    head: str,
) -> ExportDifference:
    total = ExportDifference(batches=1)
    tokens = batch.attention_mask.astype(bool)  # those that are not padding
    for name, reference in expected.items():
        output = actual[name].astype(np.float32, copy=False)
        counted = tokens if HEADS[head].per_token else np.ones(len(reference), dtype=bool)
        differences = np.abs(output - reference)
        differences[~counted] = 0
        finite = bool(np.isfinite(differences).all())
        worst = np.unravel_index(np.argmax(np.where(np.isfinite(differences), differences, np.inf)), differences.shape)
        location = f"{name}[{', '.join(map(str, worst))}] for {batch.name}"
        if not finite:
            return ExportDifference(1, 1, float("inf"), float("inf"), float("inf"), 1, False, location)
        if head == "ForQuestionAnswering":  # an answer is a sequence, and its labels are the positions
            reference, output = (np.where(tokens, logits, -np.inf) for logits in (reference, output))
            changes, new_labels = _changes(reference, output, config, head)
        else:
            changes, new_labels = _changes(reference[counted], output[counted], config, head)
        total += ExportDifference(
            answers=len(changes),
            largest_difference=float(differences.max()),
            largest_change=float(changes.max()),
            mean_change=float(changes.mean()),
            changed_labels=int(new_labels.sum()),
            location=location,
        )
    return replace(total, batches=1)


def _changes(
    expected: np.ndarray, actual: np.ndarray, config: DistilBertConfig, head: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of each answer (N,), and whether it has another label (N,); inputs are (N, L) or (N, D)."""
    no_labels = np.zeros(len(expected), dtype=bool)
    if not head:
        norms = np.linalg.norm(expected, axis=-1) * np.linalg.norm(actual, axis=-1)
        return 1 - (expected * actual).sum(-1) / np.maximum(norms, 1e-12), no_labels
    if head == "ForSequenceClassification" and (config.problem_type == "regression" or expected.shape[-1] == 1):
        return (np.abs(expected - actual) / np.maximum(np.abs(expected), 1)).max(-1), no_labels
    if head == "ForSequenceClassification" and config.problem_type == "multi_label_classification":
        changes = np.abs(np.tanh(expected / 2) - np.tanh(actual / 2)).max(-1) / 2  # of sigmoids
        return changes, ((expected > 0) != (actual > 0)).any(-1)
    return np.abs(_softmax(expected) - _softmax(actual)).max(-1), expected.argmax(-1) != actual.argmax(-1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    result: np.ndarray = exponentials / exponentials.sum(-1, keepdims=True)
    return result


def check_difference(precision: str, on_random_ids: ExportDifference, on_sentences: ExportDifference | None) -> None:
    """Check that an export differs from its model by no more than its precision allows.

    For fp32 and fp16 the worst of all batches counts. For int8 the sentences count, because rounding that hardly
    changes the answers for real text can turn those for random ids upside down. Without a tokenizer there are no
    sentences, and the random ids count.

    Raises:
        ExportError: it differs by more; the message says by how much and where.
    """
    total = on_random_ids if on_sentences is None else on_random_ids + on_sentences
    if not total.finite:
        raise ExportError(f"The export gives numbers that are not finite, at {total.location}.")
    if precision == "fp32" and total.largest_difference > FP32_DIFFERENCE:
        raise ExportError(
            f"The export differs from the model by {total.largest_difference:.2g} at {total.location}; "
            f"fp32 allows {FP32_DIFFERENCE:g}."
        )
    if precision == "fp16" and total.largest_change > FP16_CHANGE:
        raise ExportError(
            f"The export changes a probability (or direction) by {total.largest_change:.2g}, where fp16 allows "
            f"{FP16_CHANGE:g}; the largest difference is {total.largest_difference:.2g} at {total.location}."
        )
    counted = on_random_ids if on_sentences is None else on_sentences
    if precision == "int8" and counted.mean_change > INT8_MEAN_CHANGE:
        raise ExportError(
            f"The export changes probabilities (or directions) by {counted.mean_change:.2g} on average, int8 allows "
            f"{INT8_MEAN_CHANGE:g}, and {counted.changed_labels} of {counted.answers} labels; the largest difference "
            f"is {counted.largest_difference:.2g} at {counted.location}."
        )
