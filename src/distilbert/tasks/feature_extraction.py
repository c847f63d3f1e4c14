"""Feature extraction: hidden states of every token, or one vector per text. Legend: S tokens, D dim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..text.batch_encoding import check_tensor_type
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_choice, check_text
from .pipeline_steps import to_tensor
from .pooling import AUTO, POOLINGS, join_windows, normalize, pool
from .task_spec import SENTENCE_ENCODER, TEXT, ExampleInput, InputForm, TaskSpec
from .windows import (
    asks_for_truncation,
    check_stride,
    check_truncation,
    merge_truncation,
    split_into_windows,
    stride_or_default,
    truncate,
)


@dataclass(frozen=True, kw_only=True)
class FeatureExtractionParams:
    """Parameters.

    Attributes:
        pooling: makes one vector of a text: ``"mean"`` of its tokens, ``"cls"``, ``"max"``, ``"mean_sqrt_len"``,
            ``"weightedmean"`` or ``"lasttoken"``; ``"auto"``: what a folder of sentence-transformers describes, with
            all its modules, else the mean; None: a vector for every token.
        normalize: scale vectors to length 1.
        return_tensors: ``"np"``, ``"pt"``, ``"tf"`` or ``"jax"``: tensors of that kind instead of lists; True: those of
            the model's framework.
        truncation: cut long texts as tokenizers do, instead of reading them whole, in windows.
        max_length: tokens that ``truncation`` leaves; by default what the tokenizer says.
        tokenize_kwargs: ``truncation`` and ``max_length`` in a dict.
        stride: tokens that two windows of a long text share; by default a quarter of the model's length.
    """

    pooling: str | None = None
    normalize: bool = False
    return_tensors: bool | str | None = False
    truncation: bool | str | None = None
    max_length: int | None = None
    tokenize_kwargs: Mapping[str, Any] | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.pooling, (None, AUTO, *POOLINGS), "pooling")
        if self.return_tensors not in (None, False, True):
            check_tensor_type(self.return_tensors)
        for name in ("truncation", "max_length"):
            if getattr(self, name) is not None and name in (self.tokenize_kwargs or {}):
                raise InputError(f"{name} is given twice: as a parameter and in tokenize_kwargs. Leave one out.")
        check_truncation(self.truncation_options, "tokenize_kwargs of feature-extraction")

    @property
    def truncation_options(self) -> dict[str, Any]:
        """What :func:`truncate` takes."""
        return merge_truncation(self.truncation, self.max_length, self.tokenize_kwargs)


SPEC = TaskSpec(
    name="feature-extraction",
    question="which vector represents this text?",
    head="",
    inputs=(InputForm((TEXT,)),),
    parameters_class=FeatureExtractionParams,
    options={"stride": "--stride"},
    choices={"pooling": (AUTO, *POOLINGS)},
    example=ExampleInput("A red car.", {"pooling": "mean"}),
    default_model="distilbert-mini-embed",
    hub_model=SENTENCE_ENCODER,
)


class FeatureExtractionPipeline(Task[FeatureExtractionParams]):
    """A text -> its hidden states ``[1][S][D]``, special tokens included, padding never; pooled: ``[D]``."""

    spec = SPEC
    pooling_of_folder = AUTO
    chunk_size = 64  # answers are large: 512 tokens of 768 numbers are 13 MB as lists

    def check(self, params: FeatureExtractionParams) -> None:
        """Check that windows advance."""
        check_stride(params.stride, self.max_tokens)

    def parse(self, item: Any, where: str, params: FeatureExtractionParams) -> str:
        """Return the text."""
        return check_text(item, where)

    def encode(self, items: list[str], params: FeatureExtractionParams) -> list[EncodedInput]:
        """One sequence per text, or several windows where it is longer than the model."""
        options, stride = params.truncation_options, stride_or_default(params.stride, self.max_tokens)
        modules = self.modules_in_use(params)
        if modules is not None:
            items = [modules.text(item) for item in items]
            options = modules.truncation() | options
        encoded = []
        for ids in self.tokenizer.encode_ids(items, None, False):
            if asks_for_truncation(options):
                sequences = [truncate(self.tokenizer, ids, None, options, self.max_tokens)]
            else:
                sequences = split_into_windows(self.tokenizer, ids, None, max_tokens=self.max_tokens, stride=stride)
            encoded.append(EncodedInput(sequences))
        return encoded

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: FeatureExtractionParams) -> Any:
        """Join windows, pool and scale."""
        windows = [output["last_hidden_state"] for output in outputs]  # (S, D) each
        stride = stride_or_default(params.stride, self.max_tokens)
        modules = self.modules_in_use(params)
        if modules is not None:
            features = modules.vector(windows)  # (E,)
        elif params.pooling is None:
            features = join_windows(windows, stride)[None]  # (1, S, D)
        else:
            features = pool(windows, "mean" if params.pooling == AUTO else params.pooling, stride)  # (D,)
        if params.normalize:
            features = normalize(features)
        if not params.return_tensors:
            return features.tolist()
        kind = self.framework if params.return_tensors is True else check_tensor_type(params.return_tensors)
        return to_tensor(np.array(features, dtype=np.float32), kind)
