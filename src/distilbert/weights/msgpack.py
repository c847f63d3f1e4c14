"""``flax_model.msgpack``: weights as the Flax classes of transformers wrote them.

A file is one MessagePack map of maps, ``{"transformer": {"layer": {"0": {"ffn": {"lin1": {"kernel": array}}}}}}``. A
shard is one flat map with keys such as ``"transformer/layer/0/ffn/lin1/kernel"``. An array is an extension of type 1
that holds ``[shape, name of the type, bytes]``; an array of more than a gigabyte is a map of flat pieces. A value
begins with a byte for its kind, followed by its length (https://github.com/msgpack/msgpack/blob/master/spec.md).

The ``msgpack`` package needs the whole file in memory. The code here walks from header to header, notes where each
array is, and reads them one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..core.errors import WeightsError
from ..core.files import replacing
from .leaves import FLAX, check_architecture, to_checkpoint, to_framework
from .tensors import DTYPES_BY_NAME, LazyTensor, Tensors

# The first byte of a value: in SHORT it holds the kind and the length (or value), counted from the first number. In
# LONG it holds the kind, and as many bytes as the number says hold the length.
SHORT = {"int": (0x00, 0x80), "map": (0x80, 0x90), "array": (0x90, 0xA0), "str": (0xA0, 0xC0)}
LONG = {
    "bin": {0xC4: 1, 0xC5: 2, 0xC6: 4},
    "ext": {0xC7: 1, 0xC8: 2, 0xC9: 4},
    "int": {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8},
    "str": {0xD9: 1, 0xDA: 2, 0xDB: 4},
    "array": {0xDC: 2, 0xDD: 4},
    "map": {0xDE: 2, 0xDF: 4},
}
LONG_BY_BYTE = {byte: (kind, width) for kind, bytes_ in LONG.items() for byte, width in bytes_.items()}
FALSE, TRUE, FIRST_FIXED_EXT, LAST_FIXED_EXT = 0xC2, 0xC3, 0xD4, 0xD8
NDARRAY, SCALAR = 1, 3  # extension types of Flax; 2, a complex number, is not supported
CHUNKED, PIECE_BYTES = "__msgpack_chunked_array__", 2**30
DEEPEST = 32
# Limits far above every model: maps and names that are larger belong to no weights.
MOST_ENTRIES, MOST_DIMENSIONS, LONGEST_NAME = 100_000, 32, 10_000

Tree = dict[str, Any]


def open_msgpack(paths: Sequence[Path]) -> Tensors:
    """Return the tensors of a ``flax_model.msgpack`` or of its shards, by their names in a checkpoint.

    Raises:
        WeightsError: a file is truncated, corrupt, or holds more than arrays.
        UnsupportedArchitectureError: the weights belong to neither a DistilBERT nor a BERT.
    """
    tensors: Tensors = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                tree = _value(file, path)
                left = path.stat().st_size - file.tell()
            if not isinstance(tree, dict) or left:
                raise ValueError(f"{left} bytes after its end" if left else "it is no map")
            tensors |= (to_checkpoint(parts, tensor) for parts, tensor in _leaves(tree))
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            raise WeightsError(f"{path} is truncated, corrupt, or holds more than arrays: {str(error)[:200]}") from None
    check_architecture(tensors, paths)
    return tensors


def _value(file: BinaryIO, path: Path, depth: int = 0) -> Any:
    """Read one value: a map, an integer, or the place of an array."""
    kind, length = _header(file)
    if kind == "map" and depth < DEEPEST and length <= MOST_ENTRIES:
        return {_text(file, *_header(file)): _value(file, path, depth + 1) for _ in range(length)}
    if kind == "ext":
        return _array(file, path, _take(file, 1)[0], file.tell() + length)
    if kind == "int":
        return length
    raise ValueError(f"{kind} of length {length} at byte {file.tell()}, below {depth} maps")


def _header(file: BinaryIO) -> tuple[str, int]:
    """Read the kind and the length of the next value. The length of an integer is its value."""
    byte = _take(file, 1)[0]
    for kind, (first, beyond) in SHORT.items():
        if first <= byte < beyond:
            return kind, byte - first
    if byte in LONG_BY_BYTE:
        kind, width = LONG_BY_BYTE[byte]
        return kind, int.from_bytes(_take(file, width), "big")
    if FIRST_FIXED_EXT <= byte <= LAST_FIXED_EXT:
        return "ext", 2 ** (byte - FIRST_FIXED_EXT)
    if byte in (FALSE, TRUE):
        return "int", byte - FALSE
    raise ValueError(f"byte 0x{byte:02x} at {file.tell() - 1} begins no value that a weights file can hold")


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError(f"it ends at byte {file.tell()}")
    return data


def _text(file: BinaryIO, kind: str, length: int) -> str:
    if kind not in ("str", "bin") or length > LONGEST_NAME:
        raise ValueError(f"{kind} instead of a name at byte {file.tell()}")
    return _take(file, length).decode()


def _array(file: BinaryIO, path: Path, code: int, end: int) -> LazyTensor:
    """Read the place of an array's numbers, and skip them."""
    if code not in (NDARRAY, SCALAR) or _header(file) != ("array", 3):
        raise ValueError(f"an extension of type {code} at byte {file.tell()} is no array")
    kind, dimensions = _header(file)
    if dimensions > MOST_DIMENSIONS:
        raise ValueError(f"an array of {dimensions} dimensions at byte {file.tell()}")
    sizes = [_header(file) for _ in range(dimensions if kind == "array" else 0)]
    name = _text(file, *_header(file))
    dtype, shape = DTYPES_BY_NAME.get(name), tuple(size for _, size in sizes)
    kind, length = _header(file)
    start = file.tell()
    fits = dtype is not None and length == prod(shape) * dtype.itemsize and start + length == end
    if kind != "bin" or dtype is None or not fits or any(kind != "int" for kind, _ in sizes):
        raise ValueError(f"{length} bytes at {start} are no {name} array of shape {shape}")
    if end > file.seek(0, 2):
        raise ValueError(f"an array ends at byte {end}, the file at {file.tell()}")
    file.seek(end)
    return LazyTensor(shape, dtype.name, _reader(path, dtype, shape, start))


