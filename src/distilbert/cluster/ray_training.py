"""Training on the workers of a Ray cluster: Ray starts the processes and tells them of each other, the loop is as ever.

Each worker is a process of the data-parallel run, as ``accelerate launch`` would start it. Settings name files: every
worker must find them under the same paths, on one machine or on storage that all share. Checkpoints are those of the
run itself: after a worker or its machine was lost, all workers start again from the newest one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..core.errors import DistilBertError, LostProcessError, UsageError
from ..training.finetuning.finetune_config import FinetuneConfig
from ..training.finetuning.sweep import is_sweep
from .ray_sweep import MOST_FAILURES, run_sweep
from .ray_workers import check_layout, connected, workers_that_fit

Train = Callable[..., Path]  # such as distill(): settings, resume=, overwrite=


def train_on_ray(
    train: Train,
    config: Any,
    *,
    workers: int,
    address: str = "local",
    gpus_per_worker: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Run a training function on the workers of a Ray cluster, and return the folder that it wrote.

    The runs of a sweep over seeds and learning rates go side by side, one worker each; see :mod:`.ray_sweep`.

    Args:
        train: :func:`~distilbert.distill`, :func:`~distilbert.pretrain` or :func:`~distilbert.finetune`.
        config: its settings; ``threads`` are the CPUs of a worker, 1 unless they are stated.
        workers: processes, each with a copy of the model; of a sweep, runs at a time.
        address: of the cluster; ``"local"`` starts Ray on this machine.
        gpus_per_worker: 0 or 1.
        resume: go on from the newest checkpoint.
        overwrite: start anew in a folder that holds a run.

    Raises:
        UsageError: the cluster is not there, or has no room for so many workers.
        LostProcessError: workers were lost more often than ``MOST_FAILURES`` times.
        DistilBertError: what the training function raises; a run that cannot work is not tried again.
    """
    if workers < 1 or gpus_per_worker not in (0, 1):
        raise UsageError("Ray needs at least one worker, and 0 or 1 GPUs for each.")
    threads = config.threads or 1
    with connected(address) as ray:
        check_layout(workers, threads, workers_that_fit(ray.nodes(), threads))
        if isinstance(config, FinetuneConfig) and is_sweep(config):
            resources = {"cpu": float(threads), "gpu": float(gpus_per_worker)}
            return run_sweep(config, workers, resources, resume=resume, overwrite=overwrite)
        for attempt in range(MOST_FAILURES + 1):
            lost = _run_once(
                train, config, workers, threads, gpus_per_worker,
                resume=resume or attempt > 0, overwrite=overwrite and attempt == 0,
            )  # fmt: skip
            if lost is None:
                return Path(config.output)
        raise LostProcessError(
            f"Workers were lost {MOST_FAILURES + 1} times, and the run is given up; its checkpoints are in "
            f"{config.output}. The last reason: {lost}"
        )


def _run_once(
    train: Train, config: Any, workers: int, threads: int, gpus: int, *, resume: bool, overwrite: bool
) -> str | None:
    """Start the workers and wait for them; return why they were lost, or None when they are done."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    folder = Path(config.output).resolve()
    asked = {"train": train, "config": config, "resume": resume, "overwrite": overwrite, "folder": str(Path.cwd())}
    resources = {"CPU": threads} | ({"GPU": gpus} if gpus else {})
    trainer = TorchTrainer(
        train_in_worker,
        train_loop_config=asked,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=bool(gpus), resources_per_worker=resources),
        run_config=RunConfig(storage_path=str(folder.parent / f".{folder.name}.ray")),
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
    )
    try:
        trainer.fit()
    except Exception as error:  # of many kinds, which Ray wraps in others
        for cause in _causes(error):
            if isinstance(cause, DistilBertError):
                raise cause from None
        if isinstance(error, KeyboardInterrupt):
            raise
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def train_in_worker(asked: dict[str, Any]) -> None:
    """Train in a worker of Ray, which has said in the environment which of the processes this one is."""
    os.chdir(asked["folder"])
    os.environ["OMP_NUM_THREADS"] = str(asked["config"].threads or 1)
    asked["train"](asked["config"], resume=asked["resume"], overwrite=asked["overwrite"])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what lies behind it, by all the ways in which Ray keeps it."""
    waiting, seen = [error], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        behind = [current.__cause__, current.__context__, getattr(current, "cause", None)]
        behind += list(getattr(current, "worker_failures", {}).values())
        waiting += [each for each in behind if isinstance(each, BaseException)]
