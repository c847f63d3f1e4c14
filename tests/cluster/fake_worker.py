"""The process of a worker with a task without a model; see tests/cli/fake.py. Some texts do things to the process.

``kill me`` aborts it. ``kill me beside one`` aborts it only where another text is answered at the same time.
With ``python -m tests.cluster.fake_worker run ...`` it is the command, whose workers are such processes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from distilbert.cluster import shard_process, worker_supervision
from distilbert.tasks import loading
from tests.cli.fake import FakeTask

COMMAND = (sys.executable, "-m", "tests.cluster.fake_worker")


class DeadlyTask(FakeTask):
    def __call__(self, inputs: list[Any], **params: Any) -> list[Any]:
        texts = [item if isinstance(item, str) else str(item.get("text")) for item in inputs]
        if "kill me" in texts or ("kill me beside one" in texts and len(texts) > 1):
            os.abort()
        if log := os.environ.get("FAKE_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{os.getpid()} {len(inputs)}\n")
        if inputs:
            time.sleep(float(os.environ.get("FAKE_WORK", 0)) * len(inputs))
        return super().__call__(inputs, **params)


def pipeline(task: str | None, model: str, **options: Any) -> DeadlyTask:
    if model == "missing":
        from distilbert.core.errors import ModelNotFoundError

        raise ModelNotFoundError("There is no model 'missing'.")
    if model == "deadly":
        os.abort()
    return DeadlyTask(task or "text-classification")


if __name__ == "__main__":
    loading.pipeline = pipeline  # type: ignore[assignment]
    worker_supervision.COMMAND = COMMAND
    if sys.argv[1].isdecimal():
        shard_process.main(int(sys.argv[1]))
    else:
        from distilbert.cli import main

        main()
