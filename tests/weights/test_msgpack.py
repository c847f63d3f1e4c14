"""``flax_model.msgpack``: as transformers 4.57.6 wrote it, against the msgpack library, and broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack as library
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distilbert import UnsupportedArchitectureError, WeightsError
from distilbert.core.schema import HEADS
from distilbert.weights import msgpack
from distilbert.weights.folder import open_tensors, save_as
from distilbert.weights.msgpack import open_msgpack, save_msgpack
from tests.tiny import HEAD_NAMES
from tests.weights.formats import (
    BERTS,
    DISTILBERTS,
    arrays_of,
    assert_outputs_equal,
    assert_same,
    expected,
    read,
    unpack,
)

NAME = "flax_model.msgpack"
WORDS = {"embeddings": {"word_embeddings": {"embedding": 0}}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("flax", tmp_path_factory.mktemp("flax"))


def packed(array: np.ndarray, code: int = 1) -> library.ExtType:
    """An array as Flax encodes it, by the library."""
    return library.ExtType(code, library.packb((array.shape, array.dtype.name, array.tobytes())))


@pytest.mark.parametrize("case", [*DISTILBERTS, "DistilBertForMaskedLM-shards", "DistilBertModel-pieces"])
def test_the_reference_s_files_give_its_weights_and_outputs(recorded: Path, case: str) -> None:
    tensors = open_tensors(recorded / case)
    prefix = "" if "Model" in case else "distilbert."
    for name, array in expected(recorded / case, "weight").items():
        np.testing.assert_array_equal(tensors[prefix + name].read(), array)
    assert_outputs_equal(recorded / case)


@pytest.mark.parametrize("case", BERTS)
def test_a_bert_of_the_reference_is_read_as_its_twin(recorded: Path, case: str) -> None:
    assert_outputs_equal(recorded / case, logits="prediction_logits" if "PreTraining" in case else "logits")


@pytest.mark.parametrize("case", [*DISTILBERTS, "DistilBertModel-pieces"])
def test_a_file_of_the_reference_is_written_byte_by_byte(
    recorded: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "pieces" in case:
        monkeypatch.setattr(msgpack, "PIECE_BYTES", 100)
    save_msgpack(tmp_path / NAME, read(recorded / case))
    assert (tmp_path / NAME).read_bytes() == (recorded / case / NAME).read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_round_trip(tmp_path: Path, head: str, dtype: Any) -> None:
    arrays = arrays_of(head, dtype=dtype)
    assert save_as(tmp_path, arrays, NAME, HEADS[head]) == [tmp_path / NAME]
    assert_same(read(tmp_path), arrays)
    assert [path.name for path in tmp_path.iterdir()] == [NAME], "no temporary file is left"


def test_names_by_hand(tmp_path: Path) -> None:
    arrays = arrays_of("ForMaskedLM", tie_word_embeddings=False)
    save_msgpack(tmp_path / NAME, arrays)
    tree = library.unpackb(
        (tmp_path / NAME).read_bytes(), ext_hook=lambda code, data: (code, *library.unpackb(data)), strict_map_key=True
    )
    layer = tree["distilbert"]["transformer"]["layer"]["1"]
    assert layer["ffn"]["lin1"]["kernel"][:3] == (1, [24, 40], "float32")
    kernel = np.frombuffer(layer["ffn"]["lin1"]["kernel"][3], np.float32).reshape(24, 40)
    np.testing.assert_array_equal(kernel.T, arrays["distilbert.transformer.layer.1.ffn.lin1.weight"])
    assert layer["sa_layer_norm"]["scale"][3] == arrays["distilbert.transformer.layer.1.sa_layer_norm.weight"].tobytes()
    assert tree["distilbert"]["embeddings"]["word_embeddings"]["embedding"][1] == [97, 24]
    assert tree["vocab_projector"]["kernel"][1] == [24, 97]
    assert set(tree["vocab_layer_norm"]) == {"scale", "bias"}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/.", exclude_categories=["Cs"]), min_size=1, max_size=300),
        hnp.arrays(st.sampled_from([np.float32, np.float16, np.int64]), hnp.array_shapes(max_dims=3, max_side=9)),
        max_size=40,
    ),
    st.sampled_from([msgpack.PIECE_BYTES, 20]),
)
def test_the_library_agrees(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], piece: int) -> None:
    path = tmp_path_factory.mktemp("msgpack") / NAME
    arrays.pop(msgpack.CHUNKED, None)
    tree = {"bert": {name: {"x": array} for name, array in arrays.items()} | {"one": {"x": np.ones(1)}}}

    def default(array: np.ndarray) -> Any:
        if array.nbytes <= piece:
            return packed(array)
        step = piece // array.itemsize
        pieces = [array.reshape(-1)[begin : begin + step] for begin in range(0, array.size, step)]
        return {
            msgpack.CHUNKED: True,
            "shape": {str(axis): size for axis, size in enumerate(array.shape)},
            "chunks": {str(number): part for number, part in enumerate(pieces)},
        }

    path.write_bytes(library.packb(tree, default=default))
    found = {name: tensor.read() for name, tensor in open_msgpack([path]).items()}
    assert_same(found, {f"bert.{name}.x": entry["x"] for name, entry in tree["bert"].items()})
    with pytest.MonkeyPatch.context() as patch, path.open("wb") as file:
        patch.setattr(msgpack, "PIECE_BYTES", piece)
        msgpack._write(file, tree)
    assert path.read_bytes() == library.packb(tree, default=default)


@pytest.mark.parametrize("kind", ["map", "str", "bin", "ext", "array"])
def test_lengths_around_every_limit(kind: str) -> None:
    packer = library.Packer(autoreset=False)
    for length in (0, 15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536):
        packer.reset()
        if kind in ("map", "array"):
            getattr(packer, f"pack_{kind}_header")(length)
            theirs = packer.bytes()
        else:
            value = {"str": "x" * length, "bin": b"x" * length, "ext": library.ExtType(1, b"x" * length)}[kind]
            packer.pack(value)
            theirs = packer.bytes()
        if not (kind == "ext" and length == 16):  # the library has a shorter form for five lengths, which is read too
            assert theirs.startswith(msgpack._head(kind, length))


def test_every_form_of_extension_is_read(tmp_path: Path) -> None:
    for length in (0, 1, 3, 50, 70_000):
        array = np.arange(length, dtype=np.float16)
        tree = {"embeddings": {"a": packed(array), "b": packed(np.float32(length)[()].reshape(()), code=3)}}
        (tmp_path / NAME).write_bytes(library.packb(tree))
        assert_same(read(tmp_path), {"embeddings.a": array, "embeddings.b": np.asarray(length, np.float32)})


def test_only_the_headers_are_read_at_first(tmp_path: Path) -> None:
    save_as(tmp_path, arrays_of(""), NAME, HEADS[""])
    tensors = open_tensors(tmp_path)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-8])
    tensors["embeddings.word_embeddings.weight"].read()
    with pytest.raises(WeightsError, match="ended while it was read"):
        tensors["transformer.layer.1.output_layer_norm.bias"].read()


def test_truncated_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / NAME
    save_msgpack(path, arrays_of("", vocab_size=3, dim=3, hidden_dim=2, n_layers=1))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"flax_model\.msgpack is truncated, corrupt, or holds more than arrays"):
            open_tensors(tmp_path)
    path.write_bytes(whole + b"x")
    with pytest.raises(WeightsError, match="1 bytes after its end"):
        open_tensors(tmp_path)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers(0, 2**40) | st.text(max_size=3) | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ).map(library.packb)
)
def test_any_bytes_end_in_one_of_two_errors(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / NAME
    path.write_bytes(raw)
    with pytest.raises((WeightsError, UnsupportedArchitectureError)):
        open_msgpack([path])


@given(st.data())
def test_flipped_bytes_end_in_an_error_or_in_arrays(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("flip") / NAME
    save_msgpack(path, arrays_of("", vocab_size=3, dim=3, hidden_dim=2, n_layers=1))
    raw = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        tensors = open_msgpack([path])
    except (WeightsError, UnsupportedArchitectureError):
        return
    for tensor in tensors.values():
        assert tensor.read().shape == tensor.shape


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ([1], "array of length 1"),
        (7, "it is no map"),
        ({"embeddings": 3}, "embeddings is 3, not an array"),
        ({"embeddings": {"x": 1.5}}, "begins no value that a weights file can hold"),
        ({1: packed(np.ones(1))}, "int instead of a name"),
        ({"x": library.ExtType(2, library.packb((1.0, 2.0)))}, "an extension of type 2 at byte .* is no array"),
        ({"x": library.ExtType(1, library.packb(((3,), "float32", b"1234")))}, r"no float32 array of shape \(3,\)"),
        ({"x": library.ExtType(1, library.packb(((1,), "object", b"1234")))}, "no object array"),
        ({"x": library.ExtType(1, library.packb((("a",), "int8", b"1")))}, "no int8 array|truncated"),
        (
            {"x": {msgpack.CHUNKED: True, "shape": {"0": 3}, "chunks": {"0": packed(np.ones(2))}}},
            "1 pieces do not make",
        ),
        ({"x": {msgpack.CHUNKED: True, "shape": {"1": 3}, "chunks": {}}}, "truncated, corrupt"),
    ],
)
def test_corrupt(tmp_path: Path, tree: Any, reason: str) -> None:
    (tmp_path / NAME).write_bytes(library.packb(tree))
    with pytest.raises(WeightsError, match=reason):
        open_tensors(tmp_path)


def test_maps_too_deep(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\x81\xa1x" * 100_000 + b"\x80")
    with pytest.raises(WeightsError, match="below 32 maps"):
        open_tensors(tmp_path)


def test_another_architecture(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(library.packb({"shared": {"x": packed(np.ones(1))}, "decoder": {}}))
    with pytest.raises(UnsupportedArchitectureError, match=r"flax_model\.msgpack holds shared, which is neither"):
        open_tensors(tmp_path)


def test_shards_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.index.json").write_text(json.dumps({"weight_map": {"a": "flax_model-00001-of-00002.msgpack"}}))
    with pytest.raises(WeightsError, match="names the shard"):
        open_tensors(tmp_path)
