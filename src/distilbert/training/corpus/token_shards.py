"""A corpus in shards, which are tokenized in any order, anywhere, and then joined to a token cache.

A shard is a run of whole documents. Where it begins depends on the corpus alone, so a shard whose tokens are on the
disk already is used again by the next run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...core.errors import UsageError
from ...core.files import lock_file, replacing, sync_to_disk, write_json
from ...text.tokenizer_base import TokenizerBase
from .document_encoding import TokenShard, encode_documents

SHARD_CHARACTERS = 8 << 20  # of text, which take a core some seconds
MANIFEST, LOCK = "manifest.json", "lock"
FORMAT = 1  # raise it when the files change

Documents = list[list[str]]  # each a list of paragraphs


def cut_shards(documents: Iterable[list[str]], characters: int) -> Iterator[Documents]:
    """Yield the documents of each shard: as many as have ``characters`` together, the last of them included."""
    shard: Documents = []
    size = 0
    for document in documents:
        shard.append(document)
        size += sum(map(len, document))
        if size >= characters:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def encode_shard(documents: Documents, tokenizer: TokenizerBase) -> TokenShard:
    """Tokenize the documents of a shard."""
    return TokenShard.of(list(chain.from_iterable(encode_documents(documents, tokenizer))))


def encode_or_explain(documents: Documents, tokenizer: TokenizerBase) -> TokenShard | str:
    """Tokenize the documents of a shard, or say in words why that fails: errors need not survive the way back."""
    try:
        return encode_shard(documents, tokenizer)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class ShardFolder:
    """The shards of a corpus that are tokenized, in a folder beside the cache that they become.

    One process at a time may use it.

    Args:
        folder: the folder, which is made if needed.
        fingerprint: of the corpus.
        characters: of a shard; a folder that is there keeps its own number.

    Attributes:
        folder: see above.
        characters: see above.

    Raises:
        UsageError: another process uses it.
    """

    def __init__(self, folder: Path, fingerprint: str, characters: int = SHARD_CHARACTERS) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock: IO[bytes] = (folder / LOCK).open("ab")
        if not lock_file(self._lock):
            self._lock.close()
            raise UsageError(f"Another process is preparing this corpus in {folder.parent}: wait until it has ended.")
        self.characters = self._read_characters(fingerprint) or characters
        content = {"format": FORMAT, "fingerprint": fingerprint, "shard_characters": self.characters}
        write_json(folder / MANIFEST, content)

    def close(self) -> None:
        """Let other processes use the folder."""
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder, whose shards are no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, number: int, shard: TokenShard) -> None:
        """Write a shard, as a whole or not at all."""
        with replacing(self._path(number)) as temporary:
            header = {"dtype": shard.ids.dtype.str, "documents": len(shard.lengths), "hash": _hash_of(shard)}
            with temporary.open("wb") as file:
                file.write(json.dumps(header).encode() + b"\n")
                file.write(shard.lengths.astype("<i8").tobytes())
                file.write(shard.ids.tobytes())
            sync_to_disk(temporary)

    def read(self, number: int) -> TokenShard | None:
        """Return a shard; None if it is missing or damaged."""
        try:
            with self._path(number).open("rb") as file:
                header = json.loads(file.readline())
                lengths = np.frombuffer(file.read(8 * header["documents"]), "<i8")
                shard = TokenShard(np.frombuffer(file.read(), header["dtype"]), lengths)
            return shard if header["hash"] == _hash_of(shard) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _read_characters(self, fingerprint: str) -> int | None:
        try:
            manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            if (manifest["format"], manifest["fingerprint"]) == (FORMAT, fingerprint):
                return int(manifest["shard_characters"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        for path in self.folder.glob("shard-*"):  # of another format, or nobody knows where they begin
            path.unlink(missing_ok=True)
        return None

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:06d}.tokens"


def _hash_of(shard: TokenShard) -> str:
    content = hashlib.sha256(shard.lengths.astype("<i8").tobytes())
    content.update(shard.ids.tobytes())
    return content.hexdigest()
