"""``report.html`` of an evaluation: one page with the metrics and their intervals, pictures, and the worst errors.

It is made of the content of ``evaluation.json`` alone, and needs nothing from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import evaluation_charts as charts
from .evaluation_errors import error_list
from .evaluation_pictures import pictures
from .evaluation_text import between, sentence, signed
from .figures import ABSENT, count, finite, listed, metric_name, number, pace, ratio, size, whole
from .report import document, said, tied, when
from .run_record import Record, part

MOST_ROWS = 200  # of a table of classes
MOST_CONFUSED = 15


def page(values: Record) -> str:
    """Return the page as HTML.

    Args:
        values: what ``Evaluation.to_dict`` returns.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    models: Sequence[Record] = values["models"]
    about, data = part(values, "about"), part(values, "data")
    head = [values["task"], f"{whole(data.get('examples'))} examples", when(about.get("created"))]
    return document(
        _title(values),
        " · ".join(said(text) for text in head if text),
        sentence(values),
        [
            _measured(values),
            pictures(values),
            *(_confused(models[0]), _classes(models[0])),
            error_list(values),
            '<div class="groups">',
            _facts("Data", _about_data(data)),
            _facts("Machine", list(_about_machine(part(about, "machine")))),
            "</div>",
            _settings(part(about, "settings")),
        ],
        ("report.css", "evaluation.css"),
    )


def _title(values: Record) -> str:
    names = " against ".join(model["name"] for model in values["models"])
    return f"{names} on {listed([Path(source).name for source in part(values, 'data').get('sources', [])])}"


def _measured(values: Record) -> str:
    """The table of everything that was measured of each model."""
    models, differences = values["models"], part(values.get("comparison") or {}, "differences")
    ratios = part(values.get("comparison") or {}, "ratios")
    header = ["Measured", *(model["name"] for model in models), *(["Difference"] if differences else [])]
    rows = []
    for key in models[0]["metrics"]:
        cells = [_with_interval(number(model["metrics"].get(key)), between(model, key)) for model in models]
        if differences:
            one = differences.get(key)
            cells.append(
                _with_interval(signed(one["value"]), f" ({signed(one['low'])} to {signed(one['high'])})")
                if one
                else ABSENT
            )
        rows.append((metric_name(key, values["task"]), cells))
    errors = [part(model["details"], "calibration").get("error") for model in models]
    if finite(errors[0]) is not None:
        rows.append(("Expected calibration error", [number(error) for error in errors]))
    for label, where, key, written, compared in (
        ("Parameters", "facts", "parameters", count, "parameters"),
        ("Size of the weights", "facts", "bytes", size, "bytes"),
        ("Layers", "facts", "layers", whole, ""),
        ("Latency, median (ms)", "speed", "p50_ms", number, "latency"),
        ("Latency, 90 % below (ms)", "speed", "p90_ms", number, ""),
        ("Latency, 99 % below (ms)", "speed", "p99_ms", number, ""),
        ("Examples a second", "speed", "examples_per_second", number, "speed"),
        ("Tokens a second", "speed", "tokens_per_second", pace, ""),
    ):
        found = [part(model, where).get(key) for model in models]
        if any(finite(value) is not None for value in found):
            rows.append((label, [*map(written, found), *([_times(ratios, compared)] if differences else [])]))
    width = len(header)
    body = "\n".join(
        f'<tr><th scope="row">{said(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}'
        f"{'<td></td>' * (width - 1 - len(cells))}</tr>"
        for name, cells in rows
    )
    return _table(header, body) + _agreement(values.get("comparison") or {}, [model["name"] for model in models])


def _with_interval(value: str, interval: str) -> str:
    return f'{said(value)}<span class="interval">{said(interval)}</span>'


def _times(ratios: Record, key: str) -> str:
    return ratio(ratios[key], 1) if key in ratios else ""


def _table(header: Sequence[str], body: str, label: str = "What was measured") -> str:
    columns = "".join(f'<th scope="col">{said(name)}</th>' for name in header)
    return (
        f'<div class="wide">\n<table class="compared" aria-label="{said(label)}">\n'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _agreement(comparison: Record, names: Sequence[str]) -> str:
    parts = []
    if finite(comparison.get("agreement")) is not None:
        parts.append(f"Both answer alike in {100 * comparison['agreement']:.1f} % of the cases.")
    table = part(comparison, "right")
    if table:
        parts.append(
            f"Only {names[0]} is right {whole(table['only_first'])} times, only {names[1]} "
            f"{whole(table['only_second'])} times (McNemar's exact test: p = {number(comparison['p_value'])})."
        )
    return f'\n<p class="soft">{said(" ".join(parts))}</p>' if parts else ""


def _confused(model: Record) -> str:
    """The pairs of labels that were confused most often, where the matrix is too large to draw."""
    matrix, classes = model["details"].get("confusion"), model["details"].get("classes", [])
    if not matrix or len(classes) <= charts.MOST_CLASSES:
        return ""
    pairs = [(n, r, c) for r, row in enumerate(matrix) for c, n in enumerate(row) if n and r != c]
    rows = "\n".join(
        f'<tr><th scope="row">{said(classes[r]["name"])}</th><td>{said(classes[c]["name"])}</td>'
        f"<td>{whole(n)}</td></tr>"
        for n, r, c in sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:MOST_CONFUSED]
    )
    return "<h2>Most confused</h2>\n" + _table(["Right", "Predicted", "Times"], rows, "Most confused") if rows else ""


def _classes(model: Record) -> str:
    kinds = model["details"].get("types") or model["details"].get("classes") or []
    if not kinds:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row">{said(one["name"])}</th>'
        + "".join(f"<td>{number(one[key])}</td>" for key in ("precision", "recall", "f1"))
        + f"<td>{whole(one['support'])}</td></tr>"
        for one in kinds[:MOST_ROWS]
    )
    title = "By type" if model["details"].get("types") else "By label"
    table = _table(["", "Precision", "Recall", "F1", "Support"], rows, title)
    shown = "" if len(kinds) > charts.MOST_CLASSES else " open"
    return f"<details{shown}>\n<summary>{title}</summary>\n{table}\n</details>"


def _facts(title: str, facts: Sequence[tuple[str, Any]]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{said(name)}</th><td>{tied(said(value))}</td></tr>'
        for name, value in facts
        if value not in (None, "", ABSENT)
    )
    return f'<section>\n<h2>{title}</h2>\n<table class="facts">\n{rows}\n</table>\n</section>' if rows else ""


def _about_data(data: Record) -> list[tuple[str, Any]]:
    columns, read = part(data, "columns"), data.get("read")
    labels = data.get("labels", [])
    return [
        ("Sources", ", ".join(map(str, data.get("sources", [])))),
        ("Columns", ", ".join(f"{role}: {column}" for role, column in columns.items())),
        ("Examples", whole(data.get("examples")) + (f" of {whole(read)}" if read != data.get("examples") else "")),
        ("Labels", f"{len(labels)}: {', '.join(labels[:12])}{', ...' if len(labels) > 12 else ''}" if labels else ""),
    ]


def _about_machine(machine: Record) -> Iterator[tuple[str, Any]]:
    for key, value in machine.items():
        if isinstance(value, Mapping):
            yield from ((str(name), text) for name, text in value.items())
        else:
            yield {"cpu": "CPU", "gpu": "GPU"}.get(key, key.replace("_", " ").capitalize()), value


def _settings(settings: Record) -> str:
    lines = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    return f"<details>\n<summary>Settings</summary>\n<pre>{said(lines)}</pre>\n</details>" if lines else ""
