"""``distilbert pretrain``: the masked-LM objective alone."""

from __future__ import annotations

from ..training.distill_config import PretrainConfig
from .settings import with_settings

EXAMPLE = "distilbert pretrain --model models/minilm --data text/*.txt --output models/minilm-mlm"


@with_settings(PretrainConfig)
def command(config: PretrainConfig, resume: bool, overwrite: bool) -> int:
    """Train a masked LM: a missing head, a model on new text, or one from scratch (arXiv 1810.04805)."""
    from ..core.extras import require

    require("torch", "torch")
    require("accelerate", "train")
    from ..training.distillation import pretrain
    from .training import watched

    return watched(pretrain, config, resume, overwrite)
