"""A pipeline in its three steps, as in transformers: ``preprocess``, ``forward``, ``postprocess``.

    inputs = pipe.preprocess("a fine film")    # input_ids and attention_mask, as tensors
    outputs = pipe.forward(inputs)             # logits, as tensors
    answer = pipe.postprocess(outputs)         # what pipe("a fine film") answers

Calls of a pipeline do the same with packed batches. A class of a user's own that replaces one of the steps is answered
step by step, one input at a time.

Legend: B sequences (windows of a text, or pairs), S longest of them, L labels (or vocabulary, or dim).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..core.errors import InputError
from ..core.runner_protocol import Batch
from ..text.batch_encoding import BatchEncoding
from .batching import EncodedInput, Outputs, split_outputs

STEPS = ("preprocess", "forward", "_forward", "postprocess", "_sanitize_parameters")


class StepColumns(dict[str, Any]):
    """Tensors by name, which are attributes, too.

    Attributes:
        encoded: the input that they belong to.
        numbers: which of its sequences they are.
    """

    encoded: EncodedInput
    numbers: list[int]

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"There is no column {name!r}; there are {', '.join(self)}.")


class PipelineSteps:
    """The three steps. A task answers in one step or more; this class needs its methods."""

    # Whether ``preprocess`` gives a list with one set of tensors for each sequence, as in transformers.
    in_chunks: ClassVar[bool] = False

    def preprocess(self: Any, inputs: Any, **params: Any) -> Any:
        """Return ``input_ids`` and ``attention_mask`` of one input, (B, S) each, as tensors of the framework.

        Token classification, question answering, zero-shot classification and multiple choice return a list of them,
        with one sequence in each.
        """
        params = self._merged(params)
        encoded = self.encode([self.parse(inputs, "The input", params)], params)[0]
        numbers = list(range(len(encoded.sequences)))
        if self.in_chunks:
            return [self._columns(encoded, [number]) for number in numbers]
        return self._columns(encoded, numbers)

    def forward(self: Any, model_inputs: Mapping[str, Any], **params: Any) -> Any:
        """Return the model's outputs for one result of :meth:`preprocess`, padded: (B, L), or (B, S, L) of tokens."""
        return self._forward(model_inputs, **params)

    def _forward(self: Any, model_inputs: Mapping[str, Any], **params: Any) -> StepColumns:
        sequences = _sequences(model_inputs)
        outputs = self.runner(Batch.of(sequences))
        sizes = [len(sequence) for sequence in sequences] if self.runner.head.per_token else [1] * len(sequences)
        columns = StepColumns()
        for name in outputs:
            values = [each[name] for each in split_outputs(outputs, sizes, self.runner)]
            columns[name] = to_tensor(_pad(values) if self.runner.head.per_token else np.stack(values), self.framework)
        columns |= {"input_ids": model_inputs["input_ids"]}
        columns.numbers = getattr(model_inputs, "numbers", list(range(len(sequences))))
        columns.encoded = getattr(model_inputs, "encoded", EncodedInput(sequences))
        return columns

    def postprocess(self: Any, model_outputs: Any, **params: Any) -> Any:
        """Return the answer, from one result of :meth:`forward` or a list of all results of an input."""
        params.pop("_legacy", None)
        chunks = [model_outputs] if isinstance(model_outputs, Mapping) else list(model_outputs)
        if not chunks or not isinstance(chunks[0], Mapping):
            raise InputError(
                f"postprocess() takes what forward() returned, or a list of it, got {model_outputs!r:.80}."
            )
        encoded = getattr(chunks[0], "encoded", None) or EncodedInput([[0]] * len(next(iter(chunks[0].values()))))
        outputs = [each for chunk in chunks for each in self._outputs(chunk, encoded)]
        if len(outputs) != len(encoded.sequences):
            raise InputError(
                f"postprocess() needs the outputs of all {len(encoded.sequences)} sequences of an input, got "
                f"{len(outputs)}: give it a list with what forward() returned for each."
            )
        return self.decode(encoded, outputs, self._merged(params))

    def ensure_tensor_on_device(self: Any, **inputs: Any) -> dict[str, Any]:
        """Return tensors on the device of the model; whatever cannot move stays as it is."""
        return {name: value.to(self.device) if hasattr(value, "to") else value for name, value in inputs.items()}

    @contextmanager
    def device_placement(self: Any) -> Iterator[None]:
        """Do nothing: each step finds the device of the model by itself."""
        yield

    def _merged(self: Any, params: Mapping[str, Any]) -> Any:
        merged = replace(self.params, **self._own_parameters(params))
        self.check(merged)
        return merged

    def _columns(self: Any, encoded: EncodedInput, numbers: list[int]) -> StepColumns:
        ids, mask = Batch.of([encoded.sequences[number] for number in numbers]).padded(self.config.pad_token_id or 0)
        columns = StepColumns(input_ids=to_tensor(ids, self.framework), attention_mask=to_tensor(mask, self.framework))
        columns.encoded, columns.numbers = encoded, numbers
        return columns

    def _outputs(self: Any, chunk: Mapping[str, Any], encoded: EncodedInput) -> list[Outputs]:
        """Return the outputs of each sequence as :meth:`decode` takes them: without padding, only rows asked for."""
        numbers = getattr(chunk, "numbers", range(len(encoded.sequences)))
        arrays = {name: to_array(value) for name, value in chunk.items() if name != "input_ids"}
        outputs = []
        for place, number in enumerate(numbers):
            each = {name: array[place] for name, array in arrays.items()}
            if self.runner.head.per_token:
                rows = range(len(encoded.sequences[number])) if encoded.rows is None else encoded.rows[number]
                each = {name: array[list(rows)] for name, array in each.items()}
            outputs.append(each)
        return outputs

    def _replaces_steps(self) -> bool:
        """Whether this is a class of a user's own that replaces a step."""
        return any(getattr(type(self), step) is not getattr(PipelineSteps, step) for step in STEPS)

    def _answer_in_steps(self: Any, inputs: Any, params: Mapping[str, Any]) -> Any:
        """Answer one input through the three steps; a step that is replaced gets what ``_sanitize_parameters`` says."""
        for_preprocess, for_forward, for_postprocess = self._sanitize_parameters(**params)
        model_inputs = self.preprocess(inputs, **for_preprocess)
        if isinstance(model_inputs, Mapping):
            return self.postprocess(self.forward(model_inputs, **for_forward), **for_postprocess)
        return self.postprocess([self.forward(chunk, **for_forward) for chunk in model_inputs], **for_postprocess)

    def _sanitize_parameters(self: Any, **params: Any) -> Sequence[Mapping[str, Any]]:
        """Return the parameters of the three steps among those of a call; a class of a user's own may replace it."""
        kept = [
            params if getattr(type(self), step) is getattr(PipelineSteps, step) else {}
            for step in ("preprocess", "postprocess")
        ]
        return kept[0], {}, kept[1]


