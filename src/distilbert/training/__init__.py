"""Training: distillation, masked-LM pretraining, fine-tuning and evaluation.

Begin reading with :func:`.distillation.distill`, or with :func:`.finetuning.finetuner.finetune`. Both build a
:class:`.loop.TrainingSetup` (settings, batches, an objective, an evaluator) and hand it to :func:`.loop.train`.

- ``config_fields.py``, ``distill_config.py``: settings as dataclasses.
- ``corpus/``: plain text as batches. ``finetuning/``: labelled data, and the objective of a model with a head.
- ``distill_models.py``, ``distill_objective.py``: teacher and student, and the loss between them. Its terms are in
  ``vocabulary_terms.py`` and ``hidden_state_terms.py``.
- ``loop.py``, ``optimizer.py``, ``processes.py``, ``checkpoints.py``: steps, learning rate, processes, resuming.
- ``run_folder.py``, ``run_summary.py``: what a run finds in its folder, and what it leaves there.
- ``evaluation/``: metrics of labelled data. ``reports/``: pages, model cards and records of runs.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _EarlierPath(ModuleType):
    """A module under a path that earlier documentation named. Its names are those of ``distilbert`` itself."""

    def __getattr__(self, name: str) -> Any:
        import distilbert

        if name not in distilbert.__all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(distilbert, name)


for _path in (
    "config",
    "distill",
    "finetuning.config",
    "finetuning.run",
    "evaluation.config",
    "evaluation.evaluate",
):
    sys.modules[f"{__name__}.{_path}"] = _EarlierPath(f"{__name__}.{_path}")
