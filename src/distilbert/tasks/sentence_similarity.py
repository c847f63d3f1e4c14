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
from .task_spec import TEXT, ExampleInput, InputColumn, InputForm, TaskSpec
from .windows import split_into_windows, stride_or_default


@dataclass(frozen=True, kw_only=True)
class SentenceSimilarityParams:
    """Parameters.

    Attributes:
        pooling: makes one vector of a text: ``"mean"`` of its tokens, or ``"cls"``.
    """

    pooling: str = "mean"

    def __post_init__(self) -> None:
        check_choice(self.pooling, POOLINGS, "pooling")


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
    example=ExampleInput({"source_sentence": "a red car", "sentences": ["a crimson automobile", "the weather"]}),
)


class SentenceSimilarityPipeline(Task[SentenceSimilarityParams]):
    """``{"source_sentence": str, "sentences": [str]}`` -> N cosines, each -1 to 1, in the order of the sentences.

    A pair, ``(a, b)`` or ``{"text": a, "text_pair": b}``, gives one cosine. Long texts are read in windows.
    """

    spec = SPEC

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
        ids_of_texts = iter(self.tokenizer.encode_ids(texts, None, False))
        stride = stride_or_default(None, self.max_tokens)
        encoded = []
        for item in items:
            windows_of_texts = [
                split_into_windows(self.tokenizer, ids, None, max_tokens=self.max_tokens, stride=stride)
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
        pooled = [pool(list(islice(states, count)), params.pooling, stride) for count in counts]  # N + 1 of (D,)
        vectors = normalize(np.stack(pooled))  # (N + 1, D)
        cosines = [float(cosine) for cosine in np.clip(vectors[1:] @ vectors[0], -1, 1)]
        return cosines[0] if is_pair else cosines
