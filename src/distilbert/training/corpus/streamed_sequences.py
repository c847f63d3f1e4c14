"""Sequences without padding that are tokenized while training, for corpora whose tokens do not fit on the disk.

Shapes: ``S`` tokens of a sequence, ``K`` held-out sequences, ``V`` vocabulary, ``T`` tokens of a document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import PurePath
from typing import Any

import numpy as np

from ...core.errors import ConfigError, DataError
from ...data.corpus import Sources, describe, documents, name_sources
from ...text.tokenizer_base import TokenizerBase
from .document_encoding import encode_documents, id_type
from .keyed_random import BLOCK, KeyedRandom
from .packed_sequences import PackedSequences, check_length, frame


@dataclass(frozen=True)
class _Position:
    """A token of the stream: number ``offset`` of a document in an epoch."""

    epoch: int = 0
    document: int = 0
    offset: int = 0


class StreamedSequences:
    """Sequences of one length, packed as in ``PackedSequences``, from documents that are tokenized when needed.

    At the end of the sources the next epoch starts. The stream is read in blocks of sequences, one of which is in
    memory; the seed and the number of a block decide the order within it. The first sequences of the sources are held
    out: every epoch skips them.

    Args:
        sources: as for ``corpus.documents``.
        tokenizer: either class.
        length: S, tokens of a sequence, including ``[CLS]`` and ``[SEP]``.
        seed: decides the order within blocks.
        held_out: K, how many sequences are held out.
        block: sequences in a block.
        column: the column of the text, where there are columns.
        encoding: of files of text; empty for UTF-8.

    Attributes:
        length: S.
        held_out: the held-out sequences, in order.
        counts: (V,) int64, how often each id occurs in the first block; 0 for special tokens.
        content: hash of the held-out sequences and of the first block, in their order.

    Raises:
        ConfigError: an argument is out of range.
        DataError: a source cannot be read, or the text is too short for the held-out part and one more sequence.
    """

    def __init__(
        self,
        sources: Sources,
        tokenizer: TokenizerBase,
        *,
        length: int,
        seed: int,
        held_out: int = 512,
        block: int = 8192,
        column: str = "text",
        encoding: str = "",
    ) -> None:
        check_length(length)
        if held_out < 1 or block < 1:
            raise ConfigError(f"held_out and block must be at least 1, got {held_out} and {block}.")
        self.length = length
        self._sources, self._tokenizer, self._column, self._encoding = sources, tokenizer, column, encoding
        self._cls, self._sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._block = block
        self._random = KeyedRandom(BLOCK, seed)
        # Without folders and times of change, so that a run can be resumed after its files were copied elsewhere.
        files = [(PurePath(name).name, size) for name, size, _ in describe(sources)]
        self._sources_hash = hashlib.blake2b(json.dumps(files).encode(), digest_size=16).hexdigest()
        self._first = _Position()  # where training starts in an epoch: after the held-out part
        self._go_to(self._first)
        tokens = self._read(held_out * (length - 2), endless=False)
        self._first = self._position
        if not len(self._read(1, endless=False)):
            raise DataError(
                f"{name_sources(sources)} has not enough text to hold out {held_out} sequences of length {length} and "
                f"train on others: more than {held_out * (length - 2)} tokens are needed. Give more text, hold out "
                "less, or tokenize this corpus into a cache instead of streaming it."
            )
        spans = np.array([[0, len(tokens)]])
        self.held_out = PackedSequences(
            tokens, spans, length=length, cls_token_id=self._cls, sep_token_id=self._sep, shuffle=False
        )
        self._go_to(self._first)
        self._block_number, self._block_start = 0, self._first
        self._content = self._load()
        self.counts = np.bincount(self._content.ravel(), minlength=len(tokenizer)).astype(np.int64)
        self.counts[tokenizer.all_special_ids] = 0
        self.content = hashlib.sha256(tokens.tobytes() + self._content.tobytes()).hexdigest()

    def take(self, start: int, count: int) -> np.ndarray:
        """Return the sequences at positions ``start`` to ``start + count - 1`` of the stream.

        The stream only moves forward: ``start`` is in the current block or after it. Skipped text is tokenized as well.

        Returns:
            (count, S) int64.

        Raises:
            ValueError: ``start`` is before the current block.
        """
        if start < self._block_number * self._block:
            raise ValueError(
                f"position {start} is before block {self._block_number}, which is as far back as a stream goes"
            )
        taken = []
        while count:
            number, place = divmod(start, self._block)
            while self._block_number < number:
                self._block_number, self._block_start = self._block_number + 1, self._next_block_start
                self._content = self._load()
            taken.append(self._content[place : place + count])
            start, count = start + len(taken[-1]), count - len(taken[-1])
        content = np.concatenate(taken) if taken else self._content[:0]
        return frame(content, self._cls, self._sep)

    def state(self) -> dict[str, Any]:
        """Return the start of the current block as JSON values; see :meth:`restore`."""
        return {"block": self._block_number, "sources": self._sources_hash, **asdict(self._block_start)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to the block that was current when :meth:`state` returned ``state``.

        Documents before it are read, but not tokenized.

        Raises:
            DataError: the sources have changed since then.
        """
        values = dict(state)
        number = values.pop("block")
        if values.pop("sources") != self._sources_hash:
            raise DataError(
                f"{name_sources(self._sources)}: the files are others, or of another size, than when this run was "
                "interrupted, so it cannot go on where it stopped. Bring back the files, or start anew."
            )
        self._block_number, self._block_start = number, _Position(**values)
        self._go_to(self._block_start)
        self._content = self._load()

    def _load(self) -> np.ndarray:
        """Read the current block and shuffle it: (block, S - 2)."""
        content = self._read(self._block * (self.length - 2)).reshape(self._block, self.length - 2)
        self._next_block_start = self._position
        return content[self._random.generator(self._block_number).permutation(self._block)]

    def _go_to(self, position: _Position) -> None:
        self._position = position
        remaining = islice(documents(self._sources, self._column, self._encoding), position.document, None)
        self._arrays: Iterator[np.ndarray] = chain.from_iterable(encode_documents(remaining, self._tokenizer))
        self._rest = np.empty(0, id_type(len(self._tokenizer)))  # unread tokens of a document that was begun
        if position.offset:
            self._rest = next(self._arrays, self._rest)[position.offset :]

    def _read(self, count: int, endless: bool = True) -> np.ndarray:
        """Read the next ``count`` tokens; at the end of the sources start over if ``endless``, else return fewer."""
        pieces = [self._rest[:0]]
        while count:
            if not len(self._rest):
                array = next(self._arrays, None)
                if array is None:
                    if not endless:
                        break
                    self._go_to(replace(self._first, epoch=self._position.epoch + 1))
                    continue
                self._rest = array  # (T,)
            piece, self._rest = self._rest[:count], self._rest[count:]
            pieces.append(piece)
            count -= len(piece)
            position = self._position
            if len(self._rest):
                self._position = replace(position, offset=position.offset + len(piece))
            else:
                self._position = replace(position, document=position.document + 1, offset=0)
        return np.concatenate(pieces)
