"""The folder of an index: vectors and records in segments, and ``index.json``, which says what counts.

::

    index.json               format, numbers, encoder, and the names of all other files that count
    000001-5f3a.vectors.npy  float32 (N, D), mapped into memory
    000001-5f3a.records.jsonl    {"id": ..., "text": ..., "metadata": {...}}, a line for each vector
    000001-5f3a.offsets.npy  int64 (N + 1,), where each line begins
    000002-99c0.removed.npy  int64 (M,), positions of the entries that were removed
    000002-99c0.usearch      the graph of an approximate search
    index.lock               while somebody saves

Files are written under new names and never changed. ``index.json`` is replaced last, in one step: a reader sees the old
index or the new one. What an interrupted writer left is no part of the index, and the next writer deletes it. Files of
other names belong to somebody else and stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.errors import DataError, InputError, ModelNotFoundError
from ..core.files import folder_for, lock_file, replacing, sync_to_disk
from ..core.json_files import read_json
from .encoder_identity import EncoderIdentity
from .index_graph import VectorGraph
from .index_records import Record, RecordFile, to_line

INDEX_FILE = "index.json"
LOCK_FILE = "index.lock"
KIND = "distilbert-index"
FORMAT = 1
METRICS = ("cosine", "dot")
METHODS = ("exact", "hnsw")
LARGEST_DIM = 1 << 16
SEGMENT_FILES = ("vectors.npy", "records.jsonl", "offsets.npy")
_NAME = re.compile(r"\d{6,}-[0-9a-f]{8}")
_CONTENT = rf"{_NAME.pattern}\.(?:vectors\.npy|records\.jsonl|offsets\.npy|removed\.npy|usearch)"
_TEMPORARY = rf"\.(?:{_CONTENT}|index\.json)\.[0-9a-f]{{8}}\.tmp"  # as core.files.replacing names them
_OWN_FILE = re.compile(f"{_CONTENT}|{_TEMPORARY}")
_WRITE_ROWS = 4096  # that are in memory at once while a segment is written


@dataclass(frozen=True)
class Segment:
    """Entries that were added together.

    Attributes:
        vectors: (N, D) float32.
        records: of each vector.
        name: of its files; empty while it is in memory only.
    """

    vectors: np.ndarray
    records: Sequence[Record]
    name: str = ""


@dataclass(frozen=True)
class IndexState:
    """What ``index.json`` says.

    Attributes:
        dim: numbers of a vector.
        metric: one of :data:`METRICS`.
        method: one of :data:`METHODS`.
        largest_norm: no vector is longer than this.
        next_id: the next entry without an id of its own gets it.
        encoder: what made the vectors; None where that is not known.
        segments: (name, rows) of each, in order.
        removed: name of the file of removed positions; empty where none is removed.
        graph: name of the file of the graph; empty where there is none.
        graph_hash: of its content.
        graph_rows: how many entries it covers.
        source: notes of who builds the index from a file, to go on after an interruption.
        generation: increases with every change of the folder.
    """

    dim: int
    metric: str = "cosine"
    method: str = "exact"
    largest_norm: float = 1.0
    next_id: int = 0
    encoder: EncoderIdentity | None = None
    segments: tuple[tuple[str, int], ...] = ()
    removed: str = ""
    graph: str = ""
    graph_hash: str = ""
    graph_rows: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    generation: int = 0


@dataclass(frozen=True)
class StoredIndex:
    """An index as it is in a folder."""

    state: IndexState
    segments: list[Segment]
    removed: np.ndarray  # (M,) int64
    graph: VectorGraph | None  # None with the method "exact"


def read_index(folder: Path, graph: VectorGraph | None = None) -> StoredIndex:
    """Open an index; vectors and records are mapped into memory.

    Args:
        folder: of the index.
        graph: that of the index, where it is in memory already; None: it is opened if there is one.

    Raises:
        ModelNotFoundError: there is no index in the folder.
        DataError: it is damaged, or of another version.
    """
    for _ in range(5):
        state = read_state(folder)
        try:
            segments = [_open_segment(folder, name, rows, state.dim) for name, rows in state.segments]
            removed = _open_removed(folder, state)
            return StoredIndex(state, segments, removed, _open_graph(folder, state) if graph is None else graph)
        except (DataError, OSError):
            if read_state(folder) == state:  # otherwise somebody has just changed it, and deleted the files of before
                raise
    raise DataError(f"{folder} changes faster than it can be opened.")


def read_state(folder: Path) -> IndexState:
    """Return what ``index.json`` says.

    Raises:
        ModelNotFoundError: there is none.
        DataError: it is damaged, or of another version.
    """
    path = folder / INDEX_FILE
    if not path.exists():
        what = "is no folder of an index" if folder.exists() else "does not exist"
        raise ModelNotFoundError(
            f"{folder} {what}. An index is made with Index.build(...).save(folder) or 'distilbert index FILE --output "
            "FOLDER'."
        )
    content = read_json(path, DataError)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise DataError(f"{path} is not of an index.")
    if content.get("format") != FORMAT:
        raise DataError(
            f"{path} has the format {content.get('format')!r:.40}, this version reads {FORMAT}. Build the index again, "
            "or use the version of distilbert that wrote it."
        )
    try:
        return _to_state(content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is damaged: {error!s:.100}.") from None


def _to_state(content: dict[str, Any]) -> IndexState:
    whole = {name: content[name] for name in ("dim", "next_id", "graph_rows", "generation")}
    for name, value in whole.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is {value!r:.40}")
    if not 1 <= whole["dim"] <= LARGEST_DIM or whole["next_id"] >= 2**63:
        raise ValueError(f"dim is {whole['dim']}, next_id is {whole['next_id']}")
    for name, choices in (("metric", METRICS), ("method", METHODS)):
        if content[name] not in choices:
            raise ValueError(f"{name} is {content[name]!r:.40}")
    norm = content["largest_norm"]
    if type(norm) not in (int, float) or not 0 <= norm < 1e19:
        raise ValueError(f"largest_norm is {norm!r:.40}")
    segments = []
    for name, rows in content["segments"]:
        if type(rows) is not int or rows < 1:
            raise ValueError(f"a segment has {rows!r:.40} rows")
        segments.append((_checked_name(name), rows))
    total = sum(rows for _, rows in segments)
    if whole["graph_rows"] > total:
        raise ValueError(f"its graph covers {whole['graph_rows']} of {total} entries")
    source = content["source"]
    if not isinstance(source, dict):
        raise ValueError("source is no object")
    return IndexState(
        **whole,
        metric=content["metric"],
        method=content["method"],
        largest_norm=float(norm),
        encoder=EncoderIdentity.from_json(content["encoder"]),
        segments=tuple(segments),
        removed=_checked_name(content["removed"], optional=True),
        graph=_checked_name(content["graph"], optional=True),
        graph_hash=str(content["graph_hash"]),
        source=source,
    )


def _checked_name(name: Any, optional: bool = False) -> str:
    """Return a name of files if it leads to nowhere else."""
    if not isinstance(name, str) or not (_NAME.fullmatch(name) or (optional and not name)):
        raise ValueError(f"{name!r:.60} is no name of its files")
    return name


def _open_array(path: Path, dtype: type[Any], shape: tuple[int | None, ...], *, mapped: bool) -> np.ndarray:
    """Return the array in a file; None in ``shape`` stands for any length."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # NumPy raises errors of many kinds for a damaged file
        raise DataError(f"{path} cannot be read: {str(error)[:100]}") from None
    expected = all(size in (None, given) for size, given in zip(shape, array.shape, strict=False))
    if array.dtype != np.dtype(dtype) or len(array.shape) != len(shape) or not expected or not array.flags.c_contiguous:
        raise DataError(f"{path} is damaged: it holds {array.dtype} of shape {array.shape}, expected {shape}.")
    return array


