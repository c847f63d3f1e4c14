"""Learning a WordPiece vocabulary from texts, with the trainer of the Rust library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from tokenizers import Tokenizer
from tokenizers.trainers import WordPieceTrainer

from .spec import TokenizerSpec, vocab_from_entries
from .tokenizer_json import spec_to_tokenizer_json
from .wordpiece import CONTINUATION


def train_vocabulary(
    spec: TokenizerSpec,
    texts: Iterable[str] | Iterable[list[str]],
    vocab_size: int,
    min_frequency: int,
    limit_alphabet: int,
    show_progress: bool,
) -> dict[str, int]:
    """Learn a vocabulary: first the special and added tokens of ``spec``, then characters, then longer entries.

    Args:
        spec: the tokenizer whose options clean and split the texts.
        texts: texts, or lists of texts.
        vocab_size: largest number of entries, special and added tokens included.
        min_frequency: how often two neighbouring entries must occur together to become one.
        limit_alphabet: how many different characters get an entry, at most.
        show_progress: draw a progress bar on standard error.
    """
    added = [token.content for _, token in sorted(spec.added_tokens.items())]
    pad_token = [spec.special_tokens["pad_token"]] if "pad_token" in spec.special_tokens else []
    kept = list(dict.fromkeys([*pad_token, *added, spec.unknown_word]))
    untrained = replace(spec, vocab=vocab_from_entries(kept), added_tokens={}, never_split=())
    backend = Tokenizer.from_str(json.dumps(spec_to_tokenizer_json(untrained)))
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        special_tokens=kept,
        continuing_subword_prefix=CONTINUATION,
        show_progress=show_progress,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    vocab = backend.get_vocab(with_added_tokens=False)
    return vocab_from_entries(sorted(vocab, key=vocab.__getitem__))
