"""Sequences read as they are needed, for corpora whose tokens do not fit the disk.

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
from .keyed_random import BLOCK, Draws
from .packed_sequences import PackedSequences, check_length, frame


@dataclass(frozen=True)
class _Place:
    """A token of the stream: the ``offset``-th of a document of an epoch."""

    epoch: int = 0
    document: int = 0
    offset: int = 0


class StreamedSequences:
    """Sequences of one length, packed as in ``PackedSequences``, from documents that are tokenized on the way.

    The stream starts over at the end of the sources, which is the next epoch. It comes in blocks of sequences; within
    a block their order is drawn from the seed and the block's number. One block is in memory at a time. The first
    sequences of every epoch are held out: they are the same in each and never trained on.

    Args:
        sources: as for ``corpus.documents``.
        tokenizer: either class.
        length: S, tokens of a sequence, ``[CLS]`` and ``[SEP]`` included.
        seed: of the order within blocks.
        held_out: K, how many sequences are held out.
        block: sequences of a block.
        column: the column of the text, where there are columns.

    Attributes:
        length: S.
        held_out: the held-out sequences, in order.
        counts: (V,) int64, how often each id occurs in the first block; 0 for special tokens.

    Raises:
        ConfigError: a number that cannot work.
        DataError: a source cannot be read, or has not enough text for the held-out part and one more sequence.
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
    ) -> None:
        check_length(length)
        if held_out < 1 or block < 1:
            raise ConfigError(f"held_out and block must be at least 1, got {held_out} and {block}.")
        self.length = length
        self._sources, self._tokenizer, self._column = sources, tokenizer, column
        self._cls, self._sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._block = block
        self._draws = Draws(BLOCK, seed)
        # Without folders and times, so that a run can go on where its files were copied to.
        files = [(PurePath(name).name, size) for name, size, _ in describe(sources)]
        self._summary = hashlib.blake2b(json.dumps(files).encode(), digest_size=16).hexdigest()
        self._first = _Place()  # where training starts in an epoch: behind what is held out
        self._go_to(self._first)
        tokens = self._read(held_out * (length - 2), endless=False)
        self._first = self._place
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
        self._number, self._at = 0, self._first
        self._content = self._load()
        self.counts = np.bincount(self._content.ravel(), minlength=len(tokenizer)).astype(np.int64)
        self.counts[tokenizer.all_special_ids] = 0

    def take(self, start: int, count: int) -> np.ndarray:
        """Return the sequences at positions ``start`` to ``start + count - 1`` of the stream.

        Calls go forward: ``start`` may lie anywhere in the present block or behind it. What is passed over is
        tokenized all the same.

        Returns:
            (count, S) int64.

        Raises:
            ValueError: ``start`` lies before the present block.
        """
        if start < self._number * self._block:
            raise ValueError(f"position {start} is before block {self._number}, which is as far back as a stream goes")
        taken = []
        while count:
            number, place = divmod(start, self._block)
            while self._number < number:
                self._number, self._at = self._number + 1, self._next
                self._content = self._load()
            taken.append(self._content[place : place + count])
            start, count = start + len(taken[-1]), count - len(taken[-1])
        content = np.concatenate(taken) if taken else self._content[:0]
        return frame(content, self._cls, self._sep)

    def state(self) -> dict[str, Any]:
        """Return, ready for JSON, where the present block begins; positions are taken from there on after a restore."""
        return {"block": self._number, "sources": self._summary, **asdict(self._at)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to the block that ``state`` was taken in. Documents before it are read, but not tokenized.

        Raises:
            DataError: the sources are not those that the state was taken from.
        """
        values = dict(state)
        number = values.pop("block")
        if values.pop("sources") != self._summary:
            raise DataError(
                f"{name_sources(self._sources)}: the files are others, or of another size, than when this run was "
                "interrupted, so it cannot go on where it stopped. Bring back the files, or start anew."
            )
        self._number, self._at = number, _Place(**values)
        self._go_to(self._at)
        self._content = self._load()

    def _load(self) -> np.ndarray:
        """Read the present block and put it in order: (block, S - 2)."""
        content = self._read(self._block * (self.length - 2)).reshape(self._block, self.length - 2)
        self._next = self._place
        return content[self._draws.number(self._number).permutation(self._block)]

    def _go_to(self, place: _Place) -> None:
        self._place = place
        found = islice(documents(self._sources, self._column), place.document, None)
        self._arrays: Iterator[np.ndarray] = chain.from_iterable(encode_documents(found, self._tokenizer))
        self._rest = np.empty(0, id_type(len(self._tokenizer)))  # of the document at the place, if it was begun
        if place.offset:
            self._rest = next(self._arrays, self._rest)[place.offset :]

    def _read(self, wanted: int, endless: bool = True) -> np.ndarray:
        """Read the next tokens, (wanted,), over the end of the sources if ``endless``, else up to there."""
        found = [self._rest[:0]]
        while wanted:
            if not len(self._rest):
                array = next(self._arrays, None)
                if array is None:
                    if not endless:
                        break
                    self._go_to(replace(self._first, epoch=self._place.epoch + 1))
                    continue
                self._rest = array  # (T,)
            piece, self._rest = self._rest[:wanted], self._rest[wanted:]
            found.append(piece)
            wanted -= len(piece)
            place = self._place
            if len(self._rest):
                self._place = replace(place, offset=place.offset + len(piece))
            else:
                self._place = replace(place, document=place.document + 1, offset=0)
        return np.concatenate(found)
