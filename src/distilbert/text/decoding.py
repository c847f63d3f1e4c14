"""From ids back to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..core.errors import InputError
from .vocabulary import VocabularyAPI
from .wordpiece import CONTINUATION

# What the Rust decoder does to every token, and what the further clean-up does to the whole text.
_TOKEN_RULES = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
_TEXT_RULES = tuple(rule for rule in _TOKEN_RULES if rule[0] != " do not")


def join_tokens(tokens: Iterable[str]) -> str:
    """Join tokens: ``##`` glues to the left, everything else but ``. ? ! ,`` gets a space."""
    parts = []
    for index, token in enumerate(tokens):
        if index:
            token = token.removeprefix(CONTINUATION) if token.startswith(CONTINUATION) else f" {token}"
        for old, new in _TOKEN_RULES:
            token = token.replace(old, new)
        parts.append(token)
    return "".join(parts)


class DecodingAPI(VocabularyAPI):
    """``decode`` and its relatives."""

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens into a text."""
        return join_tokens(tokens)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Text of one sequence of ids.

        Args:
            token_ids: one id, or a list, array or tensor of ids with one axis. Ids behind the vocabulary are left out.
            skip_special_tokens: leave out ``[CLS]``, ``[SEP]``, ``[PAD]`` and the like.
            clean_up_tokenization_spaces: also join ``n't``, ``'s`` and the like across tokens; None means as the
                tokenizer's files say, by default no.

        Raises:
            InputError: an id is negative or no integer, or there is more than one sequence.
        """
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        ids = [ids] if isinstance(ids, int) else list(ids)
        for index in ids:
            if hasattr(index, "__len__"):
                raise InputError("decode takes the ids of one sequence; for a batch use batch_decode.")
            if not hasattr(index, "__index__"):
                raise InputError(f"decode takes integers, but got {index!r} of type {type(index).__name__}.")
            if index < 0:
                raise InputError(f"decode got the id {index}. Replace label masks such as -100 by pad_token_id first.")
        skipped = self._special_ids if skip_special_tokens else ()
        text = join_tokens(self._tokens[i] for i in ids if i < len(self._tokens) and i not in skipped)
        clean_up = clean_up_tokenization_spaces
        if self.spec.clean_up_tokenization_spaces if clean_up is None else clean_up:
            for old, new in _TEXT_RULES:
                text = text.replace(old, new)
        return text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """Texts of a batch: a list of sequences, or an array or tensor with two axes; arguments as ``decode``."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else sequences
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]
