"""All contestants of ``benchmarks.peers``: what each needs, which files it loads, and how it is loaded."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.engine.model_weights import FolderWeights
from distilbert.weights.checkpoint import open_checkpoint

from . import contestant_files, llama_cpp_contestant
from .contestants import Contestant, CTranslate2, OnnxRuntime, OpenVino, Ours, Transformers, Unavailable

Load = Callable[[Path, Path, int], Contestant]  # folder of the model, folder of the converted files, threads
WriteFiles = Callable[[Path, Path], None]  # folder of the model, folder of the converted files


@dataclass(frozen=True)
class ContestantSpec:
    """A contestant that may take part.

    Attributes:
        title: for tables and the chart.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        needs: modules that must be installed.
        load: loads the contestant.
        write_files: writes the files that it loads, unless they exist.
        ours: it is one of our runners.
        only_batching_differs: another contestant has the same model and code and differs only in its batches, so this
            one is left out of single requests, accuracy and memory.
        runs_with: the modules that it needs once its files are written; those of ``needs`` if there are none here.
    """

    title: str
    precision: str
    needs: tuple[str, ...]
    load: Load
    write_files: WriteFiles | None = None
    ours: bool = False
    only_batching_differs: bool = False
    runs_with: tuple[str, ...] = ()

    def prepare(self, model: Path, cache: Path) -> None:
        """Check that the libraries are installed, and write the files.

        Raises:
            Unavailable: a library is missing.
        """
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise Unavailable(f"{' and '.join(missing)} not installed")
        if self.write_files is not None:
            self.write_files(model, cache)


def _transformers(dtype: str, *batch_sizes: int) -> Load:
    return lambda model, cache, threads: Transformers(model, dtype, batch_sizes, threads)


def _onnxruntime(folder: str) -> Load:
    return lambda model, cache, threads: OnnxRuntime(model, cache / folder / "model.onnx", threads)


def _openvino(folder: str, hint: str) -> Load:
    return lambda model, cache, threads: OpenVino(model, cache / folder / "model.xml", hint, threads)


def _ctranslate2(compute_type: str) -> Load:
    return lambda model, cache, threads: CTranslate2(model, cache / "ctranslate2", compute_type, threads)


def _llama_cpp(precision: str) -> Load:
    return lambda model, cache, threads: llama_cpp_contestant.LlamaCpp(
        model, cache / "llama-cpp" / f"{precision}.gguf", threads
    )


def _plain(precision: str) -> Load:
    def load(model: Path, cache: Path, threads: int) -> Contestant:
        import torch

        from distilbert import DistilBertForSequenceClassification
        from distilbert.models.pytorch.runner import PytorchRunner

        torch.set_num_threads(threads)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        return Ours(model, PytorchRunner(DistilBertForSequenceClassification.from_pretrained(model).to(dtype)))

    return load


def _engine(precision: str) -> Load:
    """Return a function that loads the engine; it raises ``Unavailable`` where the CPU lacks this precision."""

    def load(model: Path, cache: Path, threads: int) -> Contestant:
        from distilbert import EngineRunner

        folder = engine_folder(cache) if precision == "int8" else model
        runner = EngineRunner.from_folder(folder, precision=precision, threads=threads)
        if runner.precision != precision:
            raise Unavailable(f"the engine runs in {runner.precision} on this CPU")
        return Ours(model, runner)

    return load


def calibrate_engine(model: Path, cache: Path) -> None:
    """Write the model with its quantization, calibrated on the sentences that the other libraries are calibrated on."""
    from distilbert.engine.quantization import calibrate

    def write(folder: Path) -> None:
        ids = contestant_files.calibration_ids(model)
        batches = [Batch.of(ids[start : start + 32]) for start in range(0, len(ids), 32)]
        weights = FolderWeights(open_checkpoint(model), HEADS["ForSequenceClassification"])
        shutil.copytree(model, folder, dirs_exist_ok=True)
        calibrate(weights, batches).save(folder)

    contestant_files.write_once(engine_folder(cache), write)


@functools.cache  # the folder stays the same even if the code is edited while the benchmark runs
def engine_folder(cache: Path) -> Path:
    """Return the folder of the model in int8; every state of the engine's code has its own."""
    import distilbert.engine

    code = Path(distilbert.engine.__file__).parent
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(code.glob("*.py"))))
    return cache / f"engine-model-int8-{digest.hexdigest()[:12]}"


