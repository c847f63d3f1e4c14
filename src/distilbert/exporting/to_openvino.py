"""Writing a traced model as OpenVINO's pair of files in fp32, fp16 or int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.pytorch.pretrained import DistilBertPreTrainedModel
from .libraries import import_nncf, import_openvino, offline, quiet
from .sessions import INPUTS
from .trace import output_names, trace

Feed = tuple[np.ndarray, np.ndarray]


def write_openvino(
    model: DistilBertPreTrainedModel, path: Path, precision: str, calibration: Sequence[Feed] | None = None
) -> None:
    """Write ``model`` as ``path`` and the ``.bin`` beside it.

    fp16 halves the weights in the file; sums stay in fp32. int8 without calibration holds weights as 8-bit integers
    and rounds nothing else, which needs no data; with calibration, activations are rounded too, by ranges seen on it.

    Args:
        model: in fp32.
        path: the ``.xml`` file.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        calibration: pairs of ids and mask, for int8.
    """
    library: Any = import_openvino()
    program = trace(model)
    with offline(), quiet():
        graph = library.convert_model(program)
    for port, name in zip(graph.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, output_names(model.head_spec.name), strict=True):
        port.get_tensor().set_names({name})
    if precision == "int8":
        graph = _quantize(graph, calibration)
    with offline(), quiet():
        library.save_model(graph, path, compress_to_fp16=precision == "fp16")


def _quantize(graph: Any, calibration: Sequence[Feed] | None) -> Any:
    nncf: Any = import_nncf()
    with offline(), quiet():
        if calibration is None:
            return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
        data = nncf.Dataset(calibration, lambda feed: dict(zip(INPUTS, feed, strict=True)))
        return nncf.quantize(
            graph, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calibration), fast_bias_correction=True
        )