def _sequences(model_inputs: Mapping[str, Any]) -> list[list[int]]:
    """Return the ids of each row, without padding."""
    if not isinstance(model_inputs, Mapping) or "input_ids" not in model_inputs:
        raise InputError(f"forward() takes what preprocess() returned, got {model_inputs!r:.80}.")
    ids = np.atleast_2d(to_array(model_inputs["input_ids"]))
    mask = model_inputs.get("attention_mask")
    keep = np.ones(ids.shape, dtype=bool) if mask is None else np.atleast_2d(to_array(mask)).astype(bool)
    return [row[kept].tolist() for row, kept in zip(ids, keep, strict=True)]


def _pad(values: Sequence[np.ndarray]) -> np.ndarray:
    """Stack arrays of different lengths, filled up with zeros."""
    padded = np.zeros((len(values), max(map(len, values)), *values[0].shape[1:]), dtype=values[0].dtype)
    for row, value in zip(padded, values, strict=True):
        row[: len(value)] = value
    return padded


def to_array(value: Any) -> np.ndarray:
    """Return a tensor of any framework as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def to_tensor(array: np.ndarray, framework: str) -> Any:
    """Return an array as a tensor of the framework."""
    name = {"flax": "jax"}.get(framework, framework)
    return BatchEncoding({"column": array}, tensor_type=name)["column"]
