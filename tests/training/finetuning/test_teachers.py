"""Fine-tuning from a teacher: every task, labels in any order, and examples that only the teacher labels."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distilbert.core.errors import ConfigError
from distilbert.core.runner_protocol import Batch
from distilbert.data.examples import Labels
from distilbert.data.labelled import read_examples
from distilbert.data.labels import collect_labels
from distilbert.models import pytorch
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.tasks import pipeline
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.training.evaluation.task_metrics import predict
from distilbert.training.finetuning.encoded_examples import encode_examples
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetune_data import read_data
from distilbert.training.finetuning.finetune_tasks import EncodedExample, labelled_rows
from distilbert.training.finetuning.finetuner import finetune
from distilbert.training.finetuning.labelled_batches import LabelledBatches
from distilbert.training.finetuning.other_vocabulary import scores_for
from distilbert.training.finetuning.task_models import Teacher
from tests.data.corpora import LETTERS, tokenizer
from tests.training.tiny_run import Record, read_metrics, weights

from .tiny_tasks import KINDS, LABELS, TASKS, architecture_of, config_of, write_data, write_teacher


def losses(folder: Path) -> list[tuple[float, Record]]:
    return [(record["loss"], record["terms"]) for record in read_metrics(folder) if record["kind"] == "train"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_has_teachers(tmp_path: Path, kind: str) -> None:
    """Some examples have no label; the loss is the weighted sum of both terms; the summary has both models."""
    changes = {
        "teacher": write_teacher(tmp_path / "teacher", kind), "teacher_weight": 0.7, "max_steps": 6,
        "unlabelled_data": [write_data(tmp_path / "more", kind, 30, seed=9)],
    }  # fmt: skip
    lines: list[str] = []
    folder = finetune(config_of(tmp_path, kind, **changes), on_data=lines.append)
    assert "30 examples that the teacher labels" in lines
    for loss, terms in losses(folder):
        assert terms.keys() == {"task", "teacher"}
        assert loss == pytest.approx(0.3 * terms["task"] + 0.7 * terms["teacher"], rel=1e-5)
        assert terms["teacher"] > 0
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["models"]) == ["teacher", "student"]
    assert all(summary["main_metric"] in model for model in summary["models"].values())
    assert summary["data"]["unlabelled_examples"] == 30
    assert summary["data"]["units"] >= 54


def test_a_student_that_is_its_teacher_has_nothing_to_learn(tmp_path: Path) -> None:
    """Without dropout the teacher's term starts at 0, for any tokens, windows and choices."""
    calm = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}
    for kind in KINDS:
        same = write_teacher(tmp_path / kind, kind, **calm)
        config = config_of(
            tmp_path, kind, model=same, teacher=same, max_steps=1, eval_data=[], output=str(tmp_path / f"run-{kind}")
        )
        assert losses(finetune(config))[0][1]["teacher"] == pytest.approx(0, abs=1e-5), kind


