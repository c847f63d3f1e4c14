"""Accuracy against speed: models of one task in several sizes and precisions, measured in turn.

    python -m benchmarks.smaller_models --data FILE --name sst2 "6 layers=FOLDER" "6 layers, int8=FOLDER:int8" ...

The first model is the one that the others are compared with. Speeds are those from text to answer, of the engine; a
round answers all texts of the file, and the fastest of the rounds counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilbert import pipeline
from distilbert.core.cpu_name import cpu_name
from distilbert.core.files import replacing
from distilbert.data.labelled import read_examples
from distilbert.data.labels import labels_of_config
from distilbert.training.evaluation.quantizer import RunnerScorer
from distilbert.training.evaluation.task_metrics import predict

from .common import RESULTS, best_and_median, in_turn, today, write_result


def chart(models: Mapping[str, Any], metric: str, title: str, path: Path) -> None:
    """Draw the metric of each model against its speed; a legend beside it names the models, from slow to fast."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    markers = "osD^vP*X<>"
    ordered = sorted(models.items(), key=lambda item: float(item[1]["speedup"]))
    for number, (name, values) in enumerate(ordered):
        marker = markers[number % len(markers)]
        axes.plot(values["speedup"], values["score"], marker, markersize=9, alpha=0.8, label=name)
    axes.set_xlabel(f"times as fast as {next(iter(models))}, from text to answer")
    axes.set_ylabel(f"{metric}, points")
    axes.set_title(title, fontsize=11)
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Measure, and write the result file and the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="NAME=FOLDER, or NAME=FOLDER:PRECISION; fp32 without one")
    parser.add_argument("--data", required=True, help="labelled examples that no training saw")
    parser.add_argument("--name", required=True, help="of the data, for the result file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    examples = read_examples("text-classification", [options.data], split="test").examples
    tasks, scores, metric = {}, {}, ""
    for named in options.models:
        name, _, place = named.partition("=")
        folder, _, precision = place.partition(":")
        task = pipeline(
            "text-classification", folder, runner="engine", precision=precision or "fp32", threads=options.threads
        )
        labels = labels_of_config(task.config, task.task)
        scorer = RunnerScorer(task, examples, labels)
        tasks[name], scores[name], metric = task, round(scorer(task.runner), 2), scorer.metric
    seconds = in_turn({name: lambda task=task: predict(task, examples) for name, task in tasks.items()}, options.rounds)
    first = next(iter(seconds.values()))
    models = {
        name: {
            "score": scores[name],
            "speedup": round(min(first) / min(values), 2),
            "examples_per_second": round(len(examples) / min(values), 1),
            "seconds": best_and_median(values),
            "layers": tasks[name].config.n_layers,
            "hidden_dim": tasks[name].config.hidden_dim,
            "vocabulary": tasks[name].config.vocab_size,
        }
        for name, values in seconds.items()
    }
    for name, values in models.items():
        print(f"{name:<40} {values['score']:6.2f} {values['speedup']:6.2f}x {values['examples_per_second']:10,.0f}/s")
    values = {"data": options.name, "examples": len(examples), "metric": metric, "threads": options.threads}
    name = f"smaller_models-{options.name}"
    write_result(name, values | {"models": models})
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    title = f"{options.name}: {len(examples):,} texts, {threads}, {cpu_name()}"
    chart(models, metric, title, RESULTS / f"{name}-{today()}.png")


if __name__ == "__main__":
    main()
