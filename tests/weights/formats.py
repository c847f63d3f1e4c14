"""What the tests of ``tf_model.h5`` and ``flax_model.msgpack`` share: the recordings, and models to save."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilbert import AutoConfig
from distilbert.core.schema import HEADS, head_of, tensor_shapes, tied
from distilbert.weights.folder import open_tensors
from tests.tiny import HEAD_NAMES, model_class, tiny_config

FILES = Path(__file__).parent / "files"
DISTILBERTS = [HEADS[name].architecture for name in HEAD_NAMES]
BERTS = ["BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForTokenClassification"]


def unpack(framework: str, folder: Path) -> Path:
    """Extract what the reference wrote."""
    with zipfile.ZipFile(FILES / f"{framework}.zip") as archive:
        archive.extractall(folder)
    return folder


def expected(folder: Path, part: str) -> dict[str, np.ndarray]:
    """Return recorded arrays: ``in``, ``out`` or ``weight``."""
    with np.load(folder / "expected.npz") as arrays:
        return {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(f"{part}/")}


def read(folder: Path) -> dict[str, np.ndarray]:
    tensors = open_tensors(folder)
    for tensor in tensors.values():
        array = tensor.read()
        assert (array.shape, array.dtype.name) == (tensor.shape, tensor.dtype)
    return {name: tensor.read() for name, tensor in tensors.items()}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def assert_outputs_equal(folder: Path, **recorded: str) -> None:
    """Load a recorded model into PyTorch and compare with what the reference answered.

    Args:
        folder: a recorded case.
        **recorded: our output -> its name in the recording; those of the same name otherwise.
    """
    architecture = AutoConfig.from_pretrained(folder).architectures
    head = head_of(architecture)
    assert head is not None
    model = model_class(head.name).from_pretrained(folder).eval()
    inputs: Any = {name: torch.from_numpy(array).long() for name, array in expected(folder, "in").items()}
    keep = inputs["attention_mask"].bool().numpy()
    with torch.no_grad():
        outputs = model(**inputs)
    wanted = expected(folder, "out")
    assert outputs
    for name, ours in outputs.items():
        theirs = wanted[recorded.get(name, name)]
        by_token = theirs.shape[: keep.ndim] == keep.shape and head.per_token
        np.testing.assert_allclose(
            ours.numpy()[keep] if by_token else ours.numpy(), theirs[keep] if by_token else theirs, rtol=0, atol=1e-5
        )


def arrays_of(head: str, seed: int = 0, dtype: Any = np.float32, **changes: Any) -> dict[str, np.ndarray]:
    """Return random weights of a tiny model, by their names in a checkpoint."""
    config = tiny_config(head, **changes)
    rng = np.random.default_rng(seed)
    left_out = tied(config, HEADS[head])
    shapes = {name: shape for name, shape in tensor_shapes(config, HEADS[head]).items() if name not in left_out}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
