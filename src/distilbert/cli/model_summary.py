"""What a model folder holds: configuration, weights, files and tokenizer. Of weights only the headers are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.errors import ModelNotFoundError, TokenizerError
from ..models.auto import AutoTokenizer
from ..weights.checkpoint import open_checkpoint
from ..weights.folder import open_tensors
from ..weights.tensors import Tensors
from .text_output import size_text

_LAYER = re.compile(r"(?:^|\.)layer\.(\d+)\.")
WEIGHT_ENDINGS = (".safetensors", ".bin", ".h5", ".msgpack")


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
    config = checkpoint.config.to_diff_dict()
    summary = {
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
        summary["tensors"] = {
            key: f"{tensor.dtype} ({', '.join(map(str, tensor.shape))})" for key, tensor in tensors.items()
        }
    return summary


def parameters(tensors: Tensors) -> dict[str, int]:
    """Count the weights: all of them, those of the embeddings, of each layer and of the head."""
    counts = {"total": sum(tensor.size for tensor in tensors.values())}
    for name, tensor in tensors.items():
        layer = _LAYER.search(name)
        if layer:
            group = f"layer {layer[1]}"
        else:
            group = "embeddings" if re.match(r"(\w+\.)?embeddings\.", name) else "head"
        counts[group] = counts.get(group, 0) + tensor.size
    order = [
        "total",
        "embeddings",
        *sorted((group for group in counts if group.startswith("layer")), key=_layer_number),
        "head",
    ]
    return {group: counts[group] for group in order if group in counts}


def _layer_number(group: str) -> int:
    return int(group.split()[1])


def _files(folder: Path) -> dict[str, str]:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    weights = sum(size for name, size in sizes.items() if name.endswith(WEIGHT_ENDINGS))
    summary = {"all": size_text(sum(sizes.values())), "weights": size_text(weights)}
    return summary | {name: size_text(size) for name, size in sizes.items()}


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
