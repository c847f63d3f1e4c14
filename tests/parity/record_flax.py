"""Record what the Flax classes of transformers 4.57.6, the last release that had them, compute for a tiny model.

Run it again only when the model or the inputs below change:

    python -m venv reference
    reference/bin/pip install "transformers==4.57.6" "flax==0.10.2" "jax[cpu]==0.4.38"
    reference/bin/python tests/parity/record_flax.py

Weights are drawn by the name of each parameter, so the recordings need not hold them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

RECORDINGS = Path(__file__).resolve().parent / "recordings" / "flax.npz"
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


def draw(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a tree like ``tree`` with numbers that depend on names and shapes alone."""
    drawn: dict[str, Any] = {}
    for name, value in tree.items():
        here = f"{path}/{name}"
        if isinstance(value, Mapping):
            drawn[name] = draw(value, here)
        else:
            numbers = np.random.RandomState(zlib.crc32(here.encode())).standard_normal(value.shape) * 0.3
            drawn[name] = (numbers + (name == "scale")).astype(np.float32)
    return drawn


def names(tree: Mapping[str, Any], path: str = "") -> list[str]:
    """Return the paths of the leaves, sorted."""
    found: list[str] = []
    for name, value in tree.items():
        found += names(value, f"{path}/{name}") if isinstance(value, Mapping) else [f"{path}/{name}"]
    return sorted(found)


def main() -> None:
    """Write the recordings."""
    import transformers

    recorded: dict[str, np.ndarray] = {}
    for architecture in ARCHITECTURES:
        config = transformers.DistilBertConfig(**sizes(architecture))
        model = getattr(transformers, f"Flax{architecture}")(config)
        params = draw(model.params)
        output = model(**inputs(architecture), params=params, output_hidden_states=True, output_attentions=True)
        recorded[f"{architecture}/params"] = np.array(names(params))
        for name, value in output.items():
            for number, array in enumerate(value if isinstance(value, tuple) else (value,)):
                recorded[f"{architecture}/{name}/{number}"] = np.asarray(array)
    RECORDINGS.parent.mkdir(exist_ok=True)
    np.savez_compressed(RECORDINGS, **recorded)


if __name__ == "__main__":
    main()
