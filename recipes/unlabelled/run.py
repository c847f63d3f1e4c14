"""Teach students of three layers with texts that have no labels, on the tasks where labels alone teach too little.

    python recipes/unlabelled/run.py [TASK ...] [--data ../shared/data] [--seeds 42 43 44]

Run `make minilm` and `python recipes/tasks/splits.py` first. For each task of ``unlabelled.toml``, a teacher of six
layers is fine-tuned with the settings of recipes/tasks. A student takes its embeddings, its layers 0, 1 and 2 and its
head, and learns from the labels and from the teacher's scores, also of the texts that ``texts.py`` makes. An
interrupted run is resumed and a finished one is not repeated. Writes results.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from pathlib import Path
from typing import Any

from texts import SPLITS, write_texts

from distilbert import FinetuneConfig, finetune

HERE = Path(__file__).parent
MODELS = Path("models/unlabelled")
TASKS = HERE.parent / "tasks"
START, END = "<!-- table -->\n", "<!-- end of table -->"
Record = dict[str, Any]


def settings(task: str, plan: Record, data: Path) -> Record:
    """Return the settings that a teacher and its students have in common."""
    values = plan["common"] | {name: value for name, value in plan[task].items() if name not in ("student", "taught")}
    for name in ("metric", "unlabelled_data"):
        values.pop(name, None)
    for name in ("train_data", "eval_data"):
        values[name] = [str((SPLITS.parent if path.startswith("splits/") else data) / path) for path in values[name]]
    return dict(values)


def run(values: Record) -> Record:
    """Start or resume a run, unless it is finished, and return its summary."""
    summary = Path(values["output"]) / "summary.json"
    if not summary.is_file():
        finetune(FinetuneConfig(**values), resume=True)
    return dict(json.loads(summary.read_text(encoding="utf-8")))


def train(task: str, plan: Record, own: Record, data: Path, seeds: list[int]) -> None:
    """Train the teacher of a task and its students.

    Args:
        task: its name.
        plan: the settings of recipes/tasks.
        own: those of unlabelled.toml: ``epochs`` of the students, the rest of all models of the task.
        data: folder of the data sets.
        seeds: of the students.
    """
    print(f"{task}: teacher", flush=True)
    shared = settings(task, plan, data) | {name: value for name, value in own.items() if name != "epochs"}
    teacher = str(MODELS / task / "teacher")
    run(shared | {"model": "models/minilm", "output": teacher})
    texts = MODELS / "texts" / f"{task}.jsonl"
    if not texts.is_file():
        write_texts(task, data, texts)
    values = shared | plan["student"] | plan[task].get("student", {}) | plan["taught"]
    values |= {"model": teacher, "layers": "0,1,2", "teacher": teacher, "unlabelled_data": [str(texts)]}
    for seed in seeds:
        print(f"{task}: student, seed {seed}", flush=True)
        run(values | {"epochs": own["epochs"], "seed": seed, "output": str(MODELS / task / f"student-{seed}")})


def collect(task: str) -> Record:
    """Return the figures of the finished students of a task, by their seeds, and of their teacher."""
    students: Record = {}
    teacher: Record = {}
    for path in sorted((MODELS / task).glob("student-*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        teacher = summary["models"]["teacher"]
        students[path.parent.name.removeprefix("student-")] = summary["models"]["student"] | {
            "seconds": summary["seconds"],
            "machine": summary["machine"]["cpu"],
        }
    return {"teacher": teacher, "students": students}


def table(results: Record, before: Record, plan: Record) -> str:
    """Return the results as Markdown, beside the students of recipes/tasks, whose teachers had the same settings.

    Args:
        results: figures by task.
        before: the results of recipes/tasks.
        plan: the settings of recipes/tasks.
    """
    lines = [
        "| task | metric | teacher | student | seeds | kept | kept without these texts |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    shares = []
    for task in (name for name in plan if name in before):
        earlier = before[task]
        metric = plan[task].get("metric") or earlier["teacher"]["main_metric"]
        kept_before = earlier["inherited+teacher"][metric] / earlier["teacher"][metric]
        if task not in results:
            shares.append(kept_before)
            lines.append(f"| {task} | {metric} | | | | | {kept_before:.1%} |")
            continue
        scale = 1 if task == "squad" else 100
        teacher = results[task]["teacher"][metric] * scale
        scores = sorted(student[metric] * scale for student in results[task]["students"].values())
        score = statistics.median(scores)
        shares.append(score / teacher)
        spread = f"{scores[0]:.1f} to {scores[-1]:.1f}" if len(scores) > 1 else "one"
        figures = f"{teacher:.1f} | {score:.1f} | {spread} | {score / teacher:.1%} | {kept_before:.1%}"
        lines.append(f"| {task} | {metric} | {figures} |")
    lines.append(f"| median of all | | | | | {statistics.median(shares):.1%} | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do the runs that are not finished and write the results."""
    plan = tomllib.loads((TASKS / "tasks.toml").read_text(encoding="utf-8"))
    own = tomllib.loads((HERE / "unlabelled.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", default=list(own), help=f"of {', '.join(own)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    chosen = parser.parse_args()
    for task in chosen.tasks:
        train(task, plan, own[task], chosen.data, chosen.seeds)
        write_results(task, plan)


def write_results(task: str, plan: Record) -> None:
    """Write the results of a task, and the table of all."""
    path, readme = HERE / "results.json", HERE / "README.md"
    # Read only now, because another process of this recipe may have written results meanwhile.
    results: Record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    results[task] = collect(task)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    before = json.loads((TASKS / "results.json").read_text(encoding="utf-8"))
    text, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(text + START + table(results, before, plan) + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
