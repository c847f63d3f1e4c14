"""Fill in masks: the likeliest tokens for every ``[MASK]`` of a text. Legend: R masks, V vocabulary.

Masks that are scored one by one (as in transformers) ignore each other: "[MASK] [MASK] is a city" proposes "new" and
"los" for the first, "york" and "angeles" for the second, and cannot say which go together. Filled jointly, by beam
search from left to right, their probability is p(a, b) = p(a) p(b | a).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import EncodedInput, Outputs, run_encoded
from .checks import check_count, check_text, check_texts
from .columns import to_inputs
from .scores import largest, softmax
from .task_spec import (
    TEXT,
    TEXT_COLUMN_NAMES,
    ExampleInput,
    HubModel,
    InputForm,
    LabelledColumn,
    LabelledData,
    Metric,
    TaskSpec,
)
from .windows import add_special, asks_for_truncation, check_truncation, merge_truncation, truncate

SMALLEST_BEAM = 5  # partial fillings kept at every mask, however few are returned
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FillMaskParams:
    """Parameters.

    Attributes:
        top_k: proposals for each mask.
        targets: propose only these words; the first piece of a word stands for it where the vocabulary lacks it.
        joint: fill several masks together, from left to right, each given those before it; a proposal then holds a
            token for every mask, and its score is the probability of all of them.
        truncation: cut long texts as tokenizers do. By default, each mask of a long text is filled in the part of the
            text around it.
        max_length: tokens that ``truncation`` leaves; by default what the tokenizer says.
        tokenizer_kwargs: ``truncation`` and ``max_length`` in a dict.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    joint: bool = False
    truncation: bool | str | None = None
    max_length: int | None = None
    tokenizer_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_count(self.top_k, "top_k")
        check_truncation(self.truncation_options, "tokenizer_kwargs of fill-mask")
        if self.targets is not None:
            check_texts(self.words, "targets")

    @property
    def words(self) -> list[str]:
        """The targets as a list."""
        targets = to_inputs(self.targets)
        return [targets] if isinstance(targets, str) else targets

    @property
    def truncation_options(self) -> dict[str, Any]:
        """What :func:`truncate` takes."""
        return merge_truncation(self.truncation, self.max_length, self.tokenizer_kwargs)


SPEC = TaskSpec(
    name="fill-mask",
    question="which word fills `[MASK]`?",
    head="ForMaskedLM",
    inputs=(InputForm((TEXT,)),),
    parameters_class=FillMaskParams,
    options={"top_k": "--top-k"},
    example=ExampleInput("The capital of France is [MASK]."),
    labelled=LabelledData((LabelledColumn("text", (TEXT_COLUMN_NAMES,), required=True),)),
    metric=Metric("perplexity", "Perplexity of masked tokens", higher_is_better=False),
    model_kind="Masked language model",
    usage="""\
fill = pipeline("fill-mask", model="path/to/this/folder")
for answer in fill(f"The capital of France is {fill.tokenizer.mask_token}."):
    print(f"{answer['score']:.3f}  {answer['sequence']}")""",
    hub_tag="masked-lm",
    hub_model=HubModel("distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be"),
)


class Filling(NamedTuple):
    """A text with some of its masks filled.

    Attributes:
        ids: of the text, with the tokens in place.
        tokens: what was filled in, from left to right.
        probability: of all these tokens.
    """

    ids: list[int]
    tokens: list[int]
    probability: float


