"""Which runner a pipeline takes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import AutoModelForSequenceClassification, EngineRunner, InputError, pipeline
from distilbert.core.runner_protocol import Batch
from distilbert.engine import precision as precisions
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.weights.folder import QUANTIZATION, SAFETENSORS
from tests.any_cpu import allow_int8

TEXT = "she was very good in paris"
Folder = Callable[[str], Path]


def load(folder: Path, **options: Any) -> Any:
    return pipeline("text-classification", folder, **options)


def test_the_engine_runs_what_is_in_fp32_on_a_cpu(model_folder: Folder) -> None:
    folder = model_folder("labels")
    for options in ({}, {"device": "cpu"}, {"device_map": "cpu"}, {"dtype": torch.float32}, {"threads": 1}):
        assert isinstance(load(folder, **options).runner, EngineRunner), options
    assert load(folder, precision="fp32").runner.precision == "fp32"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    task = pipeline("text-classification", model, tokenizer=folder, precision="fp32")
    assert isinstance(task.runner, EngineRunner)
    assert task.model is model


def test_pytorch_runs_what_asks_for_it(model_folder: Folder) -> None:
    folder = model_folder("labels")
    for options in (
        {"runner": "pytorch"},
        {"dtype": torch.bfloat16},
        {"attn_implementation": "eager"},
        {"precision": "fp16"},
        {"runner": "pytorch", "precision": "bf16"},
        {"runner": "pytorch", "threads": 1},
    ):
        task = load(folder, **options)
        assert isinstance(task.runner, PytorchRunner), options
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(options.get("precision", ""))
        assert dtype is None or task.model.dtype == dtype
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    assert isinstance(pipeline("text-classification", model, tokenizer=folder).runner, PytorchRunner)
    assert isinstance(load(folder, runner="engine", dtype=torch.bfloat16).runner, EngineRunner)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": torch.float32},
        {"torch_dtype": torch.float32},
        {"torch_dtype": "float32"},
        {"dtype": np.float32},
        {"dtype": torch.float32, "precision": "auto"},
        {"dtype": torch.float32, "precision": "fp32"},
        {"model_kwargs": {"dtype": torch.float32}},
        {"model_kwargs": {"torch_dtype": torch.float32}},
    ],
    ids=str,
)
def test_a_floating_type_decides_what_the_engine_computes_in(
    model_folder: Folder, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    folder = model_folder("labels")
    monkeypatch.setattr(precisions, "is_faster", lambda name: True)
    assert load(folder).runner.precision == "bf16", "what the engine picks by itself here"
    task = load(folder, **options)
    assert isinstance(task.runner, EngineRunner)
    assert task.runner.precision == "fp32"
    for other in ({"dtype": "auto"}, {"torch_dtype": None}):
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        assert pipeline("text-classification", model, tokenizer=folder, **other).runner.precision == "bf16"
    loaded = pipeline("text-classification", model, tokenizer=folder, dtype=torch.float32)
    assert loaded.runner.precision == "fp32"


def test_a_floating_type_that_contradicts(model_folder: Folder) -> None:
    folder = model_folder("labels")
    pairs = ((torch.float32, "bf16"), ("float32", "int8"), (torch.bfloat16, "fp32"), ("float64", "fp32"))
    for dtype, precision in pairs:
        name = str(dtype).removeprefix("torch.")
        with pytest.raises(InputError, match=f"dtype='{name}' and precision='{precision}' contradict each other"):
            load(folder, dtype=dtype, precision=precision)
    with pytest.raises(InputError, match="fp16 is for runner='pytorch'"):
        load(folder, dtype="float16", runner="engine")
    with pytest.raises(InputError, match=r"dtype and model_kwargs\['torch_dtype'\] were both given"):
        load(folder, dtype="float32", model_kwargs={"torch_dtype": "float32"})


def test_the_two_answer_alike(model_folder: Folder) -> None:
    engine, pytorch = (
        load(model_folder("labels"), runner=runner, precision="fp32") for runner in ("engine", "pytorch")
    )
    assert engine(TEXT)[0]["label"] == pytorch(TEXT)[0]["label"]
    assert engine(TEXT)[0]["score"] == pytest.approx(pytorch(TEXT)[0]["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runner": "tpu"}, "runner must be one of 'engine', 'pytorch', 'onnxruntime', 'openvino', got 'tpu'"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, bf16, fp16, int8, got 'fp8'"),
        ({"runner": "engine", "precision": "fp16"}, "fp16 is for runner='pytorch'"),
        ({"runner": "pytorch", "precision": "int8"}, "Only the engine and exported folders run in int8"),
        ({"precision": "int8"}, "run `distilbert quantize`"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
        ({"framework": "flax", "runner": "engine"}, "runner= goes with framework='pt'"),
        ({"framework": "tf", "threads": 2}, "threads= goes with framework='pt'"),
    ],
)
def test_values_that_do_not_exist_or_do_not_go_together(
    model_folder: Folder, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(model_folder("labels"), **options)


def test_messages_about_loaded_models_and_runners(model_folder: Folder) -> None:
    folder = model_folder("labels")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(InputError, match="opens a folder that was exported"):
        pipeline("text-classification", model, tokenizer=folder, runner="onnxruntime")
    with pytest.raises(InputError, match="The model is a runner already"):
        pipeline("text-classification", EngineRunner(model, "fp32"), tokenizer=folder, precision="fp32")
    with pytest.raises(InputError, match="The engine runs on CPUs and the model is on meta"):
        EngineRunner(AutoModelForSequenceClassification.from_pretrained(folder).to("meta"))


def test_a_quantized_folder_runs_in_int8(model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_int8(monkeypatch)
    for path in model_folder("labels").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert (tmp_path / SAFETENSORS).is_file()
    task = load(tmp_path, precision="fp32")
    ids = [task.tokenizer.encode_ids([TEXT], None, True)[0]] * 9
    calibrate(task.model, [Batch.of(ids)], "fp32").save(tmp_path)
    assert load(tmp_path).runner.precision == "int8"
    assert load(tmp_path, precision="fp32").runner.precision == "fp32"
    assert load(tmp_path)(TEXT)[0]["score"] == pytest.approx(task(TEXT)[0]["score"], abs=0.1)
    monkeypatch.setattr(precisions, "is_faster", lambda name: False)
    assert load(tmp_path).runner.precision in ("fp32", "bf16")
    (tmp_path / QUANTIZATION).write_bytes(b"damaged")
    with pytest.raises(OSError, match="is damaged .* run `distilbert quantize` again"):
        Quantization.load(tmp_path)
