"""Which pictures the report of an evaluation shows, with their titles and the names of their colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import evaluation_charts as charts
from .figures import metric_name, number
from .report import said
from .run_record import Record, part

NO_SHARES = ("log_loss", "mse", "perplexity")  # metrics that have no end to draw a bar towards


def pictures(values: Record) -> str:
    """Return the section with the pictures."""
    figures = "\n".join(
        f"<figure>\n<figcaption><h3>{said(title)}</h3></figcaption>\n{svg}\n{_keys(keys)}</figure>"
        for title, svg, keys in _drawn(values)
    )
    return f'<h2>Pictures</h2>\n<div class="charts">\n{figures}\n</div>' if figures else ""


Drawn = tuple[str, str, Sequence[str]]  # title, picture, names of its colours


def _drawn(values: Record) -> Iterator[Drawn]:
    models = values["models"]
    names, first = [model["name"] for model in models], models[0]["details"]
    task, labels = values["task"], part(values, "data").get("labels", [])
    shares = [key for key in models[0]["metrics"] if key not in NO_SHARES and models[0]["metrics"][key] >= 0]
    if shares:
        per_cent = task == "question-answering"
        rows = [(metric_name(key, task), [_bar(model, key) for model in models]) for key in shares]
        told = "; ".join(f"{label} {', '.join(number(value[0]) for value in row)}" for label, row in rows)
        svg = charts.bars("metrics", f"Bars, metrics: {told}.", rows, top=100.0 if per_cent else 1.0)
        yield "Metrics", svg, names if len(models) > 1 else []
    if "confusion" in first and len(labels) <= charts.MOST_CLASSES:
        yield "Confusion matrix", charts.confusion_matrix("confusion", first["confusion"], labels), []
    calibrated = {
        model["name"]: model["details"]["calibration"] for model in models if "calibration" in model["details"]
    }
    if calibrated:
        yield (
            "Reliability",
            charts.reliability("reliability", calibrated),
            [f"{name}, expected error {number(one['error'])}" for name, one in calibrated.items()],
        )
    if "scores" in first:
        yield "Scores", charts.histogram("scores", first["scores"]), ["right", "wrong"]
    if "points" in first:
        yield "Predicted by expected", charts.points("points", first["points"]), []
    kinds = first.get("types") or first.get("classes") or []
    if kinds:
        yield from _by_kind(models, names, "types" if first.get("types") else "classes")


def _by_kind(models: Sequence[Record], names: Sequence[str], key: str) -> Iterator[Drawn]:
    """F1 of each class or entity type; of many, those with the lowest."""
    tables = [{one["name"]: one["f1"] for one in model["details"].get(key, [])} for model in models]
    kinds = list(tables[0])
    picked = (
        sorted(kinds, key=lambda kind: tables[0][kind])[: charts.MOST_BARS] if len(kinds) > charts.MOST_BARS else kinds
    )
    rows = [(kind, [(table.get(kind, 0.0), 0.0, 0.0) for table in tables]) for kind in picked]
    title = f"F1 by {'type' if key == 'types' else 'label'}" + (", the lowest" if len(picked) < len(kinds) else "")
    told = "; ".join(f"{kind} {', '.join(number(value[0]) for value in row)}" for kind, row in rows)
    yield title, charts.bars(key, f"Bars, {title}: {told}.", rows), names if len(models) > 1 else []


def _bar(model: Record, key: str) -> tuple[float, float, float]:
    value, interval = model["metrics"].get(key, 0.0), part(model["intervals"], key)
    return (value, interval["low"], interval["high"]) if interval else (value, value, value)


def _keys(names: Sequence[str]) -> str:
    keys = "".join(f'<li><span class="k{place % 6 + 1}"></span>{said(name)}</li>' for place, name in enumerate(names))
    return f'<ul class="keys">{keys}</ul>\n' if keys else ""
