"""Errors of fine-tuning: every message says what is wrong, where, and what to do."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from distilbert.core.errors import ConfigError, DataError, InputError
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetuner import finetune
from tests.training.tiny_run import Record, write_model

from .tiny_tasks import config_of, write_data


def put(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


TRAIN = "text\tlabel\na b\tbad\nq r\tgood\n"
SQUAD: Record = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "a b c",
                    "qas": [{"id": "q1", "question": "b", "answers": [{"text": "c", "answer_start": 3}]}],
                }
            ]
        }
    ]
}
ROWS: list[tuple[str, str, str, Record, str]] = [  # kind, file, content, settings, message
    ("single", "t.tsv", "text\tkind\na\tx\nb\ty\n", {},
     r"t\.tsv: no column is known as the label\. State it: --columns label=COLUMN, or label=A\+B\+C "
     r"where each label has a column of 0 and 1\. Columns found: 'text', 'kind'"),
    ("single", "t.tsv", TRAIN, {"columns": {"label": "lable"}},
     r"t\.tsv has no column 'lable' for the label\. Did you mean 'label'\? Columns found: 'text', 'label'"),
    ("single", "t.jsonl", '{"text": "a", "label": "x"}\n{"text": 7, "label": "y"}\n', {},
     r"t\.jsonl:2 must hold a text under 'text', got 7"),
    ("single", "t.tsv", "text\tlabel\na\tx\nb\n", {}, r"t\.tsv:3: this row has 1 field, but the header names 2"),
    ("single", "t.tsv", TRAIN, {"label_names": ["bad", "fair", "good"]},
     r"No row has the label 'fair', which was named\. The rows have 'bad', 'good'"),
    ("single", "t.tsv", TRAIN, {"problem": "regression"}, r"t\.tsv:2 has the label 'bad', where a regression"),
    ("single", "t.tsv", "text\tlabel\na\tx\nb\tx\n", {}, "All rows have the same label, 'x': there is nothing"),
    ("single", "t.tsv", "text\tlabel\na\tx\n", {}, r"t\.tsv: one example is not enough to train on"),
    ("single", "t.tsv", "text\tlabel\na\t1.5\nb\t2.5\n", {"class_weights": "balanced"},
     "class_weights must be none: the labels are numbers"),
    ("tags", "t.jsonl", '{"words": ["a", "b"], "tags": ["O", "B-X"]}\n{"words": ["a", "b"], "tags": ["O"]}\n', {},
     r"t\.jsonl:2 has 2 words, but 1 tag; each word needs one"),
    ("squad1", "t.json", json.dumps(SQUAD), {},
     r"t\.json, question q1: the answer 'c' is not at character 3 of the context; there is ' '\. It is at 4\."),
    ("choice", "t.jsonl", '{"question": "a", "choices": ["a", "b"], "label": 2}\n', {},
     r"t\.jsonl:1: 2 under 'label' is not a choice"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "content", "changes", "message"), ROWS)
def test_data_that_cannot_be_used(
    tmp_path: Path, kind: str, name: str, content: str, changes: Record, message: str
) -> None:
    config = config_of(tmp_path, kind, train_data=[put(tmp_path / name, content)], eval_data=[], **changes)
    with pytest.raises((DataError, ConfigError), match=message):
        finetune(config)
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_label_that_only_the_evaluation_has(tmp_path: Path) -> None:
    dev = put(tmp_path / "dev.tsv", "text\tlabel\na b\tbad\nc\tawful\n")
    message = r"dev\.tsv:3: the evaluation data has the label 'awful', which is not among the labels of the model: "
    with pytest.raises(DataError, match=message + "'bad', 'good'"):
        finetune(config_of(tmp_path, eval_data=[dev]))


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("tagger"), head="ForTokenClassification")


def classifier(folder: Path, *names: str, **changes: object) -> str:
    labels = dict(enumerate(names))
    return write_model(folder, head="ForSequenceClassification", num_labels=len(names), id2label=labels, **changes)


def test_a_head_that_does_not_fit(tmp_path: Path, tagger: str) -> None:
    with pytest.raises(
        ConfigError, match=r"tagger.* is a DistilBertForTokenClassification, which has no head for text-"
    ):
        finetune(config_of(tmp_path, model=tagger))
    other = classifier(tmp_path / "other", "cold", "warm")
    with pytest.raises(ConfigError, match=r"has the labels 'cold', 'warm'; the data have 'bad', 'good'.*fresh_head"):
        finetune(config_of(tmp_path, model=other))
    turned = classifier(tmp_path / "turned", "good", "bad")
    with pytest.raises(ConfigError, match="has the same labels in another order; give label_names in its order, or"):
        finetune(config_of(tmp_path, model=turned))
    more = classifier(tmp_path / "more", "bad", "good", "fair")
    with pytest.raises(ConfigError, match=r"'bad', 'good', 'fair'; the data have 'bad', 'good'\..*fresh_head"):
        finetune(config_of(tmp_path, model=more))
    for name, changes in (("named", {"label_names": ["good", "bad"]}), ("fresh", {"fresh_head": True})):
        output = str(tmp_path / name)
        assert finetune(config_of(tmp_path, model=turned, output=output, max_steps=1, eval_data=[], **changes)).is_dir()


def test_a_teacher_that_does_not_fit(tmp_path: Path, tagger: str) -> None:
    with pytest.raises(
        ConfigError, match=r"DistilBertForSequenceClassification as its teacher; .* is a DistilBertForTo"
    ):
        finetune(config_of(tmp_path, teacher=tagger))
    bare = write_model(tmp_path / "bare", head="")
    with pytest.raises(
        ConfigError, match=r"bare is a DistilBertModel\. Fine-tune one first: distilbert finetune --task"
    ):
        finetune(config_of(tmp_path, teacher=bare))
    other = classifier(tmp_path / "other", "cold", "warm")
    with pytest.raises(
        ConfigError, match=r"The teacher .*other has the labels 'cold', 'warm'; the data have 'bad', 'go"
    ):
        finetune(config_of(tmp_path, teacher=other))
    many = classifier(tmp_path / "many", "bad", "good", problem_type="multi_label_classification")
    with pytest.raises(ConfigError, match=r"model for 2 labels \(multi label classification\), and the data have 2"):
        finetune(config_of(tmp_path, teacher=many))
    assert not (tmp_path / "run" / "config.toml").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 24}, "max_length 24 is more than the model's 23 positions"),
        ({"freeze": "99"}, "freeze: the model has 2 blocks; got 99"),
        ({"layers": "0,7"}, "layers"),
    ],
)
def test_settings_that_do_not_fit_the_model(tmp_path: Path, changes: Record, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        finetune(config_of(tmp_path, **changes))
    assert not (tmp_path / "run" / "config.toml").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": 2}, "patience must be left out where eval_data is not given"),
        ({"learning_rates": [0.1]}, "learning_rates must be left out where eval_data is not given"),
        ({"select": "best"}, "select must be last where eval_data is not given"),
        ({"seeds": 2}, "seeds must be 1 where eval_data is not given"),
        ({"unlabelled_data": ["more.txt"]}, "teacher must be given with unlabelled_data"),
        ({"train_data": []}, "train_data must be at least one file"),
        ({"freeze": "head"}, "freeze must be none, embeddings, a number of blocks, or encoder"),
        ({"freeze": "-1"}, "freeze must be none, embeddings, a number of blocks, or encoder"),
        ({"max_length": 7}, "max_length must be 0 or at least 8"),
        ({"teacher_weight": 0.0}, "teacher_weight must be more than 0 and at most 1"),
        ({"teacher_weight": 1.5}, "teacher_weight must be more than 0 and at most 1"),
        ({"temperature": 0.0}, "temperature must be more than 0"),
        ({"layer_decay": 1.5}, "layer_decay must be more than 0 and at most 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"learning_rates": [0.1, 0.0], "eval_data": ["b"]}, "learning_rates must be above 0"),
        ({"task": "multiple-choice", "class_weights": "balanced"}, "class_weights must be none where there are no"),
        ({"task": "fill-mask", "problem": "regression"}, "problem must be left out for tasks other than text-class"),
        ({"task": "translation"}, "task must be one of text-classification, token-classification, question-answering"),
    ],
)
def test_settings_that_cannot_be(changes: Record, message: str) -> None:
    values: Record = {"task": "text-classification", "model": "m", "train_data": ["a"], "output": "o"}
    FinetuneConfig(**values)
    with pytest.raises(ConfigError, match=re.escape(message)):
        FinetuneConfig(**(values | changes))


def test_folders_that_hold_something(tmp_path: Path) -> None:
    config = config_of(tmp_path, eval_data=[], max_steps=1)
    with pytest.raises(InputError, match="output must be another folder than that of the model"):
        finetune(config_of(tmp_path, output=str(tmp_path / "model")))
    checkpoint = write_model(tmp_path / "run/checkpoints/step-3/model")
    for models in ({"model": checkpoint}, {"teacher": checkpoint}):
        with pytest.raises(InputError, match="is a checkpoint of the run in .*run, which a new run there would remove"):
            finetune(config_of(tmp_path, output=str(tmp_path / "run"), **models), overwrite=True)
    assert (Path(checkpoint) / "model.safetensors").is_file()
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    (tmp_path / "run/metrics.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"run holds no run, but files that a run would replace: metrics\.jsonl\."):
        finetune(config)
    (tmp_path / "run/metrics.jsonl").unlink()
    other = write_model(tmp_path / "other")
    with pytest.raises(InputError, match="other holds a model; name another folder, or overwrite it"):
        finetune(config_of(tmp_path, output=other))
    finetune(config)
    with pytest.raises(InputError, match=r"run holds a run; go on with it \(resume\), start it anew \(overwrite\)"):
        finetune(config)
    changed = config_of(tmp_path, eval_data=[], max_steps=1, batch_size=4)
    with pytest.raises(ConfigError, match=r"cannot be resumed with these\. Before -> now:\n +batch_size: 8 -> 4\n"):
        finetune(changed, resume=True)
    with pytest.raises(InputError, match="choose one"):
        finetune(config, resume=True, overwrite=True)
    assert finetune(changed, overwrite=True).is_dir()


def test_unlabelled_data_of_another_form(tmp_path: Path) -> None:
    teacher = classifier(tmp_path / "wise", "bad", "good")
    more = write_data(tmp_path / "more", "tags")
    with pytest.raises(
        DataError, match=r"more\.conll: no column is known as the text\. .*Columns found: 'words', 'tags'"
    ):
        finetune(config_of(tmp_path, teacher=teacher, unlabelled_data=[more]))
