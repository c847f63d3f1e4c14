"""What the phases measured, for people: which rate each server keeps within a latency, a table, and a chart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilbert.core.files import replacing

from .contestants import CONTESTANTS

LIMITS_MS = (25, 50, 100, 250)  # of the p99
COLOURS = {
    "ours": "#d1495b",
    "fastapi-transformers": "#8d99ae",
    "fastapi-onnxruntime": "#3d5a80",
    "infinity": "#66a182",
}
COMPLETE = 0.99  # of the requests that must be answered with 200 for a rate to count


def summarize(state: Mapping[str, Any], workloads: list[str], rivals: list[str]) -> dict[str, Any]:
    """Return the result of all phases, with what follows from them."""
    comparison: dict[str, Any] = {}
    for workload in workloads:
        servers = {key: state[f"{workload}: {key}"] for key in rivals if f"{workload}: {key}" in state}
        comparison[workload] = {
            "servers": servers,
            "rate_within_p99": {
                str(limit): {key: rate_within(server, limit) for key, server in servers.items() if "open" in server}
                for limit in LIMITS_MS
            },
        }
        comparison[workload]["times_fastapi_transformers"] = {
            limit: round(rates["ours"] / rates["fastapi-transformers"], 2)
            for limit, rates in comparison[workload]["rate_within_p99"].items()
            if rates.get("ours") and rates.get("fastapi-transformers")
        }
    return {
        "cost": state["cost"],
        "comparison": comparison,
        "below_half_load": below_half_load(comparison["short"]["servers"]["ours"]),
        "overload": state["overload"],
        "busy": state["busy"],
    }


def rate_within(server: Mapping[str, Any], limit: float) -> float | None:
    """Return the highest rate that was sent at which p99 stayed within a limit in milliseconds; None: at none."""
    rates = [
        step["requests_a_second"]
        for step in server["open"]
        if _is_complete(step) and step["latency_ms"]["p99"] <= limit
    ]
    return max(rates, default=None)


def below_half_load(server: Mapping[str, Any]) -> dict[str, Any]:
    """Return p99 at a quarter and half of the load over the latency of single requests."""
    single = server["closed"]["1"]["latency_ms"]["p50"]
    times = {str(step["share"]): step["latency_ms"]["p99"] for step in server["open"] if step["share"] <= 0.5}
    return {
        "single_request_ms": single,
        "p99_ms": times,
        "times": {share: round(value / single, 2) for share, value in times.items()},
    }


def _is_complete(step: Mapping[str, Any]) -> bool:
    statuses = {int(status): count for status, count in step["statuses"].items()}
    return statuses.get(200, 0) >= COMPLETE * step["sent"] and not step["unanswered"] and not step["lost"]


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    limits = [f"p99 <= {limit} ms" for limit in LIMITS_MS]
    titles = ("texts", "server", "1 client", "16", "256", "CPU a request, µs", *limits)
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for workload, compared in result["comparison"].items():
        for key, server in compared["servers"].items():
            if "closed" not in server:
                reason = server["left_out"][:80]
                lines.append(f"| {workload} | {CONTESTANTS[key].title} | {reason} |" + " |" * (len(titles) - 3))
                continue
            rates = [server["closed"][clients]["requests_a_second"] for clients in ("1", "16", "256")]
            within = [compared["rate_within_p99"][str(limit)].get(key) for limit in LIMITS_MS]
            cells = [workload, CONTESTANTS[key].title, *rates, server["closed"]["256"]["cpu_us_a_request"], *within]
            lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def chart(result: Mapping[str, Any], path: Path) -> None:
    """Draw p99 against the rate, a panel for each workload, and the CPU of a request in its parts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter

    workloads = list(result["comparison"])
    figure, panels = pyplot.subplots(
        1, len(workloads) + 1, figsize=(4.4 * (len(workloads) + 1), 4.2), layout="constrained"
    )
    for panel, workload in zip(panels, workloads, strict=False):
        for key, server in result["comparison"][workload]["servers"].items():
            if "open" in server:
                steps = [step for step in server["open"] if step["latency_ms"]["p99"] is not None]
                rates, times = [step["rate"] for step in steps], [step["latency_ms"]["p99"] for step in steps]
                panel.plot(rates, times, marker="o", markersize=4, color=COLOURS[key], label=CONTESTANTS[key].title)
        panel.set(title=f"{workload} texts", xlabel="requests a second that arrive", ylabel="p99, ms")
        panel.set_xscale("log")
        panel.set_yscale("log")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.25, which="both")
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9)
    medians, panel = result["cost"]["median"], panels[-1]
    names = {"library": "library alone", "server": "server", "empty": "server without a model"}
    bars = panel.barh(list(names.values()), [medians[key] for key in names], color=["#3d5a80", "#d1495b", "#8d99ae"])
    panel.bar_label(bars, fmt="%.0f", padding=3, fontsize=9)
    panel.set(title="CPU of a text with 25 tokens, µs", xlim=(0, 1.2 * max(medians.values())))
    panel.invert_yaxis()
    panel.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    pyplot.close(figure)
