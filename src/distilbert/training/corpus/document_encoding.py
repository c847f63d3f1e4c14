"""Documents to ids, many at a time, so that the Rust tokenizer can use all cores.

Shapes: ``T`` tokens of a document, its final ``[SEP]`` included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np

from ...text.tokenizer_base import TokenizerBase

BATCH = 1 << 20  # characters that are tokenized in one call
PIECE = 1 << 16  # characters of a paragraph that are tokenized as one text


def id_type(vocabulary: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type that holds the ids of a vocabulary of that size: uint16 or uint32, little-endian."""
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def encode_documents(documents: Iterable[list[str]], tokenizer: TokenizerBase) -> Iterator[list[np.ndarray]]:
    """Tokenize documents in batches of about ``BATCH`` characters.

    Very long paragraphs are cut at a space first: this bounds the memory, spreads them over the cores, and leaves
    the tokens as they are.

    Args:
        documents: each a list of paragraphs.
        tokenizer: its ``encode_ids`` is called without special tokens, so nothing is cut and no length is warned of.

    Yields:
        For each document of a batch its ids (T,) followed by one ``[SEP]``; of shape (0,) if it has no token.
    """
    batch: list[list[str]] = []
    size = 0
    for document in documents:
        batch.append([piece for paragraph in document for piece in pieces(paragraph)])
        size += sum(map(len, document))
        if size >= BATCH:
            yield _encode(batch, tokenizer)
            batch, size = [], 0
    if batch:
        yield _encode(batch, tokenizer)


def pieces(paragraph: str) -> Iterator[str]:
    """Cut a paragraph into pieces of at most ``PIECE`` characters, at spaces where there are any."""
    start = 0
    while len(paragraph) - start > PIECE:
        stop = paragraph.rfind(" ", start + 1, start + PIECE)
        stop = start + PIECE if stop < 0 else stop
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
