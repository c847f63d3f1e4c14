"""Hashes of what the results of a run depend on, so that ``--resume`` does not mix two inputs or two models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...core.content_hash import hash_files, model_files
from ...core.errors import ModelNotFoundError
from ...tasks.runner_options import RUNNERS_OF_EXPORTED
from .plan import RunPlan


class ContentHashes:
    """Hashes the input, and the model where it is on this machine already, while the model loads.

    Args:
        plan: names the input and the model.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._is_exported = plan.loading.get("runner") in RUNNERS_OF_EXPORTED
        self._models = [str(name) for name in map(plan.loading.get, ("model", "config", "tokenizer")) if name]
        executor = ThreadPoolExecutor(2, thread_name_prefix="hash")
        inputs = [] if plan.input is None or plan.is_sharded else [Path(plan.input)]  # a manifest hashes its own
        self._input = executor.submit(hash_files, inputs)
        self._model = executor.submit(self._hash_models)
        executor.shutdown(wait=False)

    def result(self) -> dict[str, str]:
        """Return both hashes. The model must have been loaded."""
        return {
            "content of the input": self._input.result(),
            "content of the model": self._model.result() or self._hash_models(),  # it may have been downloaded since
        }

    def _hash_models(self) -> str:
        try:
            return hash_files(path for name in self._models for path in model_files(name, self._is_exported))
        except ModelNotFoundError:
            return ""
