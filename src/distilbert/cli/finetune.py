"""``distilbert finetune``: labelled data and a model into a model for a task."""

from __future__ import annotations

from ..training.finetuning.finetune_config import FinetuneConfig
from .settings import with_settings

EXAMPLE = r"""
distilbert finetune --task text-classification --model models/minilm \
  --train-data train.tsv --eval-data dev.tsv --output models/reviews
"""


@with_settings(FinetuneConfig)
def command(config: FinetuneConfig, resume: bool, overwrite: bool) -> int:
    """Fine-tune a BERT or DistilBERT for a task, from a teacher too if there is one."""
    from ..core.extras import require

    require("torch", "torch")
    require("accelerate", "train")
    from ..training.finetuning.finetuner import finetune
    from .training import watched

    return watched(finetune, config, resume, overwrite, labelled=True)
