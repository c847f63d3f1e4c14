"""llama.cpp as a contestant of ``benchmarks.peers``: the file that it loads, and its use for a classifier.

Its own converter of checkpoints is no package, so the file is written here, tensor by tensor. It knows BERT, of which
DistilBERT is the special case without token types; the head runs in NumPy.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from .contestant_files import write_once
from .contestants import MAX_LENGTH, ComputeLogits, WithoutPipeline, numpy_head

MOST_SEQUENCES = 256  # of a batch: a constant of llama.cpp
NAMES = {  # of a block's tensors, here and there
    "attention.q_lin": "attn_q", "attention.k_lin": "attn_k", "attention.v_lin": "attn_v",
    "attention.out_lin": "attn_output", "sa_layer_norm": "attn_output_norm",
    "ffn.lin1": "ffn_up", "ffn.lin2": "ffn_down", "output_layer_norm": "layer_output_norm",
}  # fmt: skip


def write_gguf(model: Path, cache: Path) -> None:
    """Write ``llama-cpp/fp32.gguf`` and ``llama-cpp/q8_0.gguf``."""

    def write(folder: Path) -> None:
        for precision in ("fp32", "q8_0"):
            _write_gguf(model, folder / f"{precision}.gguf", precision)

    write_once(cache / "llama-cpp", write)


def _write_gguf(model: Path, path: Path, precision: str) -> None:
    import gguf

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    weights = {
        name.removeprefix("distilbert."): array for name, array in load_file(model / "model.safetensors").items()
    }
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["dim"])
    writer.add_block_count(config["n_layers"])
    writer.add_feed_forward_length(config["hidden_dim"])
    writer.add_head_count(config["n_heads"])
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_token_type_count(1)
    names = {"word_embeddings": "token_embd", "position_embeddings": "position_embd", "LayerNorm": "token_embd_norm"}
    tensors = {f"embeddings.{name}": other for name, other in names.items()}
    for block in range(config["n_layers"]):
        tensors |= {f"transformer.layer.{block}.{name}": f"blk.{block}.{other}" for name, other in NAMES.items()}
    for name, other in tensors.items():
        for kind in ("weight", "bias"):
            array = weights.get(f"{name}.{kind}")
            if array is None:
                continue
            array = array.astype(np.float32)
            if precision == "q8_0" and array.ndim == 2 and other.startswith("blk."):
                kind_of_numbers = gguf.GGMLQuantizationType.Q8_0
                quantized = gguf.quants.quantize(array, kind_of_numbers)
                writer.add_tensor(f"{other}.{kind}", quantized, raw_dtype=kind_of_numbers)
            else:
                writer.add_tensor(f"{other}.{kind}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp(WithoutPipeline):
    """A GGUF file in llama.cpp, with the classification head in NumPy.

    Args:
        model: folder of the model.
        path: the file.
        threads: to compute with.
    """

    # In a batch, every token attends to all tokens, and those of other sequences are masked: that grows as its square.
    batch_sizes = (512, 1024, 2048)

    def __init__(self, model: Path, path: Path, threads: int) -> None:
        super().__init__(model, threads)
        self._path = path
        self._head = numpy_head(model)

    def worker_counts(self) -> tuple[int, ...]:
        """Return one: a context computes one batch at a time."""
        return (1,)

    def load(self, workers: int) -> ComputeLogits:
        """See :class:`WithoutPipeline`."""
        import llama_cpp

        # llama.cpp writes what it loads to the standard error; the callback must live as long as the library.
        self._silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(str(self._path).encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        tokens = max(MAX_LENGTH, *self.batch_sizes)
        settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
        settings.n_seq_max = MOST_SEQUENCES
        settings.n_threads = settings.n_threads_batch = self.threads
        settings.embeddings = True
        context = llama_cpp.llama_init_from_model(model, settings)
        batch = llama_cpp.llama_batch_init(tokens, 0, 1)
        dim = llama_cpp.llama_model_n_embd(model)

        def first_tokens(sequences: list[list[int]]) -> np.ndarray:
            batch.n_tokens = sum(map(len, sequences))
            entries = (
                (number, place, token) for number, ids in enumerate(sequences) for place, token in enumerate(ids)
            )
            for row, (number, place, token) in enumerate(entries):
                batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, place, 1
                batch.seq_id[row][0], batch.logits[row] = number, 1
            if llama_cpp.llama_encode(context, batch):
                raise RuntimeError("llama.cpp could not compute a batch.")
            rows: list[Any] = [
                np.ctypeslib.as_array(llama_cpp.llama_get_embeddings_seq(context, number), (dim,)).copy()
                for number in range(len(sequences))
            ]
            return np.stack(rows)  # (B, D)

        def compute_logits(sequences: list[list[int]]) -> np.ndarray:
            parts = [sequences[start : start + MOST_SEQUENCES] for start in range(0, len(sequences), MOST_SEQUENCES)]
            return self._head(np.concatenate([first_tokens(part) for part in parts]))

        return compute_logits
