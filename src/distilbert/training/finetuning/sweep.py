"""Fine-tuning with several seeds and learning rates: which runs there are, and which of them becomes the model."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core.files import replacing, write_json
from ...tasks.registry import task_spec
from ..run_folder import CONFIG
from .finetune_config import FinetuneConfig

RUNS, RUNS_TABLE = "runs", "runs.json"
NOT_COPIED = (CONFIG, "checkpoints", "tensorboard", "cache")


@dataclass(frozen=True)
class SweepRun:
    """A finished run of a sweep; ``runs.json`` has these fields.

    Attributes:
        folder: of the run, relative to that of the sweep.
        learning_rate: of the run.
        seed: of the run.
        metrics: of its final evaluation.
    """

    folder: str
    learning_rate: float
    seed: int
    metrics: dict[str, float]


def is_sweep(config: FinetuneConfig) -> bool:
    """Say whether the settings ask for several runs."""
    return config.seeds > 1 or bool(config.learning_rates)


def sweep_configs(config: FinetuneConfig) -> list[FinetuneConfig]:
    """Return the settings of each run: all seeds of the first learning rate, then those of the next."""
    return [
        replace(
            config,
            output=str(Path(config.output) / RUNS / f"lr-{rate:g}-seed-{seed}"),
            learning_rate=rate,
            seed=seed,
            seeds=1,
            learning_rates=[],
        )
        for rate in config.learning_rates or [config.learning_rate]
        for seed in range(config.seed, config.seed + config.seeds)
    ]


def finish_sweep(folder: Path, configs: Sequence[FinetuneConfig]) -> None:
    """Write ``runs.json`` with the figures of all runs, and copy the chosen model with its report into ``folder``.

    Of the seeds of a learning rate the run with the (lower) median is chosen, of the learning rates the best median.
    """
    runs, main_metric, higher_is_better = [], "", True
    for config in configs:
        main_metric, higher_is_better, metrics = final_metrics(config)
        name = f"{RUNS}/{Path(config.output).name}"
        runs.append(SweepRun(name, config.learning_rate, config.seed, metrics))
    rates = list(dict.fromkeys(run.learning_rate for run in runs))
    spreads = {rate: seed_spread([run for run in runs if run.learning_rate == rate], main_metric) for rate in rates}
    choose = max if higher_is_better else min
    best = choose(spreads, key=lambda rate: spreads[rate]["median"])
    chosen = spreads[best]["run"]
    write_json(
        folder / RUNS_TABLE,
        {
            "main_metric": main_metric,
            "chosen": chosen,
            "learning_rates": [{"learning_rate": rate} | spread for rate, spread in spreads.items()],
            "runs": [asdict(run) for run in runs],
        },
    )
    copy_results(folder / chosen, folder)


def final_metrics(config: FinetuneConfig) -> tuple[str, bool, dict[str, float]]:
    """Return the metric that decides, whether higher is better, and all figures of a finished run."""
    summary = json.loads((Path(config.output) / "summary.json").read_text(encoding="utf-8"))
    higher_is_better = task_spec(config.task).metric_for(summary["problem"]).higher_is_better
    model = summary["models"].get("student") or summary["models"]["model"]
    metrics = {name: value for name, value in model.items() if isinstance(value, (int, float))}
    return summary["main_metric"], higher_is_better, metrics


def seed_spread(runs: Sequence[SweepRun], metric: str) -> dict[str, Any]:
    """Summarize the runs of a learning rate; ``run`` is the folder of the one with the lower median."""
    values = [run.metrics[metric] for run in runs]
    median = statistics.median_low(values)
    return {
        "seeds": len(runs),
        "median": median,
        "lowest": min(values),
        "highest": max(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "run": runs[values.index(median)].folder,
    }


def copy_results(source: Path, target: Path) -> None:
    """Copy the model, the report and the card of a run; its settings and checkpoints stay where they are."""
    for path in source.iterdir():
        if path.name in NOT_COPIED:
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            with replacing(target / path.name) as temporary:
                shutil.copyfile(path, temporary)