def _open_segment(folder: Path, name: str, rows: int, dim: int) -> Segment:
    vectors = _open_array(folder / f"{name}.vectors.npy", np.float32, (rows, dim), mapped=True)
    path, offsets_path = folder / f"{name}.records.jsonl", folder / f"{name}.offsets.npy"
    offsets = _open_array(offsets_path, np.int64, (rows + 1,), mapped=False)
    if offsets[0] != 0 or (np.diff(offsets) <= 0).any():
        raise DataError(f"{offsets_path} is damaged: the places where lines begin must increase from 0.")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if offsets[-1] != size:
        raise DataError(
            f"{path} or {offsets_path.name} is damaged: the first has {size:,} bytes, and by the second its lines end "
            f"at {int(offsets[-1]):,}."
        )
    return Segment(vectors, RecordFile(path, offsets), name)


def _open_removed(folder: Path, state: IndexState) -> np.ndarray:
    if not state.removed:
        return np.empty(0, dtype=np.int64)
    path = folder / f"{state.removed}.removed.npy"
    removed = _open_array(path, np.int64, (None,), mapped=False)
    total = sum(rows for _, rows in state.segments)
    if len(removed) and (removed.min() < 0 or removed.max() >= total or (np.diff(removed) <= 0).any()):
        raise DataError(f"{path} is damaged: it names entries that do not exist.")
    return removed


def _open_graph(folder: Path, state: IndexState) -> VectorGraph | None:
    if state.method != "hnsw":
        return None
    if not state.graph:
        return VectorGraph(state.dim)
    path = folder / f"{state.graph}.usearch"
    if not path.is_file() or _hash_of(path) != state.graph_hash:
        raise DataError(f"{path} is damaged or missing. Build the index again.")
    graph = VectorGraph(state.dim, path)
    total = sum(rows for _, rows in state.segments)
    if len(graph) != total:
        raise DataError(f"{path} covers {len(graph):,} entries of {total:,}. Build the index again.")
    return graph


