"""What people see of a training run: one line that moves on a terminal, elsewhere a line for each message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..core.errors import LostProcessError
from .failures import OK, Interrupted
from .progress_bar import ProgressBar

IN_EVERY_EVALUATION = ("kind", "step", "tokens", "seconds")  # keys that are no metrics


class TrainingProgress:
    """Shows the records of a run on standard error.

    Use it as a context around the run; Ctrl-C then says how to go on.
    """

    def __init__(self) -> None:
        is_shown = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"
        self._bar = ProgressBar("starting ...", shown=is_shown, stays=True)
        self._step = 0

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        if kind is KeyboardInterrupt:
            raise Interrupted(
                f"stopped after step {self._step}; the same command with --resume goes on from the newest checkpoint"
            )

    def show_tokenized(self, documents: int, tokens: int) -> None:
        """Show how far tokenization is."""
        text = f"tokenized {documents:,} documents, {tokens:,} tokens"
        self._bar.update(text)
        self._print_without_bar(text)

    def show_data(self, line: str) -> None:
        """Show what the data consists of."""
        self._bar.print_above(line)
        self._print_without_bar(line)

    def show_record(self, record: Mapping[str, Any]) -> None:
        """Show a record of ``metrics.jsonl``."""
        self._step = record["step"]
        if record["kind"] == "evaluation":
            self.show_data(describe_evaluation(record))
        else:
            text = describe_step(record)
            self._bar.update(text, record["step"], record["steps"])
            self._print_without_bar(text)

    def _print_without_bar(self, text: str) -> None:
        if not self._bar.shown:
            print(text, file=sys.stderr, flush=True)


def describe_step(record: Mapping[str, Any]) -> str:
    """Return, for example, ``"step 40/366, 4:12 left  loss 9.31  ce 0.84  mlm 2.4  1,210 tokens/s"``.

    A narrow terminal cuts the end off, so what people look for comes first.
    """
    terms = [f"{name} {value:.3g}" for name, value in record["terms"].items()]
    loss = [f"loss {record['loss']:.4g}"] if len(terms) != 1 else []
    rate = record["tokens_per_second"]
    left = (record["steps"] - record["step"]) * record["tokens"] / record["step"] / max(rate, 1e-9)
    return "  ".join(
        [f"step {record['step']}/{record['steps']}, {clock(left)} left", *loss, *terms, f"{rate:,.0f} tokens/s"]
    )


def describe_evaluation(record: Mapping[str, Any]) -> str:
    """Return, for example, ``"step 100: held-out perplexity 35.2 (teacher 28.1), KL 0.31, agreement 61.0 %"``.

    An evaluation on labelled data shows all its metrics: ``"step 100: accuracy 0.893, f1 0.897"``.
    """
    if "perplexity" not in record or "accuracy" in record:
        metrics = [f"{name} {value:.4g}" for name, value in record.items() if name not in IN_EVERY_EVALUATION]
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


def run_training(
    train: Callable[..., Path], config: Any, resume: bool, overwrite: bool, *, labelled: bool = False
) -> int:
    """Call a training function, show its progress, and print what it wrote.

    Args:
        train: a training function, such as :func:`distilbert.distill`.
        config: its settings.
        resume: go on from the newest checkpoint.
        overwrite: start anew in a folder that holds a run.
        labelled: it trains on labelled data; otherwise on text.

    Raises:
        LostProcessError: another of several processes ended; it has said why.
    """
    rank, has_others = os.environ.get("RANK", "0"), int(os.environ.get("WORLD_SIZE", "1")) > 1
    try:
        with TrainingProgress() as progress:
            on_text = {"on_data": progress.show_data} if labelled else {"on_tokenized": progress.show_tokenized}
            folder = train(config, resume=resume, overwrite=overwrite, on_record=progress.show_record, **on_text)
    except RuntimeError as error:
        if has_others and "onnection" in str(error):  # "Connection closed by peer", "connection reset"
            raise LostProcessError(f"process {rank} stops, because another one did: see its message.") from error
        raise
    if rank == "0":
        print(f"{folder}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/")
    return OK