@pytest.mark.parametrize("kind", ["single", "multi", "tags"])
@pytest.mark.usefixtures("unreported")
def test_the_order_of_its_labels_does_not_matter(tmp_path: Path, kind: str) -> None:
    first = write_teacher(tmp_path / "first", kind)
    names = LABELS[kind]
    turned = [*names[1:], names[0]]
    second = write_teacher(tmp_path / "second", kind, turned)
    state = load_file(Path(first) / "model.safetensors")
    rows = [names.index(name) for name in turned]
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name][rows].clone()
    save_file(state, Path(second) / "model.safetensors", metadata={"format": "pt"})
    runs = [
        finetune(config_of(tmp_path, kind, teacher=teacher, output=str(tmp_path / f"run-{number}")))
        for number, teacher in enumerate((first, second))
    ]
    first, second = (losses(folder) for folder in runs)
    for (loss, terms), (loss_, terms_) in zip(first, second, strict=True):
        assert (loss, terms["teacher"]) == pytest.approx((loss_, terms_["teacher"]), rel=1e-5)
    for name, tensor in weights(runs[0]).items():
        torch.testing.assert_close(tensor, weights(runs[1])[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text"])
def test_what_a_teacher_says_is_what_its_model_computes(tmp_path: Path, kind: str) -> None:
    config = config_of(tmp_path, kind, teacher=write_teacher(tmp_path / "teacher", kind))
    examples = read_examples(TASKS[kind], config.train_data).examples
    labels: Labels = collect_labels(TASKS[kind], examples)
    encoded = encode_examples(TASKS[kind], examples, labels, tokenizer(), max_length=23, stride=5)
    teacher_scores = Teacher(config, labels, low=False).score(encoded)
    assert len(teacher_scores) == len(encoded)
    model = getattr(pytorch, architecture_of(kind)).from_pretrained(config.teacher)
    for example, scores in zip(encoded, teacher_scores, strict=True):
        rows = [labelled_rows(example).tolist()] if kind == "tags" else None
        output = PytorchRunner(model)(Batch.of([sequence.tolist() for sequence in example.sequences], rows))
        columns = list(output.values())
        expected = np.stack(columns, axis=1) if len(columns) == 2 else columns[0]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    batches = LabelledBatches(config, encoded, teacher_scores=teacher_scores)
    seen = sum(
        len(micro_batch.arrays["teacher_scores"])
        for number in range(batches.steps_per_epoch)
        for micro_batch in batches.step(number, 0, 1).micro_batches
    )
    assert seen == sum(map(len, teacher_scores))


def test_labels_of_unlabelled_data_are_not_looked_at(tmp_path: Path) -> None:
    """Neither known nor unknown labels change anything."""
    lines = Path(write_data(tmp_path / "more", "single", 16, seed=9)).read_text().splitlines()
    teacher = write_teacher(tmp_path / "teacher", "single")
    runs = []
    for number, change in enumerate((lambda line: line, lambda line: line.split("\t")[0] + "\tno such label")):
        more = tmp_path / f"more-{number}.tsv"
        more.write_text("\n".join([lines[0], *map(change, lines[1:])]) + "\n")
        config = config_of(
            tmp_path, teacher=teacher, unlabelled_data=[str(more)], output=str(tmp_path / f"run-{number}"), eval_data=[]
        )
        runs.append(losses(finetune(config)))
    bare = tmp_path / "bare.tsv"
    bare.write_text("\n".join(line.split("\t")[0] for line in lines) + "\n")
    config = config_of(
        tmp_path, teacher=teacher, unlabelled_data=[str(bare)], output=str(tmp_path / "run-bare"), eval_data=[]
    )
    assert runs[0] == runs[1] == losses(finetune(config))


@pytest.mark.usefixtures("unreported")
def test_only_the_teachers_part_counts_at_weight_one(tmp_path: Path) -> None:
    """Then wrong labels only change the figure of their own term."""
    config = config_of(tmp_path, teacher=write_teacher(tmp_path / "teacher", "single"), teacher_weight=1.0)
    first = finetune(config)
    text = Path(config.train_data[0]).read_text()
    turned = tmp_path / "turned.tsv"
    turned.write_text(text.replace("\tgood", "\tx").replace("\tbad", "\tgood").replace("\tx", "\tbad"))
    second = finetune(
        config_of(
            tmp_path, teacher=config.teacher, teacher_weight=1.0, train_data=[str(turned)], output=str(tmp_path / "b")
        )
    )
    first_weights, second_weights = weights(first), weights(second)
    assert [name for name in first_weights if not torch.equal(first_weights[name], second_weights[name])] == []
    assert losses(first)[0][1]["task"] != losses(second)[0][1]["task"]


def test_a_teacher_without_names_has_those_that_are_numbers(tmp_path: Path) -> None:
    """``LABEL_0`` certainly stands for the label 0 of a file; that it stands for ``bad`` would be a guess."""
    teacher = write_teacher(tmp_path / "teacher", "single", ["LABEL_0", "LABEL_1"])
    numbered = {}
    for name in ("train", "dev"):
        text = Path(write_data(tmp_path / name, "single")).read_text()
        (tmp_path / f"{name}-n.tsv").write_text(text.replace("\tbad", "\t0").replace("\tgood", "\t1"))
        numbered[f"{name.replace('dev', 'eval')}_data"] = [str(tmp_path / f"{name}-n.tsv")]
    folder = finetune(config_of(tmp_path, teacher=teacher, label_names=["bad", "good"], **numbered))
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
    with pytest.raises(ConfigError, match=r"has the labels 'LABEL_0', 'LABEL_1'; the data have 'bad', 'good'"):
        finetune(config_of(tmp_path, teacher=teacher, output=str(tmp_path / "named")))


def test_files_may_call_labels_otherwise_than_models(tmp_path: Path) -> None:
    """Labels may be numbers or have other names in the files, and another order in the teacher."""
    teacher = write_teacher(tmp_path / "teacher", "single", ["good", "bad"])
    runs: dict[str, dict[str, Any]] = {"plain": {}, "numbers": {"label_names": ["bad", "good"]}}
    for name in ("train", "dev"):
        text = Path(write_data(tmp_path / name, "single")).read_text()
        (tmp_path / f"{name}-n.tsv").write_text(text.replace("\tbad", "\t0").replace("\tgood", "\t1"))
        role = f"{name.replace('dev', 'eval')}_data"
        runs["numbers"][role] = [str(tmp_path / f"{name}-n.tsv")]
        runs["plain"][role] = [str(tmp_path / f"{name}-p.tsv")]
        (tmp_path / f"{name}-p.tsv").write_text(text)
    figures = {}
    for name, changes in runs.items():
        folder = finetune(config_of(tmp_path, teacher=teacher, output=str(tmp_path / name), **changes))
        models = json.loads((folder / "evaluation" / "evaluation.json").read_text())["models"]
        figures[name] = [model["metrics"] for model in models]
    assert figures["numbers"] == figures["plain"]
    renamed = finetune(config_of(tmp_path, output=str(tmp_path / "r"), label_names=["no", "yes"], **runs["plain"]))
    assert json.loads((renamed / "config.json").read_text())["id2label"] == {"0": "no", "1": "yes"}
    assert json.loads((renamed / "summary.json").read_text())["models"]["model"]["accuracy"] > 0


def with_other_words(folder: str) -> str:
    """Give a model a tokenizer that has no words, but spells them; its word embeddings are random all the same."""
    spelled = [*tokenizer().all_special_tokens, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    DistilBertTokenizerFast(vocab=sorted(spelled, reverse=True)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["single", "multi", "regression", "tags", "choice"])
def test_a_teacher_may_have_another_vocabulary(tmp_path: Path, kind: str) -> None:
    """The scores of texts, choices and words are those that it gives when it reads with its own tokenizer."""
    teacher = with_other_words(write_teacher(tmp_path / "teacher", kind))
    more = [write_data(tmp_path / "more", kind, 9, seed=9)]
    config = config_of(tmp_path, kind, teacher=teacher, unlabelled_data=more)
    data = read_data(config, lambda line: None)
    model = Teacher(config, data.labels, low=False)
    assert model.tokenizer is not None
    student, read = (
        [
            encoded
            for group in (data.training, data.unlabelled)
            for encoded in encode_examples(config.task, group, data.labels, of, max_length=23, stride=5)
        ]
        for of in (tokenizer(), model.tokenizer)
    )
    scores, weights_of_rows = scores_for(student, read, model.score(read))
    assert all(weights.all() for weights in weights_of_rows)
    task = pipeline(TASKS[kind], teacher, runner="engine", precision="fp32")
    place = 0
    for group in (data.training, data.unlabelled):
        for example, prediction in zip(group, predict(task, group), strict=True):
            number = student[place].example
            own = []
            while place < len(student) and student[place].example == number:
                own.append(scores[place])
                place += 1
            if len(own) > 1:
                continue  # the task has other windows
            if kind == "tags":
                assert [data.labels.names[label] for label in own[0].argmax(axis=1)] == list(prediction), example
            elif kind == "regression":
                assert own[0].item() == pytest.approx(np.asarray(prediction).item(), rel=1e-3, abs=1e-4)
            else:
                assert np.argsort(own[0].ravel()).tolist() == np.argsort(prediction).tolist()
    assert place == len(student)
    folder = finetune(replace(config, max_steps=1))
    assert losses(folder)[0][1]["teacher"] > 0


@pytest.mark.parametrize("kind", ["squad1", "text"])
def test_a_teacher_that_scores_tokens_needs_the_same_vocabulary(tmp_path: Path, kind: str) -> None:
    teacher = with_other_words(write_teacher(tmp_path / "teacher", kind))
    with pytest.raises(ConfigError, match="they read other ids, and for .* a teacher scores tokens"):
        finetune(config_of(tmp_path, kind, teacher=teacher))


def read_words(*windows: list[int]) -> list[EncodedExample]:
    """A sentence in windows, of which each has these words, of one token each."""
    return [
        EncodedExample(
            (np.arange(len(words) + 2),), 0, word_starts=np.arange(1, len(words) + 1), words=np.array(words, np.int64)
        )
        for words in windows
    ]


def test_a_word_has_the_scores_of_the_same_word() -> None:
    """Whichever window it stands in, and whichever words either tokenizer leaves out; else it has no weight."""
    student, teacher = read_words([3, 4], [0, 2]), read_words([0, 1], [], [3, 5])
    given = [np.array([[0.0, 10], [1, 11]]), np.zeros((0, 2)), np.array([[3.0, 13], [5, 15]])]
    scores, row_weights = scores_for(student, teacher, given)
    assert [rows.tolist() for rows in scores] == [[[3, 13], [0, 0]], [[0, 10], [0, 0]]]
    assert [rows.tolist() for rows in row_weights] == [[1, 0], [1, 0]]
    config = FinetuneConfig(task="token-classification", model="m", train_data=["t"], output="o", teacher="t")
    batches = LabelledBatches(config, student, teacher_scores=scores, teacher_weights=row_weights)
    step = batches.step(0, 0, 1)
    assert step.counts["teacher_rows"] == 2
    for micro_batch in step.micro_batches:
        unread = micro_batch.arrays["teacher_mask"] == 0
        assert not micro_batch.arrays["teacher_scores"][unread].any()


@pytest.mark.usefixtures("unreported")
def test_a_teacher_with_another_vocabulary_may_cut_at_other_words(tmp_path: Path) -> None:
    teacher = with_other_words(write_teacher(tmp_path / "teacher", "tags"))
    words = ["".join(letters) for letters in itertools.product("uvw", repeat=3)][:12]  # three tokens for the teacher
    train = tmp_path / "train-tags.conll"
    train.write_text("".join(f"{word}\t{('O', *LABELS['tags'])[row % 5]}\n" for row, word in enumerate(words)) * 2)
    train.write_text(train.read_text() + "\n" + train.read_text())
    config = config_of(tmp_path, "tags", teacher=teacher, max_length=15, long_texts="cut", max_steps=1, eval_data=[])
    ((_, terms),) = losses(finetune(config))
    assert terms["teacher"] > 0
