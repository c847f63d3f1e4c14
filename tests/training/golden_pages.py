"""Pages and cards from fixed inputs, compared with the files in ``golden/``.

After a change of a page that is meant, write them again with ``python -m tests.training.golden_pages`` and read the
difference. The drawings in them are those of the version of matplotlib in ``golden/matplotlib.txt``.
"""

from __future__ import annotations

import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console

from distilbert.cli.evaluation_table import print_evaluation
from distilbert.data.examples import SINGLE, Labels, TextExample
from distilbert.tasks.registry import task_spec
from distilbert.training.evaluation.bootstrap import bootstrap_intervals
from distilbert.training.evaluation.model_comparison import ComparedModel, compare_models
from distilbert.training.evaluation.result import Evaluation, ModelResult
from distilbert.training.evaluation.speed import Speed
from distilbert.training.evaluation.task_metrics import (
    breakdown,
    compute_metrics,
    example_results,
    resampled_metrics,
    task_evaluation,
    worst_results,
)
from distilbert.training.reports.evaluation_report import evaluation_page
from distilbert.training.reports.model_card import quantization_section, write_card
from distilbert.training.reports.training_report import write_report
from tests.training.evaluation.task_cases import KINDS, Case, case
from tests.training.runs import SUMMARY, evaluation_record, make_run, pretraining, records, train_record

FOLDER = Path(__file__).with_name("golden")
MATPLOTLIB = "matplotlib.txt"
MACHINE = {"cpu": "Some CPU at 2.0 GHz", "cores": 2, "versions": {"python": "3.11.2", "torch": "2.13.0"}}
SPEEDS = (Speed(30, 1.234, 2.5, 3.875, 30, 812.5, 6512.3), Speed(30, 2.468, 4.25, 9.5, 30, 406.2, 3256.1))
FACTS = ({"layers": 3, "dim": 384, "parameters": 17_389_824, "bytes": 69_559_296},
         {"layers": 6, "dim": 384, "parameters": 22_713_216, "bytes": 90_852_864})  # fmt: skip
DISTILLED = """seed = 56
learning_rate = 5e-4
tokens_per_step = 128000
temperature = 2.0

[terms]
ce = 5.0
mlm = 2.0
cos = 1.0
"""
FINETUNED: dict[str, Any] = {
    "title": "intents_6",
    "created": "2026-11-24T14:03:22+00:00",
    "command": "distilbert finetune --model mini --train-data train.tsv --eval-data dev.tsv --output out_6 --resume",
    "machine": MACHINE,
    "data": {
        "sources": ["train_1.tsv", "train_2.tsv"],
        "columns": {"text": "sentence", "label": "intent"},
        "examples": 15_432,
        "unlabelled_examples": 321,
        "evaluation_sources": ["dev.tsv"],
        "evaluation_examples": 1_543,
        "labels": ["card_arrival", "card|swallowed", "`odd`", "a<b"],
        "problem": "single_label_classification",
    },
    "steps": 480,
    "tokens": 1_234_567,
    "seconds": 321.5,
    "best_step": 240,
    "task": "text-classification",
    "problem": "single_label_classification",
    "main_metric": "accuracy",
    "evaluation": "evaluation/report.html",
    "models": {
        "teacher": FACTS[1] | {"accuracy": 0.9123, "f1_macro": 0.9017, "log_loss": 0.312, "tokens_per_second": 5012.0},
        "student": FACTS[0] | {"accuracy": 0.9012, "f1_macro": 0.8911, "log_loss": 0.345, "tokens_per_second": 9012.0},
    },
}


def finetuned(**changes: Any) -> dict[str, Any]:
    """A run without a teacher."""
    model = FINETUNED["models"]["student"]
    return FINETUNED | {"models": {"model": model}, "command": "distilbert finetune --resume --model mini"} | changes


def finetuning_records() -> list[dict[str, Any]]:
    train: list[dict[str, Any]] = []
    for step in range(10, 481, 10):
        record = train_record(step, 480)
        train.append(record | {"terms": {"hard": record["terms"]["ce"], "soft": record["terms"]["mlm"]}})
    evaluations = [
        {key: evaluation_record(step)[key] for key in ("kind", "step", "tokens", "seconds")}
        | {"accuracy": 0.5 + step / 1200, "f1_macro": 0.49 + step / 1200, "log_loss": 2.5 * 0.995**step}
        for step in (240, 480)
    ]
    return sorted(train + evaluations, key=lambda record: record["step"])


def other_answers(kind: str, predictions: list[Any]) -> list[Any]:
    """What a second model says to the same examples."""
    if kind == "tags":
        return [tuple(reversed(tags)) for tags in predictions]
    return predictions[::-1]


def many_labels(count: int) -> Case:
    draw, numbers = random.Random(3), np.random.default_rng(3)
    names = tuple(f"name_{number}" for number in range(14))
    texts = [TextExample(f"f:{n}", f"text <{n}> & $x^2$", label=draw.choice(names)) for n in range(count)]
    return "text-classification", list(texts), list(numbers.dirichlet(np.ones(14), count)), Labels(names, SINGLE)


