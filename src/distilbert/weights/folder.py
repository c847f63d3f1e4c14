"""The weights of a model folder: which files hold them, reading, and writing that keeps the old files after a crash."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from ..core.errors import InputError, ModelNotFoundError, WeightsError
from ..core.files import output_folder, refuse_pointer, replacing, write_json
from ..core.hub import PACKED, WEIGHT_FILES, variant_name
from ..core.json_files import read_json
from ..core.schema import Head
from .h5 import open_h5, save_h5
from .msgpack import open_msgpack, save_msgpack
from .tensors import Tensors, open_safetensors, open_torch_files, save_safetensors, save_torch_file

SAFETENSORS, TORCH, H5, MSGPACK = WEIGHT_FILES
QUANTIZATION = "quantization.safetensors"  # scales of int8 products, beside the weights
FORMATS = WEIGHT_FILES  # in the order of preference
logger = logging.getLogger(__name__)
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def open_tensors(folder: Path, formats: Sequence[str] = FORMATS, *, variant: str | None = None) -> Tensors:
    """Return the tensors of a model folder, by their names in a checkpoint.

    Args:
        folder: holds ``model.safetensors``, ``pytorch_model.bin``, ``tf_model.h5`` or ``flax_model.msgpack``, or the
            shards that an index names.
        formats: those that may be read, by the names of their files. The first that exists is read.
        variant: read the files of a variant: ``model.fp16.safetensors`` for ``"fp16"``.

    Raises:
        ModelNotFoundError: there are no weights; the message lists the files that exist.
        WeightsError: a file is missing, truncated or corrupt.
        UnsupportedArchitectureError: a file of TensorFlow or Flax holds neither a DistilBERT nor a BERT.
        MissingExtraError: the library that reads the format is not installed.
    """
    for name in formats:
        paths = _files(folder, name, variant)
        for path in paths:
            refuse_pointer(path, WeightsError)
        if paths:
            return _OPEN[name](paths)
    files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    raise ModelNotFoundError(
        f"There are no weights in {folder}: looked for {', '.join(variant_name(name, variant) for name in formats)}, "
        "alone or as shards with an index; "
        f"found {', '.join(files) or 'nothing'}."
    )


def _open_safetensors_files(paths: list[Path]) -> Tensors:
    return {name: tensor for path in paths for name, tensor in open_safetensors(path).items()}


_OPEN: dict[str, Callable[[list[Path]], Tensors]] = {
    SAFETENSORS: _open_safetensors_files,
    TORCH: open_torch_files,
    H5: open_h5,
    MSGPACK: open_msgpack,
}


def weight_files(folder: Path, formats: Sequence[str] = FORMATS, *, variant: str | None = None) -> list[Path]:
    """Return the files that :func:`open_tensors` reads, which has the same arguments; none if there are no weights."""
    return next((paths for paths in (_files(folder, name, variant) for name in formats) if paths), [])


def has_weights(folder: Path, name: str) -> bool:
    """Return whether a model folder has weights in the format of ``name``, one of ``FORMATS``."""
    return bool(_files(folder, name, variant=None))


def _files(folder: Path, name: str, variant: str | None) -> list[Path]:
    """Return the files that hold the weights in the format of ``name``: one file, its shards, or none."""
    single, index = folder / variant_name(name, variant), folder / variant_name(f"{name}.index.json", variant)
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    values = read_json(index, WeightsError)
    shard_of = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(shard_of, dict) or not shard_of:
        raise WeightsError(f"{index} is not an index of shards: it has no 'weight_map'.")
    there = {path.name for path in folder.iterdir() if path.is_file()}
    for shard in shard_of.values():
        if not isinstance(shard, str) or shard not in there:
            raise WeightsError(f"{index} names the shard {shard!r:.200}, which is not in the folder.")
    return [folder / shard for shard in sorted(set(shard_of.values()))]


def save_tensors(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    *,
    max_shard_size: int | str = "5GB",
    safe: bool = True,
    variant: str | None = None,
) -> list[Path]:
    """Write the weights of a model folder.

    Args:
        folder: created if needed.
        arrays: name -> array.
        max_shard_size: bytes, or text such as ``"200MB"``. Larger weights are split into shards with an index.
        safe: write safetensors; False writes ``pytorch_model.bin``.
        variant: goes into the names of the files: ``model.fp16.safetensors`` for ``"fp16"``.

    Returns:
        The files written.
    """
    folder = output_folder(folder)
    format_name, save = (SAFETENSORS, save_safetensors) if safe else (TORCH, save_torch_file)
    name = variant_name(format_name, variant)
    stem, suffix = name.rsplit(".", 1)
    shards = _split(arrays, _bytes(max_shard_size))
    if len(shards) == 1:
        names = [name]
    else:
        names = [f"{stem}-{number:05d}-of-{len(shards):05d}.{suffix}" for number in range(1, len(shards) + 1)]
    index = folder / variant_name(f"{format_name}.index.json", variant)
    with ExitStack() as replaced:
        # All are written before the first takes its place, and without an index no mixture can be loaded meanwhile.
        for shard_name, shard in zip(names, shards, strict=True):
            save(replaced.enter_context(replacing(folder / shard_name)), shard)
        index.unlink(missing_ok=True)
    if len(shards) > 1:
        where = {tensor: shard_name for shard_name, shard in zip(names, shards, strict=True) for tensor in shard}
        total = sum(array.nbytes for array in arrays.values())
        write_json(index, {"metadata": {"total_size": total}, "weight_map": where})
        names.append(index.name)
    remove_weights(folder, format_name, keep=names, variant=variant)
    return [folder / name for name in names]


def save_as(folder: Path, arrays: Mapping[str, np.ndarray], to: str, head: Head) -> list[Path]:
    """Write the weights of a model folder in any of the four formats. TensorFlow's and Flax's are single files.

    Args:
        folder: created if needed.
        arrays: name -> array, in checkpoint names.
        to: one of ``FORMATS``.
        head: the head that the weights are for.

    Returns:
        The files written.

    Raises:
        InputError: the format does not exist, or cannot hold these weights.
        MissingExtraError: the library that writes the format is not installed.
    """
    if to in (SAFETENSORS, TORCH):
        return save_tensors(folder, arrays, safe=to == SAFETENSORS)
    if to not in FORMATS:
        raise InputError(f"to must be one of {', '.join(FORMATS)}, got {to!r}.")
    path = output_folder(folder) / to
    if to == H5:
        save_h5(path, arrays, head)
    else:
        save_msgpack(path, arrays)
    remove_weights(folder, to, keep=[to])
    return [path]


def supersede_earlier_weights(folder: Path, safe: bool = True, variant: str | None = None) -> None:
    """Remove what was computed from the weights of an earlier model: its int8 quantization and its packed weights.

    A warning names its weights where they are read before the new ones.

    Args:
        folder: where :func:`save_tensors` has written.
        safe: as there.
        variant: as there.
    """
    if variant is None:
        (folder / QUANTIZATION).unlink(missing_ok=True)
        with suppress(OSError):  # there are none, or they are in use: they are not trusted any more
            for path in (folder / PACKED).glob("*.packed"):
                path.unlink()
            (folder / PACKED).rmdir()
    for name in FORMATS[: FORMATS.index(SAFETENSORS if safe else TORCH)]:
        for path in _files(folder, name, variant):
            logger.warning("%s is older than what was saved now and is read first; remove it if it differs.", path)


def remove_weights(folder: Path, name: str, keep: Collection[str] = (), variant: str | None = None) -> None:
    """Remove the files of an earlier save in the format of ``name``, so that they are not read with the new ones."""
    stem, suffix = variant_name(name, variant).rsplit(".", 1)
    shards = re.compile(rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.{suffix}")
    index = variant_name(f"{name}.index.json", variant)
    for path in folder.iterdir():
        if (shards.fullmatch(path.name) or path.name == index) and path.name not in keep:
            path.unlink()


def _split(arrays: Mapping[str, np.ndarray], limit: int) -> list[dict[str, np.ndarray]]:
    shards: list[dict[str, np.ndarray]] = [{}]
    used = 0
    for name, array in arrays.items():
        if shards[-1] and used + array.nbytes > limit:
            shards.append({})
            used = 0
        shards[-1][name] = array
        used += array.nbytes
    return shards


def _bytes(size: int | str) -> int:
    if isinstance(size, (int, np.integer)):
        return int(size)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", str(size), re.IGNORECASE)
    if not match:
        raise InputError(f"max_shard_size must be bytes or text such as '200MB' or '5GB', got {size!r}.")
    return int(float(match[1]) * UNITS[match[2].upper()])
