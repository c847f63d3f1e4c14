"""Pipelines by the names of their classes, their methods, and their three steps, as code for transformers uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distilbert
from distilbert import Pipeline, TextClassificationPipeline, TokenClassificationPipeline
from distilbert.core.errors import InputError
from distilbert.tasks import TASKS as SPECS
from distilbert.tasks import pipeline, task_class

from .inputs import TASKS, close, inputs_for

Folder = Callable[[str], Path]


def test_classes_by_name(name: str, task: Any) -> None:
    words = name.split("-") if name != "zero-shot-classification" else ["zero", "shot", "classification"]
    cls = getattr(distilbert, "".join(word.title() for word in words) + "Pipeline")
    assert cls is task_class(name)
    assert type(task) is cls
    assert isinstance(task, Pipeline)
    made = cls(model=task.model, tokenizer=task.tokenizer, precision="fp32", **TASKS[name][1])
    item = inputs_for(name, 3)
    assert made(item) == task(item)
    assert cls(task.model, task.tokenizer, task=name, framework="pt", device=-1, **TASKS[name][1]).task == name
    assert distilbert.NerPipeline is TokenClassificationPipeline


def test_attributes(name: str, task: Any) -> None:
    assert task.task == name
    assert task.framework == "pt"
    assert task.device == torch.device("cpu")
    assert task.dtype is task.torch_dtype is torch.float32
    assert task.model.config.id2label == task.config.id2label
    for missing in ("feature_extractor", "image_processor", "processor", "modelcard"):
        assert getattr(task, missing) is None


def test_methods_of_estimators(name: str, task: Any) -> None:
    inputs = inputs_for(name, 3, seed=1)
    assert task.predict(inputs) == task.transform(inputs) == task(inputs)


def test_saved_pipelines_answer_the_same(name: str, task: Any, tmp_path: Path) -> None:
    task.save_pretrained(tmp_path / "saved")
    task.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert (tmp_path / "pickled" / "pytorch_model.bin").is_file()
    inputs = inputs_for(name, 3, seed=2)
    for folder in ("saved", "pickled"):
        assert pipeline(name, tmp_path / folder, precision="fp32", **TASKS[name][1])(inputs) == task(inputs)


def test_what_cannot_be_saved(make_task: Any, tmp_path: Path) -> None:
    task = make_task("text-classification", "labels")

    class Bare:
        head, config = task.runner.head, task.config

        def __call__(self, batch: Any) -> Any:
            return task.runner(batch)

    bare = TextClassificationPipeline(Bare(), task.tokenizer)
    assert bare("a") == task("a")
    assert bare.framework == "np"
    assert bare.model.config is task.config
    with pytest.raises(InputError, match="A Bare has no model to save"):
        bare.save_pretrained(tmp_path)


def test_three_steps_make_the_answer(name: str, task: Any) -> None:
    for item in inputs_for(name, 12, seed=3):
        model_inputs = task.preprocess(item)
        chunks = model_inputs if isinstance(model_inputs, list) else [model_inputs]
        for chunk in chunks:
            assert set(chunk) == {"input_ids", "attention_mask"}
            assert all(isinstance(tensor, torch.Tensor) and tensor.ndim == 2 for tensor in chunk.values())
        outputs = [task.forward(chunk) for chunk in chunks]
        answer = task.postprocess(outputs if isinstance(model_inputs, list) else outputs[0])
        assert close(answer, task([item])[0])


def test_steps_are_tensors_that_may_be_changed(make_task: Any) -> None:
    task = make_task("text-classification", "labels")
    inputs = task.preprocess("I love this movie", truncation=True, max_length=4)
    assert inputs.input_ids.shape == (1, 4)
    outputs = task.forward(inputs)
    assert torch.allclose(outputs.logits, task.model(**inputs).logits, atol=1e-5)
    assert task.postprocess(outputs, top_k=2) == task("I love this movie", truncation=True, max_length=4, top_k=2)
    inputs["input_ids"] = task.preprocess("I love this book", truncation=True, max_length=4).input_ids
    assert not torch.equal(task.forward(inputs).logits, task.forward(task.preprocess("a")).logits)
    with task.device_placement():
        moved = task.ensure_tensor_on_device(**inputs, text="a")
    assert moved["text"] == "a"
    assert torch.equal(moved["input_ids"], inputs["input_ids"])
    plain = {"logits": torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])}
    assert task.postprocess(plain)["label"] == task.config.id2label[1]
    assert len(task.postprocess(plain, top_k=None, _legacy=False)) == 5
    tokens = task.tokenizer("I love this movie", return_tensors="pt")
    assert task.postprocess(task.forward(tokens)) == task(["I love this movie"])[0]


def test_steps_of_a_users_own(make_task: Any) -> None:
    task = make_task("text-classification", "labels")

    class Sure(TextClassificationPipeline):
        def postprocess(self, model_outputs: Any, top_k: int | None = None) -> Any:
            return float(model_outputs["logits"].softmax(-1).max())

    sure = Sure(task.model, task.tokenizer, precision="fp32")
    scores = [answer["score"] for answer in task(["a film", "the sea"])]
    assert sure(["a film", "the sea"]) == pytest.approx(scores, abs=1e-5)
    assert list(sure(iter(["a film"]))) == pytest.approx(scores[:1], abs=1e-5)
    assert sure(["", "a film"], on_error="null") == [None, pytest.approx(scores[0], abs=1e-5)]
    assert sure("", on_error="null") is None
    with pytest.raises(InputError, match="empty text"):
        sure(["a film", ""])
    assert pipeline("text-classification", task.model, tokenizer=task.tokenizer)("a film")[0]["score"] == pytest.approx(
        scores[0], abs=1e-2
    )

    class Threshold(TextClassificationPipeline):
        def _sanitize_parameters(self, threshold: float = 0.0, **others: Any) -> Any:
            return {}, {}, {"threshold": threshold}

        def preprocess(self, inputs: Any, **others: Any) -> Any:
            return self.tokenizer(inputs.upper(), return_tensors=self.framework)

        def _forward(self, model_inputs: Any, **others: Any) -> Any:
            return self.model(**model_inputs)

        def postprocess(self, model_outputs: Any, threshold: float = 0.0, **others: Any) -> Any:
            return bool(model_outputs.logits.softmax(-1).max() > threshold)

    above = Threshold(task.model, task.tokenizer)
    assert above(["a film"], threshold=0.0) == [True]
    assert above(["a film"], threshold=1.0) == [False]

    class Twice(TokenClassificationPipeline):
        def postprocess(self, all_outputs: Any, **others: Any) -> Any:
            return 2 * super().postprocess(all_outputs, **others)

    entities = make_task("ner", "entities", ignore_labels=[])
    twice = Twice(entities.model, entities.tokenizer, precision="fp32", ignore_labels=[])
    assert close(twice(["a b"])[0], 2 * entities("a b"), 1e-5)


def test_messages_of_classes(make_task: Any, model_folder: Folder) -> None:
    task = make_task("text-classification", "labels")
    with pytest.raises(InputError, match="pass tokenizer="):
        TextClassificationPipeline(task.model)
    with pytest.raises(InputError, match=r"A pipeline class takes a loaded model; pipeline\(\) loads"):
        TextClassificationPipeline(str(model_folder("labels")), task.tokenizer)
    with pytest.raises(InputError, match="answers 'text-classification'; task='ner' is another"):
        TextClassificationPipeline(task.model, task.tokenizer, task="ner")
    with pytest.raises(InputError, match="needs a DistilBertForTokenClassification"):
        TokenClassificationPipeline(task.model, task.tokenizer)
    with pytest.raises(InputError, match=r"forward\(\) takes what preprocess\(\) returned"):
        task.forward("a")
    with pytest.raises(InputError, match=r"postprocess\(\) takes what forward\(\) returned"):
        task.postprocess("a")
    qa = make_task("question-answering", "answers")
    chunks = qa.preprocess({"question": "Who?", "context": "Mary " * 99})
    assert len(chunks) > 1
    with pytest.raises(InputError, match=rf"needs the outputs of all {len(chunks)} sequences of an input, got 1"):
        qa.postprocess(qa.forward(chunks[0]))
    assert np.isfinite(qa.postprocess([qa.forward(chunk) for chunk in chunks])["score"])
    assert len(SPECS) == len(TASKS)
