"""What the commands that train share: they call a training function, and print what it wrote."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import LostProcessError, UsageError
from .failures import OK

WRITTEN = "{folder}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/"


def run_training(
    train: Callable[..., Path],
    config: Any,
    resume: bool,
    overwrite: bool,
    ray: str = "",
    workers: int = 1,
    gpus_per_worker: int = 0,
) -> int:
    """Call a training function, which shows its progress, and print what it wrote.

    Args:
        train: a training function, such as :func:`distilbert.distill`.
        config: its settings.
        resume: go on from the newest checkpoint.
        overwrite: start anew in a folder that holds a run.
        ray: address of a Ray cluster to train on; empty: this process trains.
        workers: processes on it.
        gpus_per_worker: GPUs of each.

    Raises:
        UsageError: options of a cluster without ``ray``.
        LostProcessError: another of several processes ended; it has said why.
    """
    if ray:
        from ..cluster.ray_training import train_on_ray

        folder = train_on_ray(
            train, config, workers=workers, address=ray, gpus_per_worker=gpus_per_worker,
            resume=resume, overwrite=overwrite,
        )  # fmt: skip
        print(WRITTEN.format(folder=folder))
        return OK
    if (workers, gpus_per_worker) != (1, 0):
        raise UsageError("--workers and --gpus-per-worker need --ray ADDRESS, or --ray local.")
    rank, has_others = os.environ.get("RANK", "0"), int(os.environ.get("WORLD_SIZE", "1")) > 1
    try:
        folder = train(config, resume=resume, overwrite=overwrite)
    except RuntimeError as error:
        if has_others and "onnection" in str(error):  # "Connection closed by peer", "connection reset"
            raise LostProcessError(f"process {rank} stops, because another one did: see its message.") from error
        raise
    if rank == "0":
        print(WRITTEN.format(folder=folder))
    return OK
