"""What fine-tuning does in each task's own way: how an example is encoded, which rows get a loss, from which scores.

Shapes: S tokens of a sequence, T tokens of all sequences, B sequences, E examples, W words, L labels, R rows that get
a loss (examples or tokens), K scores of a row: labels, choices, tokens that an answer may start or end at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ...core.model_checks import IGNORED
from ...data.examples import ChoiceExample, Example, Labels, QuestionExample, TaggedExample, TextExample
from ...data.labels import tags_of, target_of
from ...tasks import multiple_choice, question_answering, text_classification, token_classification
from ...tasks.batching import EncodedInput
from ...tasks.task_spec import TaskSpec
from ...tasks.task_tokenizer import TextEncoding

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.pytorch.packing import Packing

ExampleKind = TypeVar("ExampleKind", bound=Example)


@dataclass(frozen=True, eq=False)
class EncodedExample:
    """What a training step draws as a whole: one sequence, or for multiple choice one sequence for each choice.

    Attributes:
        sequences: ids (S,) of each sequence, special tokens included.
        example: index of the example; all windows of a long text have the same.
        target: None without a label, and for fill-mask; otherwise an array of

            - text-classification: () int64, the label; (L,) float32 of zeros and ones (multi-label); () float32
              (regression)
            - token-classification: (S,) int64, the label at the first token of each word, -100 elsewhere
            - question-answering: (2,) int64, first and last token of the answer; 0, 0 if this window has none
            - multiple-choice: () int64, the choice

        allowed: question-answering: (S,) bool, the tokens of the context; else None.
        word_starts: token-classification: (W,) int64, the first token of each word, in one window only; else None.
        words: token-classification: (W,) int64, the number in its sentence of each of these words; else None.
    """

    sequences: tuple[np.ndarray, ...]
    example: int
    target: np.ndarray | None = None
    allowed: np.ndarray | None = None
    word_starts: np.ndarray | None = None
    words: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(map(len, self.sequences))


class FinetuneTask(Generic[ExampleKind]):
    """How a task is fine-tuned. The methods here are those of a task that learns a label for each sequence.

    Attributes:
        encoded_as: the task whose way of encoding is used.
        longest_sequence: longest sequence in tokens where the settings do not say it; None: as long as the model's.
        scores_tokens: rows of scores stand for tokens, so that a teacher must read the same tokens.
    """

    encoded_as: TaskSpec = text_classification.SPEC
    longest_sequence: int | None = None
    scores_tokens = False

    def encoding_parameters(self, max_length: int, stride: int, in_windows: bool) -> dict[str, Any]:
        """Return the parameters of the task that encodes.

        Args:
            max_length: longest sequence in tokens.
            stride: tokens that two windows of a long text share.
            in_windows: every window of a long text is used; otherwise the first.
        """
        raise NotImplementedError

    def task_input(self, example: ExampleKind) -> Any:
        """Return the example as an input of the task that encodes."""
        raise NotImplementedError

    def with_targets(
        self, number: int, example: ExampleKind, encoded: EncodedInput, labels: Labels
    ) -> list[EncodedExample]:
        """Return an encoded example, or one for each window of a long one, with targets.

        Args:
            number: index of the example.
            example: what was encoded.
            encoded: its sequences.
            labels: those of the model.
        """
        raise NotImplementedError

    def label_arrays(
        self, examples: Sequence[EncodedExample], no_target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the arguments of the objective that tell labels from rows, and which rows have a label: (R,) bool.

        Args:
            examples: those of a micro-batch.
            no_target: stands for the target of an example without one.
        """
        labels = np.stack([no_target if example.target is None else example.target for example in examples])
        return {"labels": labels}, np.array([example.target is not None for example in examples])

    def head_rows(self, rows: Tensor | None, packing: Packing) -> Tensor | None:
        """Return the tokens that the head reads, the first of each sequence; None: all of them.

        Args:
            rows: (R,) tokens that get a loss, if the batch names them.
            packing: of the sequences.
        """
        return packing.offsets[:-1].long()

    def score_groups(self, lengths: Tensor, sizes: Tensor | None) -> Tensor | None:
        """Return how many scores of a column of the head's output belong together; None: those of its rows.

        Args:
            lengths: (B,) tokens of each sequence.
            sizes: (E,) number of choices of each example.
        """
        return None

    def label_columns(self, labels: Tensor) -> Sequence[Tensor]:
        """Return the labels (R, ...) of each softmax of a row."""
        return [labels]

    def teacher_rows(self, examples: Sequence[EncodedExample]) -> list[list[int]] | None:
        """Return the tokens of each sequence that a teacher scores; None where its head knows."""
        return None

    def teacher_scores(
        self, output: Mapping[str, np.ndarray], examples: Sequence[EncodedExample], order: Sequence[int] | None
    ) -> list[np.ndarray]:
        """Return the teacher's scores of each example.

        Args:
            output: of the teacher's runner.
            examples: what it was given.
            order: the number of the teacher's output for each label of the student; None: the same.
        """
        scores = output["logits"] if order is None else output["logits"][:, order]
        return _split(scores, [self.scored_rows(example) for example in examples])

    def scored_rows(self, example: EncodedExample) -> int:
        """Return how many rows of scores an example has."""
        return len(example.sequences)


