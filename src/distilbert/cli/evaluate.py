"""``distilbert evaluate``: how good a model is on labelled examples, alone or beside another one."""

from __future__ import annotations

import dataclasses
import sys
from types import TracebackType
from typing import Annotated, Any, Self

import typer

from ..core.errors import ConfigError, UnknownArgumentError
from ..training.evaluation.config import EvaluateConfig
from ..training.settings import REQUIRED, read_toml
from .failures import OK, UsageError

EXAMPLE = "distilbert evaluate --model models/sentiment --data reviews.csv --output reports/sentiment"
FIELDS = {field.name: field for field in dataclasses.fields(EvaluateConfig)}


def _option(name: str) -> Any:
    """Return the option of a setting, with the help and the default that the settings state."""
    field = FIELDS[name]
    given = field.default is not REQUIRED and not isinstance(field.default, bool) and field.default not in ("", 0)
    default = f" [default: {field.default}]" if given else " Required." if name in ("model", "data") else ""
    flag = f"--{name.replace('_', '-')}"
    flags = f"{flag}/--no-{name}" if field.default is True else flag
    return typer.Option(flags, help=field.metadata["help"] + default, show_default=False)


def command(
    model: Annotated[str | None, _option("model")] = None,
    data: Annotated[list[str] | None, _option("data")] = None,
    compare: Annotated[str | None, _option("compare")] = None,
    task: Annotated[str | None, _option("task")] = None,
    columns: Annotated[str | None, _option("columns")] = None,
    delimiter: Annotated[str | None, _option("delimiter")] = None,
    split: Annotated[str | None, _option("split")] = None,
    output: Annotated[str | None, _option("output")] = None,
    limit: Annotated[int | None, _option("limit")] = None,
    samples: Annotated[int | None, _option("samples")] = None,
    worst: Annotated[int | None, _option("worst")] = None,
    speed: Annotated[bool | None, _option("speed")] = None,
    seed: Annotated[int | None, _option("seed")] = None,
    batch_tokens: Annotated[int | None, _option("batch_tokens")] = None,
    device: Annotated[str | None, _option("device")] = None,
    overwrite: Annotated[bool | None, _option("overwrite")] = None,
    config: Annotated[
        str, typer.Option(help="TOML file of settings; options given here win over it.", show_default=False)
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the JSON of the evaluation, not a table.")] = False,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]...", help="More of --data: --data a.tsv b.tsv.", show_default=False),
    ] = None,
) -> int:
    """Measure a model on labelled examples: metrics with intervals, calibration, speed, the worst errors."""
    given = {
        "model": model, "data": [*(data or []), *(more or [])] or None, "compare": compare, "task": task,
        "columns": None if columns is None else _pairs(columns), "delimiter": delimiter, "split": split,
        "output": output, "limit": limit, "samples": samples, "worst": worst, "speed": speed, "seed": seed,
        "batch_tokens": batch_tokens, "device": device, "overwrite": overwrite,
    }  # fmt: skip
    settings = _settings(config, {name: value for name, value in given.items() if value is not None})
    from ..core.extras import require

    for module, extra in (("torch", "torch"), ("sklearn", "train"), ("seqeval", "train")):
        require(module, extra)
    if settings.output:
        require("matplotlib", "train")
    from ..training.evaluation.evaluate import evaluate
    from ..training.evaluation.result import FILES

    with Watch() as watch:
        result = evaluate(settings, on_progress=watch.show)
    values = result.to_dict()
    if json:
        from json import dumps

        print(dumps(values, indent=2, ensure_ascii=False))
        return OK
    from .evaluation_view import show

    show(values)
    if settings.output:
        print(f"{settings.output}: {', '.join(FILES)}")
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


def _settings(config: str, given: dict[str, Any]) -> EvaluateConfig:
    try:
        values = read_toml(config) | given if config else given
        missing = [f"--{name}" for name in ("model", "data") if name not in values]
        if missing:
            raise UsageError(f"Missing option {', '.join(missing)}; give it here, or in a file for --config.")
        return EvaluateConfig.from_dict(values, where=config)
    except (ConfigError, UnknownArgumentError) as error:
        raise UsageError(str(error)) from None


def _pairs(text: str) -> dict[str, str]:
    """Return ``{"text": "sentence"}`` of ``"text=sentence"``."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(sign and role.strip() and column.strip() for role, sign, column in pairs):
        raise UsageError(f"--columns {text!r}: pairs such as text=sentence,label=class are expected.")
    return {role.strip(): column.strip() for role, _, column in pairs}
