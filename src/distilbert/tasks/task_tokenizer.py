"""What tasks ask of a tokenizer; both classes of ``distilbert.text`` offer it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol


class TextEncoding(Protocol):
    """A tokenized text, or a window of one: columns of S entries, one a token."""

    @property
    def ids(self) -> list[int]:
        """Vocabulary ids."""

    @property
    def tokens(self) -> list[str]:
        """Vocabulary entries; those that continue a word start with ``##``."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and stop of each token in its text, in characters."""

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word a token belongs to, within its text; None for special tokens."""

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 or 1 for the text a token belongs to; None for special tokens."""

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 where the template added the token."""

    @property
    def overflowing(self) -> Sequence[TextEncoding]:
        """The further windows of a text that was cut; from its end on, if it was cut on the left."""


class TaskTokenizer(Protocol):
    """Text to ids and back."""

    @property
    def model_max_length(self) -> int:
        """Longest sequence, in tokens, that the tokenizer was saved for."""

    @property
    def truncation_side(self) -> str:
        """The side on which texts are cut: ``"right"``, their end, or ``"left"``."""

    @property
    def cls_token_id(self) -> int | None:
        """Id of ``[CLS]``."""

    @property
    def sep_token_id(self) -> int | None:
        """Id of ``[SEP]``."""

    @property
    def mask_token_id(self) -> int | None:
        """Id of ``[MASK]``."""

    @property
    def mask_token(self) -> str | None:
        """The text that stands for ``[MASK]``."""

    @property
    def unk_token_id(self) -> int | None:
        """Id of ``[UNK]``."""

    @property
    def unk_token(self) -> str | None:
        """The text that stands for ``[UNK]``."""

    def encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Ids of every text; none is cut, however long."""

    def encode_batch(
        self,
        texts: Sequence[str] | Sequence[Sequence[str]],
        pairs: Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str = False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
    ) -> Sequence[TextEncoding]:
        """Encodings of every text, with offsets; windows beyond the first are in ``overflowing``."""

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of a vocabulary entry; that of ``[UNK]`` for any other text."""

    def convert_ids_to_tokens(self, ids: int) -> str:
        """Vocabulary entry of an id."""

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Text of vocabulary entries."""

    def decode(
        self, token_ids: list[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Text of ids."""

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> object:
        """Write the tokenizer's files into a folder."""
