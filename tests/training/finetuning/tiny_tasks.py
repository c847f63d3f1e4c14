"""Labelled files of every task, made of letters, and settings of fine-tuning runs that take a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from distilbert.core.schema import HEADS
from distilbert.models.pytorch import DistilBertModel
from distilbert.tasks.registry import TASKS as ROOMS
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from tests.data.corpora import LETTERS, tokenizer
from tests.tiny import tiny_config
from tests.training.tiny_run import Record, options, write_corpus, write_model

Draw = random.Random
NEGATIVE, POSITIVE = "abcdefgh", "qrstuvwx"  # letters that decide the class of a text
TOPICS = {"sport": "b", "music": "m", "film": "t"}
TASKS = {
    "single": "text-classification",
    "multi": "text-classification",
    "regression": "text-classification",
    "tags": "token-classification",
    "squad1": "question-answering",
    "squad2": "question-answering",
    "choice": "multiple-choice",
    "text": "fill-mask",
}
KINDS = tuple(TASKS)


def write_data(path: Path, kind: str, rows: int = 24, seed: int = 0) -> str:
    """Write a file of ``rows`` examples in the format of ``kind``; the ending is added to ``path``."""
    if kind == "text":
        return write_corpus(path.with_suffix(".txt"), rows, seed)
    ending, content = _WRITERS[kind](Draw(seed), rows)
    target = path.with_suffix(ending)
    target.write_text(content, encoding="utf-8")
    return str(target)


def letters(draw: Draw, low: int, high: int, alphabet: str = LETTERS) -> str:
    return " ".join(draw.choice(alphabet) for _ in range(draw.randint(low, high)))


def _single(draw: Draw, rows: int) -> tuple[str, str]:
    lines = ["sentence\tlabel"]
    for row in range(rows):
        lines.append(f"{letters(draw, 2, 9, (NEGATIVE, POSITIVE)[row % 2])}\t{('bad', 'good')[row % 2]}")
    return ".tsv", "\n".join(lines) + "\n"


def _multi(draw: Draw, rows: int) -> tuple[str, str]:
    records = []
    for row in range(rows):
        names = [name for number, name in enumerate(TOPICS) if (row >> number) & 1]
        words = [*letters(draw, 1, 5, NEGATIVE[2:]).split(), *(TOPICS[name] for name in names)]
        draw.shuffle(words)
        records.append({"text": " ".join(words), "labels": names})
    return ".jsonl", _jsonl(records)


def _regression(draw: Draw, rows: int) -> tuple[str, str]:
    """Two texts; the number grows with the letters ``x`` in them."""
    lines = ["sentence1,sentence2,score"]
    for row in range(rows):
        first, second = letters(draw, 2, 5, LETTERS[:20]), letters(draw, 2, 5, LETTERS[:20])
        lines.append(f'"{first},{" x" * (row % 4)}",{second},{row % 4 / 2 + 0.25}')
    return ".csv", "\n".join(lines) + "\n"


def _tags(draw: Draw, rows: int) -> tuple[str, str]:
    """Three letters are entities: ``x`` begins a person, ``y`` continues it, ``z`` is a place. One sentence is long."""
    blocks = []
    for row in range(rows):
        words, tags = letters(draw, 2, 6, LETTERS[:20]).split(), []
        tags = ["O"] * len(words)
        at = draw.randrange(len(words) + 1)
        words[at:at], tags[at:at] = (["x", "y"], ["B-PER", "I-PER"]) if row % 2 else (["z"], ["B-LOC"])
        if row == 3:
            words, tags = words * 6, tags * 6  # longer than the model
        blocks.append("\n".join(f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)))
    return ".conll", "\n\n".join(blocks) + "\n"


def _squad(draw: Draw, rows: int, impossible: bool) -> tuple[str, str]:
    """The answer is the run of the letter ``x``, if there is one."""
    paragraphs = []
    for row in range(rows):
        words = draw.sample(LETTERS[:20], 6 if row != 3 else 20)  # one is longer than the model
        at, has_none = draw.randrange(1, len(words)), impossible and row % 3 == 0
        answer = "x" if row % 2 else "x x"
        before, after = " ".join(words[:at]), " ".join(words[at:])
        context = f"{before} {after}" if has_none else f"{before} {answer} {after}"
        entry: Record = {"id": f"q{row}", "question": "w u", "answers": []}
        if not has_none:
            entry["answers"] = [{"text": answer, "answer_start": len(before) + 1}]
        paragraphs.append({"context": context, "qas": [entry | ({"is_impossible": has_none} if impossible else {})]})
    version = "v2.0" if impossible else "1.1"
    return ".json", json.dumps({"version": version, "data": [{"title": "letters", "paragraphs": paragraphs}]})


def _choice(draw: Draw, rows: int) -> tuple[str, str]:
    """The right choice is the letter that the context repeats; there are two to four choices."""
    records = []
    for row in range(rows):
        choices = draw.sample(LETTERS, 2 + row % 3)
        right = draw.randrange(len(choices))
        context = " ".join([choices[right]] * draw.randint(1, 4))
        records.append({"context": context, "question": "w", "choices": choices, "label": right})
    return ".jsonl", _jsonl(records)


def _jsonl(rows: list[Record]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


_WRITERS: dict[str, Callable[[Draw, int], tuple[str, str]]] = {
    "single": _single,
    "multi": _multi,
    "regression": _regression,
    "tags": _tags,
    "squad1": lambda draw, rows: _squad(draw, rows, impossible=False),
    "squad2": lambda draw, rows: _squad(draw, rows, impossible=True),
    "choice": _choice,
}


LABELS = {
    "single": ["bad", "good"],
    "multi": sorted(TOPICS),
    "regression": ["score"],
    "tags": ["O", "B-LOC", "B-PER", "I-PER"],
}  # as runs must order them
PROBLEMS = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}


def head_of(kind: str) -> str:
    return ROOMS[TASKS[kind]].head


def architecture_of(kind: str) -> str:
    return HEADS[head_of(kind)].architecture


def write_teacher(folder: Path, kind: str, names: list[str] | None = None, **changes: Any) -> str:
    """A model for the task of ``kind``, with its labels in the order of ``names``."""
    given = names or LABELS.get(kind)
    labels = {"id2label": dict(enumerate(given)), "num_labels": len(given)} if given else {}
    return write_model(folder, head_of(kind), **{"seed": 5, **labels, "problem_type": PROBLEMS.get(kind), **changes})


def write_learner(folder: Path) -> str:
    """A model that learns fast: with the usual initialisation and no dropout."""
    torch.manual_seed(0)
    sizes = {"n_layers": 2, "dim": 48, "hidden_dim": 96, "dropout": 0.0, "attention_dropout": 0.0}
    DistilBertModel(tiny_config(**sizes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def values_of(folder: Path, kind: str = "single", **changes: Any) -> Record:
    """Settings of four steps of eight examples, in several micro-batches, with an evaluation every second step."""
    model = folder / "model"
    if "model" not in changes and not model.exists():
        write_model(model, head="", n_layers=2)
    for name, seed, rows in (("train", 0, 24), ("dev", 1, 10)):
        if not list(folder.glob(f"{name}-{kind}.*")):
            write_data(folder / f"{name}-{kind}", kind, rows, seed)
    return {
        "task": TASKS[kind],
        "model": str(model),
        "train_data": [str(next(folder.glob(f"train-{kind}.*")))],
        "eval_data": [str(next(folder.glob(f"dev-{kind}.*")))],
        "output": str(folder / "run"),
        "batch_size": 8,
        "micro_tokens": 40,
        "max_steps": 4,
        "learning_rate": 0.01,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "device": "cpu",
        **changes,
    }


def config_of(folder: Path, kind: str = "single", **changes: Any) -> FinetuneConfig:
    return FinetuneConfig(**values_of(folder, kind, **changes))


def options_of(values: Record) -> list[str]:
    """Settings as arguments of ``distilbert finetune``: files one by one, other lists with commas."""
    arguments: list[str] = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if name.endswith("_data"):
            arguments += [part for source in value for part in (flag, source)]
        elif isinstance(value, list):
            arguments += [flag, ",".join(map(str, value))]
        else:
            arguments += options({name: value})
    return arguments
