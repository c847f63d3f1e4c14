"""Sentence similarity: cosines between texts. Legend: D dim, N sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_choice, check_fields, check_text, check_texts
from .pooling import POOLINGS, normalize, pool
from .task_spec import (
    SENTENCE_ENCODER,
    TEXT,
    TEXT_COLUMN_NAMES,
    TEXT_PAIR_COLUMN_NAMES,
    ExampleInput,
    InputColumn,
    InputForm,
    LabelledColumn,
    LabelledData,
    Metric,
    TaskSpec,
)
from .windows import split_into_windows, stride_or_default, truncate


@dataclass(frozen=True, kw_only=True)
class SentenceSimilarityParams:
    """Parameters.

    Attributes:
        pooling: makes one vector of a text: ``"mean"`` of its tokens, ``"cls"``, ``"max"``, ``"mean_sqrt_len"``,
            ``"weightedmean"`` or ``"lasttoken"``; None: what a folder of sentence-transformers says, else the mean.
    """

    pooling: str | None = None

    def __post_init__(self) -> None:
        check_choice(self.pooling, (None, *POOLINGS), "pooling")


@dataclass(frozen=True)
class _Texts:
    """A text, the texts that it is compared to, and whether the input was a pair: then the answer is a number."""

    source: str
    others: list[str]
    is_pair: bool


SPEC = TaskSpec(
    name="sentence-similarity",
    question="which of these sentences mean the same?",
    head="",
    inputs=(
        InputForm((TEXT, InputColumn("text_pair"))),
        InputForm((InputColumn("source_sentence"), InputColumn("sentences", is_list=True))),
    ),
    parameters_class=SentenceSimilarityParams,
    choices={"pooling": POOLINGS},
    example=ExampleInput({"source_sentence": "a red car", "sentences": ["a crimson automobile", "the weather"]}),
    labelled=LabelledData(
        (
            LabelledColumn("text", (TEXT_COLUMN_NAMES,), required=True),
            LabelledColumn("text_pair", required=True),
            LabelledColumn("label", (("label", "score", "similarity_score", "similarity", "relatedness_score"),)),
        ),
        target="label",
        text_pairs=TEXT_PAIR_COLUMN_NAMES,
        has_numbers=True,
    ),
    metric=Metric("spearman", "Spearman correlation"),
    model_kind="Sentence encoder",
    usage="""\
compare = pipeline("sentence-similarity", model="path/to/this/folder")
print(compare({"source_sentence": "a red car", "sentences": ["a crimson automobile", "the weather"]}))""",
    transformers_versions=None,
    default_model="distilbert-mini-embed",
    hub_model=SENTENCE_ENCODER,
)


class SentenceSimilarityPipeline(Task[SentenceSimilarityParams]):
    """``{"source_sentence": str, "sentences": [str]}`` -> N cosines, each -1 to 1, in the order of the sentences.

    A pair, ``(a, b)`` or ``{"text": a, "text_pair": b}``, gives one cosine. Long texts are read in windows.
    """

    spec = SPEC
    pooling_of_folder = None

    def parse(self, item: Any, where: str, params: SentenceSimilarityParams) -> _Texts:
        """Return the source and the texts that it is compared to."""
        if isinstance(item, (tuple, list)):
            if len(item) != 2:
                raise InputError(f"{where} must be a pair of texts, got {len(item)} entries.")
            return _Texts(check_text(item[0], f"{where}[0]"), [check_text(item[1], f"{where}[1]")], is_pair=True)
        if isinstance(item, Mapping) and ("text" in item or "text_pair" in item):
            check_fields(item, ["text", "text_pair"], [], where)
            pair = check_text(item["text_pair"], f"{where}['text_pair']")
            return _Texts(check_text(item["text"], f"{where}['text']"), [pair], is_pair=True)
        check_fields(item, ["source_sentence", "sentences"], [], where)
        source = check_text(item["source_sentence"], f"{where}['source_sentence']")
        return _Texts(source, check_texts(item["sentences"], f"{where}['sentences']"), is_pair=False)

    def encode(self, items: list[_Texts], params: SentenceSimilarityParams) -> list[EncodedInput]:
        """The windows of the source, then those of each sentence; ``metadata`` has the number of windows of each."""
        texts = [text for item in items for text in (item.source, *item.others)]
        modules = self.modules_in_use(params)
        if modules is not None:
            modules.check_cosine()
            texts = [modules.text(text) for text in texts]
        ids_of_texts = iter(self.tokenizer.encode_ids(texts, None, False))
        stride = stride_or_default(None, self.max_tokens)
        encoded = []
        for item in items:
            windows_of_texts = [
                split_into_windows(self.tokenizer, ids, None, max_tokens=self.max_tokens, stride=stride)
                if modules is None
                else [truncate(self.tokenizer, ids, None, modules.truncation(), self.max_tokens)]
                for ids in islice(ids_of_texts, 1 + len(item.others))
            ]
            counts = [len(windows) for windows in windows_of_texts]
            sequences = [window for windows in windows_of_texts for window in windows]
            encoded.append(EncodedInput(sequences, (counts, item.is_pair)))
        return encoded

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: SentenceSimilarityParams) -> Any:
        """Pool each text and compare."""
        counts, is_pair = encoded.metadata
        states = iter(output["last_hidden_state"] for output in outputs)  # (S, D) each
        stride = stride_or_default(None, self.max_tokens)
        modules = self.modules_in_use(params)
        windows_of_texts = [list(islice(states, count)) for count in counts]
        pooled = [
            pool(windows, params.pooling or "mean", stride) if modules is None else modules.vector(windows)
            for windows in windows_of_texts
        ]
        vectors = normalize(np.stack(pooled))  # (N + 1, D)
        cosines = [float(cosine) for cosine in np.clip(vectors[1:] @ vectors[0], -1, 1)]
        return cosines[0] if is_pair else cosines
