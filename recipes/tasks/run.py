"""Train a teacher and students of three layers for every task, and collect their scores.

    python recipes/tasks/run.py [TASK ...] [--data ../shared/data] [--only VARIANT ...]

For each task of ``tasks.toml`` there is a teacher (all-MiniLM-L6-v2, six layers). Its students have three layers:
layers picked from all-MiniLM-L6-v2, or the student of general distillation (recipes/distil-minilm), each without and
with the teacher; its lowest layers, as they are, distilled (recipes/sentences), and the average of both, whose
classifiers read the mean of all tokens; and the first layers of the fine-tuned teacher. An interrupted run is resumed
and a finished one is not repeated. Writes results.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from pathlib import Path
from typing import Any

from splits import make_splits

from distilbert import FinetuneConfig, finetune

HERE = Path(__file__).parent
MODELS = Path("models/tasks")
TEACHER = "models/minilm"
DISTILLED = "models/distil-minilm/triple"
LOWER = {  # variant -> model and layers that it starts from
    "lower": (TEACHER, "0,1,2"),
    "general": ("models/sentences/pairs", ""),
    "halfway": ("models/sentences/halfway", ""),
}
VARIANTS = {
    "teacher": "teacher, 6 layers",
    "picks": "3 layers, picked",
    "picks+teacher": "3 layers, picked, taught",
    "distilled": "3 layers, distilled",
    "distilled+teacher": "3 layers, distilled, taught",
    "lower": "3 lower layers, mean",
    "general": "3 lower layers, distilled, mean",
    "halfway": "3 lower layers, half distilled, mean",
    "inherited+teacher": "3 layers of the teacher, taught",
}
START, END = "<!-- table -->\n", "<!-- end of table -->"
Record = dict[str, Any]


def settings(task: str, variant: str, plan: Record, data: Path) -> FinetuneConfig:
    """Return the settings of a run."""
    own = {name: value for name, value in plan[task].items() if name not in ("student", "taught", "metric")}
    values = plan["common"] | own
    for name in ("train_data", "eval_data", "unlabelled_data"):
        if name in values:
            values[name] = [str((MODELS if path.startswith("splits/") else data) / path) for path in values[name]]
    values |= {"output": str(MODELS / task / variant), "model": TEACHER}
    if variant == "teacher":
        values.pop("unlabelled_data", None)
        return FinetuneConfig(**values)
    values |= plan["student"] | plan[task].get("student", {})
    if variant.startswith("distilled"):
        values |= {"model": DISTILLED, "layers": ""}
    if variant in LOWER:
        model, layers = LOWER[variant]
        values |= {"model": model, "layers": layers}
        if values["task"] == "text-classification":
            values["pooling"] = "mean"
    if variant.startswith("inherited"):
        values |= {"model": str(MODELS / task / "teacher"), "layers": "0,1,2"}
    if variant.endswith("+teacher"):
        values |= {"teacher": str(MODELS / task / "teacher")} | plan["taught"] | plan[task].get("taught", {})
    else:
        values.pop("unlabelled_data", None)
    return FinetuneConfig(**values)


def run(config: FinetuneConfig) -> Record:
    """Start or resume a run, unless it is finished, and return its figures; of several seeds those of the median."""
    folder = Path(config.output)
    if not (folder / "summary.json").is_file():
        finetune(config, resume=True)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    models = summary["models"]
    figures = dict(models.get("student") or models["model"])
    sweep = folder / "runs.json"
    if sweep.is_file():
        figures["seeds"] = len(json.loads(sweep.read_text(encoding="utf-8"))["runs"])
    return figures | {
        "main_metric": summary["main_metric"], "machine": summary["machine"]["cpu"], "seconds": summary["seconds"]
    }  # fmt: skip


def table(results: Record, plan: Record) -> str:
    """Return the results as Markdown: the metric of each variant, and the share of the teacher's that is kept."""
    lines = [
        f"| task | metric | {' | '.join(VARIANTS.values())} | best kept |",
        f"|---|---|{'---:|' * (len(VARIANTS) + 1)}",
    ]
    kept: dict[str, list[float]] = {}  # variant, or "best" -> shares of the teacher's score
    for task in (name for name in plan if "teacher" in results.get(name, {})):
        figures = results[task]
        metric = plan[task].get("metric") or next(iter(figures.values()))["main_metric"]
        scale = 1 if figures["teacher"]["main_metric"] == "f1" and figures["teacher"]["f1"] > 1 else 100
        scores = {name: figures[name][metric] * scale for name in VARIANTS if name in figures}
        students = {name: score for name, score in scores.items() if name != "teacher" and scores["teacher"]}
        shares = {name: score / scores["teacher"] for name, score in students.items()}
        if shares:
            shares["best"] = max(shares.values())
        for name, share in shares.items():
            kept.setdefault(name, []).append(share)
        cells = [f"{scores[name]:.1f}" if name in scores else "" for name in VARIANTS]
        best = f"{shares['best']:.1%}" if shares else ""
        lines.append(f"| {task} | {metric} | {' | '.join(cells)} | {best} |")
    if kept:
        medians = [f"{statistics.median(kept[name]):.1%}" if name in kept else "" for name in (*VARIANTS, "best")]
        lines.append(f"| median kept | | {' | '.join(medians)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do the runs that are not finished and write the results."""
    plan = tomllib.loads((HERE / "tasks.toml").read_text(encoding="utf-8"))
    tasks = [name for name in plan if name not in ("common", "student", "taught")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", default=tasks, help=f"of {', '.join(tasks)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    chosen = parser.parse_args()
    make_splits(chosen.data)
    path = HERE / "results.json"
    for task in chosen.tasks:
        for variant in (name for name in VARIANTS if name in chosen.only):
            print(f"{task}: {variant}", flush=True)
            figures = run(settings(task, variant, plan, chosen.data))
            # Read again, because another process of this recipe may have written results meanwhile.
            results: Record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            results.setdefault(task, {})[variant] = figures
            path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(before + START + table(results, plan) + END + rest.partition(END)[2], encoding="utf-8")
    print(table(results, plan))


if __name__ == "__main__":
    main()