class FillMaskPipeline(Task[FillMaskParams]):
    """A text with ``[MASK]`` -> a list of ``{"score", "token", "token_str", "sequence"}``, best first.

    A text with several masks gives such a list for each mask; with ``joint`` it gives one list, in which ``token`` and
    ``token_str`` are lists. ``sequence`` is the text with the proposal in it.
    """

    spec = SPEC

    def check(self, params: FillMaskParams) -> None:
        """Check that there is a mask token."""
        if self.tokenizer.mask_token_id is None:
            raise InputError("The tokenizer has no [MASK] token; fill-mask needs one.")

    def parse(self, item: Any, where: str, params: FillMaskParams) -> tuple[str, str]:
        """Return the text, and how a message names it: only its ids tell whether it has a mask."""
        return check_text(item, where), where

    def start(
        self, items: list[tuple[str, str]], params: FillMaskParams, budget: tuple[int, int | None]
    ) -> Callable[[], list[Any]]:
        """Fill masks one by one, or together where ``joint`` asks for it."""
        if params.joint:
            return lambda: self._answer_jointly(items, params, budget)
        return super().start(items, params, budget)

    def encode(self, items: list[tuple[str, str]], params: FillMaskParams) -> list[EncodedInput]:
        """One sequence per text, or one per mask where the text is longer than the model; rows are the masks."""
        targets = self._target_ids(params)
        encoded = []
        for ids in self._ids_of(items, params):
            masks = self._mask_positions(ids)
            if len(ids) > self.max_tokens:
                cut = [self.cut_around(ids, mask) for mask in masks]
                sequences, rows = [sequence for sequence, _ in cut], [[row] for _, row in cut]
            else:
                sequences, rows = [ids], [masks]
            encoded.append(EncodedInput(sequences, (ids, targets), rows))
        return encoded

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: FillMaskParams) -> Any:
        """The best proposals for each mask."""
        ids, targets = encoded.metadata
        masks = self._mask_positions(ids)
        logits = [row for output in outputs for row in output["logits"]]  # R of (V,)
        answers = []
        for mask, row in zip(masks, logits, strict=True):
            scores = softmax(row)  # (V,)
            answers.append(
                [
                    self._proposal(ids, mask, token, float(scores[token]), len(masks) == 1)
                    for token in _likeliest(scores, params.top_k, targets)
                ]
            )
        return answers[0] if len(answers) == 1 else answers

    def _ids_of(self, items: list[tuple[str, str]], params: FillMaskParams) -> list[list[int]]:
        """Return the ids of every text, special tokens included; they may be longer than the model.

        Raises:
            InputError: a text has no mask; the message names it.
        """
        encoded = self.tokenizer.encode_ids([text for text, _ in items], None, False)
        if asks_for_truncation(params.truncation_options):
            encoded = [
                truncate(self.tokenizer, ids, None, params.truncation_options, self.max_tokens) for ids in encoded
            ]
        else:
            encoded = [add_special(self.tokenizer, ids) for ids in encoded]
        for (text, where), ids in zip(items, encoded, strict=True):
            if self.tokenizer.mask_token_id not in ids:
                raise InputError(f"{where} has no {self.tokenizer.mask_token} to fill in: {text!r:.80}.")
        return encoded

    def _mask_positions(self, ids: list[int]) -> list[int]:
        mask = self.tokenizer.mask_token_id
        return [position for position, token in enumerate(ids) if token == mask]

    def cut_around(self, ids: list[int], mask: int) -> tuple[list[int], int]:
        """Cut a text that is too long, with the mask in the middle; return it and the place of the mask in it."""
        if len(ids) <= self.max_tokens:
            return ids, mask
        length = self.max_tokens - 2
        start = min(max(mask - length // 2, 1), len(ids) - 1 - length)
        return [ids[0], *ids[start : start + length], ids[-1]], mask - start + 1

    def _target_ids(self, params: FillMaskParams) -> list[int] | None:
        """Ids of the target words, sorted and without repeats; None: every token."""
        if params.targets is None:
            return None
        targets = []
        for word in params.words:
            token = self.tokenizer.convert_tokens_to_ids(word)
            if token is None or (token == self.tokenizer.unk_token_id and word != self.tokenizer.unk_token):
                pieces = self.tokenizer.encode_ids([word], None, False)[0]
                if not pieces:
                    logger.warning("The target %r is no text for this tokenizer; it is left out.", word)
                    continue
                token = pieces[0]
                name = self.tokenizer.convert_ids_to_tokens(token)
                logger.warning("The target %r is not in the vocabulary; %r stands for it.", word, name)
            targets.append(token)
        if not targets:
            raise InputError(f"None of the targets {params.targets!r} is a token of this vocabulary.")
        return sorted(set(targets))

    def _proposal(self, ids: list[int], mask: int, token: int, score: float, is_only_mask: bool) -> dict[str, Any]:
        filled = [*ids[:mask], token, *ids[mask + 1 :]]
        text = self._text(filled, skip_special_tokens=is_only_mask)  # other masks are special tokens, too
        return {"score": score, "token": token, "token_str": self.tokenizer.decode([token]), "sequence": text}

    def _text(self, ids: list[int], skip_special_tokens: bool) -> str:
        kept = [token for token in ids if token != self.config.pad_token_id]
        return self.tokenizer.decode(kept, skip_special_tokens, clean_up_tokenization_spaces=True)  # isn't, not isn ' t

    # Several masks together ------------------------------------------------------------------------------------------

    def _answer_jointly(
        self, items: list[tuple[str, str]], params: FillMaskParams, budget: tuple[int, int | None]
    ) -> list[Any]:
        """The likeliest ways to fill all masks of each text."""
        texts, targets = self._ids_of(items, params), self._target_ids(params)
        return [
            [self._joint_proposal(filling) for filling in fillings]
            for fillings in self._search(texts, budget, params.top_k, targets)
        ]

    def _search(
        self, texts: list[list[int]], budget: tuple[int, int | None], top_k: int, targets: list[int] | None
    ) -> list[list[Filling]]:
        """Return for every text its ``top_k`` fillings, likeliest first.

        Args:
            texts: ids of each text, special tokens included.
            budget: batch_tokens and batch_size.
            top_k: fillings to return.
            targets: ids that may be filled in; None: all.
        """
        width = max(top_k, SMALLEST_BEAM)
        masks = [self._mask_positions(ids) for ids in texts]
        beams = [[Filling(ids, [], 1.0)] for ids in texts]
        for turn in range(max(map(len, masks))):  # all texts together: their first masks, their second masks, ...
            inputs = []
            for text, positions in enumerate(masks):
                for filling in beams[text] if turn < len(positions) else ():
                    sequence, row = self.cut_around(filling.ids, positions[turn])
                    inputs.append(EncodedInput([sequence], (text, filling), [[row]]))
            longer: dict[int, list[Filling]] = {}
            for index, outputs in run_encoded(inputs, self.runner, *budget):
                text, filling = inputs[index].metadata
                scores = softmax(outputs[0]["logits"][0])  # (V,)
                extended = _extend(filling, masks[text][turn], scores, width, targets)
                longer.setdefault(text, []).extend(extended)
            for text, fillings in longer.items():
                beams[text] = sorted(fillings, key=lambda filling: (-filling.probability, filling.tokens))[:width]
        return [fillings[:top_k] for fillings in beams]

    def _joint_proposal(self, filling: Filling) -> dict[str, Any]:
        names = [self.tokenizer.decode([token]) for token in filling.tokens]
        text = self._text(filling.ids, skip_special_tokens=True)
        return {"score": filling.probability, "token": filling.tokens, "token_str": names, "sequence": text}


def _likeliest(scores: np.ndarray, count: int, targets: list[int] | None) -> list[int]:
    """Return the ids of the highest of ``scores`` (V,), best first; of ``targets`` only, where there are any."""
    return largest(scores, count) if targets is None else [targets[i] for i in largest(scores[targets], count)]


def _extend(filling: Filling, mask: int, scores: np.ndarray, count: int, targets: list[int] | None) -> list[Filling]:
    """Return ``filling`` with each of the ``count`` likeliest tokens at ``mask``; ``scores`` are (V,)."""
    ids, tokens, probability = filling
    return [
        Filling([*ids[:mask], token, *ids[mask + 1 :]], [*tokens, token], probability * float(scores[token]))
        for token in _likeliest(scores, count, targets)
    ]
