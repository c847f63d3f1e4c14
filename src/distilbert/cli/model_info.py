"""What a model folder holds: configuration, weights, files and tokenizer; only headers are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.errors import ModelNotFoundError, TokenizerError
from ..models.auto import AutoTokenizer
from ..models.checkpoint import open_checkpoint
from ..weights.folder import open_tensors
from ..weights.tensors import Tensors

LAYER = re.compile(r"(?:^|\.)layer\.(\d+)\.")
WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack")


def describe_model(name: str, list_tensors: bool = False) -> dict[str, Any]:
    """Describe a model.

    Args:
        name: a folder, or a name on the hub.
        list_tensors: add every tensor's shape and type.

    Raises:
        ModelNotFoundError: there is no such model.
        UnsupportedArchitectureError: it is neither a DistilBERT nor a BERT.
    """
    checkpoint = open_checkpoint(name)
    tensors = open_tensors(checkpoint.folder)
    config = checkpoint.config.to_dict()
    found = {
        "folder": str(checkpoint.folder),
        "kind": f"BERT ({checkpoint.bert}), read as a DistilBERT" if checkpoint.bert else "DistilBERT",
        "config": {key: value for key, value in config.items() if not isinstance(value, dict)},
        "labels": {str(index): label for index, label in checkpoint.config.id2label.items()},
        "parameters": parameters(tensors),
        "types": sorted({tensor.dtype for tensor in tensors.values()}),
        "files": _files(checkpoint.folder),
        "tokenizer": _tokenizer(checkpoint.folder),
    }
    if list_tensors:
        found["tensors"] = {
            key: f"{tensor.dtype} ({', '.join(map(str, tensor.shape))})" for key, tensor in tensors.items()
        }
    return found


def parameters(tensors: Tensors) -> dict[str, int]:
    """Count weights: all, of the embeddings, of each layer, of what stands on them."""
    counts = {"total": sum(tensor.size for tensor in tensors.values())}
    for name, tensor in tensors.items():
        layer = LAYER.search(name)
        if layer:
            part = f"layer {layer[1]}"
        else:
            part = "embeddings" if re.match(r"(\w+\.)?embeddings\.", name) else "head"
        counts[part] = counts.get(part, 0) + tensor.size
    order = ["total", "embeddings", *sorted((p for p in counts if p.startswith("layer")), key=_number), "head"]
    return {part: counts[part] for part in order if part in counts}


def _number(part: str) -> int:
    return int(part.split()[1])


def _files(folder: Path) -> dict[str, str]:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    weights = sum(size for name, size in sizes.items() if name.endswith(WEIGHTS))
    summary = {"all": size_text(sum(sizes.values())), "weights": size_text(weights)}
    return summary | {name: size_text(size) for name, size in sizes.items()}


def size_text(size: float) -> str:
    """Return bytes as people read them: ``"268.0 MB"``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def _tokenizer(folder: Path) -> dict[str, Any]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)
    except (ModelNotFoundError, TokenizerError) as error:
        return {"none": str(error)}
    return {
        "entries": len(tokenizer),
        "lower case": tokenizer.spec.do_lower_case,
        "longest input": tokenizer.model_max_length,
        "special tokens": list(tokenizer.all_special_tokens),
    }
