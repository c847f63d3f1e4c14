"""What code of a user can hear of a training run while it trains."""

from __future__ import annotations

from typing import Any


class TrainingCallback:
    """Hears of a training run: derive from it, override what you need, and pass an object as ``callbacks=[...]``.

    Of several processes only the first calls it. A callback cannot change the numbers of a run: it gets copies of the
    figures, and the random numbers of a run depend on its seed and step alone. An error that a callback raises ends the
    run, which can be resumed. A resumed run calls :meth:`on_start` again, and repeats the records of the steps after
    its checkpoint. Of a sweep over seeds and learning rates, each run's records come one after the other.
    """

    def on_start(self, settings: dict[str, Any]) -> None:
        """Called once, before data is read.

        Args:
            settings: all settings by their names, as ``config.toml`` has them.
        """

    def on_record(self, record: dict[str, Any]) -> None:
        """Called with every record of ``metrics.jsonl`` after it was written.

        Args:
            record: its ``kind`` is ``"train"`` (means over the last ``log_every`` steps: ``loss``, ``terms``,
                ``learning_rate``, ``gradient_norm``, ``tokens_per_second``) or ``"evaluation"`` (the metrics). Both
                have ``step``, ``tokens`` and ``seconds``.
        """

    def on_end(self, error: BaseException | None) -> None:
        """Called once, when the model is saved or the run has failed.

        Args:
            error: what ended the run, such as a TrainingError or a KeyboardInterrupt; None after success.
        """
