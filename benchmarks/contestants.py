"""All contestants of ``benchmarks.peers``, and those of them that run in PyTorch: transformers and ours."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert import DistilBertTokenizerFast
from distilbert.tasks.text_classification import TextClassification

from . import peer_files
from .peer_contestant import Batching, Contestant, Unavailable
from .peer_sessions import CTranslate2, OnnxRuntime, OpenVino

Start = Callable[[Path, Path, int], Contestant]  # folder of the model, folder of its forms, threads
Prepare = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Entry:
    """A contestant that may take part.

    Attributes:
        name: for tables.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        needs: modules that must be installed.
        start: loads it.
        prepare: makes the files it loads.
        ours: it is one of our runners.
        alone: False where it differs from another one in its batches only, so that single requests tell nothing new.
    """

    name: str
    precision: str
    needs: tuple[str, ...]
    start: Start
    prepare: Prepare | None = None
    ours: bool = False
    alone: bool = True

    def make_ready(self, model: Path, cache: Path) -> None:
        """Look for the libraries and make the files.

        Raises:
            Unavailable: something is missing.
        """
        missing = [name for name in self.needs if not is_installed(name)]
        if missing:
            raise Unavailable(f"{' and '.join(missing)} not installed")
        if self.prepare is not None:
            self.prepare(model, cache)


class Transformers(Contestant):
    """The pipeline of transformers, texts in the order in which they come.

    Args:
        model: folder.
        kind: name of PyTorch's floating type.
        sizes: of batches, to choose from.
        threads: to compute with.
    """

    unit = "texts"

    def __init__(self, model: Path, kind: str, sizes: tuple[int, ...], threads: int) -> None:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.sizes = sizes
        self._pipeline = transformers.pipeline(
            "text-classification", str(model), dtype=getattr(torch, kind), device="cpu"
        )

    def many(self, texts: list[str], batching: Batching) -> list[str]:
        """See :class:`Contestant`."""
        return [answer["label"] for answer in self._pipeline(texts, batch_size=batching.size, truncation=True)]

    def one(self, text: str) -> str:
        """See :class:`Contestant`."""
        label: str = self._pipeline(text, truncation=True)[0]["label"]
        return label


class Ours(Contestant):
    """One of our runners behind our pipeline."""

    def __init__(self, model: Path, runner: Any) -> None:
        self._task = TextClassification(runner, DistilBertTokenizerFast.from_pretrained(model), truncation=True)

    def many(self, texts: list[str], batching: Batching) -> list[str]:
        """See :class:`Contestant`."""
        return [answer["label"] for answer in self._task(texts, batch_tokens=batching.size)]

    def one(self, text: str) -> str:
        """See :class:`Contestant`."""
        label: str = self._task(text)[0]["label"]
        return label


def is_installed(name: str) -> bool:
    """Say whether a module can be found."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a package around it
        return False


def load_model(model: Path) -> Any:
    """Return our classifier, in fp32."""
    from distilbert import DistilBertForSequenceClassification

    return DistilBertForSequenceClassification.from_pretrained(model)


def plain(precision: str) -> Start:
    """Return what starts the plain runner."""

    def start(model: Path, cache: Path, threads: int) -> Contestant:
        import torch

        from distilbert.models.pytorch.runner import PytorchRunner

        torch.set_num_threads(threads)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        return Ours(model, PytorchRunner(load_model(model).to(dtype)))

    return start


def engine(precision: str) -> Start:
    """Return what starts the engine; a precision that it falls back from is none of its own."""

    def start(model: Path, cache: Path, threads: int) -> Contestant:
        from distilbert import EngineRunner

        scales = engine_module().Quantization.load(engine_folder(cache)) if precision == "int8" else None
        runner = EngineRunner(load_model(model), precision=precision, threads=threads, quantization=scales)
        if runner.precision != precision:
            raise Unavailable(f"the engine runs in {runner.precision} on this CPU")
        return Ours(model, runner)

    return start


def engine_int8(model: Path, cache: Path) -> None:
    """Find the engine's ranges on the sentences that the peers' are found on."""
    from distilbert.core.runner_protocol import Batch

    folder = engine_folder(cache)
    if folder.is_dir():
        return
    ids = peer_files.calibration_ids(model)
    batches = [Batch.of(ids[start : start + 32]) for start in range(0, len(ids), 32)]
    found = engine_module().calibrate(load_model(model), batches)
    folder.mkdir(parents=True)
    found.save(folder)


