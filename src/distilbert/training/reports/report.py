"""The page about a run: ``report.html``, one file with everything in it, no script and no connection needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...core.files import write_text
from .curves import Panel, panels, thinning
from .figures import (
    ABSENT,
    Comparison,
    comparison,
    count,
    duration,
    encodable,
    finite,
    judged,
    metric_name,
    number,
    result,
    speed,
    whole,
)
from .run_record import Record, RunRecord, part, read_run

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run, from what the run left there.

    Reads ``summary.json``, and ``config.toml`` and ``metrics.jsonl`` where they are. The same files give the same page.

    Returns:
        The path of the page.

    Raises:
        DataError: ``summary.json`` is missing, or one of the files cannot be read.
        MissingExtraError: matplotlib is not installed.
    """
    path = folder / "report.html"
    write_text(path, page(read_run(folder)))
    return path


def page(run: RunRecord) -> str:
    """Return the page as HTML."""
    command = run.summary.get("command")
    return document(
        run.summary.get("title") or "Training run",
        " · ".join(_short(run.summary)),
        result(run.models, **judged(run.summary)),
        [
            _compared(comparison(run.models, str(run.summary.get("task", "")))),
            _evaluated(run.summary.get("evaluation")),
            _charts(panels(run), thinning(run)),
            '<div class="groups">',
            _facts("Run", _about_run(run)),
            _facts("Data", _about_data(part(run.summary, "data"))),
            _facts("Machine", _about_machine(part(run.summary, "machine"))),
            _facts("Versions", list(part(part(run.summary, "machine"), "versions").items())),
            "</div>",
            f'<h2>Command</h2>\n<pre class="command">{said(_joined(command))}</pre>' if command else "",
            f"<details>\n<summary>Configuration</summary>\n<pre>{said(run.config)}</pre>\n</details>"
            if run.config
            else "",
        ],
    )


def document(title: Any, head: str, outcome: str, main: Iterable[str], styles: Sequence[str] = ("report.css",)) -> str:
    """Return a page with everything in it.

    Args:
        title: as text.
        head: the line below it, as HTML.
        outcome: what came out, as text.
        main: the rest, as HTML.
        styles: names of the style sheets.
    """
    room = files("distilbert.training.reports")
    style = "".join(room.joinpath(name).read_text(encoding="utf-8") for name in styles)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{said(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            "<header>",
            f"<h1>{said(title)}</h1>",
            f'<p class="soft">{head}</p>',
            f'<p class="result">{tied(said(outcome))}</p>',
            "</header>",
            "<main>",
            *main,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def said(value: Any) -> str:
    """Return text as HTML shows it, whatever is in it."""
    return escape(encodable(value))


def tied(text: str) -> str:
    """Keep numbers and their units on one line."""
    return re.sub(r"(\d) (?=[kMBT%]\b|%|[kMGT]B\b)", "\\1\u00a0", text)


def when(value: Any) -> str:
    """Return an ISO date and time as ``2026-11-24 14:03 UTC``; anything else as it is."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def _short(summary: Record) -> Iterable[str]:
    if summary.get("created"):
        yield said(when(summary["created"]))
    if finite(summary.get("steps")) is not None:
        yield f"{whole(summary['steps'])} steps"
    if finite(summary.get("tokens")) is not None:
        yield f"{tied(count(summary['tokens']))} tokens"
    if finite(summary.get("seconds")) is not None:
        yield duration(summary["seconds"])


def _compared(table: Comparison) -> str:
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{said(name)}</th>' for name in table.header[1:])
    rows = "\n".join(
        f'<tr><th scope="row">{said(row[0])}</th>{"".join(f"<td>{said(cell)}</td>" for cell in row[1:])}</tr>'
        for row in table.rows
    )
    return (
        '<div class="wide">\n<table class="compared" aria-label="What was measured">\n'
        f'<thead><tr><th scope="col"><span class="soft">Measured</span></th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _evaluated(path: Any) -> str:
    return f'<p><a href="{said(path)}">Errors, calibration and latency in the evaluation</a></p>' if path else ""


def _charts(shown: Sequence[Panel], note: str) -> str:
    if not shown:
        return '<h2>Curves</h2>\n<p class="soft">No metrics were recorded.</p>'
    read = f'<p class="soft note">{said(note)}</p>\n' if note else ""
    return f'<h2>Curves</h2>\n{read}<div class="charts">\n{chr(10).join(map(_figure, shown))}\n</div>'


def _figure(panel: Panel) -> str:
    note = f' <span class="soft">{said(panel.note)}</span>' if panel.note else ""
    keys = "".join(
        f'<li><span class="{"level" if key.color is None else f"k{key.color % 6 + 1}"}"></span>'
        f"{said(key.name)} {tied(said(key.value))}</li>"
        for key in panel.keys
    )
    return (
        f"<figure>\n<figcaption><h3>{said(panel.title)}{note}</h3></figcaption>\n{panel.svg}\n"
        + (f'<ul class="keys" aria-label="Lines and their last values">{keys}</ul>\n' if keys else "")
        + "</figure>"
    )


def _facts(title: str, facts: Sequence[tuple[str, Any]]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{said(name)}</th><td>{tied(said(_joined(value)))}</td></tr>'
        for name, value in facts
        if value not in (None, "", [], ABSENT)
    )
    return f'<section>\n<h2>{title}</h2>\n<table class="facts">\n{rows}\n</table>\n</section>' if rows else ""


def _about_run(run: RunRecord) -> list[tuple[str, Any]]:
    summary = run.summary
    tokens, seconds, best = finite(summary.get("tokens")), finite(summary.get("seconds")), summary.get("best_step")
    metric = judged(summary)["metric"]
    name = metric_name(metric, str(summary.get("task"))) if "task" in summary else "held-out perplexity"
    of_best = [record.get(metric) for record in run.evaluations if record["step"] == best]
    beside = f" ({name[0].lower()}{name[1:]} {number(of_best[-1])})" if of_best else ""
    return [
        ("Steps", whole(summary.get("steps"))),
        ("Tokens", count(tokens)),
        ("Time", duration(seconds)),
        ("Overall speed", speed(tokens / seconds) if tokens is not None and seconds else None),
        ("Best step", f"{whole(best)}{beside}" if finite(best) is not None else None),
    ]


def _about_data(data: Record) -> list[tuple[str, Any]]:
    return [
        ("Sources", data.get("sources")),
        ("Columns", _columns(part(data, "columns"))),
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


def _columns(columns: Record) -> str:
    return ", ".join(f"{role} = {column}" for role, column in columns.items())


def _about_machine(machine: Record) -> list[tuple[str, Any]]:
    names = {"cpu": "CPU", "gpu": "GPU"}
    return [
        (names.get(key, key.replace("_", " ").capitalize()), value)
        for key, value in machine.items()
        if not isinstance(value, Mapping)
    ]


def _joined(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
