"""Fewer entries for a tokenizer: those that its texts need most, and all that keep words from becoming unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.errors import TokenizerError
from .spec import TokenizerSpec

LATIN = 0x250  # characters below are kept, alone and inside words: what is spelled with them is never unknown
INSIDE = "##"  # begins an entry that continues a word


def trim_vocabulary(spec: TokenizerSpec, counts: np.ndarray, size: int) -> tuple[TokenizerSpec, np.ndarray]:
    """Return a spec with the most frequent entries, in their old order, and the old id of each new one.

    Special and added tokens stay, and so do Latin letters, digits and signs, of which any word can be put together that
    lost its own entry. Other characters have to be frequent; without an entry, a word with them is unknown.

    Args:
        spec: the vocabulary and the options.
        counts: (V,) how often each id occurs in texts like those to be read.
        size: number of entries of the new vocabulary.

    Raises:
        TokenizerError: so few entries do not hold those that must stay, or there are no more than that already.
    """
    entries = sorted(spec.vocab, key=spec.vocab.__getitem__)
    added = {token.content for token in spec.added_tokens.values()} | {spec.unknown_word, *spec.never_split}
    needed = {entry for entry in entries if entry in added or _is_latin(entry)}
    if not len(needed) <= size <= len(entries):
        raise TokenizerError(
            f"A vocabulary of {len(entries):,} entries can be cut to {len(needed):,} at least, which are special "
            f"tokens and single letters; got {size:,}."
        )
    others = [entry for entry in entries if entry not in needed]
    others.sort(key=lambda entry: -int(counts[spec.vocab[entry]]))  # of equal counts, the first ones
    kept = needed.union(others[: size - len(needed)])
    vocab = {entry: new for new, entry in enumerate(entry for entry in entries if entry in kept)}
    trimmed = replace(spec.copy(), vocab=vocab)
    rows = np.zeros(len(trimmed), np.int64)
    for token in [*vocab, *(token.content for token in trimmed.added_tokens.values())]:
        new, old = trimmed.id_of(token), spec.id_of(token)
        assert new is not None
        assert old is not None
        rows[new] = old
    return trimmed, rows


def _is_latin(entry: str) -> bool:
    character = entry.removeprefix(INSIDE)
    return len(character) == 1 and ord(character) < LATIN
