"""The peers that compute padded rectangles or lists of ids: ONNX Runtime, OpenVINO and CTranslate2.

All get their ids from the same Rust tokenizer as our runners, in batches of texts of similar length.

Legend: B sequences of a batch, S the longest of them, D dim, L labels.
"""

from __future__ import annotations

import importlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import DistilBertConfig, DistilBertTokenizerFast
from distilbert.tasks.batching import cut_batches

from .peer_contestant import Batching, Contestant, Unavailable
from .peer_files import encode

Run = Callable[[list[list[int]]], np.ndarray]  # ids of B sequences -> logits (B, L)


class Session(Contestant, ABC):
    """A peer without a pipeline of its own.

    Its threads compute one batch together, or each a batch of its own, whatever :class:`Batching` says.
    """

    def __init__(self, model: Path, threads: int) -> None:
        self.threads = threads
        self.tokenizer = DistilBertTokenizerFast.from_pretrained(model)
        config = DistilBertConfig.from_pretrained(model)
        self.labels = [config.id2label[index] for index in range(config.num_labels)]
        self._workers = 0
        self._run: Run | None = None

    def workers(self) -> tuple[int, ...]:
        """Return one worker with all threads, and as many as there are threads."""
        return (1, self.threads) if self.threads > 1 else (1,)

    def many(self, texts: list[str], batching: Batching) -> list[str]:
        """Answer in batches of similar length."""
        run = self._opened(batching.workers)
        sequences = encode(self.tokenizer, texts)
        batches = list(cut_batches([len(ids) for ids in sequences], batching.size))
        inputs = [[sequences[index] for index in batch] for batch in batches]
        answers = [""] * len(texts)
        if batching.workers == 1:
            results = [run(batch) for batch in inputs]
        else:
            with ThreadPoolExecutor(batching.workers) as pool:
                results = list(pool.map(run, inputs))
        for batch, logits in zip(batches, results, strict=True):
            for index, best in zip(batch, logits.argmax(axis=1), strict=True):
                answers[index] = self.labels[best]
        return answers

    def one(self, text: str) -> str:
        """Answer a single request, with all threads."""
        return self.labels[int(self._opened(1)(encode(self.tokenizer, [text]))[0].argmax())]

    def _opened(self, workers: int) -> Run:
        if self._run is None or self._workers != workers:
            self._run = None  # before the other one, so that both are never held
            self._run, self._workers = self.open(workers), workers
        return self._run

    @abstractmethod
    def open(self, workers: int) -> Run:
        """Load the model for so many batches at a time."""


class OnnxRuntime(Session):
    """An ONNX file in ONNX Runtime."""

    def __init__(self, model: Path, path: Path, threads: int) -> None:
        super().__init__(model, threads)
        self._path = path

    def open(self, workers: int) -> Run:
        """See :class:`Session`."""
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads // workers
        options.inter_op_num_threads = 1
        session = runtime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])

        def run(sequences: list[list[int]]) -> np.ndarray:
            logits: np.ndarray = session.run(["logits"], padded(sequences))[0]
            return logits

        return run


class OpenVino(Session):
    """An OpenVINO file, with the precision as a hint.

    Args:
        model: folder of the model.
        path: the file.
        hint: ``"f32"`` or ``"bf16"``: the precision of what is not int8; ``"best"``: bf16 where there is any.
        threads: to compute with.

    Raises:
        Unavailable: bf16 on a CPU that OpenVINO knows no bf16 of.
    """

    def __init__(self, model: Path, path: Path, hint: str, threads: int) -> None:
        super().__init__(model, threads)
        self._core = importlib.import_module("openvino").Core()
        fast = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if hint == "bf16" and "BF16" not in fast:
            raise Unavailable("OpenVINO has no bf16 on this CPU")
        self._path = path
        self._hint = hint if hint != "best" else "bf16" if "BF16" in fast else "f32"

    def open(self, workers: int) -> Run:
        """See :class:`Session`."""
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": workers,
        }
        compiled = self._core.compile_model(self._core.read_model(self._path), "CPU", settings)
        local = threading.local()

        def run(sequences: list[list[int]]) -> np.ndarray:
            if not hasattr(local, "request"):
                local.request = compiled.create_infer_request()
            logits: np.ndarray = local.request.infer(padded(sequences))[0]
            return logits

        return run


class CTranslate2(Session):
    """An encoder in CTranslate2, and the head in NumPy.

    Args:
        model: folder of the model.
        path: folder of the encoder.
        kind: the library's name of the precision.
        threads: to compute with.

    Raises:
        Unavailable: a precision that the library has no kernels for on this CPU.
    """

    def __init__(self, model: Path, path: Path, kind: str, threads: int) -> None:
        super().__init__(model, threads)
        self._library = importlib.import_module("ctranslate2")
        offered = self._library.get_supported_compute_types("cpu")
        if kind not in offered:
            raise Unavailable(f"CTranslate2 offers {', '.join(sorted(offered))} on this CPU")
        self._path, self._kind = path, kind
        with importlib.import_module("safetensors").safe_open(model / "model.safetensors", framework="np") as file:
            self._dense, self._out = (
                (file.get_tensor(f"{name}.weight").T.copy(), file.get_tensor(f"{name}.bias"))
                for name in ("pre_classifier", "classifier")
            )

    def open(self, workers: int) -> Run:
        """See :class:`Session`."""
        encoder = self._library.Encoder(
            str(self._path),
            device="cpu",
            compute_type=self._kind,
            inter_threads=workers,
            intra_threads=self.threads // workers,
        )

        def run(sequences: list[list[int]]) -> np.ndarray:
            hidden = np.asarray(encoder.forward_batch(sequences).last_hidden_state)  # (B, S, D)
            pooled = np.maximum(hidden[:, 0] @ self._dense[0] + self._dense[1], 0)  # (B, D)
            logits: np.ndarray = pooled @ self._out[0] + self._out[1]  # (B, L)
            return logits

        return run


def padded(sequences: list[list[int]]) -> dict[str, Any]:
    """Return ``input_ids`` and ``attention_mask`` of sequences, both (B, S)."""
    longest = max(map(len, sequences))
    ids = np.zeros((len(sequences), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask}
