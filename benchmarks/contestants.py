"""What competes in ``benchmarks.peers``: libraries that run DistilBERT on a CPU, each behind the same two methods.

transformers has a pipeline of its own, and so have we. ONNX Runtime, OpenVINO and CTranslate2 have none: they get their
ids from the same Rust tokenizer as our runners, in batches of texts of similar length.

Legend: B sequences of a batch, S the longest of them, D dim, L labels.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import DistilBertConfig, DistilBertTokenizerFast
from distilbert.core.runner_protocol import Runner
from distilbert.tasks.batching import cut_batches
from distilbert.tasks.text_classification import TextClassificationPipeline

MAX_LENGTH = 512  # every contestant truncates texts to this many tokens
ComputeLogits = Callable[[list[list[int]]], np.ndarray]  # ids of B sequences -> logits (B, L)


class Unavailable(Exception):
    """A contestant cannot take part on this machine; the message says why."""


@dataclass(frozen=True)
class Batching:
    """How a contestant splits many texts into batches.

    Attributes:
        size: of a batch, in the contestant's own unit.
        workers: number of batches that run at the same time; they share the threads.
    """

    size: int
    workers: int = 1


class Contestant(ABC):
    """Turns texts into labels.

    Attributes:
        batch_unit: what a batch size counts. ``"texts"``, or ``"tokens"``: the number of texts times the length of the
            longest; such batches hold texts of similar length.
        batch_sizes: ascending; the fastest one is chosen.
    """

    batch_unit = "tokens"
    batch_sizes: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)

    def worker_counts(self) -> tuple[int, ...]:
        """Return the numbers of workers to choose from."""
        return (1,)

    @abstractmethod
    def label_all(self, texts: list[str], batching: Batching) -> list[str]:
        """Return the label of each text, truncated to ``MAX_LENGTH`` tokens."""

    @abstractmethod
    def label(self, text: str) -> str:
        """Return the label of a single text, as a server would ask for it."""


class Transformers(Contestant):
    """The pipeline of transformers. It takes texts in the order in which they come.

    Args:
        model: folder.
        dtype: name of PyTorch's floating-point type.
        batch_sizes: to choose from.
        threads: to compute with.
    """

    batch_unit = "texts"

    def __init__(self, model: Path, dtype: str, batch_sizes: tuple[int, ...], threads: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.batch_sizes = batch_sizes
        self._pipeline: Any = transformers.pipeline(
            "text-classification", str(model), dtype=getattr(torch, dtype), device="cpu"
        )

    def label_all(self, texts: list[str], batching: Batching) -> list[str]:
        """See :class:`Contestant`."""
        return [answer["label"] for answer in self._pipeline(texts, batch_size=batching.size, truncation=True)]

    def label(self, text: str) -> str:
        """See :class:`Contestant`."""
        label: str = self._pipeline(text, truncation=True)[0]["label"]
        return label


class Ours(Contestant):
    """One of our runners behind our pipeline."""

    def __init__(self, model: Path, runner: Runner) -> None:
        self._task = TextClassificationPipeline(runner, DistilBertTokenizerFast.from_pretrained(model), truncation=True)

    def label_all(self, texts: list[str], batching: Batching) -> list[str]:
        """See :class:`Contestant`."""
        return [answer["label"] for answer in self._task(texts, batch_tokens=batching.size)]

    def label(self, text: str) -> str:
        """See :class:`Contestant`."""
        label: str = self._task(text)[0]["label"]
        return label


class WithoutPipeline(Contestant, ABC):
    """A library that computes logits from ids; tokenizing, batching and labels are added here.

    Its threads either compute one batch together, or each computes a batch of its own, as :class:`Batching` says.
    """

    def __init__(self, model: Path, threads: int) -> None:
        self.threads = threads
        self.tokenizer = DistilBertTokenizerFast.from_pretrained(model)
        config = DistilBertConfig.from_pretrained(model)
        self.labels = [config.id2label[index] for index in range(config.num_labels)]
        self._workers = 0
        self._compute_logits: ComputeLogits | None = None

    def worker_counts(self) -> tuple[int, ...]:
        """Return one worker with all threads, and as many workers as there are threads."""
        return (1, self.threads) if self.threads > 1 else (1,)

    def label_all(self, texts: list[str], batching: Batching) -> list[str]:
        """Label in batches of similar length."""
        compute_logits = self._loaded(batching.workers)
        sequences = encode(self.tokenizer, texts)
        batches = list(cut_batches([len(ids) for ids in sequences], batching.size))
        inputs = [[sequences[index] for index in batch] for batch in batches]
        labels = [""] * len(texts)
        if batching.workers == 1:
            results = [compute_logits(batch) for batch in inputs]
        else:
            with ThreadPoolExecutor(batching.workers) as pool:
                results = list(pool.map(compute_logits, inputs))
        for batch, logits in zip(batches, results, strict=True):
            for index, best in zip(batch, logits.argmax(axis=1), strict=True):
                labels[index] = self.labels[best]
        return labels

    def label(self, text: str) -> str:
        """Answer a single request, with all threads."""
        return self.labels[int(self._loaded(1)(encode(self.tokenizer, [text]))[0].argmax())]

    def _loaded(self, workers: int) -> ComputeLogits:
        if self._compute_logits is None or self._workers != workers:
            self._compute_logits = None  # frees the old model first, so that memory never holds two
            self._compute_logits, self._workers = self.load(workers), workers
        return self._compute_logits

    @abstractmethod
    def load(self, workers: int) -> ComputeLogits:
        """Load the model so that ``workers`` batches can run at the same time."""


class OnnxRuntime(WithoutPipeline):
    """An ONNX file in ONNX Runtime."""

    def __init__(self, model: Path, path: Path, threads: int) -> None:
        super().__init__(model, threads)
        self._path = path

    def load(self, workers: int) -> ComputeLogits:
        """See :class:`WithoutPipeline`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads // workers
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])

        def compute_logits(sequences: list[list[int]]) -> np.ndarray:
            logits: np.ndarray = session.run(["logits"], padded(sequences))[0]
            return logits

        return compute_logits


