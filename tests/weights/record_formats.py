"""Record tiny models as transformers 4.57.6, the last release with TensorFlow and Flax, writes them.

The results are ``files/tf.zip`` and ``files/flax.zip``: for each class a folder with the weights, ``config.json``, the
model's outputs, and some of its weights taken from the model itself. Run this again only when the cases change, from
the repository's root, in an environment for each framework:

    python -m venv tf && tf/bin/pip install "transformers==4.57.6" "tensorflow==2.19.*" "tf-keras==2.19.*"
    tf/bin/python tests/weights/record_formats.py tf
    python -m venv flax && flax/bin/pip install "transformers==4.57.6" "jax[cpu]==0.4.38" "flax==0.10.2"
    flax/bin/python tests/weights/record_formats.py flax
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

os.environ |= {
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
}

import numpy as np
import transformers

FILES = Path(__file__).resolve().parent / "files"
DISTILBERT = {"vocab_size": 13, "max_position_embeddings": 7, "dim": 8, "n_heads": 2, "n_layers": 2, "hidden_dim": 12}
BERT = {
    "vocab_size": 13, "max_position_embeddings": 7, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 12,
}  # fmt: skip
HEADS = (
    "Model", "ForMaskedLM", "ForSequenceClassification", "ForMultipleChoice", "ForTokenClassification",
    "ForQuestionAnswering",
)  # fmt: skip
CASES = {f"DistilBert{head}": {} for head in HEADS} | {
    "DistilBertForMaskedLM-shards": {"max_shard_size": "2KB"},
    "BertModel": {},
    "BertForMaskedLM": {},
    "BertForPreTraining": {},
    "BertForTokenClassification": {},
}
# In a checkpoint -> below the encoder of the model, in TensorFlow and in Flax.
SAMPLES = {
    "embeddings.word_embeddings.weight": ("embeddings.weight", "embeddings.word_embeddings.embedding"),
    "embeddings.position_embeddings.weight": (
        "embeddings.position_embeddings",
        "embeddings.position_embeddings.embedding",
    ),
    "embeddings.LayerNorm.bias": ("embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
    "transformer.layer.1.attention.v_lin.weight": (
        "transformer.layer.1.attention.v_lin.kernel",
        "transformer.layer.1.attention.v_lin.kernel",
    ),
    "transformer.layer.0.ffn.lin1.weight": (
        "transformer.layer.0.ffn.lin1.kernel",
        "transformer.layer.0.ffn.lin1.kernel",
    ),
    "transformer.layer.0.ffn.lin2.bias": ("transformer.layer.0.ffn.lin2.bias", "transformer.layer.0.ffn.lin2.bias"),
    "transformer.layer.1.output_layer_norm.weight": (
        "transformer.layer.1.output_layer_norm.gamma",
        "transformer.layer.1.output_layer_norm.scale",
    ),
}


def config(name: str) -> Any:
    labels = {"num_labels": 2 if "Question" in name else 3}
    if name.startswith("Distil"):
        return transformers.DistilBertConfig(**DISTILBERT, **labels)
    return transformers.BertConfig(**BERT, **labels)


def inputs(name: str) -> dict[str, np.ndarray]:
    shape = (2, 3, 5) if "MultipleChoice" in name else (2, 5)
    ids = np.random.default_rng(1).integers(1, 13, shape).astype(np.int32)
    mask = np.ones_like(ids)
    mask[0, ..., 3:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def drawn(shape: Any, rng: np.random.Generator) -> np.ndarray:
    """Weights large enough for every part to matter, in steps that make small files."""
    return (np.round(rng.standard_normal(shape) * 32 + 6) / 64).astype(np.float32)


def tensorflow_model(name: str) -> Any:
    model = getattr(transformers, f"TF{name}")(config(name))
    model(inputs(name))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(drawn(weight.shape, rng))
    return model


def flax_model(name: str) -> Any:
    import jax

    model = getattr(transformers, f"Flax{name}")(config(name))
    rng = np.random.default_rng(0)
    model.params = jax.tree_util.tree_map(lambda value: jax.numpy.asarray(drawn(value.shape, rng)), model.params)
    return model


def sample(model: Any, path: str, framework: str) -> np.ndarray:
    """Return one weight of a DistilBERT as it lies in a checkpoint."""
    base = model.params if framework == "flax" else model
    base = base.get("distilbert", base) if framework == "flax" else base.distilbert
    for part in path.split("."):
        if framework == "flax":
            base = base[part]
        else:
            base = base[int(part)] if part.isdigit() else getattr(base, part)
    array = np.asarray(base)
    return array.T if path.endswith("kernel") else array


def record(framework: str, folder: Path) -> None:
    for name, options in CASES.items():
        architecture = name.partition("-")[0]
        model = (flax_model if framework == "flax" else tensorflow_model)(architecture)
        model.save_pretrained(folder / name, **options)
        given = inputs(architecture)
        found = {f"in/{key}": value for key, value in given.items()}
        found |= {f"out/{key}": np.asarray(value) for key, value in model(**given).items()}
        if architecture.startswith("Distil"):
            number = int(framework == "flax")
            found |= {f"weight/{key}": sample(model, paths[number], framework) for key, paths in SAMPLES.items()}
        np.savez(folder / name / "expected.npz", **found)
    if framework == "flax":
        from flax import serialization

        serialization.MAX_CHUNK_SIZE = 100  # instead of a gigabyte, so that small arrays are written in pieces
        flax_model("DistilBertModel").save_pretrained(folder / "DistilBertModel-pieces")
        shutil.copy(folder / "DistilBertModel" / "expected.npz", folder / "DistilBertModel-pieces")


def main(framework: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        record(framework, Path(name))
        FILES.mkdir(exist_ok=True)
        with zipfile.ZipFile(FILES / f"{framework}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(Path(name).rglob("*.*")):
                entry = zipfile.ZipInfo(path.relative_to(name).as_posix())  # without the date, so that a run repeats
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main(sys.argv[1])
