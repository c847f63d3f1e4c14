"""What the commands that train share: they call a training function, and print what it wrote."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import LostProcessError
from .failures import OK


def run_training(train: Callable[..., Path], config: Any, resume: bool, overwrite: bool) -> int:
    """Call a training function, which shows its progress, and print what it wrote.

    Args:
        train: a training function, such as :func:`distilbert.distill`.
        config: its settings.
        resume: go on from the newest checkpoint.
        overwrite: start anew in a folder that holds a run.

    Raises:
        LostProcessError: another of several processes ended; it has said why.
    """
    rank, has_others = os.environ.get("RANK", "0"), int(os.environ.get("WORLD_SIZE", "1")) > 1
    try:
        folder = train(config, resume=resume, overwrite=overwrite)
    except RuntimeError as error:
        if has_others and "onnection" in str(error):  # "Connection closed by peer", "connection reset"
            raise LostProcessError(f"process {rank} stops, because another one did: see its message.") from error
        raise
    if rank == "0":
        print(f"{folder}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/")
    return OK