class TextFinetuning(FinetuneTask[TextExample]):
    """Text classification; and fill-mask, whose texts are encoded in the same way and masked later."""

    def encoding_parameters(self, max_length: int, stride: int, in_windows: bool) -> dict[str, Any]:
        """See :class:`FinetuneTask`. A pair of texts is truncated as tokenizers do, the longer one first."""
        return {"stride": stride} if in_windows else {"truncation": True, "max_length": max_length}

    def task_input(self, example: TextExample) -> Any:
        """Return a text or a pair."""
        return example.text if example.text_pair is None else {"text": example.text, "text_pair": example.text_pair}

    def with_targets(
        self, number: int, example: TextExample, encoded: EncodedInput, labels: Labels
    ) -> list[EncodedExample]:
        """Every window has the label of the text."""
        target = target_of(example, labels) if labels.names else None
        return [EncodedExample((ids,), number, target) for ids in _ids_of(encoded)]


class TagFinetuning(FinetuneTask[TaggedExample]):
    """Token classification: a tag for the first token of each word."""

    encoded_as = token_classification.SPEC

    def encoding_parameters(self, max_length: int, stride: int, in_windows: bool) -> dict[str, Any]:
        """See :class:`FinetuneTask`."""
        return {"stride": stride, "is_split_into_words": True}

    def task_input(self, example: TaggedExample) -> Any:
        """Return the words."""
        return example.words

    def with_targets(
        self, number: int, example: TaggedExample, encoded: EncodedInput, labels: Labels
    ) -> list[EncodedExample]:
        """The tag of a word stands at its first piece, in one window only."""
        starts = _word_starts(encoded.metadata.windows)
        tags = tags_of(example, labels)
        examples = []
        for ids, (words, tokens) in zip(_ids_of(encoded), starts, strict=True):
            target = None
            if tags is not None:
                target = np.full(len(ids), IGNORED, np.int64)  # (S,)
                target[tokens] = tags[words]
            examples.append(EncodedExample((ids,), number, target, word_starts=tokens, words=words))
        return examples

    def label_arrays(
        self, examples: Sequence[EncodedExample], no_target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The rows are tokens, counted over all sequences."""
        rows = [labelled_rows(example) for example in examples]
        sizes = [example.tokens for example in examples]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        labels = np.concatenate(
            [
                np.full(len(row), IGNORED, np.int64) if example.target is None else example.target[row]
                for example, row in zip(examples, rows, strict=True)
            ]
        )
        all_rows = np.concatenate([row + start for row, start in zip(rows, starts, strict=True)])
        return {"rows": all_rows, "labels": labels}, labels != IGNORED

    def head_rows(self, rows: Tensor | None, packing: Packing) -> Tensor | None:
        """The rows that the batch names."""
        return rows

    def teacher_rows(self, examples: Sequence[EncodedExample]) -> list[list[int]] | None:
        """The tokens whose tags are learned."""
        return [labelled_rows(example).tolist() for example in examples]

    def scored_rows(self, example: EncodedExample) -> int:
        """One row for each token whose tag is learned."""
        return len(labelled_rows(example))


class AnswerFinetuning(FinetuneTask[QuestionExample]):
    """Question answering: the tokens at which the answer starts and ends, (0, 0) in a window without it."""

    encoded_as = question_answering.SPEC
    longest_sequence = 384  # as BERT was fine-tuned on SQuAD
    scores_tokens = True

    def encoding_parameters(self, max_length: int, stride: int, in_windows: bool) -> dict[str, Any]:
        """See :class:`FinetuneTask`."""
        return {"max_seq_len": max_length, "doc_stride": stride}

    def task_input(self, example: QuestionExample) -> Any:
        """Return question and context."""
        return {"question": example.question, "context": example.context}

    def with_targets(
        self, number: int, example: QuestionExample, encoded: EncodedInput, labels: Labels
    ) -> list[EncodedExample]:
        """Return each window with its part of the answer, and the tokens of its context."""
        windows: Sequence[TextEncoding] = encoded.metadata.windows
        allowed = [np.array([sequence == 1 for sequence in window.sequence_ids]) for window in windows]  # (S,) each
        spans = _answer_targets(example, windows, allowed)
        return [
            EncodedExample((ids,), number, span, mask)
            for ids, span, mask in zip(_ids_of(encoded), spans, allowed, strict=True)
        ]

    def head_rows(self, rows: Tensor | None, packing: Packing) -> Tensor | None:
        """All tokens."""
        return None

    def score_groups(self, lengths: Tensor, sizes: Tensor | None) -> Tensor | None:
        """The tokens of a sequence compete for the start, and for the end."""
        return lengths

    def label_columns(self, labels: Tensor) -> Sequence[Tensor]:
        """First and last token."""
        return labels.unbind(1)

    def teacher_scores(
        self, output: Mapping[str, np.ndarray], examples: Sequence[EncodedExample], order: Sequence[int] | None
    ) -> list[np.ndarray]:
        """Scores (tokens, 2) of each window."""
        scores = np.stack([output["start_logits"], output["end_logits"]], axis=1)
        return _split(scores, [example.tokens for example in examples])


class ChoiceFinetuning(FinetuneTask[ChoiceExample]):
    """Multiple choice: a score for each choice, which is a sequence of its own."""

    encoded_as = multiple_choice.SPEC

    def encoding_parameters(self, max_length: int, stride: int, in_windows: bool) -> dict[str, Any]:
        """None: the context is always truncated."""
        return {}

    def task_input(self, example: ChoiceExample) -> Any:
        """Return context, question and choices."""
        return {"context": example.context, "question": example.question, "choices": example.choices}

    def with_targets(
        self, number: int, example: ChoiceExample, encoded: EncodedInput, labels: Labels
    ) -> list[EncodedExample]:
        """Return the sequences of all choices together."""
        choice = None if example.label is None else np.array(example.label, np.int64)
        return [EncodedExample(tuple(_ids_of(encoded)), number, choice)]

    def label_arrays(
        self, examples: Sequence[EncodedExample], no_target: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The number of choices of each example comes in addition."""
        arrays, has_label = super().label_arrays(examples, no_target)
        return arrays | {"sizes": np.array([len(example.sequences) for example in examples])}, has_label

    def score_groups(self, lengths: Tensor, sizes: Tensor | None) -> Tensor | None:
        """The choices of an example compete."""
        return sizes


_FINETUNING: dict[str, FinetuneTask[Any]] = {
    "text-classification": TextFinetuning(),
    "token-classification": TagFinetuning(),
    "question-answering": AnswerFinetuning(),
    "multiple-choice": ChoiceFinetuning(),
    "fill-mask": TextFinetuning(),
}


def finetune_task(name: str) -> FinetuneTask[Any]:
    """Return how a task of ``FINETUNE_TASKS`` is fine-tuned."""
    return _FINETUNING[name]


def labelled_rows(example: EncodedExample) -> np.ndarray:
    """Return the tokens (R,) whose tags are learned: those with a label, or without labels the first of each word."""
    if example.target is None:
        assert example.word_starts is not None
        return example.word_starts
    return np.flatnonzero(example.target != IGNORED)


def _split(scores: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(scores, np.cumsum(sizes)[:-1])


def _ids_of(encoded: EncodedInput) -> list[np.ndarray]:
    """Return the ids (S,) of each sequence."""
    return [np.array(sequence, np.int64) for sequence in encoded.sequences]


def _word_starts(windows: Sequence[TextEncoding]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each window the words (W,) that begin in it and in no window before, and their first tokens (W,).

    Args:
        windows: of one sentence, in any order.
    """
    starts = [(np.zeros(0, np.int64), np.zeros(0, np.int64))] * len(windows)
    seen: set[int] = set()
    for window in sorted(range(len(windows)), key=lambda window: _first_word(windows[window])):
        words, tokens = [], []
        for token, word in enumerate(windows[window].word_ids):
            if word is not None and word not in seen:
                seen.add(word)
                words.append(word)
                tokens.append(token)
        starts[window] = np.array(words, np.int64), np.array(tokens, np.int64)
    return starts


def _first_word(window: TextEncoding) -> tuple[int, int]:
    """Return the word of the first token, and the start of the token in that word."""
    return next(
        ((word, start) for word, (start, _) in zip(window.word_ids, window.offsets, strict=True) if word is not None),
        (0, 0),
    )


def _answer_targets(
    example: QuestionExample, windows: Sequence[TextEncoding], allowed: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Return the first and last token of the answer in each window, (2,) int64; 0, 0 if it is not completely inside."""
    if not example.labelled:
        return [None] * len(windows)
    targets: list[np.ndarray | None] = [np.zeros(2, np.int64) for _ in windows]
    if not example.answers:
        return targets
    answer = example.answers[0]
    start = answer.start + len(answer.text) - len(answer.text.lstrip())  # in characters of the context
    stop = answer.start + len(answer.text.rstrip())
    token_offsets = [np.array(window.offsets)[mask] for window, mask in zip(windows, allowed, strict=True)]
    first_token = min((int(offsets[0, 0]) for offsets in token_offsets if len(offsets)), default=0)
    last_token = max((int(offsets[-1, 1]) for offsets in token_offsets if len(offsets)), default=0)
    for number, (offsets, mask) in enumerate(zip(token_offsets, allowed, strict=True)):
        # Where the answer reaches beyond the first or last token of the context, no token of it is cut off.
        if not len(offsets) or offsets[0, 0] > max(start, first_token) or offsets[-1, 1] < min(stop, last_token):
            continue
        first = int(np.searchsorted(offsets[:, 1], start, side="right"))
        last = int(np.searchsorted(offsets[:, 0], stop, side="left")) - 1
        if first <= last:
            targets[number] = np.flatnonzero(mask)[[first, last]]
    return targets
