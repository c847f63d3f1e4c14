"""Token classification: entities with their place in the text. Legend: S tokens of a window, L labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from .base import Task
from .batching import Outputs, Work
from .checks import check_choice, check_text, check_texts
from .entities import STRATEGIES, Token, entities_of, merge_windows
from .scores import softmax
from .task_spec import TEXT, Example, InputForm, LabelledColumn, LabelledData, Metric, TaskSpec
from .tokenizer import TextEncoding
from .windows import check_stride, stride_for


@dataclass(frozen=True, kw_only=True)
class TokenClassificationParams:
    """Parameters.

    Attributes:
        aggregation_strategy: ``"none"`` (an answer a token), ``"simple"`` (neighbours with one tag form a group), or
            ``"first"``, ``"average"``, ``"max"`` (first the pieces of a word agree, by that rule, then as simple).
        ignore_labels: labels that are left out; ``["O"]`` where not given.
        stride: tokens that two windows of a long text share; by default a quarter of the model's length.
        is_split_into_words: an input is a list of words instead of a text.
        delimiter: what stands between words when such a list is one text, which offsets refer to.
        grouped_entities: older name: True is ``aggregation_strategy="simple"``, or ``"first"`` with ...
        ignore_subwords: ... this one.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] | None = None
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "
    grouped_entities: bool | None = None
    ignore_subwords: bool | None = None

    def __post_init__(self) -> None:
        check_choice(str(self.aggregation_strategy).lower(), STRATEGIES, "aggregation_strategy")
        if isinstance(self.ignore_labels, str):
            raise InputError(f"ignore_labels must be a list of labels, got the str {self.ignore_labels!r}.")

    @property
    def strategy(self) -> str:
        """The aggregation strategy that counts."""
        if self.grouped_entities is None and self.ignore_subwords is None:
            return self.aggregation_strategy.lower()
        if not self.grouped_entities:
            return "none"
        return "first" if self.ignore_subwords else "simple"


@dataclass(frozen=True)
class _Context:
    text: str
    word_starts: list[int] | None  # where each given word starts in the text
    windows: list[TextEncoding]


SPEC = TaskSpec(
    name="token-classification",
    aliases=("ner",),
    question="which names of people, places, things are in it?",
    head="ForTokenClassification",
    inputs=(InputForm((TEXT,)),),
    parameters_class=TokenClassificationParams,
    options={"aggregation_strategy": "--aggregation-strategy", "stride": "--stride"},
    example=Example("Ada Lovelace was born in London.", {"aggregation_strategy": "first"}),
    labelled=LabelledData(
        (
            LabelledColumn("words", (("words", "tokens"), ("word", "token")), required=True),
            LabelledColumn("tags", (("tags", "ner_tags"), ("labels", "label", "ner", "tag", "pos_tags"))),
        ),
        target="tags",
    ),
    metric=Metric("f1", "F1 of entities"),
    model_kind="Token classifier",
)


class TokenClassification(Task[TokenClassificationParams]):
    """A text, or with ``is_split_into_words`` a list of words -> a list of entities in their order.

    With ``"none"`` an entity is ``{"entity", "score", "index", "word", "start", "end"}``, else ``{"entity_group",
    "score", "word", "start", "end"}``. Start and end count characters of the text; index counts tokens, [CLS] being 0.
    """

    spec = SPEC

    def __call__(self, inputs: Any, **params: Any) -> Any:
        """Answer; see :meth:`Task.__call__` and :class:`TokenClassificationParams`.

        A plain list of words counts as a list of one input, as in transformers.
        """
        split = params.get("is_split_into_words", self.params.is_split_into_words)
        if split and isinstance(inputs, (list, tuple)) and inputs and all(isinstance(word, str) for word in inputs):
            inputs = [list(inputs)]
        return super().__call__(inputs, **params)

    @property
    def text_limit(self) -> int:
        """Longest window: what the tokenizer was saved for, and never more than the model takes."""
        return min(self.tokenizer.model_max_length, self.limit)

    def check(self, params: TokenClassificationParams) -> None:
        """Check that windows advance."""
        check_stride(params.stride, self.text_limit)

    def parse(self, item: Any, where: str, params: TokenClassificationParams) -> Any:
        """Return the text, or the list of words."""
        return check_texts(item, where) if params.is_split_into_words else check_text(item, where)

    def encode(self, items: list[Any], params: TokenClassificationParams) -> list[Work]:
        """One sequence a window."""
        encodings = self.tokenizer.encode_batch(
            items,
            truncation="longest_first",
            max_length=self.text_limit,
            stride=stride_for(params.stride, self.text_limit),
            is_split_into_words=params.is_split_into_words,
        )
        works = []
        for item, encoding in zip(items, encodings, strict=True):
            windows = [encoding, *encoding.overflowing]
            text, starts = _join(item, params.delimiter) if params.is_split_into_words else (item, None)
            works.append(Work([list(window.ids) for window in windows], _Context(text, starts, windows)))
        return works

    def decode(self, work: Work, outputs: list[Outputs], params: TokenClassificationParams) -> list[dict[str, Any]]:
        """Entities of each window, then of the whole text."""
        context: _Context = work.context
        ignored = ["O"] if params.ignore_labels is None else params.ignore_labels
        advance = self.text_limit - 2 - stride_for(params.stride, self.text_limit)
        found = []
        for number, (window, output) in enumerate(zip(context.windows, outputs, strict=True)):
            tokens = self._tokens(window, context, softmax(output["logits"]), number * advance)
            entities = entities_of(
                tokens, params.strategy, self.config.id2label, self.tokenizer.convert_tokens_to_string
            )
            found += [e for e in entities if e.get("entity", e.get("entity_group")) not in ignored]
        return merge_windows(found) if len(outputs) > 1 else found

    def _tokens(self, window: TextEncoding, context: _Context, scores: Any, first_index: int) -> list[Token]:
        tokens = []
        special, offsets, word_ids = window.special_tokens_mask, window.offsets, window.word_ids
        for index, (token, token_id) in enumerate(zip(window.tokens, window.ids, strict=True)):
            if special[index]:
                continue
            start, end = offsets[index]
            word = word_ids[index]
            if context.word_starts is not None and word is not None:
                start, end = start + context.word_starts[word], end + context.word_starts[word]
            unknown = token_id == self.tokenizer.unk_token_id
            tokens.append(
                Token(
                    word=context.text[start:end] if unknown else token,
                    scores=scores[index],
                    index=first_index + index,
                    start=start,
                    end=end,
                    continues=token.startswith("##") and not unknown,
                )
            )
        return tokens


def _join(words: list[str], delimiter: str) -> tuple[str, list[int]]:
    """Return one text of all words, and where each starts."""
    starts, position = [], 0
    for word in words:
        starts.append(position)
        position += len(word) + len(delimiter)
    return delimiter.join(words), starts
