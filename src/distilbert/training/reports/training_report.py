"""The page about a run: ``report.html``, one file with everything in it, without scripts or anything from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...core.files import write_text
from .finished_run import FinishedRun, JsonObject, nested, read_run
from .models_summary import headline, metric_name, models_table
from .number_format import ABSENT, count, duration, finite, number, speed, when, whole
from .rendering import render_page
from .training_curves import curve_note, training_curves

MACHINE_NAMES = {"cpu": "CPU", "gpu": "GPU"}


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run, from the files that the run left there.

    Reads ``summary.json`` and, where they exist, ``config.toml`` and ``metrics.jsonl``. The same files give the same
    page.

    Returns:
        The path of the page.

    Raises:
        DataError: ``summary.json`` is missing, or one of the files cannot be read.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    path = folder / "report.html"
    write_text(path, training_page(read_run(folder)))
    return path


def training_page(run: FinishedRun) -> str:
    """Return the page as HTML."""
    data, machine = nested(run.summary, "data"), nested(run.summary, "machine")
    compared = _baseline_facts(run)
    return render_page(
        "training_report.html.j2",
        title=run.summary.get("title") or "Training run",
        subtitle=list(_subtitle(run.summary)),
        headline=headline(run),
        table=models_table(run.models, run.task),
        evaluation=run.summary.get("evaluation"),
        curves=training_curves(run),
        curve_note=curve_note(run),
        sections=[
            ("Run", known_facts(_run_facts(run))),
            ("Data", known_facts(_data_facts(data))),
            *([("For comparison", known_facts(compared))] if compared else []),
            ("Machine", known_facts(_machine_facts(machine))),
            ("Versions", known_facts(nested(machine, "versions").items())),
        ],
        command=run.command,
        config=run.config,
    )


def _baseline_facts(run: FinishedRun) -> list[tuple[str, Any]]:
    """Return the main metric of each baseline, and whether it is better than the model's."""
    metric, models = str(run.summary.get("main_metric")), run.models
    own = next((finite(models[role].get(metric)) for role in ("student", "model") if role in models), None)
    facts: list[tuple[str, Any]] = []
    for name, metrics in nested(nested(run.summary, "data"), "baselines").items():
        value = finite(metrics.get(metric)) if isinstance(metrics, dict) else None
        if value is not None:
            better = own is not None and value > own
            facts.append((name, f"{metric_name(metric, run.task)} {number(value)}{', better' if better else ''}"))
    return facts


def known_facts(facts: Iterable[tuple[Any, Any]]) -> list[tuple[Any, str]]:
    """Return names and values as text, without those that have no value; lists are joined with commas."""
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in facts
        if value not in (None, "", [], ABSENT)
    ]


def _subtitle(summary: JsonObject) -> Iterable[str]:
    if summary.get("created"):
        yield when(summary["created"])
    if finite(summary.get("steps")) is not None:
        yield f"{whole(summary['steps'])} steps"
    if finite(summary.get("tokens")) is not None:
        yield f"{count(summary['tokens'])} tokens"
    if finite(summary.get("seconds")) is not None:
        yield duration(summary["seconds"])


def _run_facts(run: FinishedRun) -> list[tuple[str, Any]]:
    summary = run.summary
    tokens, seconds, best = finite(summary.get("tokens")), finite(summary.get("seconds")), summary.get("best_step")
    name = metric_name(run.main_metric, run.task) if "task" in summary else "held-out perplexity"
    values = [record.get(run.main_metric) for record in run.evaluations if record["step"] == best]
    value = f" ({name[0].lower()}{name[1:]} {number(values[-1])})" if values else ""
    return [
        ("Steps", whole(summary.get("steps"))),
        ("Tokens", count(tokens)),
        ("Time", duration(seconds)),
        ("Overall speed", speed(tokens / seconds) if tokens is not None and seconds else None),
        ("Best step", f"{whole(best)}{value}" if finite(best) is not None else None),
    ]


def _data_facts(data: JsonObject) -> list[tuple[str, Any]]:
    return [
        ("Sources", data.get("sources")),
        ("Columns", [f"{role} = {column}" for role, column in nested(data, "columns").items()]),
        ("Examples", whole(data.get("examples"))),
        ("Labels", data.get("labels")),
        ("Examples without labels", whole(data["unlabelled_examples"]) if data.get("unlabelled_examples") else None),
        ("Evaluated on", data.get("evaluation_sources")),
        ("Examples evaluated on", whole(data["evaluation_examples"]) if data.get("evaluation_examples") else None),
        ("Tokens", count(data.get("tokens"))),
        ("Sequences", whole(data.get("sequences"))),
        ("Tokens a sequence", whole(data.get("sequence_length"))),
        ("Held-out sequences", whole(data.get("held_out_sequences"))),
        ("Tokens left out", whole(data.get("left_out_tokens"))),
    ]


def _machine_facts(machine: JsonObject) -> list[tuple[str, Any]]:
    return [
        (MACHINE_NAMES.get(key, key.replace("_", " ").capitalize()), value)
        for key, value in machine.items()
        if not isinstance(value, Mapping)
    ]
