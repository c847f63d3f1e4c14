"""What people see of a training run: one line that moves on a terminal or in a notebook, elsewhere a line a message."""

from __future__ import annotations

import copy
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..core.errors import Interrupted
from ..core.progress_bar import ProgressBar, can_be_shown
from ..core.terminal_text import printable
from .training_callback import TrainingCallback

logger = logging.getLogger("distilbert")

RESUME = "with resume=True, on the command line --resume,"
DIVERGED, DIVERGED_RECORDS = 2.0, 3  # times the first loss, in so many records in a row
IN_EVERY_EVALUATION = ("kind", "step", "tokens", "seconds")  # keys that are no metrics
MetricsRecord = dict[str, Any]  # a line of metrics.jsonl


class TrainingProgress:
    """Shows a run on standard error, and passes its records on.

    Use it as a context around the run; Ctrl-C before the first step then says that nothing is kept.

    Args:
        verbose: show anything. Only the first of several processes does.
        on_record: receives every record too.
        on_data: receives every line about the data too.
        on_tokenized: receives the documents and tokens so far too.
        callbacks: hear of the run; those of the first of several processes alone.
        settings: of the run, for the callbacks.
    """

    def __init__(
        self,
        verbose: bool,
        *,
        on_record: Callable[[MetricsRecord], None] | None = None,
        on_data: Callable[[str], None] | None = None,
        on_tokenized: Callable[[int, int], None] | None = None,
        callbacks: Sequence[TrainingCallback] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._on_record, self._on_data, self._on_tokenized = on_record, on_data, on_tokenized
        is_first = os.environ.get("RANK", "0") == "0"
        self._callbacks = list(callbacks) if is_first else []
        self._settings = dict(settings or {})
        self._verbose = verbose and is_first
        self._bar = ProgressBar("starting ...", shown=self._verbose and can_be_shown(), stays=True)
        self._step = 0
        self._first_loss: float | None = None
        self._high_losses = 0  # records in a row

    def __enter__(self) -> Self:
        for callback in self._callbacks:
            callback.on_start(copy.deepcopy(self._settings))
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        for callback in self._callbacks:
            callback.on_end(error)
        if kind is KeyboardInterrupt:
            raise Interrupted(
                f"stopped after step {self._step}; {RESUME} the run goes on from its newest checkpoint"
                if self._step
                else "stopped before the first step"
            ) from None

    def notice(self, text: str) -> None:
        """Say something that people need to know even if they do not watch; without ``verbose``, it is logged."""
        if self._verbose:
            self._print(text)
        else:
            logger.warning("%s", text)

    def show_tokenized(self, documents: int, tokens: int) -> None:
        """Show how far tokenization is."""
        text = f"tokenized {documents:,} documents, {tokens:,} tokens"
        self._bar.update(text)
        self._print_without_bar(text)
        if self._on_tokenized is not None:
            self._on_tokenized(documents, tokens)

    def show_data(self, line: str) -> None:
        """Show what the data consists of."""
        self._print(line)
        if self._on_data is not None:
            self._on_data(line)

    def show_record(self, record: MetricsRecord) -> None:
        """Show a record of ``metrics.jsonl``."""
        if record["step"] < self._step:  # the next run of a sweep
            self._first_loss, self._high_losses = None, 0
        self._step = record["step"]
        if record["kind"] == "evaluation":
            self._print(describe_evaluation(record))
        else:
            text = describe_step(record)
            self._bar.update(text, record["step"], record["steps"])
            self._print_without_bar(text)
            self._warn_of_divergence(record["loss"])
        if self._on_record is not None:
            self._on_record(record)
        for callback in self._callbacks:
            callback.on_record(copy.deepcopy(record))

    def _warn_of_divergence(self, loss: float) -> None:
        """Say once that the loss is far above where it began, and stays there."""
        if self._first_loss is None:
            self._first_loss = loss
        self._high_losses = self._high_losses + 1 if loss > DIVERGED * self._first_loss else 0
        if self._high_losses == DIVERGED_RECORDS:
            self.notice(
                f"the loss began with {self._first_loss:.3g} and is {loss:.3g} now: the run diverges. Lower the "
                "learning rate, or make the warm-up longer."
            )

    def _print(self, text: str) -> None:
        text = printable(text)
        self._bar.print_above(text)
        self._print_without_bar(text)

    def _print_without_bar(self, text: str) -> None:
        if self._verbose and not self._bar.shown:
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