_TORCH = ("torch", "transformers")
_ONNX = (*_TORCH, "onnx", "onnxruntime")
_OPENVINO = (*_TORCH, "openvino")
_CTRANSLATE2 = (*_TORCH, "ctranslate2")
_LLAMA_CPP = ("llama_cpp", "gguf")
_OURS = ("torch",)

CONTESTANTS: dict[str, ContestantSpec] = {
    "transformers": ContestantSpec("transformers fp32, its default", "fp32", _TORCH, _transformers("float32", 1)),
    "transformers-batched": ContestantSpec(
        "transformers fp32, batched", "fp32", _TORCH, _transformers("float32", 8, 32, 64), only_batching_differs=True
    ),
    "transformers-bf16": ContestantSpec("transformers bf16", "bf16", _TORCH, _transformers("bfloat16", 1, 8, 32, 64)),
    "onnxruntime-fp32": ContestantSpec(
        "ONNX Runtime fp32",
        "fp32",
        _ONNX,
        _onnxruntime("onnx-fp32"),
        contestant_files.write_onnx_fp32,
        runs_with=("onnxruntime", "tokenizers"),
    ),
    "onnxruntime-int8": ContestantSpec(
        "ONNX Runtime int8",
        "int8",
        _ONNX,
        _onnxruntime("onnx-int8"),
        contestant_files.write_onnx_int8,
        runs_with=("onnxruntime", "tokenizers"),
    ),
    "openvino-fp32": ContestantSpec(
        "OpenVINO fp32",
        "fp32",
        _OPENVINO,
        _openvino("openvino-fp32", "f32"),
        contestant_files.write_openvino_fp32,
        runs_with=("openvino", "tokenizers"),
    ),
    "openvino-bf16": ContestantSpec(
        "OpenVINO bf16",
        "bf16",
        _OPENVINO,
        _openvino("openvino-fp32", "bf16"),
        contestant_files.write_openvino_fp32,
        runs_with=("openvino", "tokenizers"),
    ),
    "openvino-int8": ContestantSpec(
        "OpenVINO int8",
        "int8",
        (*_OPENVINO, "nncf"),
        _openvino("openvino-int8", "best"),
        contestant_files.write_openvino_int8,
        runs_with=("openvino", "tokenizers"),
    ),
    "ctranslate2-fp32": ContestantSpec(
        "CTranslate2 fp32",
        "fp32",
        _CTRANSLATE2,
        _ctranslate2("float32"),
        contestant_files.write_ctranslate2,
        runs_with=("ctranslate2", "tokenizers"),
    ),
    "ctranslate2-bf16": ContestantSpec(
        "CTranslate2 bf16",
        "bf16",
        _CTRANSLATE2,
        _ctranslate2("bfloat16"),
        contestant_files.write_ctranslate2,
        runs_with=("ctranslate2", "tokenizers"),
    ),
    "ctranslate2-int8": ContestantSpec(
        "CTranslate2 int8",
        "int8",
        _CTRANSLATE2,
        _ctranslate2("int8"),
        contestant_files.write_ctranslate2,
        runs_with=("ctranslate2", "tokenizers"),
    ),
    "llama-cpp-fp32": ContestantSpec(
        "llama.cpp fp32",
        "fp32",
        _LLAMA_CPP,
        _llama_cpp("fp32"),
        llama_cpp_contestant.write_gguf,
        runs_with=("llama_cpp", "tokenizers"),
    ),
    "llama-cpp-int8": ContestantSpec(
        "llama.cpp q8_0",
        "int8",
        _LLAMA_CPP,
        _llama_cpp("q8_0"),
        llama_cpp_contestant.write_gguf,
        runs_with=("llama_cpp", "tokenizers"),
    ),
    "plain-fp32": ContestantSpec(
        "ours, plain fp32", "fp32", _OURS, _plain("fp32"), ours=True, runs_with=("distilbert", "torch")
    ),
    "plain-bf16": ContestantSpec(
        "ours, plain bf16", "bf16", _OURS, _plain("bf16"), ours=True, runs_with=("distilbert", "torch")
    ),
    "engine-fp32": ContestantSpec(
        "ours, engine fp32", "fp32", (), _engine("fp32"), ours=True, runs_with=("distilbert",)
    ),
    "engine-bf16": ContestantSpec(
        "ours, engine bf16", "bf16", (), _engine("bf16"), ours=True, runs_with=("distilbert",)
    ),
    "engine-int8": ContestantSpec(
        "ours, engine int8", "int8", (), _engine("int8"), calibrate_engine, ours=True, runs_with=("distilbert",)
    ),
}
