"""A sweep on a Ray cluster: Ray Tune runs its members side by side, each in one worker.

A member is an ordinary run of ``finetune`` in a folder of its own. One whose worker is lost goes on from its newest
checkpoint. Which run becomes the model is decided when all have ended, as on one machine.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import DistilBertError, LostProcessError, TrainingError
from ..training.finetuning.finetune_config import FinetuneConfig
from ..training.finetuning.sweep import finish_sweep, sweep_configs

MOST_FAILURES = 3  # after which a run is given up

logger = logging.getLogger("distilbert")


def run_sweep(
    config: FinetuneConfig, at_once: int, resources: dict[str, float], *, resume: bool, overwrite: bool
) -> Path:
    """Run the members of a sweep that are not finished, choose one, and return the folder.

    Args:
        config: of the sweep.
        at_once: members that run at a time.
        resources: of each, as Ray names them.
        resume: members go on from their newest checkpoints.
        overwrite: start anew in a folder that holds a run.

    Raises:
        LostProcessError: workers of a member were lost more often than ``MOST_FAILURES`` times.
        TrainingError: a member cannot be trained; the message is that of the first one.
        DistilBertError: as for ``finetune``.
    """
    from ray import tune

    from ..training.finetuning.finetuner import open_sweep, save_sweep

    folder = open_sweep(config, resume, overwrite, logger.warning)
    configs = sweep_configs(config)
    if overwrite:
        for run in configs:
            shutil.rmtree(run.output, ignore_errors=True)
    save_sweep(config, overwrite)
    missing = [run for run in configs if not (Path(run.output) / "summary.json").is_file()]
    if missing:
        member = tune.with_parameters(train_member, configs=missing, folder=str(Path.cwd()))
        tuner = tune.Tuner(
            tune.with_resources(member, resources),
            param_space={"member": tune.grid_search(list(range(len(missing))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once),
            run_config=tune.RunConfig(
                storage_path=str(folder.resolve().parent / f".{folder.name}.ray"),
                failure_config=tune.FailureConfig(max_failures=MOST_FAILURES),
                verbose=0,
            ),
        )
        _check_results(tuner.fit())
    finish_sweep(folder, configs)
    return folder


def train_member(params: dict[str, Any], configs: Sequence[FinetuneConfig], folder: str) -> dict[str, str]:
    """Train one member in a worker; return in words why that cannot work, which is not tried again."""
    from ..training.finetuning.finetuner import finetune

    os.chdir(folder)
    config = configs[params["member"]]
    os.environ["OMP_NUM_THREADS"] = str(config.threads or 1)
    try:
        finetune(config, resume=True, verbose=False)
    except DistilBertError as error:
        return {"failed": f"{Path(config.output).name}: {error}"}
    return {"failed": ""}


def _check_results(results: Any) -> None:
    """Raise the error of the first member that did not end well."""
    for result in results:
        if result.error is not None:
            reason = str(result.error).strip().rpartition("\n")[2]
            raise LostProcessError(f"A run of the sweep was lost {MOST_FAILURES + 1} times: {reason}")
        if result.metrics["failed"]:
            raise TrainingError(result.metrics["failed"])
