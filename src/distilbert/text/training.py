"""Learning a WordPiece vocabulary from text, with the trainer of the Rust library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from .spec import TokenizerSpec, number_lines
from .wordpiece import CONTINUATION


def train_vocabulary(
    spec: TokenizerSpec,
    texts: Iterable[str] | Iterable[list[str]],
    vocab_size: int,
    min_frequency: int,
    limit_alphabet: int,
    show_progress: bool,
) -> dict[str, int]:
    """Vocabulary of at most ``vocab_size`` entries: special and added tokens first, then characters, then pieces."""
    import tokenizers
    from tokenizers.trainers import WordPieceTrainer

    kept = list(
        dict.fromkeys([spec.special["pad_token"], *(spec.added[index].content for index in sorted(spec.added))])
    )
    start = replace(spec, vocab=number_lines(kept), added={}, never_split=())
    backend = tokenizers.Tokenizer.from_str(json.dumps(start.to_tokenizer_json()))
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        special_tokens=kept,
        continuing_subword_prefix=CONTINUATION,
        show_progress=show_progress,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    return number_lines(sorted(vocab := backend.get_vocab(with_added_tokens=False), key=vocab.__getitem__))
