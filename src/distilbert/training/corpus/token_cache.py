"""The token cache: a corpus is tokenized once into files, which later runs and all processes map into memory.

Shapes: ``N`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError
from ...core.files import folder_for, sync_to_disk
from ...data.corpus import Sources, describe, documents, name_sources
from ...data.text_lines import check_encoding
from ...text.tokenizer_base import TokenizerBase
from ...text.tokenizer_json import spec_to_tokenizer_json
from .document_encoding import encode_documents, id_type

FORMAT = 1  # raise it when the files change, or the way from documents to tokens
META, TOKENS, ENDS, COUNTS = "meta.json", "tokens.bin", "ends.bin", "counts.bin"
STALE_SECONDS = 86_400  # then the unfinished folder of a killed process is removed

OnTokenized = Callable[[int, int], None]  # documents and tokens so far


@dataclass(frozen=True, eq=False)
class TokenCache:
    """A tokenized corpus.

    Attributes:
        tokens: (N,) uint16, or uint32 for vocabularies of more than 65,536 entries, mapped from disk: all documents in
            a row, each followed by one ``[SEP]``.
        ends: (documents,) int64, mapped from disk: the end of each document in ``tokens``, after its ``[SEP]``.
        counts: (V,) int64, how often each id occurs; 0 for special tokens.
        fingerprint: changes when the sources, the column, the encoding or the tokenizer change.
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
    encoding: str = "",
    on_tokenized: OnTokenized | None = None,
) -> TokenCache:
    """Return the tokens of a corpus from ``folder/<fingerprint>/``; tokenize it first if that is missing or damaged.

    Tokenizing takes constant memory and writes to a temporary folder, which is renamed when it is complete. So a crash
    leaves nothing under the final name, and if several processes tokenize the same corpus, the first to finish wins.

    Args:
        sources: as for ``corpus.documents``.
        tokenizer: either class; the Rust-backed one uses all cores.
        folder: of all caches.
        column: the column of the text, where there are columns.
        encoding: of files of text; empty for UTF-8.
        on_tokenized: called with the documents and tokens so far after each batch; never if the cache exists.

    Raises:
        DataError: a source cannot be read, or the sources contain no token.
    """
    name = fingerprint(sources, tokenizer, column, encoding)
    parent = Path(folder)
    final = parent / name
    cache = open_cache(final)
    if cache is not None:
        return cache
    with folder_for(parent):
        _remove_stale(parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=parent))
        try:
            _build(temporary, documents(sources, column, encoding), sources, tokenizer, on_tokenized, name)
            return _publish(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def fingerprint(sources: Sources, tokenizer: TokenizerBase, column: str = "text", encoding: str = "") -> str:
    """Return 32 hexadecimal digits that identify the tokens of a corpus, without reading the corpus.

    They are a hash of the format's version, the path, size and time of change of each file, the column, the encoding
    unless it is UTF-8, and the content of the tokenizer's tokenizer.json. Of a data set on the hub only the name
    counts.
    """
    key = [FORMAT, describe(sources), column, spec_to_tokenizer_json(tokenizer.spec)]
    if check_encoding(encoding) not in ("", "utf-8"):
        key.append(check_encoding(encoding))
    return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()


def open_cache(folder: Path) -> TokenCache | None:
    """Return the cache in a folder; None if there is none, or if one of its files is missing or was changed."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if meta["format"] != FORMAT or any((folder / name).stat().st_size != n for name, n in meta["bytes"].items()):
            return None
        if meta["hash"] != _hash_of(folder, meta):
            return None
        return TokenCache(
            np.memmap(folder / TOKENS, meta["dtype"], mode="r"),
            np.memmap(folder / ENDS, "<i8", mode="r"),
            np.fromfile(folder / COUNTS, "<i8"),
            meta["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _hash_of(folder: Path, meta: dict[str, Any]) -> str:
    """Return the hash of the files of a cache and of its other values."""
    content = hashlib.sha256()
    content.update(json.dumps({name: meta[name] for name in meta if name != "hash"}, sort_keys=True).encode())
    for name in (TOKENS, ENDS, COUNTS):
        with (folder / name).open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


def _build(
    folder: Path,
    texts: Iterable[list[str]],
    sources: Sources,
    tokenizer: TokenizerBase,
    on_tokenized: OnTokenized | None,
    name: str,
) -> None:
    counts = np.zeros(len(tokenizer), np.int64)  # (V,)
    total = count = 0
    with (folder / TOKENS).open("wb") as tokens, (folder / ENDS).open("wb") as ends:
        for batch in encode_documents(texts, tokenizer):
            batch = [ids for ids in batch if len(ids)]
            if batch:
                joined = np.concatenate(batch)
                counts += np.bincount(joined, minlength=len(counts))
                joined.tofile(tokens)
                (total + np.cumsum([len(ids) for ids in batch])).astype("<i8").tofile(ends)
                total += len(joined)
                count += len(batch)
            if on_tokenized is not None:
                on_tokenized(count, total)
        if not total:
            raise DataError(f"The corpus is empty: there is no token in {name_sources(sources)}.")
    counts[tokenizer.all_special_ids] = 0
    with (folder / COUNTS).open("wb") as numbers:
        counts.astype("<i8").tofile(numbers)
    meta: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": name,
        "dtype": id_type(len(tokenizer)).str,
        "documents": count,
        "tokens": total,
        "bytes": {file: (folder / file).stat().st_size for file in (TOKENS, ENDS, COUNTS)},
        "sources": describe(sources),
    }
    meta = json.loads(json.dumps(meta))  # as they will be read
    with (folder / META).open("w", encoding="utf-8") as text:
        json.dump(meta | {"hash": _hash_of(folder, meta)}, text, indent=2)
    for file in (TOKENS, ENDS, COUNTS, META):
        sync_to_disk(folder / file)


def _publish(complete: Path, final: Path) -> TokenCache:
    """Rename a complete folder to ``final``, unless another process was faster; return the cache at ``final``."""
    for _ in range(3):
        with suppress(OSError):
            complete.rename(final)
        cache = open_cache(final)
        if cache is not None:
            return cache
        # A damaged cache is in the way. It is renamed before it is removed, so that no process reads half of it.
        broken = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
        with suppress(FileNotFoundError):
            final.rename(broken / "broken")
        shutil.rmtree(broken, ignore_errors=True)
    raise DataError(f"{final} cannot be written, or holds a broken token cache that cannot be replaced: remove it.")


def _remove_stale(folder: Path) -> None:
    """Remove the temporary folders of killed processes, a day after the last change in them."""
    for temporary in folder.glob(f".{'[0-9a-f]' * 32}.*.tmp"):
        with suppress(OSError):  # another process may remove it at the same time
            changed = max(path.stat().st_mtime for path in (temporary, *temporary.iterdir()))
            if time.time() - changed > STALE_SECONDS:
                shutil.rmtree(temporary, ignore_errors=True)
