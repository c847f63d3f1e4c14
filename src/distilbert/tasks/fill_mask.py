"""Fill in masks: the likeliest tokens for every ``[MASK]`` of a text. Legend: R masks, V vocabulary."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from .base import Task
from .batching import Outputs, Work
from .checks import check_count, check_text, check_texts
from .joint_fill import fill_jointly
from .scores import largest, softmax
from .task_spec import TEXT, TEXT_COLUMN_NAMES, Example, InputForm, LabelledColumn, LabelledData, Metric, TaskSpec
from .windows import add_special, check_truncation, truncate, truncates

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FillMaskParams:
    """Parameters.

    Attributes:
        top_k: proposals a mask.
        targets: only these words are proposed; a word that is no vocabulary entry counts as its first piece.
        joint: fill several masks together, from left to right, each given those before it; a proposal then holds a
            token for every mask, and its score is the probability of all of them.
        tokenizer_kwargs: ``truncation`` and ``max_length``, to cut long texts as tokenizers do. Without them each
            mask of a long text is filled in the part around it.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    joint: bool = False
    tokenizer_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_count(self.top_k, "top_k")
        check_truncation(self.options, "tokenizer_kwargs of fill-mask")
        if self.targets is not None:
            check_texts([self.targets] if isinstance(self.targets, str) else self.targets, "targets")

    @property
    def options(self) -> Mapping[str, Any]:
        """What :func:`truncate` needs."""
        return self.tokenizer_kwargs or {}


SPEC = TaskSpec(
    name="fill-mask",
    question="which word stands behind `[MASK]`?",
    head="ForMaskedLM",
    inputs=(InputForm((TEXT,)),),
    parameters_class=FillMaskParams,
    options={"top_k": "--top-k"},
    example=Example("The capital of France is [MASK]."),
    labelled=LabelledData((LabelledColumn("text", (TEXT_COLUMN_NAMES,), required=True),)),
    metric=Metric("perplexity", "Perplexity of masked tokens", higher_is_better=False),
    model_kind="Masked language model",
)


