"""``distilbert evaluate``: how good a model is on labelled examples, alone or beside another one."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from ..training.evaluation.config import EvaluateConfig
from .failures import OK
from .settings import FILE, with_settings

EXAMPLE = "distilbert evaluate --model models/sentiment --data reviews.csv --output reports/sentiment"


@with_settings(EvaluateConfig, FILE | {"json": (False, "Print the JSON of the evaluation, not a table.")})
def command(config: EvaluateConfig, json: bool) -> int:
    """Measure a model on labelled examples: metrics with intervals, calibration, speed, the worst errors."""
    from ..core.extras import require

    for module, extra in (("torch", "torch"), ("sklearn", "train"), ("seqeval", "train")):
        require(module, extra)
    if config.output:
        require("matplotlib", "train")
    from ..training.evaluation.evaluate import evaluate
    from ..training.evaluation.result import FILES

    with Watch() as watch:
        result = evaluate(config, on_progress=watch.show)
    values = result.to_dict()
    if json:
        from json import dumps

        print(dumps(values, indent=2, ensure_ascii=False))
        return OK
    from .evaluation_view import show

    show(values)
    if config.output:
        print(f"{config.output}: {', '.join(FILES)}")
    return OK


class Watch:
    """A bar on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            text = TextColumn("{task.description}", markup=False)
            console = Console(stderr=True)
            self._bar = Progress(BarColumn(20), TaskProgressColumn(), text, console=console, transient=True)
            self._bar.start()
            self._bar.add_task("loading ...", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Show what is being done, how much of it is done, and of how much."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=what, completed=done, total=total)
