"""``BatchEncoding``: what a tokenizer returns, a dict of columns that knows where in the text each token stands.

This is the only file of the room that imports a framework, and only when a call asks for its tensors.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import InputError, suggest
from ..core.extras import require

_CONVERTERS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "np": lambda array: array,
    "pt": lambda array: require("torch", "torch").from_numpy(array),
    "tf": lambda array: require("tensorflow", "keras").constant(array),
    "jax": lambda array: require("jax.numpy", "flax").asarray(array),
}


def check_tensor_type(value: Any) -> str:
    """Return the name of a tensor type (``"np"``, ``"pt"``, ``"tf"``, ``"jax"``); accepts enums of other libraries.

    Raises:
        InputError: there is no such type.
    """
    name = str(getattr(value, "value", value))
    if name not in _CONVERTERS:
        raise InputError(
            f"return_tensors={value!r} is not known: expected 'pt' (PyTorch), 'np' (NumPy), 'tf' (TensorFlow) or 'jax'."
            f"{suggest(name, _CONVERTERS)}"
        )
    return name


class CharSpan(NamedTuple):
    """Start and stop of a token or word in its text, in characters."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """First token of a word and one past its last."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """Columns such as ``input_ids`` and ``attention_mask``, by key, attribute or ``**``.

    The methods that look up characters, words and tokens take the index of the input first. Without it they use
    input 0: ``batch.char_to_token(1, 7)`` is about character 7 of input 1, ``batch.char_to_token(7)`` of input 0.

    Args:
        data: the columns.
        encodings: one encoding for each row (an input, or a window of one); the look-ups need them.
        tensor_type: ``"pt"``, ``"np"``, ``"tf"`` or ``"jax"`` converts the columns; None leaves them as they are.
        is_fast: whether the Rust library made the encodings.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encodings: list[Any] | None = None,
        tensor_type: str | None = None,
        is_fast: bool = False,
    ) -> None:
        super().__init__(data or {})
        self._encodings = encodings
        self._is_fast = is_fast
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type)

    def __getattr__(self, name: str) -> Any:
        # Only called for names that are not set. While a pickle is read, even "data" is missing.
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"BatchEncoding has no attribute or column {name!r}; it has the columns {list(data)}.")

    def __getitem__(self, key: Any) -> Any:
        """Return a column by its name, the encoding of an input by its index, or a slice of every column."""
        if isinstance(key, str):
            return self.data[key]
        if isinstance(key, slice):
            return {name: column[key] for name, column in self.data.items()}
        return self._encoding(key)

    @property
    def encodings(self) -> list[Any] | None:
        """One encoding for each row, or None if this object was made from columns alone."""
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether the Rust library made the encodings."""
        return self._is_fast

    @property
    def n_sequences(self) -> int | None:
        """1 for single texts, 2 for pairs, None if unknown."""
        return self._encodings[0].n_sequences if self._encodings else None

    def _encoding(self, index: int) -> Any:
        if self._encodings is None:
            raise InputError("This BatchEncoding was not made by a tokenizer call, so it does not know its tokens.")
        try:
            return self._encodings[index]
        except IndexError:
            raise InputError(f"There is no input {index}: the batch has {len(self._encodings)}.") from None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of an input."""
        tokens: list[str] = self._encoding(batch_index).tokens
        return tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the index of the word of each token of an input; None for special tokens and padding."""
        word_ids: list[int | None] = self._encoding(batch_index).word_ids
        return word_ids

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return 0 or 1 for each token of an input, the text it belongs to; None for special tokens and padding."""
        sequence_ids: list[int | None] = self._encoding(batch_index).sequence_ids
        return sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return 0 or 1, the text that a token belongs to; None for special tokens and padding."""
        encoding, index = self._locate(batch_or_token_index, token_index)
        sequence: int | None = encoding.token_to_sequence(self._check_token(encoding, index))
        return sequence

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the index of the word that a token belongs to; None for special tokens and padding."""
        encoding, index = self._locate(batch_or_token_index, token_index)
        word: int | None = encoding.token_to_word(self._check_token(encoding, index))
        return word

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Return where a token stands in its text; None for special tokens and padding."""
        encoding, index = self._locate(batch_or_token_index, token_index)
        index = self._check_token(encoding, index)
        if encoding.token_to_sequence(index) is None:
            return None
        return CharSpan(*encoding.offsets[index])

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the tokens of a word; None if there is no such word."""
        encoding, index = self._locate(batch_or_word_index, word_index)
        span = encoding.word_to_tokens(index, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Return where a word stands in its text; None if there is no such word."""
        encoding, index = self._locate(batch_or_word_index, word_index)
        span = encoding.word_to_chars(index, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the token that holds a character; None for whitespace and removed characters."""
        encoding, index = self._locate(batch_or_char_index, char_index)
        token: int | None = encoding.char_to_token(index, sequence_index)
        return token

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the word that holds a character; None for whitespace and removed characters."""
        encoding, index = self._locate(batch_or_char_index, char_index)
        word: int | None = encoding.char_to_word(index, sequence_index)
        return word

    def _locate(self, first: int, second: int | None) -> tuple[Any, int]:
        return (self._encoding(0), first) if second is None else (self._encoding(first), second)

    @staticmethod
    def _check_token(encoding: Any, index: int) -> int:
        length = len(encoding)
        if not -length <= index < length:
            raise InputError(f"There is no token {index}: the input has {length}.")
        return index % length

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Turn every column into one tensor, in place; returns this object.

        Args:
            tensor_type: ``"pt"``, ``"np"``, ``"tf"`` or ``"jax"``; None changes nothing.
            prepend_batch_axis: add a first axis of size 1, for a single input that is not a batch yet.

        Raises:
            InputError: the rows of a column have different lengths, or values that are not numbers.
            MissingExtraError: the library of the tensors is not installed.
        """
        if tensor_type is None:
            return self
        convert = _CONVERTERS[check_tensor_type(tensor_type)]
        for name, column in self.data.items():
            if hasattr(column, "shape"):
                column = np.asarray(column)
            try:
                array = np.asarray([column] if prepend_batch_axis else column)
            except ValueError:
                raise InputError(_why_ragged(name, column)) from None
            if array.size and not _is_numeric(array):
                rows = column if array.ndim and not prepend_batch_axis else [column]
                index = next((index for index, row in enumerate(rows) if not _is_numeric(np.asarray(row))), 0)
                raise InputError(
                    f"The column {name!r} cannot become a tensor: row {index} holds {rows[index]!r:.60}, not numbers. "
                    "Leave the column out, or call without return_tensors."
                )
            # NumPy makes an empty list an array of floats.
            self.data[name] = convert(array.astype(np.int64) if array.size == 0 else array)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move the tensors to a device, in place; returns this object.

        Raises:
            InputError: the columns are lists or NumPy arrays and ``device`` is not the CPU.
        """
        for name, column in self.data.items():
            if callable(getattr(column, "to", None)):
                self.data[name] = column.to(device, non_blocking=non_blocking)
            elif not str(device).startswith("cpu"):
                raise InputError(
                    f"The column {name!r} is a {type(column).__name__}, which cannot move to {str(device)!r}. "
                    "Call the tokenizer with return_tensors='pt'."
                )
        return self


def _is_numeric(array: np.ndarray[Any, Any]) -> bool:
    return array.dtype.kind in "biufV"  # booleans, integers, floats, and V for the bfloat16 of JAX


def _why_ragged(name: str, column: Any) -> str:
    if not all(hasattr(row, "__len__") for row in column):
        return f"Some rows of {name!r} are lists and others are not, so they cannot become one tensor."
    low, high = min(map(len, column)), max(map(len, column))
    return (
        f"The rows of {name!r} have different lengths ({low} to {high}) and cannot become one "
        "tensor. Use padding=True, and truncation=True for texts longer than the model takes."
    )
