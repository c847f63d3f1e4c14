"""Callbacks that send the figures of a run to trackers of experiments: Weights & Biases, and MLflow."""

from __future__ import annotations

from typing import Any

from ..core.extras import require
from .reports.metrics_log import scalars
from .training_callback import TrainingCallback

MOST_CHARACTERS = 500  # of a setting that MLflow keeps


class WandbCallback(TrainingCallback):
    """Sends a run to Weights & Biases (package ``wandb``).

    Its charts have the step as their axis. A sweep, whose runs each begin at the first step, is one run there.

    Args:
        project: name of the project.
        **options: of ``wandb.init``, such as ``name``, ``tags`` and ``mode="offline"``.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, project: str = "distilbert", **options: Any) -> None:
        self._wandb: Any = require("wandb", "wandb")
        self._options = {"project": project, **options}
        self._run: Any = None

    def on_start(self, settings: dict[str, Any]) -> None:
        """See :class:`TrainingCallback`."""
        self._run = self._wandb.init(config=settings, **self._options)
        # As an axis, and not as the argument of ``log``, which drops records whose step is lower than the last one's.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def on_record(self, record: dict[str, Any]) -> None:
        """See :class:`TrainingCallback`."""
        self._run.log(dict(scalars(record["kind"], record)) | {"step": record["step"]})

    def on_end(self, error: BaseException | None) -> None:
        """See :class:`TrainingCallback`."""
        if self._run is not None:
            self._run.finish(exit_code=0 if error is None else 1)


class MlflowCallback(TrainingCallback):
    """Sends a run to MLflow (package ``mlflow`` or ``mlflow-skinny``).

    Args:
        tracking_uri: where MLflow keeps runs; None: what ``MLFLOW_TRACKING_URI`` says.
        experiment: name of the experiment; None: MLflow's default.
        **options: of ``mlflow.start_run``, such as ``run_name`` and ``tags``.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None, **options: Any) -> None:
        self._mlflow: Any = require("mlflow", "mlflow")
        self._tracking_uri, self._experiment, self._options = tracking_uri, experiment, options
        self._started = False

    def on_start(self, settings: dict[str, Any]) -> None:
        """See :class:`TrainingCallback`."""
        if self._tracking_uri is not None:
            self._mlflow.set_tracking_uri(self._tracking_uri)
        if self._experiment is not None:
            self._mlflow.set_experiment(self._experiment)
        self._mlflow.start_run(**self._options)
        self._started = True
        self._mlflow.log_params({name: str(value)[:MOST_CHARACTERS] for name, value in settings.items()})

    def on_record(self, record: dict[str, Any]) -> None:
        """See :class:`TrainingCallback`."""
        self._mlflow.log_metrics(dict(scalars(record["kind"], record)), step=record["step"])

    def on_end(self, error: BaseException | None) -> None:
        """See :class:`TrainingCallback`."""
        if self._started:
            self._mlflow.end_run("FINISHED" if error is None else "FAILED")
