"""``convert`` between the four formats, and which of several is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from distilbert import InputError, convert
from distilbert.core.schema import HEADS
from distilbert.weights.folder import FORMATS, save_as
from distilbert.weights.source import WeightSource
from tests.tiny import HEAD_NAMES, model_class, tiny_model
from tests.weights.formats import arrays_of, read

TO = ("safetensors", *FORMATS[1:])


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_through_every_format(tmp_path: Path, head: str) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path / "0")
    for number, to in enumerate((*TO, *reversed(TO))):
        result = convert(tmp_path / f"{number}", tmp_path / f"{number + 1}", to=to)
        file = FORMATS[TO.index(to)]
        assert result.architecture == HEADS[head].architecture
        assert result.files == sorted(["config.json", file])
        assert sorted(path.name for path in result.folder.iterdir()) == result.files
        assert json.loads((result.folder / "config.json").read_text())["dtype"] == "float32"
        again = model_class(head).from_pretrained(result.folder).state_dict()
        assert set(again) == set(model.state_dict())
        for name, tensor in model.state_dict().items():
            assert torch.equal(again[name], tensor)


def test_the_first_of_several_is_read(tmp_path: Path) -> None:
    for number, name in enumerate(reversed(FORMATS)):
        save_as(tmp_path, arrays_of("ForMaskedLM", seed=number), name, HEADS["ForMaskedLM"])
        bias = read(tmp_path)["vocab_projector.bias"]
        np.testing.assert_array_equal(bias, arrays_of("ForMaskedLM", seed=number)["vocab_projector.bias"])
    tensors = WeightSource(use_safetensors=False).open(tmp_path)
    np.testing.assert_array_equal(
        tensors["vocab_projector.bias"].read(), arrays_of("ForMaskedLM", seed=2)["vocab_projector.bias"]
    )


def test_an_overwritten_model_does_not_come_back(tmp_path: Path) -> None:
    tiny_model("", seed=1).save_pretrained(tmp_path / "old")
    new = tiny_model("ForMaskedLM", seed=2)
    new.save_pretrained(tmp_path / "new")
    convert(tmp_path / "new", tmp_path / "old", to="flax_model.msgpack", overwrite=True)
    assert not (tmp_path / "old" / "model.safetensors").exists()
    loaded = model_class("ForMaskedLM").from_pretrained(tmp_path / "old")
    assert torch.equal(loaded.vocab_projector.bias, new.vocab_projector.bias)


def test_a_format_can_be_added_in_place(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for to in TO[1:]:
        convert(tmp_path, tmp_path, to=to, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", *FORMATS}
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_what_is_converted_is_not_overwritten(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changes: list[dict[str, Any]] = [{}, {"dtype": "float16"}, {"layers": [0]}, {"head": "none"}]
    for change in [*changes, *({**change, "to": "pytorch_model.bin"} for change in changes[1:])]:
        with pytest.raises(InputError, match="is the folder that is converted"):
            convert(tmp_path, tmp_path, overwrite=True, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bfloat16(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "float32")
    convert(tmp_path / "float32", tmp_path / "flax", to="flax_model.msgpack", dtype="bfloat16")
    brain = read(tmp_path / "flax")
    assert {array.dtype for array in brain.values()} == {np.dtype(ml_dtypes.bfloat16)}
    convert(tmp_path / "flax", tmp_path / "tf", to="tf_model.h5")
    for name, array in read(tmp_path / "tf").items():
        np.testing.assert_array_equal(array, brain[name.removeprefix("distilbert.")].astype(np.float32))
    assert json.loads((tmp_path / "tf" / "config.json").read_text())["dtype"] == "float32"
    with pytest.raises(InputError, match=r"tf_model\.h5 cannot hold bfloat16; choose float32 or float16"):
        convert(tmp_path / "float32", tmp_path / "x", to="tf_model.h5", dtype="bfloat16")


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"to must be one of safetensors, pytorch_model\.bin, tf_model\.h5, flax"):
        convert(tmp_path, tmp_path / "x", to="onnx")
    with pytest.raises(InputError, match=r"to must be one of model\.safetensors, .* got 'onnx'"):
        save_as(tmp_path, arrays_of(""), "onnx", HEADS[""])
