"""Weights that anyone may have written: what the official readers refuse is refused, before memory is taken."""

from __future__ import annotations

import io
import json
import resource
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from distilbert import AutoModel, ConfigError, WeightsError, WeightsMismatchError
from distilbert.core.errors import DistilBertError
from distilbert.weights.folder import open_tensors
from distilbert.weights.msgpack import save_msgpack
from tests.tiny import tiny_model

Header = dict[str, Any]


@contextmanager
def quick_and_small() -> Iterator[None]:
    """Fail if the block takes more than five seconds (one, on a machine that is free) or 200 MB."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def assert_refused(folder: Path, error: Any = WeightsError) -> None:
    with quick_and_small(), pytest.raises(error) as caught:
        AutoModel.from_pretrained(folder)
    assert isinstance(caught.value, DistilBertError)
    assert len(str(caught.value)) < 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("").save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change: Callable[[Header, bytes], tuple[Header | bytes, bytes]]) -> None:
    """Change the header and the data of ``model.safetensors``."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, data = change(json.loads(content[8 : 8 + length]), content[8 + length :])
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def changed(name: str, **entries: Any) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    return lambda header, data: (header | {name: header[name] | entries}, data)


def overlap(header: Header, data: bytes) -> tuple[Header, bytes]:
    first, second, *_ = (entry for entry in header.values() if entry.get("shape") == [24])
    second["data_offsets"] = first["data_offsets"]
    return header, data


def hole(header: Header, data: bytes) -> tuple[Header, bytes]:
    for entry in header.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [offset + 8 for offset in entry["data_offsets"]]
    return header, bytes(8) + data


def twice(header: Header, data: bytes) -> tuple[bytes, bytes]:
    name = "embeddings.LayerNorm.weight"
    return json.dumps(header).encode()[:-1] + b"," + json.dumps({name: header[name]}).encode()[1:], data


NORM = "embeddings.LayerNorm.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda header, data: (header, data + b"x"),
        lambda header, data: (header, data + bytes(4096)),
        lambda header, data: (header, data[:-1]),
        lambda header, data: (header, data[:100] + b"x" + data[100:]),
        overlap, hole, twice,
        changed(NORM, shape=[24.0]), changed(NORM, shape=[-24]), changed(NORM, shape=[2**63, 2]),
        changed(NORM, shape=["24"]), changed(NORM, shape=24), changed(NORM, dtype="F31"), changed(NORM, dtype=3),
        changed(NORM, data_offsets=[0, 2**62]), changed(NORM, data_offsets=[96, 0]), changed(NORM, data_offsets=[0]),
        lambda header, data: (b"[" * 100_000, data), lambda header, data: (b"{}", data),
        lambda header, data: (b"\xff\xfe", data), lambda header, data: (b"", data),
    ],
)  # fmt: skip
def test_safetensors_that_the_official_reader_refuses(change: Any, folder: Path) -> None:
    rewrite(folder, change)
    assert_refused(folder, (WeightsError, WeightsMismatchError))


@pytest.mark.parametrize("length", [2**63 - 1, 20 * 2**30, 2**64 - 1, 101 * 10**6])
def test_a_giant_header(length: int, folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(struct.pack("<Q", length))
    assert_refused(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(21 * 2**30)  # takes no place on the disk
    assert_refused(folder)


@pytest.fixture
def pickled(folder: Path) -> Path:
    tiny_model("").save_pretrained(folder, safe_serialization=False)
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(2 * 10**9), torch.zeros(24).as_strided((24, 10**8), (0, 0)),
        torch.zeros(24).to_sparse(), torch.zeros(24, dtype=torch.complex64), torch.empty(24, device="meta"),
        torch.zeros(24).to(torch.float8_e5m2),
    ],
)  # fmt: skip
def test_tensors_that_are_larger_than_their_file_or_not_plain(tensor: torch.Tensor, pickled: Path) -> None:
    path = pickled / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    torch.save(state | {NORM: tensor}, path)
    assert_refused(pickled)


def test_a_zip_bomb(pickled: Path) -> None:
    path = pickled / "pytorch_model.bin"
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        with new.open("archive/data/999", "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
    path.write_bytes(content.getvalue())
    assert_refused(pickled)


def test_a_msgpack_of_millions_of_dimensions(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    path = folder / "flax_model.msgpack"
    sizes = b"\xdd" + struct.pack(">I", 10_000_000) + b"\x01" * 10_000_000
    body = b"\x93" + sizes + b"\xa7float32" + b"\xc4\x04" + bytes(4)
    path.write_bytes(b"\x81\xaadistilbert\x81\xa1x\xc9" + struct.pack(">I", len(body)) + b"\x01" + body)
    assert_refused(folder)
    path.write_bytes(b"\xdf" + struct.pack(">I", 2**31) + b"\xa1x\x01" * 1_000_000)
    assert_refused(folder)
    path.write_bytes(b"\x81\xdb" + struct.pack(">I", 2**32 - 1) + b"x" * 1000)
    assert_refused(folder)
    save_msgpack(path, {"distilbert.embeddings.word_embeddings.weight": np.ones((2, 3), np.float32)})
    assert set(open_tensors(folder)) == {"distilbert.embeddings.word_embeddings.weight"}


def test_a_dataset_larger_than_its_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"distilbert"]
        file.create_dataset("distilbert/embeddings/LayerNorm/gamma:0", (10**10,), "f4", chunks=(10**6,))
    assert_refused(folder)


@pytest.mark.parametrize(
    "index",
    [
        [], {}, {"weight_map": 3}, {"weight_map": {"a": 3}}, {"weight_map": {"a": ["x"]}},
        {"weight_map": {"a": "../x"}},
        {"weight_map": {"a": "\0"}}, {"weight_map": {"a": "/etc/passwd"}}, {"weight_map": {"a": ""}},
        {"weight_map": {"a": "x" * 100_000}},
    ],
)  # fmt: skip
def test_hostile_indexes(index: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    assert_refused(folder)
    path.write_text("[" * 100_000)
    assert_refused(folder)


@pytest.mark.parametrize("change", [{"n_layers": 999}, {"n_layers": 999, "num_labels": 10**5}, {"dim": 99_999 * 3}])
def test_a_configuration_far_larger_than_the_weights(change: Header, folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with quick_and_small(), pytest.raises((WeightsMismatchError, ConfigError)) as caught:
        AutoModel.from_pretrained(folder)
    assert len(str(caught.value)) < 20_000
