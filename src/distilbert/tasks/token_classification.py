"""Token classification: entities with their place in the text. Legend: S tokens of a window, L labels.

``tagging_schemes.py`` says what tags mean. Entities are found in three steps: the pieces of a word agree on a tag,
neighbouring words join in groups, and the windows of a long text are merged. For example, the tags ``B-PER I-PER
B-PER O`` make two groups of ``PER`` and one of ``O``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import InputError
from ..text.truncation import window_spans
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_choice, check_fields, check_text, check_texts
from .columns import to_inputs
from .scores import softmax
from .tagging_schemes import OUTSIDE, Tag
from .task_spec import (
    TEXT,
    ExampleInput,
    HubModel,
    InputColumn,
    InputForm,
    LabelledColumn,
    LabelledData,
    Metric,
    TaskSpec,
)
from .task_tokenizer import TextEncoding
from .windows import check_stride, stride_or_default

AGGREGATION_STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True, kw_only=True)
class TokenClassificationParams:
    """Parameters.

    Attributes:
        aggregation_strategy: ``"none"`` answers for each token; ``"simple"`` joins neighbours with one tag in a group;
            ``"first"``, ``"average"`` and ``"max"`` first give all pieces of a word one tag, by that rule.
        ignore_labels: labels that are left out; ``["O"]`` by default.
        stride: tokens that two windows of a long text share; by default a quarter of the model's length.
        is_split_into_words: an input is a list of words instead of a text.
        delimiter: joins such a list to the text that offsets refer to.
        grouped_entities: older name: True is ``aggregation_strategy="simple"``, or ``"first"`` if ``ignore_subwords``.
        ignore_subwords: older name: see ``grouped_entities``.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] | None = None
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "
    grouped_entities: bool | None = None
    ignore_subwords: bool | None = None

    def __post_init__(self) -> None:
        check_choice(self._named_strategy, AGGREGATION_STRATEGIES, "aggregation_strategy")
        ignored = self.ignore_labels
        if isinstance(ignored, str) or not (ignored is None or isinstance(ignored, Collection)):
            raise InputError(
                f"ignore_labels must be a list of labels, got the {type(ignored).__name__} {ignored!r:.80}."
            )
        if not isinstance(self.delimiter, str):
            raise InputError(f"delimiter must be the text between two words, got {self.delimiter!r:.80}.")

    @property
    def _named_strategy(self) -> str:
        """The value of ``aggregation_strategy``, which may be a member of an enum of transformers."""
        return str(getattr(self.aggregation_strategy, "value", self.aggregation_strategy)).lower()

    @property
    def strategy(self) -> str:
        """The aggregation strategy, whichever parameter named it."""
        if self.grouped_entities is None and self.ignore_subwords is None:
            return self._named_strategy
        if not self.grouped_entities:
            return "none"
        return "first" if self.ignore_subwords else "simple"


SPEC = TaskSpec(
    name="token-classification",
    aliases=("ner",),
    question="which names of people, places, things are in it?",
    head="ForTokenClassification",
    inputs=(InputForm((TEXT,)), InputForm((InputColumn("words", is_list=True),))),
    parameters_class=TokenClassificationParams,
    options={"aggregation_strategy": "--aggregation-strategy", "stride": "--stride"},
    choices={"aggregation_strategy": AGGREGATION_STRATEGIES},
    example=ExampleInput("Ada Lovelace was born in London.", {"aggregation_strategy": "first"}),
    labelled=LabelledData(
        (
            LabelledColumn("words", (("words", "tokens"), ("word", "token")), required=True),
            LabelledColumn("tags", (("tags", "ner_tags"), ("labels", "label", "ner", "tag", "pos_tags"))),
        ),
        target="tags",
        has_label_names=True,
    ),
    metric=Metric("f1", "F1 of entities"),
    model_kind="Token classifier",
    usage="""\
tag = pipeline("ner", model="path/to/this/folder", aggregation_strategy="first")
for entity in tag("Ada Lovelace was born in London."):
    print(f"{entity['score']:.3f}  {entity['entity_group']}  {entity['word']}")""",
    default_model="distilbert-mini-ner",
    hub_model=HubModel("elastic/distilbert-base-cased-finetuned-conll03-english"),
)


@dataclass(frozen=True)
class _TextWindows:
    """A text, or words joined to one, and the windows that it was cut into.

    Attributes:
        text: what offsets of the answer refer to.
        word_starts: first character of each word in ``text``; None where the input was a text.
        windows: the encodings, in the order of the tokenizer.
    """

    text: str
    word_starts: list[int] | None
    windows: list[TextEncoding]