class FillMask(Task[FillMaskParams]):
    """A text with ``[MASK]`` -> a list of ``{"score", "token", "token_str", "sequence"}``, best first.

    A text with several masks gives such a list a mask; with ``joint`` one list, in which ``token`` and ``token_str``
    are lists. ``sequence`` is the text with the proposal in it.
    """

    spec = SPEC

    def check(self, params: FillMaskParams) -> None:
        """Check that there is a mask token."""
        if self.tokenizer.mask_token_id is None:
            raise InputError("The tokenizer has no [MASK] token; fill-mask needs one.")

    def parse(self, item: Any, where: str, params: FillMaskParams) -> tuple[str, str]:
        """Return the text, and what to call it where its ids turn out to hold no mask."""
        return check_text(item, where), where

    def start(
        self, items: list[tuple[str, str]], params: FillMaskParams, budget: tuple[int, int | None]
    ) -> Callable[[], list[Any]]:
        """Fill masks one by one, or together where ``joint`` asks for it."""
        if params.joint:
            return lambda: self._fill_jointly(items, params, budget)
        return super().start(items, params, budget)

    def _fill_jointly(
        self, items: list[tuple[str, str]], params: FillMaskParams, budget: tuple[int, int | None]
    ) -> list[Any]:
        texts, targets = self.ids_of(items, params), self.target_ids(params)
        masks = [self.masks(ids) for ids in texts]
        answers = fill_jointly(texts, masks, self.view, self.runner, budget, params.top_k, targets)
        return [[self._joint_proposal(*proposal) for proposal in proposals] for proposals in answers]

    def ids_of(self, items: list[tuple[str, str]], params: FillMaskParams) -> list[list[int]]:
        """Return the ids of every text, special tokens included; they may be longer than the model.

        Raises:
            InputError: a text has no mask; the message names it.
        """
        encoded = self.tokenizer.encode_ids([text for text, _ in items], None, False)
        if truncates(params.options):
            encoded = [truncate(self.tokenizer, ids, None, params.options, self.limit) for ids in encoded]
        else:
            encoded = [add_special(self.tokenizer, ids) for ids in encoded]
        for (text, where), ids in zip(items, encoded, strict=True):
            if self.tokenizer.mask_token_id not in ids:
                raise InputError(f"{where} has no {self.tokenizer.mask_token} to fill in: {text!r:.80}.")
        return encoded

    def encode(self, items: list[tuple[str, str]], params: FillMaskParams) -> list[Work]:
        """One sequence a text, or one a mask where the text is longer than the model; rows are the masks."""
        targets = self.target_ids(params)
        works = []
        for ids in self.ids_of(items, params):
            masks = self.masks(ids)
            views = [self.view(ids, mask) for mask in (masks if len(ids) > self.limit else masks[:1])]
            rows = [[row] for _, row in views] if len(ids) > self.limit else [masks]
            works.append(Work([sequence for sequence, _ in views], (ids, targets), rows))
        return works

    def decode(self, work: Work, outputs: list[Outputs], params: FillMaskParams) -> Any:
        """The best proposals for each mask."""
        ids, targets = work.context
        masks = self.masks(ids)
        logits = [row for output in outputs for row in output["logits"]]  # R of (V,)
        answers = []
        for mask, row in zip(masks, logits, strict=True):
            scores = softmax(row)
            best = (
                largest(scores, params.top_k)
                if targets is None
                else [targets[i] for i in largest(scores[targets], params.top_k)]
            )
            answers.append([self._proposal(ids, mask, token, float(scores[token]), len(masks) == 1) for token in best])
        return answers[0] if len(answers) == 1 else answers

    def masks(self, ids: list[int]) -> list[int]:
        """Positions of the masks."""
        mask = self.tokenizer.mask_token_id
        return [index for index, token in enumerate(ids) if token == mask]

    def view(self, ids: list[int], mask: int) -> tuple[list[int], int]:
        """Return what the model sees of a text, with the mask in the middle where it must be cut, and its place."""
        if len(ids) <= self.limit:
            return ids, mask
        room = self.limit - 2
        start = min(max(mask - room // 2, 1), len(ids) - 1 - room)
        return [ids[0], *ids[start : start + room], ids[-1]], mask - start + 1

    def target_ids(self, params: FillMaskParams) -> list[int] | None:
        """Ids of the target words, without repeats; None: every token."""
        if params.targets is None:
            return None
        found = []
        for word in [params.targets] if isinstance(params.targets, str) else params.targets:
            token = self.tokenizer.convert_tokens_to_ids(word)
            if token is None or (token == self.tokenizer.unk_token_id and word != self.tokenizer.unk_token):
                pieces = self.tokenizer.encode_ids([word], None, False)[0]
                if not pieces:
                    logger.warning("The target %r is no text for this tokenizer; it is left out.", word)
                    continue
                token = pieces[0]
                name = self.tokenizer.convert_ids_to_tokens(token)
                logger.warning("The target %r is not in the vocabulary; %r stands for it.", word, name)
            found.append(token)
        if not found:
            raise InputError(f"None of the targets {params.targets!r} is a token of this vocabulary.")
        return sorted(set(found))

    def _proposal(self, ids: list[int], mask: int, token: int, score: float, alone: bool) -> dict[str, Any]:
        filled = [*ids[:mask], token, *ids[mask + 1 :]]
        text = self._text(filled, skip_special_tokens=alone)  # other masks would vanish with the special tokens
        return {"score": score, "token": token, "token_str": self.tokenizer.decode([token]), "sequence": text}

    def _joint_proposal(self, ids: list[int], tokens: list[int], score: float) -> dict[str, Any]:
        names = [self.tokenizer.decode([token]) for token in tokens]
        text = self._text(ids, skip_special_tokens=True)
        return {"score": score, "token": tokens, "token_str": names, "sequence": text}

    def _text(self, ids: list[int], skip_special_tokens: bool) -> str:
        kept = [token for token in ids if token != self.config.pad_token_id]
        return self.tokenizer.decode(kept, skip_special_tokens, clean_up_tokenization_spaces=True)  # isn't, not isn ' t
