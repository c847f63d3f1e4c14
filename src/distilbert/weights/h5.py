"""``tf_model.h5``: weights as the TensorFlow classes of transformers wrote them, in the HDF5 layout of Keras 2.

A file holds one group for each layer of the model. The group holds the layer's weights by their full names, which
begin with the model's name:
``distilbert/tf_distil_bert_for_masked_lm/distilbert/transformer/layer_._0/attention/q_lin/kernel:0``. Attributes list
the layers, and the weights of each layer in order. A shard has no groups for layers and leaves out the model's name:
``distilbert/transformer/layer_._0/attention/q_lin/kernel:0``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..core.errors import DistilBertError, InputError, WeightsError
from ..core.extras import require
from ..core.files import check_space, replacing
from ..core.schema import PREFIX, Head
from .leaves import TENSORFLOW, check_architecture, to_checkpoint, to_framework
from .tensors import DTYPES_BY_NAME, LazyTensor, Tensors

BASE = "distilbert"
KERAS_VERSION = "2.19.0"  # what transformers 4.57.6 wrote
HEADER_BYTES = 4096  # more than HDF5 writes beside an array
ATTRIBUTE_LIMIT = 64512  # bytes of an HDF5 attribute without its header; Keras splits longer lists
WORD_EMBEDDINGS = f"{BASE}/embeddings/word_embeddings"  # transformers' own layer: its weight is called "weight"
NAMES, WEIGHTS = "layer_names", "weight_names"


def open_h5(paths: Sequence[Path]) -> Tensors:
    """Return the tensors of a ``tf_model.h5`` or of its shards, by their names in a checkpoint.

    Raises:
        WeightsError: a file is truncated, corrupt, or some other HDF5 file.
        UnsupportedArchitectureError: the weights belong to neither a DistilBERT nor a BERT.
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", "keras")
    tensors: Tensors = {}
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                datasets = _datasets(h5py, file, path)
        except DistilBertError:
            raise
        except Exception as error:  # h5py raises various kinds, depending on where a file is broken
            raise _broken(path, error) from None
        for parts, tensor in datasets:
            name, tensor = to_checkpoint(parts, tensor)
            tensors.setdefault(name, tensor)  # a tied weight is listed under each of its layers
    check_architecture(tensors, paths)
    return tensors


def _datasets(h5py: Any, file: Any, path: Path) -> list[tuple[list[str], LazyTensor]]:
    if NAMES not in file.attrs and f"{NAMES}0" not in file.attrs:
        raise WeightsError(
            f"{path} is HDF5, but not weights as transformers wrote them: it has no list of layers, "
            f"and holds {', '.join(file) or 'nothing'}."
        )
    outer = 2 if "keras_version" in file.attrs else 0  # parts before the name: layer and model, none in a shard
    datasets: list[tuple[list[str], LazyTensor]] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external or item.dtype.kind not in "fiub":
            raise WeightsError(f"{path} is no file of plain weights: {name} is {item.dtype}, or lies in another file.")
        if item.dtype.name not in DTYPES_BY_NAME or item.size * item.dtype.itemsize > path.stat().st_size:
            raise WeightsError(
                f"{path}: {name} is {item.dtype} of shape {item.shape}, for which the file is too small, or unknown."
            )
        parts = name.removesuffix(":0").split("/")
        # "mlm___cls" is the module "cls", and "layer_._0" is "layer.0"
        parts = [part.rpartition("___")[2].replace("_._", ".") for part in parts[outer:] or parts]
        datasets.append((parts, LazyTensor(tuple(item.shape), item.dtype.name, _reader(path, name))))

    file.visititems(visit)
    return datasets


def _reader(path: Path, name: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        try:
            with require("h5py", "keras").File(path, "r") as file:
                return np.asarray(file[name][()])
        except Exception as error:
            raise _broken(path, error) from None

    return read


def _broken(path: Path, error: Exception) -> WeightsError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return WeightsError(f"{path} is truncated, corrupt or no HDF5 file: {reason}")


def save_h5(path: Path, arrays: Mapping[str, np.ndarray], head: Head) -> None:
    """Write ``tf_model.h5`` in the layout of ``TFDistilBert...`` in transformers 4.57.6, atomically.

    Args:
        path: of the file.
        arrays: name -> array, in checkpoint names and order. HDF5 has no bfloat16: it is written as float32.
        head: of the model; the file contains its name.

    Raises:
        InputError: the masked-LM projection is not tied to the word embeddings. TensorFlow always ties it.
        MissingExtraError: h5py is not installed.
    """
    if "vocab_projector.weight" in arrays:
        raise InputError(
            f"{path.name} cannot hold a vocab_projector.weight: the TensorFlow classes tie it to the word embeddings. "
            "Save in another format, or set tie_word_embeddings=True."
        )
    h5py = require("h5py", "keras")
    words = re.sub("(?<=[a-z])(?=[A-Z])", "_", head.name or "Model").lower()
    model = f"tf_distil_bert_{words}"
    layers = _layers(arrays, head)
    check_space(path, sum(array.nbytes + HEADER_BYTES for weights in layers.values() for array in weights.values()))
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        _write_names(file, NAMES, list(layers))
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", KERAS_VERSION.encode()
        for layer, weights in layers.items():
            group = file.create_group(layer)
            for name, array in weights.items():
                group.create_dataset(f"{model}/{name}", data=array)
            tied = [name for name in layers[BASE] if name.startswith(f"{BASE}/embeddings/")]
            tied = tied if layer == "vocab_projector" else []
            for name in tied:
                group[f"{model}/{name}"] = file[f"{BASE}/{model}/{name}"]  # a link to the same numbers
            _write_names(group, WEIGHTS, [f"{model}/{name}" for name in [*weights, *tied]])
        _write_names(file.create_group("top_level_model_weights"), WEIGHTS, [])


def _layers(arrays: Mapping[str, np.ndarray], head: Head) -> dict[str, dict[str, np.ndarray]]:
    """Return layer -> name of a weight, without the model's name -> array, laid out as in TensorFlow."""
    layers: dict[str, dict[str, np.ndarray]] = {BASE: {}, **{module: {} for module in head.modules}}
    for name, array in arrays.items():
        name = name if head.name else PREFIX + name
        if array.dtype == ml_dtypes.bfloat16:
            array = array.astype(np.float32)
        parts, array = to_framework(name, array, TENSORFLOW)
        module = re.sub(r"/layer/(\d+)/", r"/layer_._\1/", "/".join(parts[:-1]))
        leaf = "weight" if module == WORD_EMBEDDINGS else parts[-1]
        layers.setdefault(parts[0], {})[f"{module}/{leaf}:0"] = array
    if head.modules and head.name != "ForMaskedLM":
        # Keras numbers dropout layers: the encoder has one, and each block three. Listed, it is not reported missing.
        blocks = {match[1] for match in map(re.compile(r".*/layer_\._(\d+)/").match, layers[BASE]) if match}
        layers[f"dropout_{1 + 3 * len(blocks)}"] = {}
    return layers


def _write_names(group: Any, name: str, entries: list[str]) -> None:
    """Set an attribute to a list of names. A list that is too long is split into numbered attributes, as in Keras."""
    encoded = [entry.encode() for entry in entries]
    count = 1
    while any(part.nbytes > ATTRIBUTE_LIMIT for part in np.array_split(np.asarray(encoded), count)):
        count += 1
    if count == 1:
        group.attrs[name] = encoded
        return
    for number, part in enumerate(np.array_split(np.asarray(encoded), count)):
        group.attrs[f"{name}{number}"] = part
