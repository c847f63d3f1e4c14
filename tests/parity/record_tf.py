"""Record what the TensorFlow classes of transformers 4.57.6, the last release that had them, compute for a tiny model.

Run it again only when the model or the inputs below change:

    python -m venv reference
    reference/bin/pip install "transformers==4.57.6" "tensorflow-cpu==2.19.1" "tf-keras==2.19.0"
    TF_USE_LEGACY_KERAS=1 reference/bin/python tests/parity/record_tf.py

Weights are drawn by their names in a checkpoint, so the recordings need not hold them.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

RECORDINGS = Path(__file__).resolve().parent / "recordings" / "tf.npz"
SIZES: dict[str, Any] = {
    "vocab_size": 97, "max_position_embeddings": 23, "dim": 24, "n_heads": 3, "n_layers": 2, "hidden_dim": 40,
}  # fmt: skip
ARCHITECTURES = (
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForMultipleChoice",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
)
LEAVES = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


def sizes(architecture: str) -> dict[str, Any]:
    """Fields of the configuration."""
    return SIZES | {"num_labels": 2 if architecture.endswith("QuestionAnswering") else 5}


def inputs(architecture: str) -> dict[str, np.ndarray]:
    """Ids and a mask: (4, 11), or (4, 3, 11) for multiple choice; padding on either side, and a row of nothing else."""
    shape = (4, 3, 11) if architecture.endswith("MultipleChoice") else (4, 11)
    ids = np.random.RandomState(1).randint(1, 97, shape).astype(np.int32)
    mask = np.ones_like(ids)
    mask[1, ..., 7:] = 0
    mask[2, ..., :4] = 0
    mask[3] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def labels(architecture: str) -> dict[str, np.ndarray]:
    """Labels inside the window: the reference does not clamp them. One in four tokens is passed over."""
    draws = np.random.RandomState(2)
    if architecture.endswith("QuestionAnswering"):
        return {name: draws.randint(0, 11, 4) for name in ("start_positions", "end_positions")}
    if architecture.endswith(("MaskedLM", "TokenClassification")):
        tokens = draws.randint(0, 97 if architecture.endswith("MaskedLM") else 5, (4, 11))
        return {"labels": np.where(draws.randint(0, 4, (4, 11)) == 0, -100, tokens)}
    if architecture.endswith(("SequenceClassification", "MultipleChoice")):
        return {"labels": draws.randint(0, 3, 4)}
    return {}


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the tensor of a checkpoint: numbers that depend on its name and shape alone."""
    name = name.removeprefix("distilbert.")
    numbers = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape) * 0.3
    return (numbers + bool(re.search(r"(LayerNorm|layer_norm)\.weight$", name))).astype(np.float32)


def checkpoint_name(name: str) -> str:
    """Turn ``.../distilbert/transformer/layer_._0/ffn/lin1/kernel:0`` into ``transformer.layer.0.ffn.lin1.weight``."""
    parts = name.removesuffix(":0").split("/")[1:]
    parts = [part.replace("layer_._", "layer.") for part in parts if part != "distilbert"]
    return ".".join([*parts[:-1], LEAVES.get(parts[-1], parts[-1])])


def main() -> None:
    """Write the recordings."""
    import transformers

    recorded: dict[str, np.ndarray] = {}
    for architecture in ARCHITECTURES:
        config = transformers.DistilBertConfig(**sizes(architecture))
        model = getattr(transformers, f"TF{architecture}")(config)
        given = inputs(architecture)
        model(given)
        for variable in model.weights:
            name, shape = checkpoint_name(variable.name), tuple(variable.shape)
            if variable.name.endswith("kernel:0"):
                variable.assign(draw(name, shape[::-1]).T)
            else:
                variable.assign(draw(name, shape))
        output = model(**given, **labels(architecture), output_hidden_states=True, output_attentions=True)
        for name, value in output.items():
            for number, tensor in enumerate(value if isinstance(value, tuple) else (value,)):
                array = np.asarray(tensor)
                # The reference gives a loss a sequence, or one in a vector.
                recorded[f"{architecture}/{name}/{number}"] = array.mean() if name == "loss" else array
    RECORDINGS.parent.mkdir(exist_ok=True)
    np.savez_compressed(RECORDINGS, **recorded)


if __name__ == "__main__":
    main()
