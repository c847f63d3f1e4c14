"""Scripts in the style of transformers' examples, with nothing but the import of models and tokenizers changed.

Each task is trained once with ``Trainer`` and once with accelerate alone. The models start from a folder with a
pretrained encoder, and are read with the arguments that such scripts pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("datasets")
pytest.importorskip("accelerate")
import accelerate
import datasets
import torch
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    Trainer,
    TrainingArguments,
    default_data_collator,
    get_scheduler,
    set_seed,
)

from distilbert import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertModel,
)
from tests.interop import tiny_data


@dataclass
class ModelArguments:
    """As the dataclass of this name in such a script."""

    model_name_or_path: str
    config_name: str | None = None
    tokenizer_name: str | None = None
    cache_dir: str | None = None
    use_fast_tokenizer: bool = True
    model_revision: str = "main"
    token: str | None = None
    trust_remote_code: bool = False
    ignore_mismatched_sizes: bool = False


@dataclass
class Script:
    """What differs between the scripts: the class, the data, the columns that a model reads, and the metric."""

    auto_class: Any
    rows: Callable[[], dict[str, list[Any]]]
    preprocess: Callable[[Any, dict[str, list[Any]]], Any]
    collator: Callable[[Any], Any]
    settings: dict[str, Any]
    metric: Callable[[EvalPrediction], dict[str, float]]


def text_rows() -> dict[str, list[Any]]:
    texts, labels = zip(*tiny_data.sentences(), strict=True)
    return {"sentence": list(texts), "label": list(labels)}


def preprocess_texts(tokenizer: Any, examples: dict[str, list[Any]]) -> Any:
    result = tokenizer(examples["sentence"], padding=False, max_length=16, truncation=True)
    result["label"] = examples["label"]
    return result


def tagged_rows() -> dict[str, list[Any]]:
    words, tags = zip(*tiny_data.tagged(), strict=True)
    return {"tokens": list(words), "ner_tags": list(tags)}


def preprocess_words(tokenizer: Any, examples: dict[str, list[Any]]) -> Any:
    tokenized = tokenizer(examples["tokens"], padding=False, truncation=True, max_length=16, is_split_into_words=True)
    labels = []
    for index, tags in enumerate(examples["ner_tags"]):
        previous = None
        row = []
        for word in tokenized.word_ids(batch_index=index):
            row.append(-100 if word is None or word == previous else tags[word])
            previous = word
        labels.append(row)
    tokenized["labels"] = labels
    return tokenized


def question_rows() -> dict[str, list[Any]]:
    rows = tiny_data.questions()
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("question", "context")}
    return columns | {"answers": [{"text": [row["answer"]], "answer_start": [row["start"]]} for row in rows]}


def preprocess_questions(tokenizer: Any, examples: dict[str, list[Any]]) -> Any:
    tokenized = tokenizer(
        [question.lstrip() for question in examples["question"]],
        examples["context"],
        truncation="only_second",
        max_length=16,
        stride=4,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    samples, offsets = tokenized.pop("overflow_to_sample_mapping"), tokenized.pop("offset_mapping")
    tokenized["start_positions"], tokenized["end_positions"] = [], []
    for index, window in enumerate(offsets):
        sequence = tokenized.sequence_ids(index)
        answer = examples["answers"][samples[index]]
        start = answer["answer_start"][0]
        end = start + len(answer["text"][0])
        inside = [n for n, kind in enumerate(sequence) if kind == 1 and window[n][0] >= start and window[n][1] <= end]
        classification = tokenized["input_ids"][index].index(tokenizer.cls_token_id)
        tokenized["start_positions"].append(inside[0] if inside else classification)
        tokenized["end_positions"].append(inside[-1] if inside else classification)
    return tokenized


def choice_rows() -> dict[str, list[Any]]:
    beginnings, endings, labels = zip(*tiny_data.choices(), strict=True)
    return {"begin": list(beginnings), "endings": list(endings), "label": list(labels)}


def preprocess_choices(tokenizer: Any, examples: dict[str, list[Any]]) -> Any:
    first = [begin for begin in examples["begin"] for _ in range(3)]
    second = [ending for endings in examples["endings"] for ending in endings]
    tokenized = tokenizer(first, second, truncation=True, max_length=16, padding=False)
    grouped = {name: [column[n : n + 3] for n in range(0, len(column), 3)] for name, column in tokenized.items()}
    return grouped | {"label": examples["label"]}


def preprocess_masked(tokenizer: Any, examples: dict[str, list[Any]]) -> Any:
    tokenized = tokenizer(examples["sentence"], return_special_tokens_mask=True)
    joined = {name: [token for row in column for token in row] for name, column in tokenized.items()}
    total = len(joined["input_ids"]) // 14 * 14
    return {name: [column[n : n + 14] for n in range(0, total, 14)] for name, column in joined.items()}


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    answers, labels = np.argmax(prediction.predictions, axis=-1), prediction.label_ids
    return {"accuracy": float((answers == labels)[labels != -100].mean())}


def exact_spans(prediction: EvalPrediction) -> dict[str, float]:
    matches = [np.argmax(scores, axis=-1) == wanted for scores, wanted in zip(*prediction, strict=False)]
    return {"accuracy": float((matches[0] & matches[1]).mean())}


SCRIPTS = {
    "text-classification": Script(
        AutoModelForSequenceClassification, text_rows, preprocess_texts,
        lambda tokenizer: DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        {"num_labels": 2, "finetuning_task": "sst2"}, accuracy,
    ),
    "token-classification": Script(
        AutoModelForTokenClassification, tagged_rows, preprocess_words,
        lambda tokenizer: DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=8),
        {"num_labels": 2, "finetuning_task": "ner"}, accuracy,
    ),
    "question-answering": Script(
        AutoModelForQuestionAnswering, question_rows, preprocess_questions, lambda tokenizer: default_data_collator,
        {}, exact_spans,
    ),
    "multiple-choice": Script(
        AutoModelForMultipleChoice, choice_rows, preprocess_choices,
        lambda tokenizer: DataCollatorForMultipleChoice(tokenizer, pad_to_multiple_of=None), {}, accuracy,
    ),
    "masked-lm": Script(
        AutoModelForMaskedLM, text_rows, preprocess_masked,
        lambda tokenizer: DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.3), {}, accuracy,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder and a tokenizer, in the place of distilbert-base-uncased."""
    folder = tmp_path_factory.mktemp("pretrained")
    set_seed(0)
    DistilBertModel(DistilBertConfig(**tiny_data.SIZES, initializer_range=0.2)).save_pretrained(folder)
    tiny_data.write_vocabulary(folder)
    return folder


