"""Model folders: formats, shards, old names, and files that are broken."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from distilbert import InputError, ModelNotFoundError, WeightsError
from distilbert.weights.folder import FORMATS, open_tensors, save_tensors
from distilbert.weights.source import WeightSource
from distilbert.weights.tensors import DTYPES, open_safetensors, save_safetensors

ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.arange(6, dtype=np.float16),
    "c": np.ones((2, 3, 1), dtype=ml_dtypes.bfloat16),
    "empty": np.zeros((0, 4), np.float32),
}


def read(folder: Path, **options: Any) -> dict[str, np.ndarray]:
    tensors = open_tensors(folder, **options)
    for tensor in tensors.values():
        assert tensor.read().shape == tensor.shape
        assert tensor.read().dtype.name == tensor.dtype
    return {name: tensor.read() for name, tensor in tensors.items()}


def assert_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["5GB", 40])
def test_round_trip(tmp_path: Path, safe: bool, size: int | str) -> None:
    files = save_tensors(tmp_path, ARRAYS, safe=safe, max_shard_size=size)
    assert (len(files) == 1) == (size == "5GB")
    assert_equal(read(tmp_path), ARRAYS)
    assert sorted(tmp_path.iterdir()) == sorted(files), "no temporary file is left"


def test_files_of_an_earlier_save_do_not_come_back(tmp_path: Path) -> None:
    save_tensors(tmp_path, ARRAYS, max_shard_size=40)
    save_tensors(tmp_path, {"a": ARRAYS["a"]})
    assert_equal(read(tmp_path), {"a": ARRAYS["a"]})
    save_tensors(tmp_path, ARRAYS, max_shard_size=40)
    assert_equal(read(tmp_path), ARRAYS)
    assert not (tmp_path / "model.safetensors").exists()


def test_shards_of_two_saves_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tensors(tmp_path, ARRAYS, max_shard_size=40)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed = {name: array + 1 for name, array in ARRAYS.items()}
    with monkeypatch.context() as patch:  # a disk that is full at the second shard
        written: list[Path] = []

        def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
            if written:
                raise OSError("no space left")
            written.append(path)
            save_safetensors(path, arrays)

        patch.setattr("distilbert.weights.folder.save_safetensors", save)
        with pytest.raises(OSError, match="no space left"):
            save_tensors(tmp_path, changed, max_shard_size=40)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with monkeypatch.context() as patch:  # killed between two renamings
        renamed = []
        replace = Path.replace

        def stop(path: Path, target: Path) -> Path:
            if ".tmp" not in target.name:
                if renamed:
                    raise KeyboardInterrupt
                renamed.append(target)
            return replace(path, target)

        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            save_tensors(tmp_path, changed, max_shard_size=40)
    with pytest.raises(ModelNotFoundError):
        read(tmp_path)


def test_safetensors_comes_first_unless_asked_otherwise(tmp_path: Path) -> None:
    save_tensors(tmp_path, {"a": ARRAYS["a"]})
    save_tensors(tmp_path, {"b": ARRAYS["b"]}, safe=False)
    assert set(read(tmp_path)) == {"a"}
    assert set(read(tmp_path, formats=WeightSource(use_safetensors=False).formats())) == {"b"}


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4)))
)
def test_the_reader_agrees_with_the_package(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    arrays.pop("__metadata__", None)
    save_safetensors(path, arrays)
    theirs = load_file(path)
    ours = {name: tensor.read() for name, tensor in open_safetensors(path).items()}
    assert_equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_type(tmp_path: Path, dtype: Any) -> None:
    array = np.asarray([0, 1, 1], dtype=dtype)
    save_safetensors(tmp_path / "model.safetensors", {"x": array})
    assert_equal(read(tmp_path), {"x": array})


def test_truncated_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(tmp_path, {"a": ARRAYS["a"]})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"model\.safetensors"):
            open_tensors(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
    ],
)
def test_corrupt_headers(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(WeightsError, match=r"model\.safetensors is truncated, corrupt, or no safetensors file"):
        open_tensors(tmp_path)


def test_a_pickle_never_runs_code(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "owned",))

    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"a": Attack()}, file)
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is truncated, corrupt, or holds more than tensors"):
        open_tensors(tmp_path)
    torch.save({"a": Attack()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        open_tensors(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_pickles_that_are_broken_or_something_else(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    save_tensors(tmp_path, ARRAYS, safe=False)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="truncated"):
        open_tensors(tmp_path)
    torch.save([1], path)
    with pytest.raises(WeightsError, match="does not hold a dictionary of tensors"):
        open_tensors(tmp_path)


def test_no_weights(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    looked = (
        r"looked for model\.safetensors, pytorch_model\.bin, tf_model\.h5, flax_model\.msgpack, .* found model\.onnx"
    )
    with pytest.raises(ModelNotFoundError, match=looked):
        open_tensors(tmp_path)
    with pytest.raises(ModelNotFoundError, match="found nothing"):
        open_tensors(tmp_path / "absent")


def test_a_shard_that_is_missing_or_elsewhere(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for name in ("model-00001-of-00002.safetensors", "../model.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(WeightsError, match="names the shard"):
            open_tensors(tmp_path)
    index.write_text("{}")
    with pytest.raises(WeightsError, match="is not an index of shards"):
        open_tensors(tmp_path)


def test_shard_sizes_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'200MB'"):
        save_tensors(tmp_path, ARRAYS, max_shard_size="large")
    assert len(save_tensors(tmp_path, ARRAYS, max_shard_size="0.04 kB")) > 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_pointer_of_git_lfs_is_no_file_of_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
    with pytest.raises(WeightsError, match=r"is a Git LFS pointer and not the file itself: run git lfs pull\.$"):
        open_tensors(tmp_path)
