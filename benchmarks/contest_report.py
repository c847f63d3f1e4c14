"""What ``benchmarks.peers`` measured, for people: ratios, a table and a chart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilbert.core.files import replacing

from .contestant_list import CONTESTANTS

TARGETS = (  # our contestant, another library, and how many times as fast ours has to be on each workload
    ("engine-int8", "openvino-int8", {"sst2": 1.5, "imdb": 1.5}),
    ("engine-bf16", "openvino-bf16", {"sst2": 1.7, "imdb": 1.3}),
    ("engine-fp32", "onnxruntime-fp32", {"sst2": 1.3, "imdb": 1.3}),
    ("auto", "transformers", {"sst2": 12.0, "imdb": 4.0}),
)
PRECISIONS = ("fp32", "bf16", "int8")
TITLES = {"sst2": "SST-2 dev", "imdb": "IMDb reviews"}
OUR_COLOUR, PEER_COLOUR = "#d1495b", "#8d99ae"


def throughput_ratios(throughput: Mapping[str, Any], auto: str | None) -> dict[str, Any]:
    """Return how many times as fast ours are as the peers in ``TARGETS``, and as the fastest peer of each precision.

    Args:
        throughput: workload -> what ``Contest.throughput`` returned.
        auto: key of the contestant that ``precision="auto"`` chooses on this machine.
    """
    by_workload: dict[str, Any] = {}
    for workload, measured in throughput.items():
        rates = measured["rates"]
        ratios = by_workload[workload] = {}
        for name, peer, targets in TARGETS:
            ours = auto if name == "auto" else name
            if ours in rates and peer in rates:
                ratios[f"{name} over {peer}"] = _ratio(rates[ours], rates[peer]) | {"wanted": targets[workload]}
        for precision in PRECISIONS:
            ours, peers = f"engine-{precision}", _peers(rates, precision)
            if peers and ours in rates:
                fastest = {kind: max(rate[kind] for rate in peers) for kind in ("best", "median")}
                ratios[f"{ours} over the best peer in {precision}"] = _ratio(rates[ours], fastest)
    return by_workload


def latency_ratios(latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lowest latency of the peers of each precision over ours, by tokens; above 1, ours is lower."""
    by_tokens: dict[str, Any] = {}
    for tokens, times in latency.items():
        for precision in PRECISIONS:
            ours, peers = times.get(f"engine-{precision}"), _peers(times, precision)
            if ours and peers:
                by_tokens.setdefault(tokens, {})[precision] = {
                    kind: round(min(peer[kind] for peer in peers) / ours[kind], 2) for kind in ("p50", "p99")
                }
    return by_tokens


def table(result: Mapping[str, Any]) -> str:
    """Return all figures as Markdown, a table for each number of threads."""
    blocks = []
    by_threads = result["texts_per_second"] or {"no speeds": {}}
    for threads, throughput in by_threads.items():
        columns: list[tuple[str, Mapping[str, str]]] = []  # title, cells by contestant
        for workload, measured in throughput.items():
            rates = {key: f"{rate['best']} / {rate['median']}" for key, rate in measured["rates"].items()}
            columns += [(f"{TITLES[workload]} ({measured['texts']}), texts/s", rates), ("batches", measured["batches"])]
        for tokens, times in result["latency_ms"].get(threads, {}).items():
            latency = {key: f"{time['p50']} / {time['p99']}" for key, time in times.items()}
            columns.append((f"{tokens} tokens, ms p50 / p99", latency))
        if threads == next(iter(by_threads)):
            columns += _columns_without_threads(result)
        columns = [(title, cells) for title, cells in columns if cells]
        keys = [key for key in CONTESTANTS if any(key in cells for _, cells in columns)]
        rows = [[CONTESTANTS[key].title, *(cells.get(key, "") for _, cells in columns)] for key in keys]
        blocks.append(f"{threads}, best / median\n\n" + _markdown(["", *(title for title, _ in columns)], rows))
    return "\n\n".join(blocks)


def _columns_without_threads(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
    """Return the columns that are measured with one number of threads only."""
    processes, accuracy = result["fresh_process"], result["accuracy"].get("of", {})
    return [
        ("installed MB", {key: str(process["installed_mb"]) for key, process in processes.items()}),
        ("MB after the first label", {key: str(process["first_label_mb"]) for key, process in processes.items()}),
        ("peak MB", {key: str(process["peak_mb"]) for key, process in processes.items()}),
        ("first label, s", {key: str(process["first_label_s"]["best"]) for key, process in processes.items()}),
        ("accuracy", {key: f"{scores['accuracy']:.2%}" for key, scores in accuracy.items()}),
        ("labels changed", {key: str(scores["labels_changed"]) for key, scores in accuracy.items()}),
    ]


def chart(throughput: Mapping[str, Any], title: str, path: Path) -> str | None:
    """Draw texts a second as bars, one panel for each workload; ours have another colour, a stroke marks the median.

    Returns:
        None, or the reason why there is no chart.
    """
    try:
        import matplotlib
    except ImportError:
        return "matplotlib is not installed"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    throughput = {workload: measured for workload, measured in throughput.items() if measured["rates"]}
    if not throughput:
        return "no speeds were measured"
    most_bars = max(len(measured["rates"]) for measured in throughput.values())
    size = (7.5 * len(throughput), 1.4 + 0.34 * most_bars)
    figure, panels = pyplot.subplots(1, len(throughput), figsize=size, squeeze=False, layout="constrained")
    for panel, (workload, measured) in zip(panels[0], throughput.items(), strict=True):
        rates = sorted(measured["rates"].items(), key=lambda pair: float(pair[1]["best"]))
        values, places = [rate["best"] for _, rate in rates], range(len(rates))
        colours = [OUR_COLOUR if CONTESTANTS[key].ours else PEER_COLOUR for key, _ in rates]
        bars = panel.barh(places, values, color=colours)
        panel.scatter([rate["median"] for _, rate in rates], places, marker="|", s=90, color="black", linewidths=1.2)
        panel.bar_label(bars, labels=[f"{value:g}" for value in values], padding=4, fontsize=9)
        panel.set_yticks(places, [CONTESTANTS[key].title for key, _ in rates])
        panel.set_xlim(0, 1.13 * max(values))
        panel.set_title(f"{TITLES[workload]}, {measured['texts']} texts", fontsize=11)
        panel.set_xlabel("texts a second, best of the rounds (stroke: median)")
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    pyplot.close(figure)
    return None


def _peers(figures: Mapping[str, Any], precision: str) -> list[Any]:
    """Return the figures of other libraries in a precision."""
    return [
        figure
        for key, figure in figures.items()
        if not CONTESTANTS[key].ours and CONTESTANTS[key].precision == precision
    ]


def _ratio(ours: Mapping[str, float], peer: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(ours[kind] / peer[kind], 2) for kind in ("best", "median")}


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a table whose columns are aligned in plain text as well."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
