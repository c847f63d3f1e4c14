"""Classes that a user derives from ``Pipeline`` itself, as on transformers' page about custom pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import AutoModelForSequenceClassification as Auto
from distilbert import (
    AutoTokenizer,
    FlaxAutoModel,
    FlaxAutoModelForSequenceClassification,
    InputError,
    Pipeline,
    pipeline,
)
from distilbert.tasks import TASKS

Folder = Callable[[str], Path]
TEXTS = ["a film", "I love this movie very much", "the sea", "she was very good in paris", "rain"]


class Margin(Pipeline):
    batches: list[int]

    def _sanitize_parameters(self, scale: float | None = None, **others: Any) -> Any:
        return {}, {}, {} if scale is None else {"scale": scale}

    def preprocess(self, inputs: Any) -> Any:
        return self.tokenizer(inputs, return_tensors=self.framework)

    def _forward(self, model_inputs: Any) -> Any:
        vars(self).setdefault("batches", []).append(len(model_inputs["input_ids"]))
        return self.model(**model_inputs)

    def postprocess(self, model_outputs: Any, scale: float = 1.0) -> Any:
        logits = model_outputs.logits
        assert len(logits) == 1
        return scale * float(logits.max() - logits.min())


@pytest.fixture(scope="module")
def parts(model_folder: Folder) -> tuple[Any, Any]:
    folder = model_folder("labels")
    return Auto.from_pretrained(folder).train(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def expected(parts: tuple[Any, Any]) -> list[float]:
    model, tokenizer = parts
    with torch.no_grad():
        logits = [model.eval()(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS]
    return [float(each.max() - each.min()) for each in logits]


def test_it_answers(parts: tuple[Any, Any], expected: list[float]) -> None:
    model, tokenizer = parts
    margin = Margin(model=model, tokenizer=tokenizer)
    assert not model.training
    assert margin(TEXTS[0]) == pytest.approx(expected[0], abs=1e-5)
    assert margin(TEXTS[0], scale=2.0) == pytest.approx(2 * expected[0], abs=1e-5)
    assert margin(TEXTS) == pytest.approx(expected, abs=1e-5)
    assert margin(np.array(TEXTS)) == pytest.approx(expected, abs=1e-5)
    lazy = margin(text for text in TEXTS)
    assert next(lazy) == pytest.approx(expected[0], abs=1e-5)
    assert list(lazy) == pytest.approx(expected[1:], abs=1e-5)
    assert margin([]) == []
    before_error = margin(iter([*TEXTS[:3], None]), batch_size=4)
    assert [next(before_error) for _ in range(3)] == pytest.approx(expected[:3], abs=1e-5)
    with pytest.raises(ValueError):
        next(before_error)
    halved = Margin(model, tokenizer, scale=0.5, task="margin", device="cpu")
    assert halved(TEXTS[1]) == pytest.approx(expected[1] / 2, abs=1e-5)
    assert halved(TEXTS[1], scale=1.0) == pytest.approx(expected[1], abs=1e-5)
    assert (halved.task, halved.framework, halved.device, halved.dtype) == (
        "margin", "pt", torch.device("cpu"), torch.float32,
    )  # fmt: skip


@pytest.mark.parametrize("side", ["right", "left"])
def test_batches(parts: tuple[Any, Any], expected: list[float], side: str) -> None:
    model, tokenizer = parts
    margin = Margin(model, tokenizer, batch_size=2)
    tokenizer.padding_side = side
    try:
        if side == "right":
            assert margin(TEXTS) == pytest.approx(expected, abs=1e-5)
            assert margin.batches == [2, 2, 1]
            assert list(margin(iter(TEXTS), batch_size=3)) == pytest.approx(expected, abs=1e-5)
            assert margin.batches[3:] == [3, 2]
        else:
            shorter = margin._join([margin.preprocess(text) for text in TEXTS[:2]])["attention_mask"][0]
            assert shorter.tolist() == sorted(shorter.tolist())
    finally:
        tokenizer.padding_side = "right"


def test_columns_of_other_kinds(parts: tuple[Any, Any]) -> None:
    class Echo(Margin):
        def preprocess(self, inputs: Any) -> Any:
            return {**super().preprocess(inputs), "text": inputs, "labels": torch.tensor([[1] * len(inputs)])}

        def _forward(self, model_inputs: Any) -> Any:
            assert not torch.is_grad_enabled()
            hidden = self.model(model_inputs["input_ids"], output_hidden_states=True).hidden_states
            return {"text": model_inputs["text"], "hidden": hidden, "labels": model_inputs["labels"]}

        def postprocess(self, model_outputs: Any) -> Any:
            assert all(len(each) == 1 for each in model_outputs["hidden"])
            return model_outputs["text"], model_outputs["labels"][0].tolist()

    echo = Echo(*parts)
    assert echo(["a", "the"], batch_size=2) == [("a", [1, -100, -100]), ("the", [1, 1, 1])]
    assert echo("a") == ("a", [1])


def test_other_frameworks(model_folder: Folder, expected: list[float]) -> None:
    folder = model_folder("labels")
    margin = Margin(
        FlaxAutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    )
    assert margin.framework == "flax"
    assert margin.device is None

    class ForJax(Margin):
        def preprocess(self, inputs: Any) -> Any:
            return self.tokenizer(inputs, return_tensors="jax")

    assert ForJax(margin.model, margin.tokenizer)(TEXTS, batch_size=3) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match="device= moves models of PyTorch, this is a FlaxDistilBertModel"):
        Margin(FlaxAutoModel.from_pretrained(folder), device="cpu")


def test_it_is_saved(parts: tuple[Any, Any], expected: list[float], tmp_path: Path) -> None:
    Margin(*parts).save_pretrained(tmp_path)
    again = Margin(Auto.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path))
    assert again.predict(TEXTS) == again.transform(TEXTS) == pytest.approx(expected, abs=1e-5)


def test_messages(parts: tuple[Any, Any], model_folder: Folder) -> None:
    model, tokenizer = parts
    folder = model_folder("labels")
    with pytest.raises(InputError, match="A pipeline class takes a loaded model"):
        Margin(model=str(folder), tokenizer=tokenizer)
    with pytest.raises(InputError, match=r"Call Margin\(model=model, tokenizer=tokenizer\) itself"):
        pipeline("text-classification", folder, pipeline_class=Margin)
    with pytest.raises(InputError, match="batch_size must be"):
        Margin(model, tokenizer, batch_size=0)
    with pytest.raises(TypeError, match=r"abstract methods? .*_forward"):
        Pipeline(model)  # type: ignore[abstract]

    class Rows(Margin):
        def preprocess(self, inputs: Any) -> Any:
            return self.tokenizer([inputs, inputs], return_tensors="pt")

    with pytest.raises(InputError, match="must have one row"):
        Rows(model, tokenizer)(["a", "b"], batch_size=2)

    class Bare(Margin):
        def preprocess(self, inputs: Any) -> Any:
            return self.tokenizer(inputs, return_tensors="pt")["input_ids"]

    with pytest.raises(InputError, match="must return a dictionary of the same columns"):
        Bare(model, tokenizer)(["a", "b"], batch_size=2)


def test_tasks_are_pipelines(task: Any) -> None:
    assert isinstance(task, Pipeline)
    assert len(TASKS) > 1
