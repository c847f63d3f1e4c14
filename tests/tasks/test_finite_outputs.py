"""No answer holds NaN: an error names the tensor or the input that made it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distilbert import EngineRunner, InputError
from distilbert.core.errors import WeightsError
from distilbert.core.runner_protocol import Batch
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.tasks.batching import EncodedInput, run_encoded
from tests.tiny import tiny_model


def run(runner: Any, *sequences: list[int]) -> list[Any]:
    return list(run_encoded([EncodedInput([list(sequence)]) for sequence in sequences], runner))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("runner_class", [EngineRunner, PytorchRunner])
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForTokenClassification", "ForMaskedLM", ""])
def test_a_tensor_that_is_not_finite(head: str, runner_class: Any, number: float) -> None:
    model = tiny_model(head)
    name = "transformer.layer.1.ffn.lin1.weight"
    with torch.no_grad():
        model.base_model.get_parameter(name)[3, 4] = number
    runner = EngineRunner(model, "fp32") if runner_class is EngineRunner else PytorchRunner(model)
    with pytest.raises(WeightsError, match=f"1 of the 960 numbers of its tensor .*{name} are NaN or infinite"):
        run(runner, [5, 6], [7, 8, 9])


class Overflowing:
    """A runner whose numbers overflow for one token."""

    def __init__(self, head: str) -> None:
        self.model = tiny_model(head)
        self._runner = PytorchRunner(self.model)
        self.head, self.config, self.precision = self._runner.head, self.model.config, "fp16"

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        outputs = self._runner(batch)
        ids = batch.input_ids if self.head.per_token else batch.input_ids[batch.offsets[:-1]]
        for array in outputs.values():
            array[ids == 66] = np.inf
        return outputs


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForTokenClassification"])
def test_an_input_whose_numbers_overflow(head: str) -> None:
    assert len(run(Overflowing(head), [5, 6], [7, 8])) == 2
    with pytest.raises(InputError, match=r"sequence of 2 tokens with the ids \[66, 8\].*in fp16: run it in fp32"):
        run(Overflowing(head), [5, 6, 9], [66, 8])


def test_a_sum_that_overflows_is_no_error() -> None:
    from distilbert.tasks.finite_outputs import check_finite

    huge = {"logits": np.full((2, 5), 3e38, np.float32)}
    assert check_finite(huge, Batch.of([[1], [2]]), Overflowing("ForSequenceClassification")) is huge  # type: ignore[arg-type]
