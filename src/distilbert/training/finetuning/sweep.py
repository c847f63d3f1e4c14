"""Several runs of one setting: seeds, of which the median counts, and learning rates, of which the best."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.files import write_json
from ..evaluation.metrics import is_better_high
from ..processes import make_accelerator
from ..run_folder import CONFIG, open_run
from .finetune_config import FinetuneConfig

Record = dict[str, Any]
RUNS = "runs"
LEFT_IN_RUN = ("checkpoints", "tensorboard", "cache")


@dataclass(frozen=True)
class Run:
    """One of the runs.

    Attributes:
        folder: of the run, relative to that of all.
        learning_rate: its own.
        seed: its own.
        metrics: of its evaluation.
    """

    folder: str
    learning_rate: float
    seed: int
    metrics: dict[str, float]


def finetune_several(
    config: FinetuneConfig,
    finetune: Callable[..., Path],
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_record: Callable[[Record], None] | None = None,
    on_data: Callable[[str], None] | None = None,
) -> Path:
    """Run ``config`` once a learning rate and seed, and make a model folder of the run that counts.

    Of the seeds of a learning rate the (lower) median counts, and of the learning rates the best median.
    ``runs.json`` holds all figures, with median, lowest, highest and standard deviation of each learning rate.

    ``finetune`` runs one of them. Other arguments, result and errors are those of :func:`.finetuner.finetune`.
    """
    folder, _ = open_run(config, config.model, resume, overwrite)
    accelerator = make_accelerator(config)  # waits for all processes, so that each has looked before one writes
    if accelerator.is_main_process:
        config.save(folder / CONFIG)
    runs, main = [], ""
    for rate in config.learning_rates or [config.learning_rate]:
        for seed in range(config.seed, config.seed + config.seeds):
            name = f"{RUNS}/lr-{rate:g}-seed-{seed}"
            one = replace(config, output=str(folder / name), learning_rate=rate, seed=seed, seeds=1, learning_rates=[])
            summary = folder / name / "summary.json"
            if on_data is not None:
                on_data(f"learning rate {rate:g}, seed {seed}")
            if not (resume and summary.is_file()):
                finetune(one, resume=resume, overwrite=overwrite, on_record=on_record, on_data=on_data)
            found = json.loads(summary.read_text(encoding="utf-8"))
            model = found["models"].get("student") or found["models"]["model"]
            main = found["main_metric"]
            numbers = {key: value for key, value in model.items() if isinstance(value, (int, float))}
            runs.append(Run(name, rate, seed, numbers))
    table = {rate: _spread([one for one in runs if one.learning_rate == rate], main) for rate in _rates(runs)}
    pick = max if is_better_high(main) else min
    best = pick(table, key=lambda rate: table[rate]["median"])
    chosen = next(one for one in runs if one.folder == table[best]["run"])
    if accelerator.is_main_process:
        write_json(
            folder / "runs.json",
            {
                "main_metric": main,
                "chosen": chosen.folder,
                "learning_rates": [{"learning_rate": rate} | spread for rate, spread in table.items()],
                "runs": [one.__dict__ for one in runs],
            },
        )
        _copy(folder / chosen.folder, folder)
    accelerator.wait_for_everyone()
    return folder


def _rates(runs: list[Run]) -> list[float]:
    return list(dict.fromkeys(one.learning_rate for one in runs))


def _spread(runs: list[Run], main: str) -> Record:
    """Return what the seeds of a learning rate came to; ``run`` is the one whose figure is the lower median."""
    values = [one.metrics[main] for one in runs]
    median = statistics.median_low(values)
    return {
        "seeds": len(runs),
        "median": median,
        "lowest": min(values),
        "highest": max(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "run": runs[values.index(median)].folder,
    }


def _copy(source: Path, target: Path) -> None:
    """Put the model, the report and the card of a run where those of all runs belong."""
    for path in source.iterdir():
        if path.name == CONFIG or path.name in LEFT_IN_RUN:
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target / f".{path.name}.tmp")
            (target / f".{path.name}.tmp").replace(target / path.name)
