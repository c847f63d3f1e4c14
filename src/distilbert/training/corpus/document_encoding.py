"""Documents to token ids, many at a time, so that the Rust tokenizer can use all cores.

Shapes: ``T`` tokens of a document, including its final ``[SEP]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from ...text.tokenizer_base import TokenizerBase

BATCH_CHARACTERS = 1 << 20  # tokenized in one call
PIECE_CHARACTERS = 1 << 16  # of a paragraph, tokenized as one text


def id_type(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type for the ids of a vocabulary of that size: uint16 or uint32, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, eq=False)
class TokenShard:
    """The tokens of some documents in a row.

    Attributes:
        ids: (T,) of all documents, those without any token left out.
        lengths: (documents,) int64, how many each has.
    """

    ids: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, documents: Sequence[np.ndarray]) -> TokenShard:
        """Join documents, of which each is its ids."""
        lengths = np.array([len(ids) for ids in documents], np.int64)
        ids = np.concatenate(documents) if len(documents) else np.empty(0, np.uint16)
        return cls(ids, lengths[lengths > 0])


def encode_documents(documents: Iterable[list[str]], tokenizer: TokenizerBase) -> Iterator[list[np.ndarray]]:
    """Tokenize documents in batches of about ``BATCH_CHARACTERS`` characters.

    Very long paragraphs are first cut at spaces. This bounds the memory, spreads them over the cores, and does not
    change the tokens.

    Args:
        documents: each a list of paragraphs.
        tokenizer: its ``encode_ids`` is called without special tokens, which neither truncates nor warns.

    Yields:
        The documents of a batch: the ids (T,) of each, with one ``[SEP]`` at the end; of shape (0,) without any token.
    """
    batch: list[list[str]] = []
    size = 0
    for document in documents:
        batch.append([piece for paragraph in document for piece in cut_paragraph(paragraph)])
        size += sum(map(len, document))
        if size >= BATCH_CHARACTERS:
            yield _encode(batch, tokenizer)
            batch, size = [], 0
    if batch:
        yield _encode(batch, tokenizer)


def cut_paragraph(paragraph: str) -> Iterator[str]:
    """Cut a paragraph into pieces of at most ``PIECE_CHARACTERS`` characters, at spaces where possible."""
    start = 0
    while len(paragraph) - start > PIECE_CHARACTERS:
        stop = paragraph.rfind(" ", start + 1, start + PIECE_CHARACTERS)
        stop = start + PIECE_CHARACTERS if stop < 0 else stop
        yield paragraph[start:stop]
        start = stop
    yield paragraph[start:] if start else paragraph


def _encode(batch: list[list[str]], tokenizer: TokenizerBase) -> list[np.ndarray]:
    dtype, sep = id_type(len(tokenizer)), tokenizer.sep_token_id
    rows = iter(tokenizer.encode_ids(list(chain.from_iterable(batch)), add_special_tokens=False))
    arrays = []
    for texts in batch:
        ids = list(chain.from_iterable(islice(rows, len(texts))))
        arrays.append(np.array([*ids, sep] if ids else [], dtype))  # (T,)
    return arrays
