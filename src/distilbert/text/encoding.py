"""``Encoding``: one tokenized input, in plain Python, with the attributes and look-ups of ``tokenizers.Encoding``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InputError
from .truncation import window_spans

_COLUMNS = (
    "ids",
    "type_ids",
    "tokens",
    "word_ids",
    "sequence_ids",
    "offsets",
    "special_tokens_mask",
    "attention_mask",
)


@dataclass
class Encoding:
    """Columns of equal length, with one entry for each token.

    Attributes:
        ids: vocabulary ids.
        type_ids: 0 for the first text and its special tokens, 1 for the second.
        tokens: vocabulary entries.
        word_ids: index in its text of the word that a token belongs to; None for special tokens and padding.
        sequence_ids: 0 or 1, the text that a token belongs to; None for special tokens and padding.
        offsets: start and stop of each token in its text, in characters; (0, 0) for special tokens and padding.
        special_tokens_mask: 1 for special tokens and padding.
        attention_mask: 1 for tokens, 0 for padding.
        overflowing: the further windows of a text that was cut, in their order.
        n_sequences: 1 for a text, 2 for a pair.
    """

    ids: list[int] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)
    sequence_ids: list[int | None] = field(default_factory=list)
    offsets: list[tuple[int, int]] = field(default_factory=list)
    special_tokens_mask: list[int] = field(default_factory=list)
    attention_mask: list[int] = field(default_factory=list)
    overflowing: list[Encoding] = field(default_factory=list, repr=False)
    n_sequences: int = 1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def words(self) -> list[int | None]:
        """Another name for ``word_ids``."""
        return self.word_ids

    @classmethod
    def special(cls, token: str, token_id: int, type_id: int) -> Encoding:
        """Return an encoding of one special token, such as ``[CLS]``."""
        return cls([token_id], [type_id], [token], [None], [None], [(0, 0)], [1], [1])

    def slice(self, start: int, stop: int) -> Encoding:
        """Return the tokens from ``start`` up to ``stop``, without the overflow."""
        columns: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in _COLUMNS}
        return Encoding(**columns, n_sequences=self.n_sequences)

    def concat(self, others: Iterable[Encoding]) -> Encoding:
        """Return this encoding followed by others, without their overflow."""
        encodings = [self, *others]
        columns: dict[str, Any] = {
            name: [value for encoding in encodings for value in getattr(encoding, name)] for name in _COLUMNS
        }
        return Encoding(**columns, n_sequences=max(encoding.n_sequences for encoding in encodings))

    def truncate(self, max_length: int, stride: int = 0, direction: str = "right") -> None:
        """Keep the first window of ``max_length`` tokens and put the further windows into ``overflowing``.

        Args:
            max_length: tokens that stay.
            stride: tokens that each window repeats from the window before; smaller than ``max_length``.
            direction: ``"right"`` keeps the start of the text, ``"left"`` its end.

        Raises:
            InputError: ``stride`` is negative, or not smaller than ``max_length``.
        """
        if max_length >= len(self):
            return
        if max_length == 0:
            windows = [Encoding(), self.slice(0, len(self))]
        else:
            if not 0 <= stride < max_length:
                raise InputError(f"stride={stride} must be at least 0 and smaller than max_length={max_length}.")
            windows = [self.slice(*span) for span in window_spans(len(self), max_length, stride, direction)]
        for name in _COLUMNS:
            setattr(self, name, getattr(windows[0], name))
        self.overflowing = windows[1:]

    def pad(
        self, length: int, direction: str = "right", pad_id: int = 0, pad_type_id: int = 0, pad_token: str = "[PAD]"
    ) -> None:
        """Pad this encoding and its overflow to ``length`` tokens, on the ``"right"`` or the ``"left"``."""
        for window in self.overflowing:
            window.pad(length, direction, pad_id, pad_type_id, pad_token)
        missing = length - len(self)
        if missing <= 0:
            return
        pad_values = (pad_id, pad_type_id, pad_token, None, None, (0, 0), 1, 0)
        for name, value in zip(_COLUMNS, pad_values, strict=True):
            column, padding = getattr(self, name), [value] * missing
            setattr(self, name, column + padding if direction == "right" else padding + column)

    def token_to_sequence(self, token_index: int) -> int | None:
        """Return 0 or 1, the text that a token belongs to; None for special tokens and padding."""
        return self.sequence_ids[token_index] if 0 <= token_index < len(self) else None

    def token_to_word(self, token_index: int) -> int | None:
        """Return the index of the word that a token belongs to; None for special tokens and padding."""
        return self.word_ids[token_index] if 0 <= token_index < len(self) else None

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """Return start and stop of a token in its text; None for special tokens and padding."""
        return self.offsets[token_index] if self.token_to_sequence(token_index) is not None else None

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return the first token of a word and one past its last; None if there is no such word."""
        tokens = [index for index in self._tokens_of(sequence_index) if self.word_ids[index] == word_index]
        return (tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return start and stop of a word in its text; None if there is no such word."""
        span = self.word_to_tokens(word_index, sequence_index)
        return (self.offsets[span[0]][0], self.offsets[span[1] - 1][1]) if span else None

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the token that holds a character; None for whitespace and removed characters."""
        for index in self._tokens_of(sequence_index):
            start, stop = self.offsets[index]
            if start <= char_pos < stop:
                return index
        return None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """Return the word that holds a character; None for whitespace and removed characters."""
        index = self.char_to_token(char_pos, sequence_index)
        return None if index is None else self.word_ids[index]

    def _tokens_of(self, sequence_index: int) -> list[int]:
        return [index for index, sequence in enumerate(self.sequence_ids) if sequence == sequence_index]


def pair_windows(first: Encoding, second: Encoding) -> list[tuple[Encoding, Encoding]]:
    """Return all combinations of the windows of two texts, in the order of the Rust library.

    First the two main windows; then every further window of the first text with every window of the second; then the
    main window of the first text with every further window of the second.
    """
    pairs = [(first, second)]
    pairs += [(window, other) for window in first.overflowing for other in (second, *second.overflowing)]
    return pairs + [(first, other) for other in second.overflowing]
