"""Our server with a model that computes nothing: what HTTP, tokenizing and batching cost by themselves.

python -m benchmarks.serving.empty_model serve MODEL --port 8080
"""

from __future__ import annotations

import numpy as np

from distilbert.cli import main
from distilbert.core.runner_protocol import Batch
from distilbert.engine.engine_runner import EngineRunner


def no_logits(runner: EngineRunner, batch: Batch) -> dict[str, np.ndarray]:
    """Return zeros (B, L) for a batch."""
    return {"logits": np.zeros((len(batch.lengths), runner.config.num_labels), dtype=np.float32)}


if __name__ == "__main__":
    EngineRunner.__call__ = no_logits  # type: ignore[method-assign]
    main()
