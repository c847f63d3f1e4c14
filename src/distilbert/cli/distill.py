"""``distilbert distill``: trains a smaller student from a teacher."""

from __future__ import annotations

from typing import Any

from ..training.distill_config import DistillConfig
from .config_options import with_config_options

EXAMPLE = r"""
distilbert distill --teacher models/minilm-mlm --data text/*.txt --output models/student \
  --layers 3 --terms ce=5,mlm=2,cos=1
"""


@with_config_options(DistillConfig)
def command(config: DistillConfig, resume: bool, overwrite: bool, **cluster: Any) -> int:
    """Distil a BERT or DistilBERT masked LM into a smaller one (arXiv 1910.01108)."""
    from ..core.extras import require

    require("torch", "torch")
    require("accelerate", "train")
    from ..training.distillation import distill
    from .training_command import run_training

    return run_training(distill, config, resume, overwrite, **cluster)