class OpenVino(WithoutPipeline):
    """An OpenVINO file, with the precision as a hint.

    Args:
        model: folder of the model.
        path: the OpenVINO file.
        hint: precision of what is not int8: ``"f32"``, ``"bf16"``, or ``"best"`` for bf16 where the CPU has it.
        threads: to compute with.

    Raises:
        Unavailable: ``hint`` is ``"bf16"``, and OpenVINO has no bf16 on this CPU.
    """

    def __init__(self, model: Path, path: Path, hint: str, threads: int) -> None:
        import openvino

        super().__init__(model, threads)
        self._core = openvino.Core()
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if hint == "bf16" and "BF16" not in capabilities:
            raise Unavailable("OpenVINO has no bf16 on this CPU")
        self._path = path
        self._hint = hint if hint != "best" else "bf16" if "BF16" in capabilities else "f32"

    def load(self, workers: int) -> ComputeLogits:
        """See :class:`WithoutPipeline`."""
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": workers,
        }
        compiled = self._core.compile_model(self._core.read_model(self._path), "CPU", settings)
        of_thread = threading.local()

        def compute_logits(sequences: list[list[int]]) -> np.ndarray:
            if not hasattr(of_thread, "request"):
                of_thread.request = compiled.create_infer_request()
            logits: np.ndarray = of_thread.request.infer(padded(sequences))[0]
            return logits

        return compute_logits


class CTranslate2(WithoutPipeline):
    """An encoder in CTranslate2, with the classification head in NumPy.

    Args:
        model: folder of the model.
        path: folder of the converted encoder.
        compute_type: CTranslate2's name of the precision.
        threads: to compute with.

    Raises:
        Unavailable: CTranslate2 does not offer this precision on this CPU.
    """

    def __init__(self, model: Path, path: Path, compute_type: str, threads: int) -> None:
        import ctranslate2

        super().__init__(model, threads)
        offered = ctranslate2.get_supported_compute_types("cpu")
        if compute_type not in offered:
            raise Unavailable(f"CTranslate2 offers {', '.join(sorted(offered))} on this CPU")
        self._path, self._compute_type = path, compute_type
        self._head = numpy_head(model)

    def load(self, workers: int) -> ComputeLogits:
        """See :class:`WithoutPipeline`."""
        import ctranslate2

        encoder = ctranslate2.Encoder(
            str(self._path),
            device="cpu",
            compute_type=self._compute_type,
            inter_threads=workers,
            intra_threads=self.threads // workers,
        )

        def compute_logits(sequences: list[list[int]]) -> np.ndarray:
            hidden = np.asarray(encoder.forward_batch(sequences).last_hidden_state)  # (B, S, D)
            return self._head(hidden[:, 0])

        return compute_logits


def numpy_head(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return the classification head of a model in NumPy, for libraries without it: first tokens (B, D) -> (B, L)."""
    from safetensors import safe_open

    with safe_open(model / "model.safetensors", framework="np") as file:
        (inner, inner_bias), (outer, outer_bias) = (
            (file.get_tensor(f"{name}.weight").astype(np.float32).T.copy(), file.get_tensor(f"{name}.bias"))
            for name in ("pre_classifier", "classifier")
        )

    def head(first_tokens: np.ndarray) -> np.ndarray:
        logits: np.ndarray = np.maximum(first_tokens @ inner + inner_bias, 0) @ outer + outer_bias
        return logits

    return head


def encode(tokenizer: DistilBertTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Return the ids of each text with its special tokens, truncated to ``MAX_LENGTH``."""
    sequences = tokenizer.encode_ids(texts)
    return [ids if len(ids) <= MAX_LENGTH else [*ids[: MAX_LENGTH - 1], ids[-1]] for ids in sequences]


def padded(sequences: list[list[int]]) -> dict[str, np.ndarray]:
    """Return ``input_ids`` and ``attention_mask`` of sequences, both (B, S)."""
    longest = max(map(len, sequences))
    ids = np.zeros((len(sequences), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask}