@functools.cache  # a run goes on with what it began with
def engine_folder(cache: Path) -> Path:
    """Return where the engine's ranges are kept: elsewhere for another state of its code."""
    code = Path(engine_module().__file__)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(code.parent.glob("*.py"))))
    return cache / f"engine-int8-{digest.hexdigest()[:12]}"


def engine_module() -> Any:
    """Return the module that quantizes for the engine."""
    names = ("distilbert.engine.calibrate", "distilbert.engine.quantization")
    found = [name for name in names if is_installed(name)]
    if not found:
        raise Unavailable("this checkout's engine has no int8")
    return importlib.import_module(found[0])


def _transformers(kind: str, *sizes: int) -> Start:
    return lambda model, cache, threads: Transformers(model, kind, sizes, threads)


def _onnx(form: str) -> Start:
    return lambda model, cache, threads: OnnxRuntime(model, cache / form / "model.onnx", threads)


def _openvino(form: str, hint: str) -> Start:
    return lambda model, cache, threads: OpenVino(model, cache / form / "model.xml", hint, threads)


def _ctranslate2(kind: str) -> Start:
    return lambda model, cache, threads: CTranslate2(model, cache / "ctranslate2", kind, threads)


_TORCH = ("torch", "transformers")
_ONNX = (*_TORCH, "onnx", "onnxruntime")
_CT2 = (*_TORCH, "ctranslate2")
_ENGINE = ("torch", "distilbert.engine")

CONTESTANTS: dict[str, Entry] = {
    "transformers": Entry("transformers fp32, its default", "fp32", _TORCH, _transformers("float32", 1)),
    "transformers-batched": Entry(
        "transformers fp32, batched", "fp32", _TORCH, _transformers("float32", 8, 32, 64), alone=False
    ),
    "transformers-bf16": Entry("transformers bf16", "bf16", _TORCH, _transformers("bfloat16", 1, 8, 32, 64)),
    "onnxruntime-fp32": Entry("ONNX Runtime fp32", "fp32", _ONNX, _onnx("onnx-fp32"), peer_files.onnx_fp32),
    "onnxruntime-int8": Entry("ONNX Runtime int8", "int8", _ONNX, _onnx("onnx-int8"), peer_files.onnx_int8),
    "openvino-fp32": Entry(
        "OpenVINO fp32", "fp32", (*_TORCH, "openvino"), _openvino("openvino-fp32", "f32"), peer_files.openvino_fp32
    ),
    "openvino-bf16": Entry(
        "OpenVINO bf16", "bf16", (*_TORCH, "openvino"), _openvino("openvino-fp32", "bf16"), peer_files.openvino_fp32
    ),
    "openvino-int8": Entry(
        "OpenVINO int8",
        "int8",
        (*_TORCH, "openvino", "nncf"),
        _openvino("openvino-int8", "best"),
        peer_files.openvino_int8,
    ),
    "ctranslate2-fp32": Entry("CTranslate2 fp32", "fp32", _CT2, _ctranslate2("float32"), peer_files.ctranslate2),
    "ctranslate2-bf16": Entry("CTranslate2 bf16", "bf16", _CT2, _ctranslate2("bfloat16"), peer_files.ctranslate2),
    "ctranslate2-int8": Entry("CTranslate2 int8", "int8", _CT2, _ctranslate2("int8"), peer_files.ctranslate2),
    "plain-fp32": Entry("ours, plain fp32", "fp32", ("torch",), plain("fp32"), ours=True),
    "plain-bf16": Entry("ours, plain bf16", "bf16", ("torch",), plain("bf16"), ours=True),
    "engine-fp32": Entry("ours, engine fp32", "fp32", _ENGINE, engine("fp32"), ours=True),
    "engine-bf16": Entry("ours, engine bf16", "bf16", _ENGINE, engine("bf16"), ours=True),
    "engine-int8": Entry("ours, engine int8", "int8", _ENGINE, engine("int8"), engine_int8, ours=True),
}