def evaluation(kind: str, models: int) -> Evaluation:
    """What ``evaluate`` would return for one or two models that answered the examples of a kind."""
    task, examples, predictions, labels = many_labels(60) if kind == "many" else case(kind, 30, 5)
    answers = [predictions, other_answers(kind, predictions)][:models]
    model_results, compared = [], []
    for index, model_answers in enumerate(answers):
        arguments = (task, examples, model_answers, labels)
        metrics = resampled_metrics(*arguments)
        name, facts = ("student", "teacher_6")[index], FACTS[index]
        model_results.append(
            ModelResult(
                name, f"models/{name}", facts, compute_metrics(*arguments),
                bootstrap_intervals(metrics, len(examples), 100, 0), breakdown(*arguments), SPEEDS[index],
            )
        )  # fmt: skip
        compared.append(ComparedModel(metrics, example_results(*arguments)[0], facts, asdict(SPEEDS[index])))
    metric = task_spec(task).metric_for(labels.problem)
    results, severities = example_results(task, examples, predictions, labels)
    comparison = None
    if models == 2:
        compared_answers = task_evaluation(task, labels.problem).compared_answers
        comparison = compare_models(*compared, compared_answers, samples=100, seed=0)
    return Evaluation(
        task=task,
        main_metric=metric.name,
        higher_is_better=metric.higher_is_better,
        data={
            "sources": ["data/dev_1.tsv", "data/dev_2.tsv"], "columns": {"text": "sentence", "label": "class"},
            "read": 40, "examples": len(examples), "labels": list(labels.names), "problem": labels.problem,
        },
        models=model_results,
        comparison=comparison,
        worst=worst_results(results, severities, 5),
        about={
            "created": "2026-11-24T14:03:22+00:00", "machine": MACHINE,
            "settings": {"model": "models/student", "data": ["data/dev_1.tsv", "data/dev_2.tsv"], "samples": 100},
        },
        predictions=results,
    )  # fmt: skip


def printed(values: dict[str, Any]) -> str:
    file = io.StringIO()
    print_evaluation(
        values, Console(file=file, width=160, highlight=False, markup=False, emoji=False, color_system=None)
    )
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def run_report(summary: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), summary=summary, metrics=metrics, config=DISTILLED)
        return write_report(run).read_text(encoding="utf-8")


def card(summary: dict[str, Any], base: str, license: str | None = None, config: str = DISTILLED) -> str:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), summary=summary, config=config)
        return write_card(run, base=base, license=license).read_text(encoding="utf-8")


QUANTIZED: dict[str, Any] = {
    "task": "text-classification", "metric": "f1_macro", "fp32": 91.234, "int8": 90.987, "drop": 0.247,
    "max_drop": 0.5, "products": 12, "int8_products": 10, "floats": ["0.ffn_2", "2.out_lin"], "beside": "bf16",
    "changed": {"answers": 12, "of": 1_543}, "data": {"name": "dev_1.tsv", "examples": 1_543},
    "calibration": {"name": "train_1.tsv", "texts": 512, "tokens": 12_345}, "cpu": "Some CPU at 2.0 GHz",
}  # fmt: skip

EVALUATIONS = {
    "single": ("single", 1),
    "tags": ("tags", 1),
    "many": ("many", 1),
    **{f"{kind}_two": (kind, 2) for kind in KINDS},
}
PAGES: dict[str, Callable[[], str]] = {
    "report_distillation.html": lambda: run_report(SUMMARY, records()),
    "report_finetuning.html": lambda: run_report(FINETUNED, finetuning_records()),
    "report_long_pretraining.html": lambda: run_report(pretraining(), records(every=5, taught=False)),
    "card_distillation.md": lambda: card(SUMMARY, "owner/teacher", "MIT"),
    "card_pretraining.md": lambda: card(pretraining(), "models/mini_6"),
    "card_finetuning.md": lambda: card(finetuned(), "owner/mini", "apache-2.0", "seed = 3\nlearning_rate = 3e-5\n"),
    "card_finetuning_taught.md": lambda: card(FINETUNED, "owner/mini"),
    "card_tagging.md": lambda: card(
        finetuned(task="token-classification", main_metric="f1", models={"model": FACTS[0] | {"f1": 0.87}}), ""
    ),
    "card_answers.md": lambda: card(
        finetuned(task="question-answering", main_metric="f1", models={"model": FACTS[0] | {"f1": 87.1}}), "a/b"
    ),
    "card_choices.md": lambda: card(finetuned(task="multiple-choice"), "a/b"),
    "card_quantization.md": lambda: quantization_section(QUANTIZED),
    "card_quantization_plain.md": lambda: quantization_section(QUANTIZED | {"floats": [], "changed": None}),
    **{
        f"evaluation_{name}.html": lambda kind=kind, models=models: evaluation_page(evaluation(kind, models).to_dict())
        for name, (kind, models) in EVALUATIONS.items()
    },
    **{
        f"evaluation_{name}.txt": lambda kind=kind, models=models: printed(evaluation(kind, models).to_dict())
        for name, (kind, models) in EVALUATIONS.items()
    },
}  # fmt: skip


def numbers(kind: str, models: int) -> dict[str, Any]:
    """Everything that is written of an evaluation, as JSON gives it back."""
    result = evaluation(kind, models)
    return json.loads(json.dumps(result.to_dict() | {"predictions": result.predictions}))  # type: ignore[no-any-return]


def without_drawings(text: str) -> str:
    """Leave of each drawing its first tag, with what a screen reader says; matplotlib's versions differ in the rest."""
    return re.sub(r"(<svg[^>]*>).*?</svg>", r"\1</svg>", text, flags=re.DOTALL)


def write_all() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        FOLDER.joinpath(name).write_text(make(), encoding="utf-8")
    for name, (kind, models) in EVALUATIONS.items():
        text = json.dumps(numbers(kind, models), indent=0, ensure_ascii=False)
        FOLDER.joinpath(f"evaluation_{name}.json").write_text(f"{text}\n", encoding="utf-8")
    FOLDER.joinpath(MATPLOTLIB).write_text(f"{matplotlib.__version__}\n", encoding="utf-8")


if __name__ == "__main__":
    write_all()
