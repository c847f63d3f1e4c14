"""``pipeline``: which task, which model, which mistakes."""

from __future__ import annotations

import builtins
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import distilbert
from distilbert.core import hub
from distilbert.core.errors import InputError, ModelNotFoundError, UnknownArgumentError
from distilbert.models.auto import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from distilbert.tasks import TASKS, pipeline, task_class
from tests.packages import installed

Folder = Callable[[str], Path]
TEXT = "I love this movie"


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("labels", "text-classification"),
        ("entities", "token-classification"),
        ("answers", "question-answering"),
        ("masked-lm", "fill-mask"),
        ("choices", "multiple-choice"),
        ("encoder", "feature-extraction"),
    ],
)
def test_task_is_what_the_model_was_made_for(model_folder: Folder, model: str, task: str) -> None:
    assert pipeline(model=model_folder(model)).task == task


def test_aliases_and_positions(model_folder: Folder) -> None:
    assert pipeline("sentiment-analysis", str(model_folder("labels"))).task == "text-classification"
    assert pipeline("ner", model_folder("entities")).task == "token-classification"
    assert distilbert.pipeline is pipeline


def test_models_and_runners_that_are_loaded_already(model_folder: Folder) -> None:
    folder = model_folder("labels")
    expected = pipeline("text-classification", folder)(TEXT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    from_model = pipeline("text-classification", model, tokenizer=tokenizer)
    assert from_model(TEXT) == expected
    assert from_model.model is model
    assert from_model.tokenizer is tokenizer
    assert from_model.device == torch.device("cpu")
    from_runner = pipeline("text-classification", from_model.runner, tokenizer=folder)
    assert from_runner(TEXT) == expected
    assert pipeline(model=from_model.runner, tokenizer=tokenizer).task == "text-classification"
    features = pipeline("feature-extraction", model, tokenizer=tokenizer)(TEXT)
    assert features == pipeline("feature-extraction", folder)(TEXT)


def test_options_reach_the_model(model_folder: Folder) -> None:
    folder = model_folder("labels")
    for options in ({"dtype": torch.bfloat16}, {"torch_dtype": "bfloat16"}, {"model_kwargs": {"dtype": "bfloat16"}}):
        task = pipeline("text-classification", folder, device="cpu", attn_implementation="eager", **options)
        assert task.model.dtype == torch.bfloat16
        assert json.dumps(task(TEXT))
    assert not pipeline("ner", model_folder("entities"), use_fast=False).tokenizer.is_fast
    assert pipeline("ner", model_folder("entities"), batch_size=3, batch_tokens=99).batch_tokens == 99


def test_config_and_tokenizer_from_elsewhere(model_folder: Folder, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(model_folder("labels") / name, bare)
    config = distilbert.DistilBertConfig.from_pretrained(bare)
    config.id2label = {i: f"name {i}" for i in range(5)}
    task = pipeline("text-classification", bare, config=config, tokenizer=model_folder("labels"))
    assert task(TEXT)[0]["label"].startswith("name ")
    config.architectures = None
    with pytest.raises(InputError, match="does not say what the model was made for: pass task="):
        pipeline(model=bare, config=config, tokenizer=model_folder("labels"))
    assert pipeline("text-classification", bare, config=config, tokenizer=model_folder("labels"))(TEXT)


@pytest.mark.parametrize(
    ("task", "model", "options", "error", "message"),
    [
        (None, None, {}, InputError, "needs a task or a model: pass model="),
        ("fil-mask", None, {}, InputError, "no task 'fil-mask'"),
        ("fil-mask", "labels", {}, InputError, "no task 'fil-mask'. Did you mean 'fill-mask'.*multiple-choice"),
        (
            "fill-mask",
            "labels",
            {},
            InputError,
            "needs a DistilBertForMaskedLM.*can do: text-classification, zero-shot",
        ),
        ("ner", "encoder", {}, InputError, "is a DistilBertModel; the task 'token-classification' needs"),
        (
            "ner",
            "entities",
            {"framework": "onnx"},
            InputError,
            "framework must be one of 'pt', 'tf', 'flax', got 'onnx'",
        ),
        ("ner", "entities", {"device": "cpu", "device_map": "auto"}, InputError, "device and device_map were both"),
        ("ner", "entities", {"dtype": "float16", "torch_dtype": "float16"}, InputError, "dtype and torch_dtype were"),
        ("ner", "entities", {"tokeniser": "x"}, UnknownArgumentError, "unknown argument 'tokeniser'"),
        (
            "ner",
            "entities",
            {"agregation_strategy": "max"},
            UnknownArgumentError,
            "Did you mean 'aggregation_strategy'",
        ),
        ("ner", "entities", {"batch_size": 0}, InputError, "batch_size must be an integer of at least 1"),
    ],
)
def test_messages(model_folder: Folder, task: Any, model: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        pipeline(task, model and model_folder(model), **options)


@pytest.mark.parametrize("task", ["text-classification", "sentiment-analysis"])
def test_a_task_without_a_model_takes_its_default(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    spec = replace(TASKS["text-classification"], default_model="tiny-default", hub_model=None)
    monkeypatch.setitem(TASKS, "text-classification", spec)
    with pytest.raises(InputError, match="tiny-default, is not installed.*`pip install packages/tiny-default`"):
        pipeline(task)
    monkeypatch.syspath_prepend(installed(tmp_path, "tiny-default"))
    (answer,), (expected,) = pipeline(task)(TEXT), pipeline(task, model_folder("labels"))(TEXT)
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=0.02)
    monkeypatch.setitem(TASKS, "fill-mask", replace(TASKS["fill-mask"], hub_model=None))
    with pytest.raises(InputError, match="'fill-mask' has no default model, installed or on the hub: pass"):
        pipeline("fill-mask")


@pytest.mark.parametrize(
    ("task", "name", "kind"),
    [
        ("text-classification", "distilbert/distilbert-base-uncased-finetuned-sst-2-english", "labels"),
        ("token-classification", "elastic/distilbert-base-cased-finetuned-conll03-english", "entities"),
        ("question-answering", "distilbert/distilbert-base-cased-distilled-squad", "answers"),
        ("fill-mask", "distilbert/distilbert-base-uncased", "masked-lm"),
        ("feature-extraction", "sentence-transformers/all-MiniLM-L6-v2", "encoder"),
        ("sentence-similarity", "sentence-transformers/all-MiniLM-L6-v2", "encoder"),
        ("zero-shot-classification", "typeform/distilbert-base-uncased-mnli", "nli"),
        ("multiple-choice", "sentence-transformers/all-MiniLM-L6-v2", "encoder"),
    ],
)
def test_a_task_without_an_installed_default_takes_the_well_known_model(
    model_folder: Folder, monkeypatch: pytest.MonkeyPatch, task: str, name: str, kind: str
) -> None:
    spec = replace(TASKS[task], default_model="")
    monkeypatch.setitem(TASKS, task, spec)
    asked = []

    def fetch(name: str, **options: Any) -> str:
        asked.append((name, options["revision"]))
        return str(model_folder(kind))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    answer = pipeline(task)
    assert answer(spec.example.input, **spec.example.parameters)
    assert spec.hub_model is not None
    assert asked[0] == (name, spec.hub_model.revision or None)
    assert len(spec.hub_model.revision) in (0, 40)

    def refuse(name: str, **options: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(InputError, match=f"{name}, is not in the cache and cannot be downloaded here.* pass model="):
        pipeline(task)


def test_messages_about_loaded_models(model_folder: Folder) -> None:
    model = AutoModel.from_pretrained(model_folder("encoder"))
    tokenizer = AutoTokenizer.from_pretrained(model_folder("encoder"))
    with pytest.raises(InputError, match="pass tokenizer="):
        pipeline("feature-extraction", model)
    with pytest.raises(InputError, match="dtype: only for loading a model"):
        pipeline("feature-extraction", model, tokenizer=tokenizer, dtype="float16")
    with pytest.raises(InputError, match="the given DistilBertModel is a DistilBertModel"):
        pipeline("ner", model, tokenizer=tokenizer)
    with pytest.raises(InputError, match="model must be a folder, a name, a loaded model or a runner, got 3"):
        pipeline("ner", 3, tokenizer=tokenizer)
    with pytest.raises(InputError, match="is a Linear without .config: give one of this package's models"):
        pipeline("ner", torch.nn.Linear(2, 2), tokenizer=tokenizer)
    runner = pipeline("feature-extraction", model, tokenizer=tokenizer).runner
    with pytest.raises(InputError, match="A runner stays on its device"):
        pipeline("feature-extraction", runner, tokenizer=tokenizer, device="cpu")
    with pytest.raises(InputError, match="needs a DistilBertForQuestionAnswering, this model is a DistilBertModel"):
        task_class("question-answering")(runner, tokenizer)


@dataclass
class Counts:
    """How often a model was resolved, and the files called ``config.json`` that were opened."""

    resolved: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counted = Counts()
    resolve, open_file = hub.resolve, io.open

    def counting_resolve(name_or_path: Any, **options: Any) -> Path:
        counted.resolved.append(str(name_or_path))
        return resolve(name_or_path, **options)

    def counting_open(file: Any, *args: Any, **options: Any) -> Any:
        if str(file).endswith("config.json") and not str(file).endswith("tokenizer_config.json"):
            counted.configs.append(str(file))
        return open_file(file, *args, **options)

    for module in list(sys.modules.values()):
        if getattr(module, "resolve", None) is resolve:
            monkeypatch.setattr(module, "resolve", counting_resolve)
    monkeypatch.setattr(io, "open", counting_open)
    monkeypatch.setattr(builtins, "open", counting_open)
    return counted


@pytest.mark.parametrize("use_fast", [True, False])
@pytest.mark.parametrize("task", ["text-classification", None, "feature-extraction"])
def test_a_folder_is_resolved_once_and_its_config_read_once(
    model_folder: Folder, counts: Counts, task: str | None, use_fast: bool
) -> None:
    folder = model_folder("labels")
    assert pipeline(task, folder, use_fast=use_fast)(TEXT)
    assert counts == Counts([str(folder)], [str(folder / "config.json")])


@pytest.mark.parametrize(
    "options", [{"runner": "pytorch"}, {"precision": "fp32"}, {"model_kwargs": {"subfolder": "labels"}}]
)
def test_options_do_not_make_it_twice(model_folder: Folder, counts: Counts, options: dict[str, Any]) -> None:
    folder = model_folder("labels")
    assert pipeline("sentiment-analysis", folder.parent if "model_kwargs" in options else folder, **options)(TEXT)
    assert len(counts.resolved) == 1
    assert counts.configs == [str(folder / "config.json")]


def test_an_installed_model_is_resolved_once(
    counts: Counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Folder
) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, "tiny-once"))
    counts.resolved.clear(), counts.configs.clear()
    task = pipeline("text-classification", "tiny-once")
    assert task.tokenizer.name_or_path == "tiny-once"
    assert counts.resolved == ["tiny-once"]
    assert len(counts.configs) == 1


def test_a_model_on_the_hub_is_fetched_once(
    counts: Counts, monkeypatch: pytest.MonkeyPatch, model_folder: Folder
) -> None:
    patterns: list[list[str]] = []

    def fetch(name: str, *, allow_patterns: list[str], **options: Any) -> str:
        assert (name, options["revision"]) == ("user/model", "v1")
        patterns.append(allow_patterns)
        return str(model_folder("labels"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    task = pipeline("text-classification", "user/model", revision="v1")
    assert task.tokenizer.name_or_path == "user/model"
    assert counts == Counts(["user/model"], [str(model_folder("labels") / "config.json")])
    assert len(patterns) == 1
    assert {"config.json", "model*.safetensors", "vocab.txt", "tokenizer.json"} <= set(patterns[0])
    pipeline("text-classification", "user/model", revision="v1", tokenizer=task.tokenizer)
    assert "vocab.txt" not in patterns[1], "the tokenizer is there already"
    assert counts.resolved == ["user/model"] * 2


def test_further_arguments_of_the_model(model_folder: Folder) -> None:
    names = {index: f"name {index}" for index in range(5)}
    task = pipeline("text-classification", model_folder("labels"), model_kwargs={"id2label": names})
    assert task(TEXT)[0]["label"].startswith("name ")
    with pytest.raises(UnknownArgumentError, match="'id2labels'.*Did you mean 'id2label'"):
        pipeline("text-classification", model_folder("labels"), model_kwargs={"id2labels": names})


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        pipeline("ner", tmp_path / "nothing", local_files_only=True)


def test_nothing_heavy_is_imported_unasked() -> None:
    code = (
        "import sys, distilbert.tasks; print([m for m in ('torch', 'tokenizers', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
