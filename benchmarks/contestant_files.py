"""One model in the format of each contestant, written once and kept under ``build/peers``.

Each library gets the form in which it was fastest in trials. For ONNX Runtime that is eager attention, exported by
PyTorch's older exporter; its optimizer for BERT gained nothing. OpenVINO converts straight from PyTorch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import DistilBertTokenizerFast

from .common import data_folder, installed_versions
from .contestants import encode

LIBRARIES = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ctranslate2", "llama_cpp_python")
CALIBRATION_TEXTS = 300


def cache_folder(model: Path, root: Path) -> Path:
    """Return the folder of a model's converted files; other weights or other library versions have another folder."""
    digest = hashlib.sha256(repr(sorted(installed_versions(LIBRARIES).items())).encode())
    for path in (model / "config.json", model / "model.safetensors"):
        digest.update(path.read_bytes())
    return root / f"{model.name}-{digest.hexdigest()[:12]}"


def calibration_ids(model: Path) -> list[list[int]]:
    """Return the ids of ``CALIBRATION_TEXTS`` training sentences of SST-2, evenly spread over the file."""
    lines = (data_folder() / "sst2" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines[:: max(1, len(lines) // CALIBRATION_TEXTS)]]
    return encode(DistilBertTokenizerFast.from_pretrained(model), texts[:CALIBRATION_TEXTS])


def write_onnx_fp32(model: Path, cache: Path) -> None:
    """Write ``onnx-fp32/model.onnx``."""

    def write(folder: Path) -> None:
        import torch

        network, example = _network(model, "eager")
        axes = {0: "batch", 1: "length"}
        torch.onnx.export(
            network,
            example,
            str(folder / "model.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
            dynamo=False,
        )

    write_once(cache / "onnx-fp32", write)


def write_onnx_int8(model: Path, cache: Path) -> None:
    """Write ``onnx-int8/model.onnx``: dynamic quantization with a scale for each output channel."""

    def write(folder: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        write_onnx_fp32(model, cache)
        source, target = cache / "onnx-fp32" / "model.onnx", folder / "model.onnx"
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)

    write_once(cache / "onnx-int8", write)


def write_openvino_fp32(model: Path, cache: Path) -> None:
    """Write ``openvino-fp32/model.xml``; bf16 compiles the same file with another hint."""

    def write(folder: Path) -> None:
        import openvino

        network, (ids, mask) = _network(model, "sdpa")
        converted = openvino.convert_model(network, example_input={"input_ids": ids, "attention_mask": mask})
        openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)

    write_once(cache / "openvino-fp32", write)


def write_openvino_int8(model: Path, cache: Path) -> None:
    """Write ``openvino-int8/model.xml``: NNCF's quantization for transformers, on training sentences."""

    def write(folder: Path) -> None:
        import nncf
        import openvino

        write_openvino_fp32(model, cache)
        nncf.set_log_level(logging.ERROR)
        rows = [np.asarray([ids], dtype=np.int64) for ids in calibration_ids(model)]
        samples = nncf.Dataset([{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows])
        source = openvino.Core().read_model(cache / "openvino-fp32" / "model.xml")
        quantized = nncf.quantize(source, samples, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))
        openvino.save_model(quantized, folder / "model.xml")

    write_once(cache / "openvino-int8", write)


def write_ctranslate2(model: Path, cache: Path) -> None:
    """Write the folder ``ctranslate2``: the encoder in the model's own type; CTranslate2 quantizes it on loading."""

    def write(folder: Path) -> None:
        from ctranslate2 import converters

        converters.TransformersConverter(str(model)).convert(str(folder), force=True)

    write_once(cache / "ctranslate2", write)


def _network(model: Path, attention: str) -> tuple[Any, tuple[Any, Any]]:
    """Return transformers' classifier as a module from ids and mask to logits, and an example input with padding."""
    import torch
    import transformers

    loaded = transformers.DistilBertForSequenceClassification.from_pretrained(model, attn_implementation=attention)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = loaded

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).logits

    ids = torch.arange(1000, 1051).view(3, 17)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    return Network().eval(), (ids, mask)


def write_once(folder: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` to fill ``folder`` unless it exists; an interrupted run leaves no incomplete folder."""
    if folder.is_dir():
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        with silenced():
            write(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress warnings, advice and progress bars of the libraries."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w", encoding="utf-8") as devnull:
            warnings.simplefilter("ignore")
            with redirect_stdout(devnull), redirect_stderr(devnull):
                yield
    finally:
        logging.disable(logging.NOTSET)
