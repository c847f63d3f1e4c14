"""``Encoding``: one tokenized input, with the attributes and methods of ``tokenizers.Encoding``, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InputError

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
    """Columns of equal length, one entry a token.

    Attributes:
        ids: vocabulary ids.
        type_ids: 0 for the first text and its special tokens, 1 for the second.
        tokens: vocabulary entries.
        word_ids: index of the word a token belongs to, counted within its text; None for special tokens and padding.
        sequence_ids: 0 or 1 for the text a token belongs to; None for special tokens and padding.
        offsets: start and stop of each token in its text, in characters; (0, 0) for special tokens and padding.
        special_tokens_mask: 1 where the template or padding added the token.
        attention_mask: 0 on padding.
        overflowing: the further windows of a text that was cut, in order.
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
        """One token of the template, such as ``[CLS]``."""
        return cls([token_id], [type_id], [token], [None], [None], [(0, 0)], [1], [1])

    def part(self, start: int, stop: int) -> Encoding:
        """Tokens ``start`` to ``stop`` as an encoding without overflow."""
        columns: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in _COLUMNS}
        return Encoding(**columns, n_sequences=self.n_sequences)

    def concat(self, others: Iterable[Encoding]) -> Encoding:
        """This encoding followed by others, without overflow."""
        parts = [self, *others]
        columns: dict[str, Any] = {name: [v for part in parts for v in getattr(part, name)] for name in _COLUMNS}
        return Encoding(**columns, n_sequences=max(part.n_sequences for part in parts))

    def truncate(self, max_length: int, stride: int = 0, direction: str = "right") -> None:
        """Keep one window of ``max_length`` tokens and put the others into ``overflowing``.

        Args:
            max_length: tokens that stay.
            stride: tokens that each window repeats of the one before; smaller than ``max_length``.
            direction: ``"right"`` keeps the start of the text, ``"left"`` its end.
        """
        if max_length >= len(self):
            return
        if max_length == 0:
            windows = [Encoding(), self.part(0, len(self))]
        else:
            if not 0 <= stride < max_length:
                raise InputError(f"stride={stride} must be at least 0 and smaller than max_length={max_length}.")
            windows = [self.part(*span) for span in window_spans(len(self), max_length, stride, direction)]
        for name in _COLUMNS:
            setattr(self, name, getattr(windows[0], name))
        self.overflowing = windows[1:]

    def pad(
        self, length: int, direction: str = "right", pad_id: int = 0, pad_type_id: int = 0, pad_token: str = "[PAD]"
    ) -> None:
        """Fill this encoding and its overflow up to ``length`` tokens, on the ``"right"`` or the ``"left"``."""
        for window in self.overflowing:
            window.pad(length, direction, pad_id, pad_type_id, pad_token)
        missing = length - len(self)
        if missing <= 0:
            return
        fill: tuple[list[Any], ...] = ([pad_id], [pad_type_id], [pad_token], [None], [None], [(0, 0)], [1], [0])
        for name, value in zip(_COLUMNS, fill, strict=True):
            column = getattr(self, name)
            setattr(self, name, column + value * missing if direction == "right" else value * missing + column)

    def token_to_sequence(self, token_index: int) -> int | None:
        """Which text (0 or 1) a token belongs to."""
        return self.sequence_ids[token_index] if 0 <= token_index < len(self) else None

    def token_to_word(self, token_index: int) -> int | None:
        """Which word of its text a token belongs to."""
        return self.word_ids[token_index] if 0 <= token_index < len(self) else None

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """Start and stop of a token in its text; None for special tokens."""
        return self.offsets[token_index] if self.token_to_sequence(token_index) is not None else None

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """First token of a word and one past its last."""
        found = [i for i in self._of_sequence(sequence_index) if self.word_ids[i] == word_index]
        return (found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Start and stop of a word in its text."""
        span = self.word_to_tokens(word_index, sequence_index)
        return (self.offsets[span[0]][0], self.offsets[span[1] - 1][1]) if span else None

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The token that holds a character; None for whitespace and dropped characters."""
        for index in self._of_sequence(sequence_index):
            start, stop = self.offsets[index]
            if start <= char_pos < stop:
                return index
        return None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The word that holds a character."""
        index = self.char_to_token(char_pos, sequence_index)
        return None if index is None else self.word_ids[index]

    def _of_sequence(self, sequence_index: int) -> list[int]:
        return [index for index, sequence in enumerate(self.sequence_ids) if sequence == sequence_index]


def window_spans(length: int, size: int, stride: int, direction: str) -> list[tuple[int, int]]:
    """Spans of the windows over ``length`` tokens; the last one may be shorter.

    Example: ``window_spans(5, 3, 1, "right")`` is ``[(0, 3), (2, 5)]``; from the left it is ``[(2, 5), (0, 3)]``.
    """
    spans = []
    for first in range(0, length, size - stride):
        spans.append((first, min(first + size, length)))
        if spans[-1][1] == length:
            break
    return spans if direction == "right" else [(length - stop, length - start) for start, stop in spans]


def pair_windows(first: Encoding, second: Encoding) -> list[tuple[Encoding, Encoding]]:
    """All combinations of the windows of two texts, in the order of the Rust library.

    The first is the pair of main windows; then every further window of the first text with every window of the
    second; then the main window of the first text with every further window of the second.
    """
    mains = [(first, second)]
    mains += [(window, other) for window in first.overflowing for other in (second, *second.overflowing)]
    return mains + [(first, other) for other in second.overflowing]