class TokenClassificationPipeline(Task[TokenClassificationParams]):
    """A text, or ``{"words": [...]}``, or with ``is_split_into_words`` a list of words -> its entities, in their order.

    With ``"none"`` an entity is ``{"entity", "score", "index", "word", "start", "end"}``, else ``{"entity_group",
    "score", "word", "start", "end"}``. Start and end count characters of the text; index counts tokens, [CLS] being 0.
    """

    spec = SPEC
    in_chunks = True

    def __call__(self, inputs: Any, **params: Any) -> Any:
        """Answer; see :meth:`Task.__call__` and :class:`TokenClassificationParams`.

        A plain list of words counts as a list of one input, as in transformers.
        """
        inputs = to_inputs(inputs, params.pop("column", None))
        split = params.get("is_split_into_words", self.params.is_split_into_words)
        if split and isinstance(inputs, (list, tuple)) and inputs and all(isinstance(word, str) for word in inputs):
            inputs = [list(inputs)]
        return super().__call__(inputs, **params)

    @property
    def window_length(self) -> int:
        """Tokens of a window: what the tokenizer was saved for, and never more than the model takes."""
        return min(self.tokenizer.model_max_length, self.max_tokens)

    def check(self, params: TokenClassificationParams) -> None:
        """Check that windows advance."""
        check_stride(params.stride, self.window_length)

    def parse(self, item: Any, where: str, params: TokenClassificationParams) -> Any:
        """Return the text, or the list of words."""
        if isinstance(item, Mapping):
            name = next((name for name in ("words", "tokens", "text") if name in item), "words")
            check_fields(item, [name], [], where)
            where, item = f"{where}[{name!r}]", item[name]
            return check_text(item, where) if name == "text" else check_texts(item, where)
        return check_texts(item, where) if params.is_split_into_words else check_text(item, where)

    def encode(self, items: list[Any], params: TokenClassificationParams) -> list[EncodedInput]:
        """One sequence per window."""
        encoded = [EncodedInput([]) for _ in items]
        for is_split in (False, True):
            indices = [index for index, item in enumerate(items) if isinstance(item, list) == is_split]
            encodings = self.tokenizer.encode_batch(
                [items[index] for index in indices],
                truncation="longest_first",
                max_length=self.window_length,
                stride=stride_or_default(params.stride, self.window_length),
                is_split_into_words=is_split,
            )
            for index, encoding in zip(indices, encodings, strict=True):
                windows = [encoding, *encoding.overflowing]
                item = items[index]
                text, word_starts = _join_words(item, params.delimiter) if is_split else (item, None)
                sequences = [list(window.ids) for window in windows]
                encoded[index] = EncodedInput(sequences, _TextWindows(text, word_starts, windows))
        return encoded

    def decode(
        self, encoded: EncodedInput, outputs: list[Outputs], params: TokenClassificationParams
    ) -> list[dict[str, Any]]:
        """Find the entities of each window, and merge those of the whole text."""
        text_windows: _TextWindows = encoded.metadata
        ignored = ["O"] if params.ignore_labels is None else params.ignore_labels
        windows, to_text = text_windows.windows, self.tokenizer.convert_tokens_to_string
        entities = []
        for window, first_token, output in zip(windows, self._first_tokens(windows, params), outputs, strict=True):
            tokens = self._scored_tokens(window, text_windows, softmax(output["logits"]), first_token)
            entities += [
                entity
                for entity in find_entities(tokens, params.strategy, self.config.id2label, to_text)
                if entity.label not in ignored
            ]
        return [entity.answer for entity in merge_windows(entities)]

    def _first_tokens(self, windows: Sequence[TextEncoding], params: TokenClassificationParams) -> list[int]:
        """Return which token of the text each window begins with."""
        stride = stride_or_default(params.stride, self.window_length)
        length = sum(len(window.ids) - 2 for window in windows) - stride * (len(windows) - 1)
        spans = window_spans(length, self.window_length - 2, stride, self.tokenizer.truncation_side)
        return [start for start, _ in spans]

    def _scored_tokens(
        self, window: TextEncoding, text_windows: _TextWindows, scores: np.ndarray, first_token: int
    ) -> list[ScoredToken]:
        """Return the tokens of a window but its special ones; ``scores`` are (S, L)."""
        tokens = []
        special, offsets, word_ids = window.special_tokens_mask, window.offsets, window.word_ids
        for index, (token, token_id) in enumerate(zip(window.tokens, window.ids, strict=True)):
            if special[index]:
                continue
            start, end = offsets[index]
            word = word_ids[index]
            if text_windows.word_starts is not None and word is not None:
                start, end = start + text_windows.word_starts[word], end + text_windows.word_starts[word]
            unknown = token_id == self.tokenizer.unk_token_id
            tokens.append(
                ScoredToken(
                    word=text_windows.text[start:end] if unknown else token,
                    scores=scores[index],
                    index=first_token + index,
                    start=start,
                    end=end,
                    continues=token.startswith("##") and not unknown,
                )
            )
        return tokens


