"""Multiple choice: which of several endings or answers fits best. Legend: C choices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_fields, check_text, check_texts
from .pooling import normalize
from .scores import SHARPNESS, softmax
from .task_spec import (
    SENTENCE_ENCODER,
    ExampleInput,
    InputColumn,
    InputForm,
    LabelledColumn,
    LabelledData,
    Metric,
    TaskSpec,
)
from .windows import add_special, truncate_pair


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceParams:
    """Multiple choice has no parameters of its own."""


@dataclass(frozen=True)
class _Pairs:
    """The pairs of an input: ``first`` with each of ``seconds``, of which each ends with one of ``choices``.

    A model that compares vectors compares ``whole`` with each of ``ends``.
    """

    first: str
    seconds: list[str]
    choices: list[str]
    whole: str
    ends: list[str]


SPEC = TaskSpec(
    name="multiple-choice",
    question="which of these continuations is right?",
    head="ForMultipleChoice",
    inputs=(
        InputForm(
            (
                InputColumn("context", required=False),
                InputColumn("question", required=False),
                InputColumn("choices", is_list=True, fewest=2),
            ),
            at_least_one_of=("context", "question"),
        ),
    ),
    parameters_class=MultipleChoiceParams,
    example=ExampleInput(
        {"context": "She opened the umbrella because", "choices": ["it rained.", "it was Monday."]},
    ),
    labelled=LabelledData(
        (
            LabelledColumn("context", (("context", "passage", "sent1", "ctx", "premise"), ("article",))),
            LabelledColumn("question", (("question", "sent2"), ("query", "goal"))),
            LabelledColumn("choices", (("choices", "options", "endings", "candidates"),), required=True, may_join=True),
            LabelledColumn("label", (("label", "labels", "gold_label"), ("answer", "answerkey", "correct", "target"))),
        ),
        target="label",
        at_least_one_of=("context", "question"),
    ),
    metric=Metric("accuracy", "Accuracy"),
    model_kind="Multiple choice",
    usage="""\
choose = pipeline("multiple-choice", model="path/to/this/folder")
print(choose({"context": "She opened the umbrella because", "choices": ["it rained.", "it was Monday."]}))""",
    transformers_versions=None,
    takes_encoder=True,
    default_model="distilbert-mini-embed",
    hub_model=SENTENCE_ENCODER,
)


class MultipleChoicePipeline(Task[MultipleChoiceParams]):
    """``{"context", "question", "choices"}`` -> ``{"answer": str, "index": int, "scores": [float]}``.

    The pairs are ``[CLS] context [SEP] question choice [SEP]``, as models are trained on SWAG and RACE; without a
    context ``[CLS] question [SEP] choice [SEP]``, without a question ``[CLS] context [SEP] choice [SEP]``. Scores are
    in the order of the choices and sum to 1. A context too long for the model is cut, at its end or where the
    tokenizer's ``truncation_side`` says.

    A model without a head, such as one of sentences, compares vectors: of a question with those of the choices, or,
    where there is only a context, of the context with those of the context and each choice. Scores are a softmax of the
    cosines times 20. That finds related answers and reasons about nothing: all-MiniLM-L6-v2 is right for 40 % of
    CommonsenseQA (chance is 20 %) and for 35 % of CODAH (25 %). Fine-tune a model for more.
    """

    spec = SPEC
    in_chunks = True

    def parse(self, item: Any, where: str, params: MultipleChoiceParams) -> _Pairs:
        """Return first text, second texts and choices."""
        check_fields(item, ["choices"], ["context", "question"], where)
        choices = check_texts(item["choices"], f"{where}['choices']")
        texts = [check_text(item[name], f"{where}[{name!r}]") for name in ("context", "question") if item.get(name)]
        if not texts:
            raise InputError(f"{where} needs a 'context', a 'question' or both, beside its 'choices'.")
        whole = " ".join(texts)
        ends = choices if item.get("question") else [f"{whole} {choice}" for choice in choices]
        return _Pairs(texts[0], [" ".join([*texts[1:], choice]) for choice in choices], choices, whole, ends)

    def encode(self, items: list[_Pairs], params: MultipleChoiceParams) -> list[EncodedInput]:
        """One sequence per choice; for a model that compares vectors, another one before them."""
        if self.compares_vectors:
            return [self._alone(item) for item in items]
        firsts = self.tokenizer.encode_ids([item.first for item in items], None, False)
        seconds = iter(self.tokenizer.encode_ids([text for item in items for text in item.seconds], None, False))
        encoded = []
        for item, first in zip(items, firsts, strict=True):
            pairs = [
                truncate_pair(first, second, self.max_tokens - 3, "only_first", self.tokenizer.truncation_side)
                for second in islice(seconds, len(item.choices))
            ]
            encoded.append(EncodedInput([add_special(self.tokenizer, *pair) for pair in pairs], item.choices))
        return encoded

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: MultipleChoiceParams) -> dict[str, Any]:
        """Softmax over the choices."""
        if self.compares_vectors:
            vectors = normalize(
                np.stack([output["last_hidden_state"].mean(axis=0) for output in outputs])
            )  # (1 + C, D)
            scores = softmax(vectors[1:] @ vectors[0] * SHARPNESS)  # (C,)
        else:
            scores = softmax(np.concatenate([output["logits"] for output in outputs]))  # (C,)
        best = int(scores.argmax())
        return {"answer": encoded.metadata[best], "index": best, "scores": [float(score) for score in scores]}

    def _alone(self, item: _Pairs) -> EncodedInput:
        """Return the sequences of the whole and of its ends; what is too long is cut at its beginning."""
        room = min(self.tokenizer.model_max_length, self.max_tokens) - 2
        rows = self.tokenizer.encode_ids([item.whole, *item.ends], None, False)
        return EncodedInput([add_special(self.tokenizer, ids[-room:]) for ids in rows], item.choices)
