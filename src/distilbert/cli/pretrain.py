"""``distilbert pretrain``: trains a masked language model."""

from __future__ import annotations

from typing import Any

from ..training.distill_config import PretrainConfig
from .config_options import with_config_options

EXAMPLE = "distilbert pretrain --model models/minilm --data text/*.txt --output models/minilm-mlm"


@with_config_options(PretrainConfig)
def command(config: PretrainConfig, resume: bool, overwrite: bool, **cluster: Any) -> int:
    """Train a masked LM: a missing head, a model on new text, or one from scratch (arXiv 1810.04805)."""
    from ..core.extras import require

    require("torch", "torch")
    require("accelerate", "train")
    from ..training.distillation import pretrain
    from .training_command import run_training

    return run_training(pretrain, config, resume, overwrite, **cluster)
