"""Text classification: the best label, the best few, or all of them, with scores. Legend: L labels, W windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_choice, check_count, check_fields, check_text
from .columns import to_inputs
from .scores import FEW, largest, sigmoid, sigmoid_of_few, softmax, softmax_of_few
from .task_spec import (
    TEXT,
    TEXT_COLUMN_NAMES,
    TEXT_PAIR_COLUMN_NAMES,
    ExampleInput,
    HubModel,
    InputColumn,
    InputForm,
    LabelledColumn,
    LabelledData,
    Metric,
    TaskSpec,
)
from .windows import (
    asks_for_truncation,
    check_stride,
    check_truncation,
    split_into_windows,
    stride_or_default,
    truncate,
)

# From logits to scores: of arrays (..., L), and of the floats of one text.
FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[list[float]], list[float]]]] = {
    "sigmoid": (sigmoid, sigmoid_of_few),
    "softmax": (softmax, softmax_of_few),
    "none": (np.asarray, list),
}


class Unset:
    """The type of :data:`UNSET`. None cannot mean "not given": ``top_k=None`` asks for all labels."""

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        """Pickle and copy as the one value that there is."""
        return "UNSET"


UNSET = Unset()
AGGREGATIONS = ("mean", "max", "first")  # of the windows of a long text


@dataclass(frozen=True, kw_only=True)
class TextClassificationParams:
    """Parameters.

    Attributes:
        top_k: labels to return, best first, in a list; None: all. Not given: only the best, outside a list.
        return_all_scores: all labels in the order of the model, if ``top_k`` is not given.
        function_to_apply: ``"softmax"``, ``"sigmoid"`` or ``"none"``. By default ``"none"`` for regression,
            ``"sigmoid"`` for multi-label models and for a single label, else ``"softmax"``.
        truncation: cut long texts as tokenizers do, instead of reading them whole, in windows.
        max_length: tokens that ``truncation`` leaves; by default what the tokenizer says.
        padding: accepted because other libraries have it; it changes nothing, since batches hold no padding.
        stride: tokens that two windows of a long text share; by default a quarter of the model's length.
        aggregation: how the scores of windows become one: ``"mean"`` (weighted by tokens), ``"max"``, or those of the
            ``"first"`` window only.
    """

    top_k: int | Unset | None = UNSET
    return_all_scores: bool = False
    function_to_apply: str | None = None
    truncation: bool | str = False
    max_length: int | None = None
    padding: bool | str = False
    stride: int | None = None
    aggregation: str = "mean"

    def __post_init__(self) -> None:
        if self.top_k is not UNSET:
            check_count(self.top_k, "top_k", optional=True)
        if self.function_to_apply is not None:
            check_choice(self.function, tuple(FUNCTIONS), "function_to_apply")
        check_truncation(self.truncation_options, "text-classification")
        check_choice(self.aggregation, AGGREGATIONS, "aggregation")

    @property
    def function(self) -> str:
        """Name of ``function_to_apply``, which may be a member of an enum of transformers; empty: none is given."""
        return str(getattr(self.function_to_apply, "value", self.function_to_apply) or "").lower()

    @property
    def truncation_options(self) -> dict[str, Any]:
        """What :func:`truncate` takes."""
        return {"truncation": self.truncation, "max_length": self.max_length}


SPEC = TaskSpec(
    name="text-classification",
    aliases=("sentiment-analysis",),
    question="which label does this text, or pair of texts, have?",
    head="ForSequenceClassification",
    inputs=(InputForm((TEXT, InputColumn("text_pair", required=False))),),
    parameters_class=TextClassificationParams,
    options={"top_k": "--top-k", "stride": "--stride"},
    choices={"function_to_apply": tuple(FUNCTIONS), "aggregation": AGGREGATIONS},
    example=ExampleInput("I love using small models!"),
    labelled=LabelledData(
        (
            LabelledColumn("text", (TEXT_COLUMN_NAMES,), required=True),
            LabelledColumn("text_pair"),
            LabelledColumn(
                "label",
                (
                    ("label", "labels", "gold_label"),
                    ("score", "intent", "class", "category", "sentiment", "target", "rating", "stars", "emotion",
                     "answer"),
                ),
                may_join=True,
            ),
        ),
        target="label",
        text_pairs=TEXT_PAIR_COLUMN_NAMES,
        has_label_names=True,
    ),
    metric=Metric("accuracy", "Accuracy"),
    metrics_by_problem={
        "multi_label_classification": Metric("f1_micro", "F1, over all labels"),
        "regression": Metric("spearman", "Spearman correlation"),
    },
    model_kind="Text classifier",
    usage="""\
