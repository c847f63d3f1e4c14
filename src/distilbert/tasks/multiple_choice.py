"""Multiple choice: which of several endings or answers fits best. Legend: C choices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import Outputs, Work
from .checks import check_fields, check_text, check_texts
from .scores import softmax
from .windows import add_special, trim_pair


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceParams:
    """Multiple choice has no parameters of its own."""


@dataclass(frozen=True)
class _Item:
    first: str
    seconds: list[str]
    choices: list[str]


class MultipleChoice(Task[MultipleChoiceParams]):
    """``{"context", "question", "choices"}`` -> ``{"answer": str, "index": int, "scores": [float]}``.

    The pairs are ``[CLS] context [SEP] question choice [SEP]``, as models are trained on SWAG and RACE; without a
    context ``[CLS] question [SEP] choice [SEP]``, without a question ``[CLS] context [SEP] choice [SEP]``. Scores are
    in the order of the choices and sum to 1. A context too long for the model is cut at its end.
    """

    task = "multiple-choice"
    head = "ForMultipleChoice"
    params_class = MultipleChoiceParams

    def parse(self, item: Any, where: str, params: MultipleChoiceParams) -> _Item:
        """Return first text, second texts and choices."""
        check_fields(item, ["choices"], ["context", "question"], where)
        choices = check_texts(item["choices"], f"{where}['choices']")
        given = [check_text(item[name], f"{where}[{name!r}]") for name in ("context", "question") if item.get(name)]
        if not given:
            raise InputError(f"{where} needs a 'context', a 'question' or both, beside its 'choices'.")
        return _Item(given[0], [" ".join([*given[1:], choice]) for choice in choices], choices)

    def encode(self, items: list[_Item], params: MultipleChoiceParams) -> list[Work]:
        """One sequence a choice."""
        firsts = self.tokenizer.encode_ids([item.first for item in items], None, False)
        seconds = iter(self.tokenizer.encode_ids([text for item in items for text in item.seconds], None, False))
        works = []
        for item, first in zip(items, firsts, strict=True):
            own = islice(seconds, len(item.choices))
            trimmed = [trim_pair(first, second, self.limit - 3, "only_first") for second in own]
            works.append(Work([add_special(self.tokenizer, *pair) for pair in trimmed], item.choices))
        return works

    def decode(self, work: Work, outputs: list[Outputs], params: MultipleChoiceParams) -> dict[str, Any]:
        """Softmax over the choices."""
        scores = softmax(np.concatenate([output["logits"] for output in outputs]))  # (C,)
        best = int(scores.argmax())
        return {"answer": work.context[best], "index": best, "scores": [float(score) for score in scores]}