def load(arguments: ModelArguments, script: Script) -> tuple[Any, Any, Any]:
    """The part of such a script that reads the configuration, the tokenizer and the model."""
    set_seed(42)
    config = AutoConfig.from_pretrained(
        arguments.config_name if arguments.config_name else arguments.model_name_or_path,
        cache_dir=arguments.cache_dir,
        revision=arguments.model_revision,
        token=arguments.token,
        trust_remote_code=arguments.trust_remote_code,
        **script.settings,
    )
    tokenizer = AutoTokenizer.from_pretrained(
        arguments.tokenizer_name if arguments.tokenizer_name else arguments.model_name_or_path,
        cache_dir=arguments.cache_dir,
        use_fast=arguments.use_fast_tokenizer,
        revision=arguments.model_revision,
        token=arguments.token,
        trust_remote_code=arguments.trust_remote_code,
    )
    model = script.auto_class.from_pretrained(
        arguments.model_name_or_path,
        from_tf=bool(".ckpt" in arguments.model_name_or_path),
        config=config,
        cache_dir=arguments.cache_dir,
        revision=arguments.model_revision,
        token=arguments.token,
        trust_remote_code=arguments.trust_remote_code,
        ignore_mismatched_sizes=arguments.ignore_mismatched_sizes,
    )
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    return config, tokenizer, model


def dataset_of(script: Script, tokenizer: Any) -> Any:
    raw = datasets.Dataset.from_dict(script.rows())
    return raw.map(
        lambda examples: script.preprocess(tokenizer, examples), batched=True, remove_columns=raw.column_names
    )


@pytest.mark.parametrize("task", SCRIPTS)
def test_with_trainer(task: str, pretrained: Path, tmp_path: Path) -> None:
    script = SCRIPTS[task]
    _, tokenizer, model = load(ModelArguments(str(pretrained)), script)
    data = dataset_of(script, tokenizer)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=6, per_device_train_batch_size=8, learning_rate=5e-3,
            report_to=[], disable_tqdm=True, use_cpu=True, save_strategy="epoch", eval_strategy="epoch",
            load_best_model_at_end=True, save_total_limit=1, dataloader_pin_memory=False,
        ),
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
        data_collator=script.collator(tokenizer),
        compute_metrics=script.metric,
    )  # fmt: skip
    before = trainer.evaluate()
    result = trainer.train()
    trainer.save_model()
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    assert after["eval_accuracy"] >= before["eval_accuracy"]
    again = script.auto_class.from_pretrained(tmp_path)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
    assert AutoTokenizer.from_pretrained(tmp_path).vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("task", SCRIPTS)
def test_with_accelerate_alone(task: str, pretrained: Path, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    script = SCRIPTS[task]
    accelerator = accelerate.Accelerator(cpu=True)
    with accelerator.main_process_first():
        _, tokenizer, model = load(ModelArguments(str(pretrained)), script)
        data = dataset_of(script, tokenizer)
    loader = DataLoader(data, shuffle=True, collate_fn=script.collator(tokenizer), batch_size=8)
    no_decay = ["bias", "LayerNorm.weight"]
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for n, p in model.named_parameters() if not any(part in n for part in no_decay)],
                "weight_decay": 0.01,
            },
            {
                "params": [p for n, p in model.named_parameters() if any(part in n for part in no_decay)],
                "weight_decay": 0.0,
            },
        ],
        lr=5e-3,
    )
    schedule = get_scheduler("linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=6 * len(loader))
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    losses = []
    for epoch in range(6):
        model.train()
        for batch in loader:
            outputs = model(**batch)
            accelerator.backward(outputs.loss)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(outputs.loss.detach().item())
        accelerator.save_state(str(tmp_path / f"epoch_{epoch}"))
    model.eval()
    for batch in loader:
        with torch.no_grad():
            outputs = model(**batch)
        names = ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
        gathered = accelerator.gather_for_metrics(tuple(outputs[name] for name in names))
        assert all(len(scores) == len(batch["input_ids"]) for scores in gathered)
    assert sum(losses[-3:]) < sum(losses[:3])
    accelerator.wait_for_everyone()
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(tmp_path, is_main_process=accelerator.is_main_process, save_function=accelerator.save)
    if accelerator.is_main_process:
        tokenizer.save_pretrained(tmp_path)
    again = script.auto_class.from_pretrained(tmp_path)
    for name, weight in unwrapped.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