# Writing.


def can_hold_index(path: Path) -> bool:
    """Whether saving an index at a path replaces nothing but an index.

    There is nothing at the path, or an empty folder, an index, or what an interrupted writer of one left.
    """
    if not path.is_dir():
        return not path.exists()
    if (path / INDEX_FILE).exists():
        try:
            content = read_json(path / INDEX_FILE, DataError)
        except DataError:
            return False
        return isinstance(content, dict) and content.get("kind") == KIND
    return all(file.name == LOCK_FILE or _OWN_FILE.fullmatch(file.name) for file in path.iterdir())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder of an index if needed, and keep other writers out of it during the block.

    In the end, and after an error as well, files of an index that ``index.json`` does not name are deleted.

    Raises:
        InputError: another process is writing.
    """
    path = folder.resolve() / LOCK_FILE
    with folder_for(path.parent), path.open("ab") as file:
        # Who held the lock before deletes its file. A lock on a deleted file keeps nobody out.
        if not lock_file(file) or not _is_file_at(path, file):
            raise InputError(f"Another process is saving an index in {folder}. Wait until it has ended, then save.")
        try:
            yield
        finally:
            _delete_unnamed(path.parent)
            with suppress(OSError):  # Windows deletes no open file
                path.unlink()


def _is_file_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _delete_unnamed(folder: Path) -> None:
    named = set()
    try:
        state = read_state(folder)
        named = {f"{state.removed}.removed.npy", f"{state.graph}.usearch"}
        named |= {f"{name}.{ending}" for name, _ in state.segments for ending in SEGMENT_FILES}
    except ModelNotFoundError:
        pass  # no index is there, so no file counts
    except DataError:
        return  # nobody knows which files count
    for path in folder.iterdir():
        if _OWN_FILE.fullmatch(path.name) and path.name not in named:
            with suppress(OSError):
                path.unlink()


def delete_index(folder: Path) -> None:
    """Delete an index. Files that are not of it stay, and the folder with them.

    Raises:
        InputError: another process is saving it.
    """
    with locked(folder):
        (folder / INDEX_FILE).unlink(missing_ok=True)
    with suppress(OSError):  # it is not empty
        folder.rmdir()


def new_name(generation: int) -> str:
    """Return a name for new files."""
    return f"{generation:06d}-{secrets.token_hex(4)}"


def write_segment(folder: Path, name: str, vectors: Iterable[np.ndarray], records: Iterable[Record], rows: int) -> None:
    """Write the files of a segment.

    Args:
        folder: of the index.
        name: of the files.
        vectors: (N, D) in all, in pieces.
        records: one for each vector.
        rows: N.
    """
    offsets = np.zeros(rows + 1, dtype=np.int64)
    with _new_file(folder / f"{name}.records.jsonl") as file:
        for place, record in enumerate(records):
            offsets[place + 1] = offsets[place] + file.write(to_line(record))
    with _new_file(folder / f"{name}.vectors.npy") as file:
        header_is_written = False
        for block in vectors:
            if not header_is_written:
                shape = (rows, block.shape[1])
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                header_is_written = True
            for start in range(0, len(block), _WRITE_ROWS):
                file.write(np.ascontiguousarray(block[start : start + _WRITE_ROWS], dtype="<f4").data)
    _save_array(folder / f"{name}.offsets.npy", offsets)


def write_removed(folder: Path, name: str, positions: np.ndarray) -> None:
    """Write the positions of removed entries."""
    _save_array(folder / f"{name}.removed.npy", positions)


def write_graph(folder: Path, name: str, graph: VectorGraph) -> str:
    """Write a graph, and return the hash of its file."""
    path = folder / f"{name}.usearch"
    with replacing(path) as temporary:
        graph.save(temporary)
        sync_to_disk(temporary)
    return _hash_of(path)


def _save_array(path: Path, array: np.ndarray) -> None:
    with _new_file(path) as file:
        np.save(file, array, allow_pickle=False)


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name once its content is on the disk."""
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            yield file
        sync_to_disk(temporary)


def commit(folder: Path, state: IndexState) -> None:
    """Replace ``index.json``, when all that it names is on the disk."""
    encoder = None if state.encoder is None else state.encoder.to_json()
    content = {"kind": KIND, "format": FORMAT} | asdict(replace(state, encoder=None)) | {"encoder": encoder}
    sync_to_disk(folder)
    with _new_file(folder / INDEX_FILE) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
    sync_to_disk(folder)


def check_is_unchanged(folder: Path, state: IndexState) -> None:
    """Check that nobody has changed an index since it was opened.

    Raises:
        InputError: somebody has.
    """
    if read_state(folder) != state:
        raise InputError(f"{folder} has been changed by another process since it was opened. Load it again, then save.")


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
