"""``distilbert finetune``: trains a model for a task on labelled data."""

from __future__ import annotations

from typing import Any

from ..training.finetuning.finetune_config import FinetuneConfig
from .config_options import with_config_options

EXAMPLE = r"""
distilbert finetune --task text-classification --model models/minilm \
  --train-data train.tsv --eval-data dev.tsv --output models/reviews
"""


@with_config_options(FinetuneConfig)
def command(config: FinetuneConfig, resume: bool, overwrite: bool, **cluster: Any) -> int:
    """Fine-tune a BERT or DistilBERT for a task, on labels and, if you name one, on a teacher's answers."""
    from ..core.extras import require

    require("torch", "torch")
    require("accelerate", "train")
    from ..training.finetuning.finetuner import finetune
    from .training_command import run_training

    return run_training(finetune, config, resume, overwrite, **cluster)
