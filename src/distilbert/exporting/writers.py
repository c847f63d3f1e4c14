"""A model as a PyTorch program, and the program as a file in each format.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..core.extras import require
from ..models.pytorch.pretrained import DistilBertPreTrainedModel
from ..weights.tensors import write_torch_archive
from .formats import INPUTS, input_rank, output_names
from .libraries import EXTRA, import_nncf, import_openvino, offline, quiet

OPSET = 18  # old enough for the runtimes in use, new enough for LayerNormalization
AXES = {2: ("batch_size", "sequence_length"), 3: ("batch_size", "num_choices", "sequence_length")}  # rank -> names


class _NamedOutputs(nn.Module):
    """The model with two inputs, and with outputs by name that are float32 whatever type the weights have."""

    def __init__(self, model: DistilBertPreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.names = output_names(model.head_spec.name)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        output: Any = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_attentions=False,
            output_hidden_states=False,
            return_dict=True,
        )
        return {name: output[name].float() for name in self.names}


def trace(model: DistilBertPreTrainedModel, dtype: torch.dtype = torch.float32) -> ExportedProgram:
    """Return a program of what a model computes, for any batch size and any length that the model takes.

    The program uses eager attention. Its mask is a finite number, so a row of padding alone stays finite in every
    runtime, and the runtimes recognize their fused attention in it.

    Args:
        model: any of the six classes; it is left as it is.
        dtype: floating type of the weights in the program.

    Returns:
        A program that takes ``input_ids`` and ``attention_mask``, (B, S) or (B, C, S), and returns a dictionary of
        float32 tensors. It holds no paths of this machine.
    """
    rank = input_rank(model.head_spec.name)
    model = copy.deepcopy(model).to(dtype).eval()
    model.set_attn_implementation("eager")
    ids = torch.ones((2, 3, 4)[-rank:], dtype=torch.int64)
    limits = {"sequence_length": model.config.max_position_embeddings}
    axes = {axis: Dim(name, max=limits.get(name)) for axis, name in enumerate(AXES[rank])}
    with quiet():
        program = torch.export.export(
            _NamedOutputs(model),
            (),
            dict(zip(INPUTS, (ids, ids.clone()), strict=True)),  # the same tensor twice would become one input
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def write_torch(model: DistilBertPreTrainedModel, path: Path, precision: str) -> None:
    """Write a program that ``torch.export.load`` reads.

    Args:
        model: in fp32.
        path: the ``.pt2`` file.
        precision: ``"fp32"`` or ``"fp16"``, the type of the weights and of what is computed; outputs are float32.
    """
    program = trace(model, torch.float16 if precision == "fp16" else torch.float32)
    with quiet():
        write_torch_archive(path, lambda file: torch.export.save(program, file))


def open_program(path: Path, head: str) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Open a program that :func:`write_torch` has just written, to verify it.

    Never open one from elsewhere: reading it can run code that is hidden in it.

    Args:
        path: the ``.pt2`` file.
        head: name of the model's head.

    Returns:
        A function of ids and mask, int64 arrays (B, S) or (B, C, S), that returns float32 arrays by name.
    """
    with quiet():
        module = torch.export.load(path).module()

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        inputs = {
            name: torch.from_numpy(array) for name, array in zip(INPUTS, (input_ids, attention_mask), strict=True)
        }
        with torch.inference_mode():
            outputs = module(**inputs)
        return {name: outputs[name].numpy() for name in output_names(head)}

    return run


def write_onnx(model: DistilBertPreTrainedModel, path: Path, precision: str) -> None:
    """Write one ONNX file.

    fp16 stores the weights in fp16 and computes in fp16 where the runtime can; outputs stay float32. int8 stores the
    weights of linear maps and embeddings as 8-bit integers, with a scale for each output, and rounds activations to 8
    bits while it runs (dynamic quantization, which needs no data). The weights use seven of the eight bits: with
    eight, CPUs without VNNI instructions overflow and give other answers than the rest.

    Args:
        model: in fp32.
        path: the file.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
    """
    head = model.head_spec.name
    program = trace(model, torch.float16 if precision == "fp16" else torch.float32)
    with quiet():
        exported: Any = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(output_names(head)),
        )
        proto = exported.model_proto
    _name_axes(proto, input_rank(head))
    _remove_metadata(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    if precision == "int8":
        _quantize_onnx(proto, path)
    else:
        require("onnx", EXTRA).save(proto, str(path))


def _name_axes(proto: Any, rank: int) -> None:
    """Name the axes of inputs and outputs as :data:`AXES` does."""
    axes = {
        dim.dim_param: name
        for each in proto.graph.input
        for dim, name in zip(each.type.tensor_type.shape.dim, AXES[rank], strict=True)
    }
    for each in (*proto.graph.input, *proto.graph.output):
        for dim in each.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = axes.get(dim.dim_param, dim.dim_param)


def _remove_metadata(proto: Any) -> None:
    """Remove what says where on this machine the model was defined."""
    for each in (*proto.graph.input, *proto.graph.output):
        del each.metadata_props[:]
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")


def _quantize_onnx(proto: Any, path: Path) -> None:
    quantization: Any = require("onnxruntime.quantization", EXTRA)
    tools: Any = require("onnxruntime.quantization.quant_utils", EXTRA)
    tools.add_pre_process_metadata(proto)  # without it the library logs advice to run a step that is not needed here
    with quiet():
        quantization.quantize_dynamic(
            proto, str(path), weight_type=quantization.QuantType.QInt8, per_channel=True, reduce_range=True
        )


def write_openvino(
    model: DistilBertPreTrainedModel,
    path: Path,
    precision: str,
    calibration: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> None:
    """Write OpenVINO's pair of files: ``path``, and the ``.bin`` beside it.

    fp16 halves the weights in the file; sums stay in fp32. int8 without calibration stores weights as 8-bit integers
    and leaves activations in floats, which needs no data. With calibration, activations are rounded too.

    Args:
        model: in fp32.
        path: the ``.xml`` file.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        calibration: pairs of ids and mask, (B, S) or (B, C, S) int64, from which int8 takes the ranges of activations.
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
        graph = _quantize_openvino(graph, calibration)
    with offline(), quiet():
        library.save_model(graph, path, compress_to_fp16=precision == "fp16")


def _quantize_openvino(graph: Any, calibration: Sequence[tuple[np.ndarray, np.ndarray]] | None) -> Any:
    nncf: Any = import_nncf()
    with offline(), quiet():
        if calibration is None:
            return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
        data = nncf.Dataset(calibration, lambda inputs: dict(zip(INPUTS, inputs, strict=True)))
        return nncf.quantize(
            graph, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calibration), fast_bias_correction=True
        )
