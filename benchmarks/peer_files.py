"""What the peers load: one model in their own formats, made once and kept under ``build/peers``.

Each peer gets the form that was fastest for it in trials: ONNX from eager attention by the older exporter (ONNX
Runtime's fusions for BERT changed nothing beyond what its session fuses anyway), OpenVINO straight from PyTorch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from distilbert import DistilBertTokenizerFast

from .common import data_folder

LIBRARIES = ("torch", "transformers", "onnxruntime", "openvino", "nncf", "ctranslate2")
CALIBRATION_TEXTS = 300
LONGEST = 512  # tokens that a text is cut to, in all contestants


def installed_versions() -> dict[str, str]:
    """Return the version of every library behind a contestant, where it is installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cache_folder(model: Path, root: Path) -> Path:
    """Return the folder of a model's forms: another one for other weights or other libraries."""
    digest = hashlib.sha256(repr(sorted(installed_versions().items())).encode())
    for path in (model / "config.json", model / "model.safetensors"):
        digest.update(path.read_bytes())
    return root / f"{model.name}-{digest.hexdigest()[:12]}"


def calibration_ids(model: Path) -> list[list[int]]:
    """Return ids of training sentences of SST-2, evenly spread over the file."""
    lines = (data_folder() / "sst2" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines[:: max(1, len(lines) // CALIBRATION_TEXTS)]]
    return encode(DistilBertTokenizerFast.from_pretrained(model), texts[:CALIBRATION_TEXTS])


def encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Return ids of texts, the special tokens among them, cut to ``LONGEST``."""
    sequences: list[list[int]] = tokenizer.encode_ids(texts)
    return [ids if len(ids) <= LONGEST else [*ids[: LONGEST - 1], ids[-1]] for ids in sequences]


def onnx_fp32(model: Path, cache: Path) -> None:
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

    _once(cache / "onnx-fp32", write)


def onnx_int8(model: Path, cache: Path) -> None:
    """Write ``onnx-int8/model.onnx``: dynamic quantization, a step for every output channel."""

    def write(folder: Path) -> None:
        onnx_fp32(model, cache)
        quantization = importlib.import_module("onnxruntime.quantization")
        source, target = cache / "onnx-fp32" / "model.onnx", folder / "model.onnx"
        quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QInt8, per_channel=True)

    _once(cache / "onnx-int8", write)


def openvino_fp32(model: Path, cache: Path) -> None:
    """Write ``openvino-fp32/model.xml``; for bf16 the same file is compiled with another hint."""

    def write(folder: Path) -> None:
        openvino = importlib.import_module("openvino")
        network, (ids, mask) = _network(model, "sdpa")
        converted = openvino.convert_model(network, example_input={"input_ids": ids, "attention_mask": mask})
        openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)

    _once(cache / "openvino-fp32", write)


def openvino_int8(model: Path, cache: Path) -> None:
    """Write ``openvino-int8/model.xml``: NNCF's quantization for transformers, on training sentences."""

    def write(folder: Path) -> None:
        import numpy as np

        openvino_fp32(model, cache)
        nncf, openvino = importlib.import_module("nncf"), importlib.import_module("openvino")
        nncf.set_log_level(logging.ERROR)
        rows = [np.asarray([ids], dtype=np.int64) for ids in calibration_ids(model)]
        samples = nncf.Dataset([{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows])
        source = openvino.Core().read_model(cache / "openvino-fp32" / "model.xml")
        quantized = nncf.quantize(source, samples, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))
        openvino.save_model(quantized, folder / "model.xml")

    _once(cache / "openvino-int8", write)


def ctranslate2(model: Path, cache: Path) -> None:
    """Write ``ctranslate2``: the encoder, its weights in the model's own type; they are quantized on loading."""

    def write(folder: Path) -> None:
        converters = importlib.import_module("ctranslate2.converters")
        converters.TransformersConverter(str(model)).convert(str(folder), force=True)

    _once(cache / "ctranslate2", write)


def _network(model: Path, attention: str) -> tuple[Any, tuple[Any, Any]]:
    """Return transformers' classifier as a module from ids and mask to logits, and an example with padding."""
    import torch

    transformers = importlib.import_module("transformers")
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


def _once(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill ``folder`` unless it is there; a run that is cut off leaves no half of it."""
    if folder.is_dir():
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        with quiet():
            write(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' advice and progress bars off the screen."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            warnings.simplefilter("ignore")
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield
    finally:
        logging.disable(logging.NOTSET)
