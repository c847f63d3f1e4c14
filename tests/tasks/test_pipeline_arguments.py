"""Arguments that code for transformers passes to ``pipeline`` and to pipelines: taken, without effect, or refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distilbert.core.errors import InputError, UnknownArgumentError
from distilbert.engine.engine_runner import EngineRunner
from distilbert.models.auto import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from distilbert.tasks import TextClassificationPipeline, pipeline
from distilbert.tasks.pipeline_arguments import CALLING, PIPELINE

Folder = Callable[[str], Path]
TEXT = "I love this movie"


@pytest.fixture(scope="module")
def folder(model_folder: Folder) -> str:
    return str(model_folder("labels"))


@pytest.fixture(scope="module")
def expected(folder: str) -> Any:
    return pipeline("text-classification", folder)(TEXT)


def test_positions(folder: str, expected: Any) -> None:
    tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    name = "text-classification"
    for arguments in (
        (name, folder, None, tokenizer),
        (name, folder, config, folder),
        (name, model, tokenizer),
        (name, model, None, tokenizer, None, None, None, "pt", None, True, None, -1),
        (name, folder, None, None, None, None, None, None, None, True, None, None, None, "auto", False, {}, None),
    ):
        assert pipeline(*arguments)(TEXT) == expected
    assert pipeline(name, model, model.config, tokenizer)(TEXT) == expected
    assert functools.partial(pipeline, name, folder)()(TEXT) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"trust_remote_code": False},
        {"trust_remote_code": True, "code_revision": "main"},
        {"use_auth_token": True},
        {"token": None, "revision": "main", "use_auth_token": None},
        {"feature_extractor": None, "image_processor": None, "processor": None, "modelcard": None},
        {"num_workers": 4, "batch_size": 8},
        {"binary_output": True, "args_parser": None, "framework": None},
        {"model_kwargs": {"cache_dir": "downloads", "low_cpu_mem_usage": True, "use_auth_token": False}},
        {"model_kwargs": None, "device": -1},
        {"device": "cpu", "device_map": None},
        {"device_map": "auto"},
        {"dtype": "auto"},
        {"torch_dtype": "auto"},
        {"low_cpu_mem_usage": True, "use_safetensors": True, "force_download": False, "proxies": None},
        {"from_tf": False, "quantization_config": None, "resume_download": True, "_commit_hash": None},
        {"padding": True, "truncation": True, "max_length": 16, "return_token_type_ids": False},
        {"add_special_tokens": True, "return_tensors": None},
        {"pipeline_class": TextClassificationPipeline},
    ],
    ids=str,
)
def test_arguments_that_change_nothing(folder: str, expected: Any, options: dict[str, Any]) -> None:
    task = pipeline("text-classification", folder, **options)
    assert task(TEXT) == expected
    assert isinstance(task.runner, EngineRunner)
    assert task([TEXT], batch_size=8, num_workers=2, padding="max_length", truncation=True, max_length=32) == expected


def test_loaded_models_take_what_suits_them(folder: str, expected: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    for options in ({"dtype": "auto"}, {"config": model.config}, {"framework": "pt"}):
        assert pipeline("text-classification", model, tokenizer=tokenizer, **options)(TEXT) == expected


def test_tokenizers_with_options(folder: str, expected: Any) -> None:
    task = pipeline("text-classification", folder, tokenizer=(folder, {"use_fast": False}))
    assert not task.tokenizer.is_fast
    assert task(TEXT) == expected


def test_a_class_of_a_users_own(folder: str) -> None:
    class Own(TextClassificationPipeline):
        pass

    assert type(pipeline("text-classification", folder, pipeline_class=Own)) is Own
    with pytest.raises(InputError, match="must be derived from FillMaskPipeline|needs a DistilBert"):
        pipeline("fill-mask", folder, pipeline_class=Own)
    with pytest.raises(InputError, match="must be derived from ZeroShotClassificationPipeline, got Own"):
        pipeline("zero-shot-classification", folder, pipeline_class=Own)


def test_models_fetched_with_model_kwargs(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def fetch(name: str, **options: Any) -> str:
        seen.append(options)
        return folder

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    for options in (
        {"model_kwargs": {"cache_dir": "here", "use_auth_token": "secret"}},
        {"cache_dir": "here", "token": "secret"},
        {"cache_dir": "here", "use_auth_token": "secret"},
    ):
        pipeline("text-classification", "user/model", tokenizer="user/tokenizer", **options)
    assert {(each["cache_dir"], each["token"]) for each in seen} == {("here", "secret")}
    assert len(seen) >= 6, "for model and tokenizer"


class Strategy(Enum):
    FIRST = "first"


def test_older_names_and_enums(make_task: Any) -> None:
    fill = make_task("fill-mask", "masked-lm")
    assert fill("a [MASK]", topk=2) == fill("a [MASK]", top_k=2)
    assert fill("a [MASK]", top_k=None) == fill("a [MASK]")
    assert fill("a b [MASK]", truncation=True, max_length=5) == fill(
        "a b [MASK]", tokenizer_kwargs={"truncation": True, "max_length": 5, "padding": True}
    )
    zero_shot = make_task("zero-shot-classification", "nli", candidate_labels=["a", "b"])
    assert zero_shot(sequences="a film", multi_class=True) == zero_shot("a film", multi_label=True)
    assert zero_shot("a film", truncation=True, padding=True) == zero_shot("a film")
    assert zero_shot("a film " * 9, max_length=12) != zero_shot("a film " * 9)
    entities = make_task("ner", "entities")
    assert entities("a b", aggregation_strategy=Strategy.FIRST) == entities("a b", aggregation_strategy="first")
    assert entities("a b", aggregation_strategy=None, stride=None) == entities("a b")
    classify = make_task("text-classification", "labels")
    assert classify("a", function_to_apply=SimpleNamespace(value="sigmoid")) == classify(
        "a", function_to_apply="sigmoid"
    )
    assert len(classify("a", top_k=None)) == 5
    features = make_task("feature-extraction", "encoder")
    assert features("a b c", truncation=True, max_length=4) == features(
        "a b c", tokenize_kwargs={"truncation": True, "max_length": 4, "add_special_tokens": True}
    )


def test_ways_to_ask_questions(make_task: Any) -> None:
    task = make_task("question-answering", "answers")
    item = {"question": "Who?", "context": "Mary and John"}
    answer = task(item)
    assert task(data=item) == task(X=item) == answer
    assert task(item, item) == task(data=[item, item]) == [answer, answer]
    assert task(task.create_sample("Who?", "Mary and John")) == answer
    assert task(task.create_sample(["Who?"], "Mary and John")) == [answer]
    assert task(SimpleNamespace(question_text="Who?", context_text="Mary and John")) == answer
    asked = {"doc_stride": None, "max_seq_len": None, "max_answer_len": None, "padding": "max_length", "top_k": None}
    assert task(question="Who?", context="Mary and John", **asked) == answer
    assert task(item, topk=2) == task(item, top_k=2)
    with pytest.raises(InputError, match="takes one of inputs, data= and X="):
        task(item, data=item)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, f: p(f, devise=0), UnknownArgumentError, r"^pipeline\(\) got .*'devise'. Did you mean 'device'"),
        (lambda p, f: p(f, truncatoin=True), UnknownArgumentError, r"^pipeline\(\).* Did you mean 'truncation'"),
        (lambda p, f: p(f, load_in_8bit=True), InputError, "does not take load_in_8bit=True: int8 comes from"),
        (lambda p, f: p(f, model_kwargs={"gguf_file": "x"}), InputError, "does not take gguf_file='x'"),
        (lambda p, f: p(f, output_loading_info=True), InputError, r"pipeline\(\) does not take output_loading_info"),
        (lambda p, f: p(f, token="a", use_auth_token="b"), InputError, "token and use_auth_token were both given"),
        (lambda p, f: p(f, return_tensors="pt"), InputError, "return_tensors='pt': only feature extraction"),
        (lambda p, f: p(f)("a", add_special_tokens=False), InputError, "does not take add_special_tokens=False"),
        (
            lambda p, f: p(f)("a", top_kk=1),
            UnknownArgumentError,
            "The task 'text-classification'.*Did you mean 'top_k'",
        ),
        (lambda p, f: p(f)("a", topk=1, top_k=2), InputError, "got topk and top_k: one is the older name"),
        (lambda p, f: p(f)("a", data="b"), UnknownArgumentError, "unknown argument 'data'"),
    ],
)
def test_errors(folder: str, call: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(functools.partial(pipeline, "text-classification"), folder)


@pytest.mark.parametrize("name", CALLING.names("refused"))
def test_refused_in_a_call(make_task: Any, name: str) -> None:
    task = make_task("ner", "entities")
    value = False if name == "add_special_tokens" else 5
    with pytest.raises(InputError, match=f"does not take {name}={value}: "):
        task("a", **{name: value})


@pytest.mark.parametrize("name", [*PIPELINE.names("no effect"), *CALLING.names("no effect")])
def test_without_effect(make_task: Any, name: str) -> None:
    task = make_task("ner", "entities", **{name: "anything"})
    assert task("a b") == make_task("ner", "entities")("a b")
    if name in CALLING.rows:
        assert task("a b", **{name: "anything"}) == task("a b")
