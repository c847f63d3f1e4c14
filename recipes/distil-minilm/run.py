"""Train a teacher with a masked-LM head, then students with equal budgets, each without another term of the loss.

    python recipes/distil-minilm/run.py [--only NAME ...] [--no-tasks]

Run `make minilm` first, and provide the text that ``teacher.toml`` names. In the end teacher and students are
fine-tuned on SST-2 and MRPC. An interrupted run is resumed and a finished one is not repeated. Writes results.json and
the table in README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from distilbert import DistillConfig, FinetuneConfig, PretrainConfig, distill, finetune, pretrain

HERE = Path(__file__).parent
TRIPLE = {"ce": 5.0, "mlm": 2.0, "cos": 1.0}
ATTEMPTS: dict[str, dict[str, Any]] = {
    "triple": {},
    "without-ce": {"terms": {name: weight for name, weight in TRIPLE.items() if name != "ce"}},
    "without-cos": {"terms": {name: weight for name, weight in TRIPLE.items() if name != "cos"}},
    "without-mlm": {"terms": {name: weight for name, weight in TRIPLE.items() if name != "mlm"}},
    "random": {"init": "random"},
    "relation": {"terms": TRIPLE | {"relation": 1.0}},
}
DESCRIPTIONS = {
    "triple": "triple loss, from the teacher's layers 0, 3, 5",
    "without-ce": "without ce",
    "without-cos": "without cos",
    "without-mlm": "without mlm",
    "random": "triple loss, random initialisation",
    "relation": "triple loss and relation",
}
TASKS: dict[str, dict[str, Any]] = {
    "sst2": {"max_steps": 600, "learning_rate": 1e-4},
    "mrpc": {"epochs": 3.0, "learning_rate": 1e-4},
}
START, END = "<!-- table -->\n", "<!-- end of table -->"


def settings(name: str) -> DistillConfig:
    """Return the settings of a student."""
    return DistillConfig.load(HERE / "student.toml", output=f"models/distil-minilm/{name}", **ATTEMPTS[name])


def run(function: Any, config: Any) -> dict[str, Any]:
    """Start or resume a run, unless it is finished, and return its summary."""
    summary = Path(config.output) / "summary.json"
    if not summary.is_file():
        function(config, resume=True)
    return dict(json.loads(summary.read_text(encoding="utf-8")))


def score(model: str, task: str, data: Path) -> float:
    """Fine-tune a model on a task, with the same settings for all models, and return its accuracy."""
    config = FinetuneConfig(
        task="text-classification",
        model=model,
        train_data=[str(data / task / "train.tsv")],
        eval_data=[str(data / task / "dev.tsv")],
        output=f"{model}-{task}",
        **TASKS[task],
    )
    return round(run(finetune, config)["models"]["model"]["accuracy"], 4)


def row(name: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a student for the table."""
    student, teacher = summary["models"]["student"], summary["models"]["teacher"]
    return {
        "attempt": name,
        "perplexity": round(student["perplexity"], 1),
        "over_teacher": round(student["perplexity"] / teacher["perplexity"] - 1, 3),
        "kl": round(student["kl"], 3),
        "agreement": round(student["agreement"], 3),
        "seconds": round(summary["seconds"]),
    }


def table(rows: list[dict[str, Any]], teacher: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| student | held-out perplexity | against the teacher | KL, nats | agreement | SST-2 | MRPC |",
        "|---|---|---|---|---|---|---|",
        f"| (teacher, 6 layers) | {teacher['perplexity']:.1f} | | | | {_accuracies(teacher)} |",
    ]
    for figures in rows:
        over = f"{figures['over_teacher']:+.1%}"
        lines.append(
            f"| {DESCRIPTIONS[figures['attempt']]} | {figures['perplexity']} | {over} | {figures['kl']} | "
            f"{figures['agreement']:.1%} | {_accuracies(figures)} |"
        )
    return "\n".join(lines) + "\n"


def _accuracies(figures: dict[str, Any]) -> str:
    return " | ".join(f"{figures[task]:.1%}" if task in figures else "" for task in TASKS)


def main() -> None:
    """Do the runs that are not finished and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ATTEMPTS), default=list(ATTEMPTS))
    parser.add_argument("--no-tasks", action="store_true", help="leave SST-2 and MRPC out")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sst2/ and mrpc/")
    chosen = parser.parse_args()
    print("teacher", flush=True)
    base = PretrainConfig.load(HERE / "teacher.toml")
    run(pretrain, base)
    for name in chosen.only:
        print(name, flush=True)
        run(distill, settings(name))
    done = [name for name in ATTEMPTS if (Path(settings(name).output) / "summary.json").is_file()]
    summaries = {name: run(distill, settings(name)) for name in done}
    first = next(iter(summaries.values()))
    rows = [row(name, summary) for name, summary in summaries.items()]
    teacher, student = (first["models"][role] for role in ("teacher", "student"))
    for task in () if chosen.no_tasks else TASKS:
        students = [(settings(figures["attempt"]).output, figures) for figures in rows]
        for model, figures in [(base.output, teacher), *students]:
            print(f"{model} on {task}", flush=True)
            figures[task] = score(model, task, chosen.data)
    results = {
        "created": first["created"],
        "machine": first["machine"],
        "precision": first["precision"],
        "data": first["data"],
        "steps": first["steps"],
        "tokens": first["tokens"],
        "teacher": teacher,
        "student": {name: student[name] for name in ("parameters", "bytes", "layers", "dim", "tokens_per_second")},
        "tasks": TASKS,
        "attempts": rows,
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(before + START + table(rows, teacher) + END + rest.partition(END)[2], encoding="utf-8")
    print(table(rows, teacher))


if __name__ == "__main__":
    main()
