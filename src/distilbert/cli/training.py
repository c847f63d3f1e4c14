"""What a person sees of a training run: one line that moves on a terminal, a line a record elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..core.errors import DistilBertError
from .failures import OK, Interrupted

Record = dict[str, Any]
ABOUT = ("kind", "step", "tokens", "seconds")  # in every record of an evaluation


class LostProcessError(DistilBertError, RuntimeError):
    """One of several processes ended, so the others cannot go on."""


class Watch:
    """Shows the records of a run on standard error.

    Use as a context around the run; Ctrl-C then says how to go on.
    """

    def __init__(self) -> None:
        self._live: Any = None
        self._step = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and os.environ.get("RANK", "0") == "0":
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            text = TextColumn("{task.description}", markup=False)
            self._live = Progress(BarColumn(20), TaskProgressColumn(), text, console=Console(stderr=True))
            self._live.start()
            self._live.add_task("starting ...", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is KeyboardInterrupt:
            raise Interrupted(
                f"stopped after step {self._step}; the same command with --resume goes on from the newest checkpoint"
            )

    def tokenized(self, documents: int, tokens: int) -> None:
        """Show how far tokenization is."""
        self._say(f"tokenized {documents:,} documents, {tokens:,} tokens", keep=False)

    def data(self, line: str) -> None:
        """Show what was found in the data."""
        self._say(line, keep=True)

    def record(self, record: Record) -> None:
        """Show a record of ``metrics.jsonl``."""
        self._step = record["step"]
        if record["kind"] == "evaluation":
            self._say(describe_evaluation(record), keep=True)
        else:
            self._say(describe_step(record), keep=False, done=record["step"], total=record["steps"])

    def _say(self, text: str, *, keep: bool, done: int | None = None, total: int | None = None) -> None:
        if self._live is None:
            print(text, file=sys.stderr, flush=True)
        elif keep:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            self._live.update(self._live.task_ids[0], description=text, completed=done, total=total)


def describe_step(record: Record) -> str:
    """Return, for example, ``"step 40/366, 4:12 left  loss 9.31  ce 0.84  mlm 2.4  1,210 tokens/s"``.

    A narrow terminal cuts the end, so what people look for comes first.
    """
    terms = [f"{name} {value:.3g}" for name, value in record["terms"].items()]
    loss = [f"loss {record['loss']:.4g}"] if len(terms) != 1 else []
    rate = record["tokens_per_second"]
    left = (record["steps"] - record["step"]) * record["tokens"] / record["step"] / max(rate, 1e-9)
    return "  ".join(
        [f"step {record['step']}/{record['steps']}, {clock(left)} left", *loss, *terms, f"{rate:,.0f} tokens/s"]
    )


def describe_evaluation(record: Record) -> str:
    """Return, for example, ``"step 100: held-out perplexity 35.2 (teacher 28.1), KL 0.31, agreement 61.0 %"``.

    Of a labelled evaluation it tells all metrics: ``"step 100: accuracy 0.893, f1 0.897"``.
    """
    if "perplexity" not in record or "accuracy" in record:
        metrics = [f"{name} {value:.4g}" for name, value in record.items() if name not in ABOUT]
        return f"step {record['step']}: {', '.join(metrics)}"
    text = f"step {record['step']}: held-out perplexity {record['perplexity']:.4g}"
    if "teacher_perplexity" in record:
        text += f" (teacher {record['teacher_perplexity']:.4g}), KL {record['kl']:.3g}"
        text += f", agreement {100 * record['agreement']:.1f} %"
    return text


def clock(seconds: float) -> str:
    """Return ``"4:07"`` or ``"1:04:07"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def watched(run: Callable[..., Path], config: Any, resume: bool, overwrite: bool, *, labelled: bool = False) -> int:
    """Run a training function, of text or of labelled data, under a :class:`Watch` and say what it left.

    Raises:
        LostProcessError: another of several processes ended; it has said why.
    """
    rank, together = os.environ.get("RANK", "0"), int(os.environ.get("WORLD_SIZE", "1")) > 1
    try:
        with Watch() as watch:
            about = {"on_data": watch.data} if labelled else {"on_tokenized": watch.tokenized}
            folder = run(config, resume=resume, overwrite=overwrite, on_record=watch.record, **about)
    except RuntimeError as error:
        if together and "onnection" in str(error):  # closed by peer, reset
            raise LostProcessError(f"process {rank} stops, because another one did: see its message.") from error
        raise
    if rank == "0":
        print(f"{folder}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/")
    return OK
