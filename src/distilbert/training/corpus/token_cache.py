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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...core.errors import DataError
from ...core.files import folder_for, sync_to_disk, writing
from ...data.corpus import Sources, describe, documents, name_sources
from ...data.text_lines import check_encoding
from ...text.tokenizer_base import TokenizerBase
from ...text.tokenizer_json import spec_to_tokenizer_json
from .document_encoding import TokenShard, encode_documents, id_type

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
        content: hash of the tokens in their order and of the ends, whatever files they come from.
    """

    tokens: np.ndarray
    ends: np.ndarray
    counts: np.ndarray
    fingerprint: str
    content: str = ""


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
    with write_cache(parent, name, sources, tokenizer) as writer:
        for batch in encode_documents(documents(sources, column, encoding), tokenizer):
            writer.add(TokenShard.of(batch))
            if on_tokenized is not None:
                on_tokenized(writer.documents, writer.tokens)
    assert writer.cache is not None
    return writer.cache


@contextmanager
def write_cache(parent: Path, name: str, sources: Sources, tokenizer: TokenizerBase) -> Iterator[CacheWriter]:
    """Yield a writer for the cache ``parent/name``, which gets its name when the block is over without an error.

    Args:
        parent: the folder of all caches, which is made if needed.
        name: the fingerprint.
        sources: of the corpus.
        tokenizer: of the corpus.

    Raises:
        DataError: there is no token, or the folder cannot be written.
    """
    with folder_for(parent):
        _remove_stale(parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=parent))
        try:
            with writing(parent), CacheWriter(temporary, tokenizer) as writer:
                yield writer
                writer.finish(name, sources)
            writer.cache = _publish(temporary, parent / name)
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
        hashes = _file_hashes(folder)
        if meta["hash"] != _hash_of(hashes, meta):
            return None
        return TokenCache(
            np.memmap(folder / TOKENS, meta["dtype"], mode="r"),
            np.memmap(folder / ENDS, "<i8", mode="r"),
            np.fromfile(folder / COUNTS, "<i8"),
            meta["fingerprint"],
            hashlib.sha256(hashes[TOKENS] + hashes[ENDS]).hexdigest(),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _file_hashes(folder: Path) -> dict[str, bytes]:
    hashes = {}
    for name in (TOKENS, ENDS, COUNTS):
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").digest()
    return hashes


def _hash_of(hashes: dict[str, bytes], meta: dict[str, Any]) -> str:
    """Return the hash of a cache, given those of its files and its other values."""
    content = hashlib.sha256()
    content.update(json.dumps({name: meta[name] for name in meta if name != "hash"}, sort_keys=True).encode())
    for name in (TOKENS, ENDS, COUNTS):
        content.update(hashes[name])
    return content.hexdigest()


class CacheWriter:
    """Writes the files of a cache into an empty folder. Closing it keeps what was written.

    Args:
        folder: the folder.
        tokenizer: whose ids are written.

    Attributes:
        documents: so far.
        tokens: so far.
        cache: what was written, once it has its name.
    """

    cache: TokenCache | None = None

    def __init__(self, folder: Path, tokenizer: TokenizerBase) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._counts = np.zeros(len(tokenizer), np.int64)  # (V,)
        self._files = ExitStack()
        self._tokens, self._ends = (self._files.enter_context((folder / name).open("wb")) for name in (TOKENS, ENDS))
        self.documents = self.tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, shard: TokenShard) -> None:
        """Write documents behind those that are there."""
        self._counts += np.bincount(shard.ids, minlength=len(self._counts))
        shard.ids.tofile(self._tokens)
        (self.tokens + np.cumsum(shard.lengths)).astype("<i8").tofile(self._ends)
        self.tokens += len(shard.ids)
        self.documents += len(shard.lengths)

    def finish(self, name: str, sources: Sources) -> None:
        """Write what is left when all documents are there, and write all of it to the disk.

        Args:
            name: the fingerprint.
            sources: of the corpus.

        Raises:
            DataError: there is no token.
        """
        if not self.tokens:
            raise DataError(f"The corpus is empty: there is no token in {name_sources(sources)}.")
        self._files.close()
        self._counts[self._tokenizer.all_special_ids] = 0
        with (self._folder / COUNTS).open("wb") as numbers:
            self._counts.astype("<i8").tofile(numbers)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": name,
            "dtype": id_type(len(self._tokenizer)).str,
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": {file: (self._folder / file).stat().st_size for file in (TOKENS, ENDS, COUNTS)},
            "sources": describe(sources),
        }
        meta = json.loads(json.dumps(meta))  # as they will be read
        with (self._folder / META).open("w", encoding="utf-8") as text:
            json.dump(meta | {"hash": _hash_of(_file_hashes(self._folder), meta)}, text, indent=2)
        for file in (TOKENS, ENDS, COUNTS, META):
            sync_to_disk(self._folder / file)


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
