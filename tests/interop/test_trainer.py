"""transformers.Trainer with models of this package: train, evaluate, predict, save, resume, load the best."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import (  # noqa: E402
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

from distilbert import (  # noqa: E402
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertTokenizerFast,
    pipeline,
)
from tests.interop.tiny_data import SIZES, sentences, write_vocabulary  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> DistilBertTokenizerFast:
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def rows(tokenizer: Any) -> list[dict[str, Any]]:
    return [{**tokenizer(text, truncation=True), "label": label} for text, label in sentences()]


def classifier(seed: int = 0, **changes: Any) -> DistilBertForSequenceClassification:
    set_seed(seed)
    return DistilBertForSequenceClassification(DistilBertConfig(**(SIZES | {"initializer_range": 0.2} | changes)))


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "learning_rate": 3e-3,
        "num_train_epochs": 2,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 4,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**(values | changes))


def accuracy(predictions: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((np.argmax(predictions.predictions, -1) == predictions.label_ids).mean())}


def trainer(model: Any, folder: Path, tokenizer: Any, **changes: Any) -> Trainer:
    train = rows(tokenizer)
    return Trainer(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=train,
        eval_dataset=train[::3],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )


def test_train_evaluate_predict_and_save(tmp_path: Path, tokenizer: Any) -> None:
    run = trainer(classifier(), tmp_path, tokenizer, num_train_epochs=6, eval_strategy="epoch")
    before = run.evaluate()
    run.train()
    assert run.state.total_flos > 0
    after = run.evaluate()
    assert after["eval_loss"] < before["eval_loss"] / 2
    assert after["eval_accuracy"] == 1.0
    predictions = run.predict(rows(tokenizer)[:10])
    assert predictions.predictions.shape == (10, 2)
    assert predictions.metrics["test_accuracy"] == 1.0
    run.save_model(str(tmp_path / "final"))
    loaded = DistilBertForSequenceClassification.from_pretrained(tmp_path / "final")
    for name, weight in loaded.state_dict().items():
        torch.testing.assert_close(weight, run.model.state_dict()[name], rtol=0, atol=0)
    classify = pipeline("text-classification", model=str(tmp_path / "final"))
    assert [answer["label"] for answer in classify(["the film was great .", "a song was awful ."])] == [
        "LABEL_1",
        "LABEL_0",
    ]
    assert transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path / "final").config.dim == 24


def test_a_tokenizer_pads_without_a_collator(tmp_path: Path, tokenizer: Any) -> None:
    texts = [" ".join(text.split()[: 2 + number % 4]) for number, (text, _) in enumerate(sentences())]
    run = Trainer(
        model=classifier(),
        args=arguments(tmp_path, max_steps=2),
        train_dataset=[{**tokenizer(text), "label": number % 2} for number, text in enumerate(texts)],
        processing_class=tokenizer,
    )
    assert isinstance(run.data_collator, DataCollatorWithPadding)
    run.train()
    assert run.state.global_step == 2


def test_checkpoints_are_model_folders_and_runs_resume_from_them(tmp_path: Path, tokenizer: Any) -> None:
    options = {"save_strategy": "steps", "save_steps": 8, "max_steps": 16}
    whole = trainer(classifier(), tmp_path / "whole", tokenizer, **options)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-8"
    assert json.loads((checkpoint / "config.json").read_text())["architectures"] == [
        "DistilBertForSequenceClassification"
    ]
    assert (checkpoint / "tokenizer_config.json").is_file()
    assert DistilBertForSequenceClassification.from_pretrained(checkpoint).config.dim == 24
    resumed = trainer(classifier(seed=9), tmp_path / "resumed", tokenizer, **options)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert resumed.state.global_step == 16
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], weight, rtol=0, atol=0)


def test_the_best_checkpoint_is_loaded_at_the_end(tmp_path: Path, tokenizer: Any) -> None:
    run = trainer(
        classifier(), tmp_path, tokenizer, learning_rate=0.05, num_train_epochs=3, eval_strategy="epoch",
        save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="loss", greater_is_better=False,
    )  # fmt: skip
    run.train()
    losses = {entry["step"]: entry["eval_loss"] for entry in run.state.log_history if "eval_loss" in entry}
    best = min(losses, key=lambda step: losses[step])
    assert run.state.best_model_checkpoint == str(tmp_path / f"checkpoint-{best}")
    assert run.evaluate()["eval_loss"] == pytest.approx(losses[best], abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"bf16": True},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"gradient_accumulation_steps": 2},
        {"label_smoothing_factor": 0.1},
        {"neftune_noise_alpha": 5.0},
        {"group_by_length": True, "length_column_name": "length"},
    ],
    ids=lambda options: "-".join(f"{name}={value}" for name, value in options.items()),
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_options_of_trainer(tmp_path: Path, tokenizer: Any, options: dict[str, Any]) -> None:
    known = TrainingArguments.__dataclass_fields__
    if not options.keys() <= known.keys():
        options = {{"group_by_length": "train_sampling_strategy"}.get(n, n): v for n, v in options.items()}
        if not options.keys() <= known.keys():
            pytest.skip("this version of transformers has other names for it")
        options = options | (
            {"train_sampling_strategy": "group_by_length"} if "train_sampling_strategy" in options else {}
        )
    run = trainer(classifier(), tmp_path, tokenizer, num_train_epochs=3, **options)
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before
    predictions = run.predict(rows(tokenizer)[:10])
    assert predictions.predictions.shape == (10, 2)
    if "label_smoothing_factor" not in options:
        assert predictions.metrics["test_loss"] > 0


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_gradient_checkpointing_computes_the_same_gradients(tmp_path: Path, tokenizer: Any) -> None:
    weights = []
    for options in ({}, {"gradient_checkpointing": True}):
        run = trainer(classifier(dropout=0.0, attention_dropout=0.0), tmp_path, tokenizer, max_steps=3, **options)
        run.train()
        assert run.model.is_gradient_checkpointing is bool(options)
        weights.append(run.model.state_dict())
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight)


def test_masked_language_modelling(tmp_path: Path, tokenizer: Any) -> None:
    set_seed(0)
    model = DistilBertForMaskedLM(DistilBertConfig(**SIZES))
    train = [tokenizer(text) for text, _ in sentences()]
    run = Trainer(
        model=model,
        args=arguments(tmp_path, save_strategy="steps", save_steps=8, max_steps=16, learning_rate=1e-2),
        train_dataset=train,
        eval_dataset=train[:16],
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3),
    )
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before
    checkpoint = tmp_path / "checkpoint-8"
    assert "vocab_projector.weight" not in load_file(checkpoint / "model.safetensors"), "it is tied"
    loaded = DistilBertForMaskedLM.from_pretrained(checkpoint)
    assert loaded.vocab_projector.weight is loaded.distilbert.embeddings.word_embeddings.weight
    run.train(resume_from_checkpoint=str(checkpoint))
    assert run.model.vocab_projector.weight is run.model.distilbert.embeddings.word_embeddings.weight


def test_tagging_without_names_of_columns(tmp_path: Path) -> None:
    set_seed(0)
    model = DistilBertForTokenClassification(DistilBertConfig(**SIZES, num_labels=3))
    train = [{"input_ids": [2, 5 + n % 9, 7, 3], "labels": [-100, n % 3, 1, -100]} for n in range(24)]
    run = Trainer(model=model, args=arguments(tmp_path, num_train_epochs=1), train_dataset=train, eval_dataset=train)
    run.train()
    assert run.predict(train).predictions.shape == (24, 4, 3)
    assert run.label_names == ["labels"]


def test_models_are_known_to_transformers_and_stay_what_they_are(tmp_path: Path) -> None:
    model = classifier()
    assert isinstance(model, PreTrainedModel)
    assert isinstance(model, DistilBertForSequenceClassification)
    assert type(model) is DistilBertForSequenceClassification
    assert model.__class__ == DistilBertForSequenceClassification
    assert model.__class__.__name__ == "DistilBertForSequenceClassification"
    assert isinstance(model, model.__class__)
    assert type(model.__class__(model.config)) is DistilBertForSequenceClassification
    model.save_pretrained(tmp_path)
    assert type(model.__class__.from_pretrained(tmp_path)) is DistilBertForSequenceClassification
    assert not issubclass(DistilBertForSequenceClassification, PreTrainedModel)
    torch.save(model, tmp_path / "whole.pt")
    copies = (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(tmp_path / "whole.pt", weights_only=False),
    )
    for twin in copies:
        assert type(twin) is DistilBertForSequenceClassification
        torch.testing.assert_close(twin.classifier.weight, model.classifier.weight)
    assert not isinstance(model.distilbert.transformer, PreTrainedModel)
