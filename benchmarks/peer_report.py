"""What ``benchmarks.peers`` found, for people: ratios, a table and a chart; and result files that go elsewhere too."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilbert.core.files import replacing, write_json

from .common import machine
from .contestants import CONTESTANTS
from .peer_files import installed_versions

WANTED = (  # ours, the peer, and how many times as fast ours has to be on each workload
    ("engine-int8", "openvino-int8", {"sst2": 1.5, "imdb": 1.5}),
    ("engine-bf16", "openvino-bf16", {"sst2": 1.7, "imdb": 1.3}),
    ("engine-fp32", "onnxruntime-fp32", {"sst2": 1.3, "imdb": 1.3}),
    ("auto", "transformers", {"sst2": 12.0, "imdb": 4.0}),
)
PRECISIONS = ("fp32", "bf16", "int8")
TITLES = {"sst2": "SST-2 dev", "imdb": "IMDb reviews"}
OURS, PEERS = "#d1495b", "#8d99ae"


def ratios(speeds: Mapping[str, Any], auto: str | None) -> dict[str, Any]:
    """Return how many times as fast ours are, by workload: as the peers named above, and as the best of each precision.

    Args:
        speeds: workload -> what ``Contest.throughput`` returned.
        auto: key of the contestant that ``precision="auto"`` means here.
    """
    found: dict[str, Any] = {}
    for workload, speed in speeds.items():
        rates, lines = speed["rates"], {}
        for ours, peer, wanted in WANTED:
            own = auto if ours == "auto" else ours
            if own in rates and peer in rates:
                lines[f"{ours} over {peer}"] = _ratio(rates[own], rates[peer]) | {"wanted": wanted[workload]}
        for precision in PRECISIONS:
            peers = {key: rates[key] for key in rates if _is_peer(key, precision)}
            own = f"engine-{precision}"
            if peers and own in rates:
                best = {kind: max(rate[kind] for rate in peers.values()) for kind in ("best", "median")}
                lines[f"{own} over the best peer in {precision}"] = _ratio(rates[own], best)
        found[workload] = lines
    return found


def latency_ratios(latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lowest latency of the peers of each precision over ours, by tokens; more than 1: ours is lower."""
    found: dict[str, Any] = {}
    for tokens, rates in latency.items():
        for precision in PRECISIONS:
            own, peers = rates.get(f"engine-{precision}"), [rates[key] for key in rates if _is_peer(key, precision)]
            if own and peers:
                found.setdefault(tokens, {})[precision] = {
                    kind: round(min(peer[kind] for peer in peers) / own[kind], 2) for kind in ("p50", "p99")
                }
    return found


def table(result: Mapping[str, Any]) -> str:
    """Return everything in one table of Markdown for each number of threads."""
    blocks = []
    by_threads = result["texts_per_second"] or {"no speeds": {}}
    for threads, speeds in by_threads.items():
        latency = result["latency_ms"].get(threads, {})
        columns: list[tuple[str, Mapping[str, str]]] = []
        for workload, speed in speeds.items():
            rates = {key: f"{rate['best']} / {rate['median']}" for key, rate in speed["rates"].items()}
            columns += [(f"{TITLES[workload]} ({speed['texts']}), texts/s", rates), ("batches", speed["batches"])]
        for tokens, times in latency.items():
            cells = {key: f"{time['p50']} / {time['p99']}" for key, time in times.items()}
            columns.append((f"{tokens} tokens, ms p50 / p99", cells))
        if threads == next(iter(by_threads)):
            fresh, accuracy = result["fresh_process"], result["accuracy"].get("of", {})
            columns.append(("peak MB", {key: str(one["peak_mb"]) for key, one in fresh.items()}))
            columns.append(("first label, s", {key: str(one["first_label_s"]["best"]) for key, one in fresh.items()}))
            columns.append(("accuracy", {key: f"{one['accuracy']:.2%}" for key, one in accuracy.items()}))
            columns.append(("labels changed", {key: str(one["labels_changed"]) for key, one in accuracy.items()}))
        columns = [column for column in columns if column[1]]
        keys = [key for key in CONTESTANTS if any(key in cells for _, cells in columns)]
        rows = [[CONTESTANTS[key].name, *(cells.get(key, "") for _, cells in columns)] for key in keys]
        blocks.append(f"{threads}, best / median\n\n" + _markdown(["", *(title for title, _ in columns)], rows))
    return "\n\n".join(blocks)


def chart(speeds: Mapping[str, Any], title: str, path: Path) -> str | None:
    """Draw texts a second as bars, a panel a workload, ours in another colour; the stroke is the median.

    Returns:
        None, or why there is no chart.
    """
    try:
        import matplotlib
    except ImportError:
        return "matplotlib is not installed"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    speeds = {workload: speed for workload, speed in speeds.items() if speed["rates"]}
    if not speeds:
        return "nothing was measured"
    most = max(len(speed["rates"]) for speed in speeds.values())
    size = (7.5 * len(speeds), 1.4 + 0.34 * most)
    figure, panels = pyplot.subplots(1, len(speeds), figsize=size, squeeze=False, layout="constrained")
    for panel, (workload, speed) in zip(panels[0], speeds.items(), strict=True):
        rates = sorted(speed["rates"].items(), key=lambda pair: float(pair[1]["best"]))
        values, places = [rate["best"] for _, rate in rates], range(len(rates))
        bars = panel.barh(places, values, color=[OURS if CONTESTANTS[key].ours else PEERS for key, _ in rates])
        panel.scatter([rate["median"] for _, rate in rates], places, marker="|", s=90, color="black", linewidths=1.2)
        panel.bar_label(bars, labels=[f"{value:g}" for value in values], padding=4, fontsize=9)
        panel.set_yticks(places, [CONTESTANTS[key].name for key, _ in rates])
        panel.set_xlim(0, 1.13 * max(values))
        panel.set_title(f"{TITLES[workload]}, {speed['texts']} texts", fontsize=11)
        panel.set_xlabel("texts a second, best of the rounds (stroke: median)")
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    pyplot.close(figure)
    return None


def today() -> str:
    """Return the date that result files carry."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def save(name: str, result: Mapping[str, Any], folder: Path) -> None:
    """Write ``NAME-DATE.json`` into a folder, with machine, versions, commit and date, and print it as one line."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    here = machine()
    here["versions"] |= installed_versions()
    report = {"benchmark": name, "date": today(), "commit": commit, "machine": here, **result}
    write_json(folder / f"{name}-{today()}.json", report)
    print(json.dumps(report))


def _is_peer(key: str, precision: str) -> bool:
    return not CONTESTANTS[key].ours and CONTESTANTS[key].precision == precision


def _ratio(ours: Mapping[str, float], peer: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(ours[kind] / peer[kind], 2) for kind in ("best", "median")}


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