def _reader(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> Callable[[], np.ndarray]:
    """Return a function that reads an array whose numbers begin at ``offset`` bytes of a file."""
    count = prod(shape) * dtype.itemsize

    def read() -> np.ndarray:
        if not count:
            return np.empty(shape, dtype)
        try:
            raw = np.memmap(path, np.uint8, mode="c", offset=offset, shape=(count,))
        except ValueError:
            raise WeightsError(f"{path} ended while it was read: it has no {count} bytes at {offset}.") from None
        array = np.asarray(raw).view(dtype).reshape(shape)
        return array if offset % dtype.itemsize == 0 else array.copy()

    return read


def _leaves(tree: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[list[str], LazyTensor]]:
    for key, value in tree.items():
        parts = (*above, *key.split("/"))
        if isinstance(value, dict) and CHUNKED in value:
            value = _joined(value)
        if isinstance(value, dict):
            yield from _leaves(value, parts)
        elif isinstance(value, LazyTensor):
            yield list(parts), value
        else:
            raise ValueError(f"{'/'.join(parts)} is {value!r}, not an array")


def _joined(value: Tree) -> LazyTensor:
    """Return the array that a file holds as flat pieces."""
    shape = tuple(value["shape"][str(axis)] for axis in range(len(value["shape"])))
    pieces = [value["chunks"][str(number)] for number in range(len(value["chunks"]))]
    types = {piece.dtype for piece in pieces}
    if len(types) != 1 or sum(piece.size for piece in pieces) != prod(shape):
        raise ValueError(f"{len(pieces)} pieces do not make an array of shape {shape}")
    return LazyTensor(shape, types.pop(), lambda: np.concatenate([piece.read() for piece in pieces]).reshape(shape))


def save_msgpack(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``flax_model.msgpack`` in the layout of ``FlaxDistilBert...`` in transformers 4.57.6, atomically.

    Args:
        path: of the file.
        arrays: name -> array, in checkpoint names.
    """
    root: Tree = {}
    for name, array in arrays.items():
        parts, array = to_framework(name, array, FLAX)
        tree = root
        for part in parts[:-1]:
            tree = tree.setdefault(part, {})
        tree[parts[-1]] = array
    with replacing(path) as temporary, temporary.open("wb") as file:
        _write(file, root)


def _write(file: BinaryIO, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.nbytes > PIECE_BYTES:
        step = max(1, PIECE_BYTES // value.itemsize)
        flat = np.ascontiguousarray(value).reshape(-1)
        pieces = [flat[begin : begin + step] for begin in range(0, flat.size, step)]
        numbered = [{str(number): entry for number, entry in enumerate(entries)} for entries in (value.shape, pieces)]
        value = {CHUNKED: True, "shape": numbered[0], "chunks": numbered[1]}
    if isinstance(value, dict):
        file.write(_head("map", len(value)))
        for key, entry in value.items():
            file.write(_head("str", len(key.encode())) + key.encode())
            _write(file, entry)
    elif isinstance(value, np.ndarray):
        name = value.dtype.name.encode()
        sizes = b"".join(_head("int", size) for size in value.shape)
        front = _head("array", 3) + _head("array", value.ndim) + sizes
        front += _head("str", len(name)) + name + _head("bin", value.nbytes)
        file.write(_head("ext", len(front) + value.nbytes) + bytes([NDARRAY]) + front)
        file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    else:
        file.write(bytes([TRUE]) if value is True else _head("int", value))


def _head(kind: str, length: int) -> bytes:
    """Return the shortest header of a value of this kind and length."""
    if kind == "ext" and length in (1, 2, 4, 8, 16):
        return bytes([FIRST_FIXED_EXT + length.bit_length() - 1])
    first, beyond = SHORT.get(kind, (0, 0))
    if length < beyond - first:
        return bytes([first + length])
    byte, width = next((byte, width) for byte, width in LONG[kind].items() if length < 256**width)
    return bytes([byte]) + length.to_bytes(width, "big")
