"""Runs of every task from a file to a folder, and uses of that folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from distilbert import pipeline
from distilbert.models import pytorch
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetuner import finetune
from tests.training.tiny_run import Record, read_metrics, weights

from .tiny_tasks import (
    KINDS,
    LABELS,
    PROBLEMS,
    TASKS,
    architecture_of,
    config_of,
    values_of,
    write_data,
    write_learner,
)

COLUMNS = {
    "single": {"text": "sentence", "label": "label"},
    "multi": {"text": "text", "label": "labels"},
    "regression": {"text": "sentence1", "text_pair": "sentence2", "label": "score"},
    "tags": {"words": "words", "tags": "tags"},
    "squad1": {"question": "question", "context": "context", "answers": "answers", "key": "id"},
    "squad2": {"question": "question", "context": "context", "answers": "answers", "key": "id"},
    "choice": {"context": "context", "question": "question", "choices": "choices", "label": "label"},
    "text": {"text": "text"},
}
ASKED: dict[str, Any] = {
    "single": "a b c",
    "multi": "a b c",
    "regression": {"text": "a b", "text_pair": "c d"},
    "tags": "a x y z",
    "squad1": {"question": "w", "context": "a b x x c"},
    "squad2": {"question": "w", "context": "a b x x c"},
    "choice": {"context": "a a", "question": "w", "choices": ["a", "b"]},
    "text": "a b [MASK] d",
}


@dataclass(frozen=True)
class Ran:
    folder: Path
    config: FinetuneConfig
    records: list[Record]
    lines: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run of each kind, started when a test first needs it."""

    @cache
    def make(kind: str) -> Ran:
        config = config_of(tmp_path_factory.mktemp(kind), kind)
        records: list[Record] = []
        lines: list[str] = []
        return Ran(finetune(config, on_record=records.append, on_data=lines.append), config, records, lines)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_fine_tuned_folder(kind: str, ran: Any) -> None:
    run: Ran = ran(kind)
    assert {path.name for path in run.folder.iterdir()} == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "README.md", "report.html", "summary.json", "metrics.jsonl", "config.toml",
        "checkpoints", "evaluation",
    }  # fmt: skip
    assert FinetuneConfig.load(run.folder / "config.toml") == run.config
    assert [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()] == run.records
    steps = [(record["kind"], record["step"]) for record in run.records]
    assert steps == [(k, n) for n in range(1, 5) for k in (("train", "evaluation") if n % 2 == 0 else ("train",))]
    train = [record for record in run.records if record["kind"] == "train"]
    assert all(record["loss"] == record["terms"]["task"] for record in train)
    assert [record["terms"].keys() for record in train] == [{"task"}] * 4
    summary = json.loads((run.folder / "summary.json").read_text())
    assert (summary["task"], summary["problem"], summary["steps"]) == (TASKS[kind], PROBLEMS.get(kind, ""), 4)
    data = summary["data"]
    assert (data["examples"], data["evaluation_examples"], data["columns"]) == (24, 10, COLUMNS[kind])
    assert data["labels"] == LABELS.get(kind, [])
    assert data["units"] > 24 if kind in ("tags", "squad1", "squad2", "text") else data["units"] == 24  # windows
    last, model = run.records[-1], summary["models"]["model"]
    for name in last.keys() - {"kind", "step", "tokens", "seconds"}:
        assert model[name] == pytest.approx(last[name], rel=1e-4, abs=1e-6), "as a user of the folder measures it"
    assert summary["main_metric"] in last
    assert (run.folder / summary["evaluation"]).is_file()
    assert run.lines[0].startswith("24 examples to train on (")
    assert "10 examples to evaluate on" in run.lines


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_it(kind: str, ran: Any) -> None:
    transformers = pytest.importorskip("transformers")
    run: Ran = ran(kind)
    reference, info = getattr(transformers, architecture_of(kind)).from_pretrained(run.folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    model = getattr(pytorch, architecture_of(kind)).from_pretrained(run.folder).eval()
    assert reference.config.id2label == model.config.id2label
    assert reference.config.problem_type == model.config.problem_type == PROBLEMS.get(kind)
    if kind in LABELS:
        assert model.config.id2label == dict(enumerate(LABELS[kind]))
    ids = torch.randint(5, 31, (2, 3, 12) if kind == "choice" else (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for output, expected in zip(model(ids).to_tuple(), reference.eval()(ids).to_tuple(), strict=True):
            torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_answers_with_it(kind: str, ran: Any) -> None:
    answer = pipeline(TASKS[kind], ran(kind).folder)(ASKED[kind])
    answers = [answer] if isinstance(answer, dict) else answer
    names = [entry.get("label") or entry.get("entity") for entry in answers]
    if kind in LABELS:
        assert set(names) <= set(LABELS[kind])
    assert answers or kind == "tags"  # after four steps it may find no entity
    assert pipeline(model=ran(kind).folder).task == TASKS[kind]


def better(kind: str, last: Record) -> bool:
    if kind == "text":
        return last["perplexity"] < 24  # there are 26 equally frequent letters
    if kind == "choice":
        return last["accuracy"] > 0.8  # chance is 0.36
    metric = {"single": "accuracy", "multi": "f1_micro", "regression": "pearson"}.get(kind, "f1")
    return last[metric] > (90 if kind.startswith("squad") else 0.9)


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(
    ("kind", "epochs"),
    [
        ("single", 6),
        ("tags", 6),
        ("squad1", 10),
        *[pytest.param(k, n, marks=pytest.mark.slow) for k, n in (("multi", 20), ("regression", 20), ("choice", 25))],
        *[pytest.param(k, n, marks=pytest.mark.slow) for k, n in (("squad2", 15), ("text", 20))],
    ],
)
def test_it_learns(kind: str, epochs: int, tmp_path: Path) -> None:
    changes = {
        "model": write_learner(tmp_path / "learner"), "train_data": [write_data(tmp_path / "many", kind, 160, seed=3)],
        "max_steps": 0, "epochs": epochs, "batch_size": 16, "micro_tokens": 1000, "learning_rate": 0.003,
        "evaluate_every": 1000, "checkpoint_every": 1000,
    }  # fmt: skip
    last = read_metrics(finetune(config_of(tmp_path, kind, **changes)))[-1]
    assert better(kind, last), last


@pytest.mark.usefixtures("unreported")
def test_a_seed_decides_everything(tmp_path: Path) -> None:
    folders = [
        finetune(config_of(tmp_path, "tags", output=str(tmp_path / f"r{number}"), seed=seed))
        for number, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (weights(folder) for folder in folders)
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    assert read_metrics(folders[0]) == read_metrics(folders[1])
    assert any(not torch.equal(first[name], other[name]) for name in first)
    losses = [[record.get("loss") for record in read_metrics(folder)] for folder in folders]
    assert losses[0][0] != losses[2][0]


@pytest.mark.usefixtures("unreported")
def test_recomputing_changes_nothing(tmp_path: Path) -> None:
    plain = weights(finetune(config_of(tmp_path)))
    recomputed = weights(finetune(config_of(tmp_path, output=str(tmp_path / "again"), gradient_checkpointing=True)))
    assert [name for name in plain if not torch.equal(plain[name], recomputed[name])] == []


def test_without_evaluation_data(tmp_path: Path) -> None:
    folder = finetune(FinetuneConfig(**{**values_of(tmp_path), "eval_data": []}))
    assert {record["kind"] for record in read_metrics(folder)} == {"train"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["models"].keys() == {"model"}
    assert "main_metric" not in summary
    assert not (folder / "evaluation").exists()
    assert pipeline("text-classification", folder)("a b")
