"""TensorFlow Lite: conversion to a file, which is checked against the model before it is written.

Legend: B batch, S sequence.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...core.errors import DistilBertError, InputError
from ...core.extras import require
from ...core.files import replacing
from .arrays import to_numpy

TOLERANCES = {None: 1e-4, "float16": 1e-2, "int8": 0.2}
QUANTIZATIONS = tuple(name for name in TOLERANCES if name)


def to_tflite(
    model: Any,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    tolerance: float | None = None,
    shapes: Sequence[tuple[int, int]] = ((1, 7), (3, 16)),
) -> float:
    """Convert a model to a TensorFlow Lite file, for int32 ids and mask of any size, and check its outputs.

    Args:
        model: any of the six classes; the backend of Keras must be TensorFlow.
        path: the ``.tflite`` file, which is replaced only after the check.
        quantize: None, ``"float16"`` weights, or ``"int8"`` weights.
        tolerance: largest difference allowed, relative to the largest number of the output; by default 1e-4 without
            quantization, 1e-2 for float16 and 0.2 for int8.
        shapes: (B, S) of the random inputs of the check; the second half of the last row is padding.

    Returns:
        The largest relative difference.

    Raises:
        InputError: the backend or the quantization is another one.
        DistilBertError: the converted model differs by more than the tolerance.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"to_tflite needs KERAS_BACKEND=tensorflow, this process runs {keras.backend.backend()!r}.")
    if quantize not in TOLERANCES:
        raise InputError(f"quantize must be None or one of {', '.join(QUANTIZATIONS)}, got {quantize!r}.")
    tf = require("tensorflow", "keras")
    limit = TOLERANCES[quantize] if tolerance is None else tolerance
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    worst = 0.0
    for shape in shapes:
        inputs = _random_inputs(model, shape)
        converted = _run(tf, content, inputs)
        for name, tensor in model(inputs, return_dict=True).items():
            exact = to_numpy(tensor).astype(np.float32)
            worst = max(worst, float(np.abs(converted[name] - exact).max() / np.abs(exact).max()))
    if not worst <= limit:
        raise DistilBertError(
            f"The converted model differs from its source by {worst:.2g} of the largest number, allowed is "
            f"{limit:.2g}: nothing was written to {path}."
        )
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)
    return worst


def run_tflite(path: str | os.PathLike[str], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a file that :func:`to_tflite` wrote; int32 ``input_ids`` and ``attention_mask``, (B, S) or (B, C, S)."""
    return _run(require("tensorflow", "keras"), Path(path).read_bytes(), inputs)


def _run(tf: Any, content: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if importlib.util.find_spec("ai_edge_litert") is not None:
        interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model_content=content)
    else:
        with warnings.catch_warnings():  # it recommends that package, which is not available everywhere
            warnings.simplefilter("ignore", UserWarning)
            interpreter = tf.lite.Interpreter(model_content=content)
    outputs: dict[str, np.ndarray] = interpreter.get_signature_runner("serving_default")(**inputs)
    return outputs


def _random_inputs(model: Any, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    batch, length = shape[0], min(shape[1], model.config.max_position_embeddings)
    dims = (batch, 2, length) if model.head_spec.name == "ForMultipleChoice" else (batch, length)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, dims, dtype=np.int32)
    mask = np.ones(dims, dtype=np.int32)
    mask[-1, ..., -(-length // 2) :] = 0
    return {"input_ids": ids, "attention_mask": mask}