classify = pipeline("text-classification", model="path/to/this/folder")
for text in ["The first text.", "The second text."]:
    print(classify(text))""",
    default_model="distilbert-mini-sst2",
    hub_model=HubModel(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english", "714eb0fa89d2f80546fda750413ed43d93601a13"
    ),
)  # fmt: skip


def pair_texts(texts: Any, text_pair: Any) -> Any:
    """Return a text and its second text, or two lists of them, as inputs.

    Raises:
        InputError: they are not two texts or two lists of one length.
    """
    texts, seconds = to_inputs(texts), to_inputs(text_pair)
    if isinstance(texts, str) and isinstance(seconds, str):
        return {"text": texts, "text_pair": seconds}
    if isinstance(texts, list) and isinstance(seconds, list) and len(texts) == len(seconds):
        return [{"text": text, "text_pair": second} for text, second in zip(texts, seconds, strict=True)]
    kinds = [f"a list of {len(each)}" if isinstance(each, list) else type(each).__name__ for each in (texts, seconds)]
    raise InputError(
        f"text_pair goes with one text as a second one, or with a list as a list of the same length; got {kinds[0]} "
        f'and {kinds[1]}. Or give each pair as {{"text": ..., "text_pair": ...}}.'
    )


class TextClassificationPipeline(Task[TextClassificationParams]):
    """``"text"`` or ``{"text": ..., "text_pair": ...}`` -> ``{"label": str, "score": float}``, or a list of them.

    One plain text gives a list with one result, unless ``top_k`` is given in the call, as in transformers.
    """

    spec = SPEC

    def __call__(self, inputs: Any, *, text_pair: Any = None, **params: Any) -> Any:
        """Answer; see :meth:`Task.__call__` and :class:`TextClassificationParams`.

        Args:
            inputs: as for every task.
            text_pair: the second text of the pair that ``inputs`` begins, or a list with one for each text of a list.
            **params: as for every task.
        """
        if text_pair is None:
            return super().__call__(inputs, **params)
        pairs = pair_texts(inputs, text_pair)
        answer = super().__call__(pairs, **params)
        return answer if isinstance(pairs, list) or answer is None else self.single_answer(inputs, answer, params)

    def single_answer(self, inputs: Any, answer: Any, params: Mapping[str, Any]) -> Any:
        """Return the answer to one plain text in a list, unless the call names ``top_k``."""
        return [answer] if isinstance(inputs, str) and "top_k" not in params else answer

    def check(self, params: TextClassificationParams) -> None:
        """Check that windows advance."""
        check_stride(params.stride, self.max_tokens)

    def parse(self, item: Any, where: str, params: TextClassificationParams) -> tuple[str, str | None]:
        """Return the text, and the second text or None."""
        if isinstance(item, str):
            return check_text(item, where), None
        if isinstance(item, list) and len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2:
            item = dict(zip(("text", "text_pair"), item[0], strict=True))  # [[a, b]], the oldest form of a pair
        if isinstance(item, (list, tuple)):
            raise InputError(f'{where} is a {type(item).__name__}; give a pair as {{"text": ..., "text_pair": ...}}.')
        if not isinstance(item, Mapping):
            return check_text(item, where), None
        check_fields(item, ["text"], ["text_pair"], where)
        pair = item.get("text_pair")
        return check_text(item["text"], f"{where}['text']"), pair and check_text(pair, f"{where}['text_pair']")

    def encode(self, items: list[tuple[str, str | None]], params: TextClassificationParams) -> list[EncodedInput]:
        """One sequence per text, or several windows where it is longer than the model."""
        texts = [text for item in items for text in item if text is not None]
        ids = iter(self.tokenizer.encode_ids(texts, None, False))
        options, stride = params.truncation_options, stride_or_default(params.stride, self.max_tokens)
        encoded = []
        for _, second_text in items:
            first, second = next(ids), None if second_text is None else next(ids)
            if asks_for_truncation(options):
                sequences = [truncate(self.tokenizer, first, second, options, self.max_tokens)]
            else:
                sequences = split_into_windows(self.tokenizer, first, second, max_tokens=self.max_tokens, stride=stride)
            encoded.append(EncodedInput(sequences[:1] if params.aggregation == "first" else sequences))
        return encoded

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: TextClassificationParams) -> Any:
        """Scores of the labels, sorted or not."""
        of_many, of_few = FUNCTIONS[params.function or self._default_function()]
        if len(outputs) == 1:
            logits = outputs[0]["logits"]
            return self._labels(of_few(logits.tolist()) if len(logits) <= FEW else of_many(logits), params)
        scores = of_many(np.stack([output["logits"] for output in outputs]))  # (W, L)
        if params.aggregation == "max":
            scores = scores.max(axis=0)
        else:
            scores = np.average(scores, axis=0, weights=[len(sequence) for sequence in encoded.sequences])
        return self._labels(scores, params)

    def _labels(self, scores: np.ndarray | list[float], params: TextClassificationParams) -> Any:
        """Return the labels that were asked for, from ``scores`` (L,)."""
        count = 1 if isinstance(params.top_k, Unset) else params.top_k
        if isinstance(params.top_k, Unset) and params.return_all_scores:
            order = list(range(len(scores)))
        else:
            order = largest(scores, len(scores) if count is None else count)
        names = self.config.id2label
        labels = [{"label": names[index], "score": float(np.float32(scores[index]))} for index in order]
        return labels[0] if params.top_k is UNSET and not params.return_all_scores else labels

    def _default_function(self) -> str:
        problem = self.config.problem_type
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or self.config.num_labels == 1 else "softmax"
