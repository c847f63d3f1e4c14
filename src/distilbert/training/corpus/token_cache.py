"""The token cache: a corpus tokenized once into files that every later run and process maps into memory.

Shapes: ``N`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...core.errors import DataError
from ...data.corpus import Sources, describe, documents, name_sources
from ...text.tokenizer_base import TokenizerBase
from ...text.tokenizer_files import spec_to_tokenizer_json
from .document_encoding import encode_documents, id_type

FORMAT = 1  # raise it when the files, or how documents become tokens, change
META, TOKENS, ENDS, COUNTS = "meta.json", "tokens.bin", "ends.bin", "counts.bin"
STALE = 86_400  # seconds after which what a killed process left is removed

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class TokenCache:
    """A tokenized corpus.

    Attributes:
        tokens: (N,) uint16, or uint32 for vocabularies of more than 65,536 entries, mapped from disk: the documents
            end to end, each followed by one ``[SEP]``.
        ends: (documents,) int64, mapped from disk: where each document ends in ``tokens``, behind its ``[SEP]``.
        counts: (V,) int64, how often each id occurs; 0 for special tokens.
        fingerprint: changes whenever sources, column or tokenizer do.
    """

    tokens: np.ndarray
    ends: np.ndarray
    counts: np.ndarray
    fingerprint: str


def tokenize_corpus(
    sources: Sources,
    tokenizer: TokenizerBase,
    folder: str | os.PathLike[str],
    *,
    column: str = "text",
    progress: Progress | None = None,
) -> TokenCache:
    """Return the tokens of a corpus from ``folder/<fingerprint>/``, making that first where it is not there or broken.

    It is made in constant memory, in a temporary folder that is renamed when complete: a crash leaves nothing under
    the final name, and of several processes at it the first to finish wins.

    Args:
        sources: as for ``corpus.documents``.
        tokenizer: either class; the Rust-backed one uses all cores.
        folder: where caches are kept.
        column: the column of the text, where there are columns.
        progress: called with the documents and tokens so far, once a batch; not at all if the cache is there.

    Raises:
        DataError: a source cannot be read, or there is no token in any of them.
    """
    name = fingerprint(sources, tokenizer, column)
    home = Path(folder)
    final = home / name
    found = open_cache(final)
    if found is not None:
        return found
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    made = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=home))
    try:
        _build(made, sources, tokenizer, column, progress, name)
        return _publish(made, final)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def fingerprint(sources: Sources, tokenizer: TokenizerBase, column: str = "text") -> str:
    """Return 32 hexadecimal digits that name the tokens of a corpus without reading it.

    They are made of the format's version, path, size and time of change of each file, the column, and the content of
    the tokenizer.json that describes the tokenizer. A data set on the hub counts by its name.
    """
    key = [FORMAT, describe(sources), column, spec_to_tokenizer_json(tokenizer.spec)]
    return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()


def open_cache(folder: Path) -> TokenCache | None:
    """Return the cache in a folder; None if there is none, or if one of its files is missing or not whole."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["format"] != FORMAT or any((folder / name).stat().st_size != n for name, n in meta["bytes"].items()):
            return None
        return TokenCache(
            np.memmap(folder / TOKENS, meta["dtype"], mode="r"),
            np.memmap(folder / ENDS, "<i8", mode="r"),
            np.fromfile(folder / COUNTS, "<i8"),
            meta["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(
    folder: Path, sources: Sources, tokenizer: TokenizerBase, column: str, progress: Progress | None, name: str
) -> None:
    counts = np.zeros(len(tokenizer), np.int64)  # (V,)
    total = count = 0
    with (folder / TOKENS).open("wb") as tokens, (folder / ENDS).open("wb") as ends:
        for batch in encode_documents(documents(sources, column), tokenizer):
            batch = [ids for ids in batch if len(ids)]
            if batch:
                joined = np.concatenate(batch)
                counts += np.bincount(joined, minlength=len(counts))
                joined.tofile(tokens)
                (total + np.cumsum([len(ids) for ids in batch])).astype("<i8").tofile(ends)
                total += len(joined)
                count += len(batch)
            if progress is not None:
                progress(count, total)
        if not total:
            raise DataError(f"The corpus is empty: there is no token in {name_sources(sources)}.")
        _to_disk(tokens)
        _to_disk(ends)
    counts[tokenizer.all_special_ids] = 0
    with (folder / COUNTS).open("wb") as numbers:
        counts.astype("<i8").tofile(numbers)
        _to_disk(numbers)
    meta: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": name,
        "dtype": id_type(len(tokenizer)).str,
        "documents": count,
        "tokens": total,
        "bytes": {file: (folder / file).stat().st_size for file in (TOKENS, ENDS, COUNTS)},
        "sources": describe(sources),
    }
    with (folder / META).open("w", encoding="utf-8") as text:
        json.dump(meta, text, indent=2)
        _to_disk(text)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(made: Path, final: Path) -> TokenCache:
    """Give a complete folder its name, unless another process was faster; return the cache that has the name."""
    for _ in range(3):
        with suppress(OSError):
            made.rename(final)
        found = open_cache(final)
        if found is not None:
            return found
        # What stands there is broken. It is renamed first, so that no one sees it half removed.
        broken = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
        with suppress(FileNotFoundError):
            final.rename(broken / "broken")
        shutil.rmtree(broken, ignore_errors=True)
    raise DataError(f"{final} cannot be written, or holds a broken token cache that cannot be replaced: remove it.")


def _sweep(home: Path) -> None:
    """Remove what killed processes left, once nothing was written to it for a day."""
    for left in home.glob(f".{'[0-9a-f]' * 32}.*.tmp"):
        with suppress(OSError):  # another process may be removing it as well
            if time.time() - max(path.stat().st_mtime for path in (left, *left.iterdir())) > STALE:
                shutil.rmtree(left, ignore_errors=True)
