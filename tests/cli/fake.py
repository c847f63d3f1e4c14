"""A task without a model, for tests of everything around it. ``python -m tests.cli.fake ARGUMENTS`` is the command.

The label of a text is its length, so that every answer can be told from its text. Environment variables of the
command: ``FAKE_PAUSE`` seconds a window; ``FAKE_KILL`` kills the process, as a power cut would, in the middle of the
window that holds this row; ``FAKE_PRECISION`` is the precision of its runner.
"""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

from distilbert.core.errors import InputError, UnknownArgumentError

PARAMS = ("top_k", "candidate_labels", "stride", "pooling")


class FakeTask:
    def __init__(self, task: str) -> None:
        self.task = task
        self.chunk_size = 64
        self.runner = SimpleNamespace(precision=os.environ.get("FAKE_PRECISION", ""))
        self.windows: list[list[Any]] = []
        self.seen = 0

    def __call__(self, inputs: list[Any], **params: Any) -> list[Any]:
        for name in params:
            if name not in PARAMS:
                raise UnknownArgumentError(f"The task {self.task!r} got an unknown argument {name!r}.")
        if params.get("top_k") == 0:
            raise InputError("top_k must be at least 1, got 0.")
        if isinstance(inputs, dict):
            if "" in inputs["sentences"]:
                raise InputError("a sentence is refused.")
            return [1 / len(text) for text in inputs["sentences"]]
        for index, item in enumerate(inputs):
            if item in ("", "refuse me"):
                raise InputError(f"inputs[{index}] is refused.")
        self.seen += len(inputs)
        if inputs:
            self.windows.append(inputs)
            time.sleep(float(os.environ.get("FAKE_PAUSE", 0)))
            if self.seen > int(os.environ.get("FAKE_KILL", 10**9)):
                os.kill(os.getpid(), signal.SIGKILL)
        return [self.answer(item) for item in inputs]

    def answer(self, item: Any) -> Any:
        text = item if isinstance(item, str) else " / ".join(map(str, item.values()))
        if self.task == "token-classification":
            words = [word for word in text.split() if word[0].isupper()]
            return [{"entity": "X", "score": 0.5, "word": word, "start": text.index(word)} for word in words]
        if self.task == "zero-shot-classification":
            return {"sequence": text, "labels": ["a", "b"], "scores": [0.75, 0.25]}
        if self.task == "feature-extraction":
            return [[[0.5, float(len(text))]]]
        return {"label": f"L{len(text)}", "score": 1 / len(text)}


TASKS: list[FakeTask] = []


def fake_pipeline(task: str | None, model: str, **options: Any) -> FakeTask:
    TASKS.append(FakeTask(task or "text-classification"))
    TASKS[-1].options = {"model": model, **options}  # type: ignore[attr-defined]
    return TASKS[-1]


if __name__ == "__main__":
    import sys
    from types import ModuleType

    from distilbert.cli import main

    sys.modules["distilbert.tasks.loading"] = ModuleType("loading")
    sys.modules["distilbert.tasks.loading"].pipeline = fake_pipeline  # type: ignore[attr-defined]
    main()
