"""Scores that are not finite: an error that names the tensor of the model or the input that made them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.errors import InputError, WeightsError
from ..core.runner_protocol import Batch, Runner


def check_finite(outputs: dict[str, np.ndarray], batch: Batch, runner: Runner) -> dict[str, np.ndarray]:
    """Return the outputs of a batch if all are finite. Nothing is looked for as long as they are.

    Raises:
        WeightsError: a tensor of the model holds numbers that are not finite.
        InputError: the model does not, but an input leads to such numbers.
    """
    for name, array in outputs.items():
        # The sum is not finite if a number is not; few sums overflow, so the numbers are looked at only then.
        with np.errstate(invalid="ignore"):
            total = array.sum(dtype=np.float64)
        if not np.isfinite(total) and not np.isfinite(array).all():
            raise _error(name, array, batch, runner)
    return outputs


def _error(name: str, array: np.ndarray, batch: Batch, runner: Runner) -> Exception:
    for tensor, numbers in _tensors(runner):
        bad = int((~np.isfinite(numbers.astype(np.float32, copy=False))).sum())
        if bad:
            return WeightsError(
                f"The outputs of the model are not finite: {bad} of the {numbers.size} numbers of its tensor "
                f"{tensor} are NaN or infinite. Did a loss explode in its training? Load other weights."
            )
    row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
    token = row if batch.rows is None else int(batch.rows[row])
    sequence = row if not runner.head.per_token else int(np.searchsorted(batch.offsets, token, side="right")) - 1
    ids = batch.input_ids[batch.offsets[sequence] : batch.offsets[sequence + 1]].tolist()
    precision = getattr(runner, "precision", None) or _dtype_name(getattr(runner, "model", None))
    return InputError(
        f"The model's {name} are not finite for the sequence of {len(ids)} tokens with the ids {str(ids)[:60]}"
        f"{', ...' if len(str(ids)) > 60 else ''}. Its weights are finite, so numbers overflow between them"
        f"{f' in {precision}' if precision else ''}: run it in fp32."
    )


def _dtype_name(model: Any) -> str:
    return str(getattr(model, "dtype", "")).removeprefix("torch.")


def _tensors(runner: Runner) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names of the tensors of a runner's model, and their numbers."""
    weights = getattr(runner, "weights", None)
    if weights is not None:  # the engine, whose model may not be loaded
        yield from weights.arrays()
        return
    model: Any = getattr(runner, "model", None)
    if hasattr(model, "named_parameters"):
        for name, tensor in model.named_parameters():
            yield name, tensor.detach().float().cpu().numpy()
    elif hasattr(model, "get_arrays"):
        yield from model.get_arrays().items()
