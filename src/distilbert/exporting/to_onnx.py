"""Writing a traced model as an ONNX file in fp32, fp16 or int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..core.extras import require
from ..models.pytorch.pretrained import DistilBertPreTrainedModel
from .libraries import EXTRA, quiet
from .sessions import INPUTS
from .trace import AXES, output_names, rank, trace

OPSET = 18  # old enough for the runtimes in use, new enough for LayerNormalization


def write_onnx(model: DistilBertPreTrainedModel, path: Path, precision: str) -> None:
    """Write ``model`` as one ONNX file.

    fp16 holds the weights and computes in fp16 where the runtime can; outputs stay float32. int8 holds the weights of
    linear maps and embeddings as 8-bit integers and rounds activations to 8 bits while it runs (dynamic quantization,
    no data needed): scales for each output channel, and seven bits used of the eight, because on CPUs without VNNI
    instructions eight overflow and give other answers than everywhere else.

    Args:
        model: in fp32.
        path: the file.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
    """
    head = model.head_spec.name
    program = trace(model, torch.float16 if precision == "fp16" else torch.float32)
    with quiet():
        written: Any = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(output_names(head)),
        )
        proto = written.model_proto
    _tidy(proto, rank(head))
    path.parent.mkdir(parents=True, exist_ok=True)
    if precision == "int8":
        _quantize(proto, path)
    else:
        require("onnx", EXTRA).save(proto, str(path))


def _tidy(proto: Any, inputs_rank: int) -> None:
    """Name the axes, and drop what says where on this machine the model was defined."""
    axes = {
        dim.dim_param: name
        for each in proto.graph.input
        for dim, name in zip(each.type.tensor_type.shape.dim, AXES[inputs_rank], strict=True)
    }
    for each in (*proto.graph.input, *proto.graph.output):
        for dim in each.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = axes.get(dim.dim_param, dim.dim_param)
        del each.metadata_props[:]
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")


def _quantize(proto: Any, path: Path) -> None:
    quantization: Any = require("onnxruntime.quantization", EXTRA)
    tools: Any = require("onnxruntime.quantization.quant_utils", EXTRA)
    tools.add_pre_process_metadata(proto)  # else the library asks, in the log, for a step that is not needed here
    with quiet():
        quantization.quantize_dynamic(
            proto, str(path), weight_type=quantization.QuantType.QInt8, per_channel=True, reduce_range=True
        )