def _join_words(words: list[str], delimiter: str) -> tuple[str, list[int]]:
    """Return one text of all words, and the first character of each."""
    starts, position = [], 0
    for word in words:
        starts.append(position)
        position += len(word) + len(delimiter)
    return delimiter.join(words), starts


# From tokens to entities ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredToken:
    """A token, or a word, of a text.

    Attributes:
        word: vocabulary entry, or for an unknown token the text itself.
        scores: (L,) probabilities of the labels.
        index: place in the sequence of tokens; of a word that of its first one.
        start: first character in the text.
        end: one past the last character.
        continues: it continues the word of the token before.
        count: how many tokens it is.
    """

    word: str
    scores: np.ndarray
    index: int
    start: int
    end: int
    continues: bool
    count: int = 1


class Entity(NamedTuple):
    """An entity of a window, and its place in the sequence of tokens.

    Characters do not say which entities of two windows overlap: a character may be several tokens, as Hangul is.

    Attributes:
        label: what it is.
        answer: as the task gives it.
        first: its first token.
        stop: one past its last token.
    """

    label: str
    answer: dict[str, Any]
    first: int
    stop: int


def find_entities(
    tokens: list[ScoredToken], strategy: str, id2label: Mapping[int, str], to_text: Callable[[list[str]], str]
) -> list[Entity]:
    """Return the entities of one window, those of ignored labels too.

    Args:
        tokens: all but the special tokens.
        strategy: one of :data:`AGGREGATION_STRATEGIES`.
        id2label: label names.
        to_text: joins vocabulary entries to text.
    """
    if strategy not in ("none", "simple"):
        tokens = [_join_pieces(pieces, strategy, to_text) for pieces in _group_by_word(tokens)]
    entities = [_entity(token, id2label) for token in tokens]
    if strategy == "none":
        return entities
    return _group_by_tag(entities, [token.continues for token in tokens], to_text)


def merge_windows(entities: list[Entity]) -> list[Entity]:
    """Keep the longest of entities that overlap, and of equally long ones the one with the higher score."""
    merged: list[Entity] = []
    for entity in sorted(entities, key=lambda each: each.first):
        if not merged or entity.first >= merged[-1].stop:
            merged.append(entity)
        elif _length_and_score(entity.answer) > _length_and_score(merged[-1].answer):
            merged[-1] = entity
    return merged


def _length_and_score(answer: dict[str, Any]) -> tuple[int, float]:
    return answer["end"] - answer["start"], answer["score"]


def _entity(token: ScoredToken, id2label: Mapping[int, str]) -> Entity:
    best = int(token.scores.argmax())
    answer = {
        "entity": id2label[best],
        "score": float(token.scores[best]),
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }
    return Entity(id2label[best], answer, token.index, token.index + token.count)


def _group_by_word(tokens: list[ScoredToken]) -> list[list[ScoredToken]]:
    words: list[list[ScoredToken]] = []
    for token in tokens:
        if words and token.continues:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _join_pieces(pieces: list[ScoredToken], strategy: str, to_text: Callable[[list[str]], str]) -> ScoredToken:
    """Join the pieces of a word; its scores are the mean, or those of the surest or of the first piece."""
    if strategy == "average":
        scores = np.stack([piece.scores for piece in pieces]).mean(axis=0)
    elif strategy == "max":
        scores = max((piece.scores for piece in pieces), key=np.max)
    else:
        scores = pieces[0].scores
    text = to_text([piece.word for piece in pieces])
    first, last = pieces[0], pieces[-1]
    return ScoredToken(text, scores, first.index, first.start, last.end, continues=False, count=len(pieces))


def _group_by_tag(entities: list[Entity], continues: list[bool], to_text: Callable[[list[str]], str]) -> list[Entity]:
    """Join neighbours of one kind, unless an entity begins or has ended between them.

    ``continues`` says of each entity whether it is a further piece of the word before. ``S-`` and ``E-`` speak of whole
    words, so the pieces of a word that share such a tag stay together.
    """
    groups: list[list[Entity]] = []
    previous = Tag.parse(OUTSIDE)
    for entity, is_further_piece in zip(entities, continues, strict=True):
        tag = Tag.parse(entity.label)
        same_word = is_further_piece and tag == previous and tag.prefix in ("S", "E")
        if groups and (same_word or not tag.begins_after(previous)):
            groups[-1].append(entity)
        else:
            groups.append([entity])
        previous = tag
    return [_join_entities(group, to_text) for group in groups]


def _join_entities(group: list[Entity], to_text: Callable[[list[str]], str]) -> Entity:
    label = group[0].label.split("-", 1)[-1]
    answer = {
        "entity_group": label,
        "score": float(np.mean([entity.answer["score"] for entity in group])),
        "word": to_text([entity.answer["word"] for entity in group]),
        "start": group[0].answer["start"],
        "end": group[-1].answer["end"],
    }
    return Entity(label, answer, group[0].first, group[-1].stop)
