"""From text to encodings and batches: the calls that both tokenizer classes share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..core.errors import InputError, reject_unknown
from .batch_encoding import BatchEncoding
from .inputs import Text, as_batch, check_texts
from .padding import NO_LIMIT, check_padding, target_length
from .spec import check_side
from .tensors import check_kind
from .truncation import Strategy, check_strategy
from .vocabulary import VocabularyAPI

logger = logging.getLogger(__name__)


class EncodingAPI(VocabularyAPI):
    """``__call__``, ``encode_batch``, ``encode_ids`` and what they are made of.

    Subclasses give ``_encode`` and ``_encode_ids``; their results have the attributes of ``text.encoding.Encoding``.
    """

    _warned_too_long = False

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        room: tuple[int, Strategy, int] | None,
    ) -> list[Any]:
        """Encodings of checked inputs; ``room`` is (tokens besides the special ones, strategy, stride) or None."""
        raise TypeError(f"{type(self).__name__} is no tokenizer by itself: use DistilBertTokenizer.")

    def _encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool
    ) -> list[list[int]]:
        return [e.ids for e in self._encode(texts, pairs, add_special_tokens, False, None)]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens around a text (2) or a pair (3)."""
        return 3 if pair else 2

    def encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Ids of many texts (or pairs), uncut and unpadded, without anything else: the fastest way."""
        check_texts(texts, False)
        if pairs is not None:
            check_texts(pairs, False, "pairs")
        _check_partners(texts, pairs)
        return self._encode_ids(texts, pairs, add_special_tokens)

    def encode_batch(
        self,
        texts: Sequence[Text],
        pairs: Sequence[Text] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
    ) -> list[Any]:
        """Encodings of many texts (or pairs), unpadded.

        Args:
            texts: first texts.
            pairs: second texts, as many, or None.
            add_special_tokens: put ``[CLS]`` and ``[SEP]`` around.
            truncation: False, or how to cut: True, ``"longest_first"``, ``"only_first"`` or ``"only_second"``.
            max_length: tokens that stay, special ones included; None means ``model_max_length``.
            stride: tokens that each window of a cut text repeats of the one before.
            is_split_into_words: every text is a list of words; offsets then count within a word.

        Returns:
            One encoding an input, with ids, tokens, offsets, word_ids, sequence_ids, type_ids, special_tokens_mask,
            attention_mask, and in ``overflowing`` the further windows of a cut text.
        """
        check_texts(texts, is_split_into_words)
        if pairs is not None:
            check_texts(pairs, is_split_into_words, "text_pair")
        _check_partners(texts, pairs)
        strategy = check_strategy(truncation)
        length = self.model_max_length if max_length is None else max_length
        if strategy is None or length > NO_LIMIT:
            return self._encode(texts, pairs, add_special_tokens, is_split_into_words, None)
        special = self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0
        room = length - special
        if room < 0:
            raise InputError(f"max_length={length} has no room for the {special} special tokens.")
        if stride < 0 or stride > max(0, room - 1):
            raise InputError(
                f"stride={stride} must be at least 0 and smaller than {room}, the tokens that max_length={length} "
                "leaves besides the special ones."
            )
        return self._encode(texts, pairs, add_special_tokens, is_split_into_words, (room, strategy, stride))

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | None = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a pair, or a list of either.

        Args:
            text: a text or a list of texts (``B`` of them); with ``is_split_into_words`` a list of words or a list of
                such lists. A list of tuples of two texts is a list of pairs.
            text_pair: second text or texts, as many as ``text``.
            add_special_tokens: ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.
            padding: True or ``"longest"`` fills up to the longest of the batch, ``"max_length"`` up to
                ``max_length``, False or ``"do_not_pad"`` leaves lengths as they are.
            truncation: True or ``"longest_first"`` cuts to ``max_length``, ``"only_first"`` and ``"only_second"`` cut
                one text of a pair, False does not cut. None cuts only if ``max_length`` is given without padding.
            max_length: in tokens, special ones included; None means ``model_max_length``.
            stride: tokens that each window repeats of the one before, with ``return_overflowing_tokens``.
            is_split_into_words: texts are lists of words; offsets then count within a word.
            pad_to_multiple_of: round the padded length up to a multiple of this.
            padding_side: ``"right"`` or ``"left"`` instead of the tokenizer's own.
            return_tensors: ``"pt"``, ``"np"``, ``"tf"`` or ``"jax"``; None returns lists.
            return_token_type_ids: add ``token_type_ids``; None means no, as DistilBERT has none.
            return_attention_mask: add ``attention_mask``; None means yes.
            return_overflowing_tokens: return all windows of a cut text, each a row, and
                ``overflow_to_sample_mapping`` with the input that each row is of.
            return_special_tokens_mask: add ``special_tokens_mask``, 1 at special tokens and padding.
            return_offsets_mapping: add ``offset_mapping``, (start, stop) of each token in its text in characters.
            return_length: add ``length``, the length of each row.
            verbose: warn once, through ``logging``, about a text longer than ``model_max_length``.
            unknown: any other argument is an error.

        Returns:
            Columns of shape (B, S) as tensors or lists of lists; plain lists (S) for a single text without tensors.

        Raises:
            InputError: an input is no text, an option has an unknown value, or rows cannot become a tensor.
            UnknownArgumentError: there is no such argument.
        """
        if unknown:
            reject_unknown(unknown, _CALL_ARGUMENTS, f"{type(self).__name__}()")
        if return_tensors is not None:
            return_tensors = check_kind(return_tensors)
        kind = check_padding(padding)
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        strategy = check_strategy(truncation)
        limit = self.model_max_length if max_length is None else max_length
        if limit > NO_LIMIT:
            kind, strategy = (None if kind == "max_length" else kind), None
        if strategy and kind and pad_to_multiple_of and limit % pad_to_multiple_of:
            raise InputError(
                f"max_length={limit} is not a multiple of pad_to_multiple_of={pad_to_multiple_of}, so a cut text would "
                "be filled beyond max_length."
            )
        texts, pairs, is_single = as_batch(text, text_pair, is_split_into_words)
        encodings = self.encode_batch(
            texts,
            pairs,
            add_special_tokens=add_special_tokens,
            truncation=strategy,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
        )
        samples = list(range(len(encodings)))
        if return_overflowing_tokens:
            if strategy and add_special_tokens and limit <= self.num_special_tokens_to_add(pairs is not None):
                raise InputError(f"max_length={limit} has room for special tokens only, so no window could hold text.")
            windows = [(e, i) for i, main in enumerate(encodings) for e in (main, *main.overflowing)]
            encodings, samples = [e for e, _ in windows], [i for _, i in windows]
        if verbose and strategy is None:
            self._warn_if_too_long(encodings)
        if kind:
            length = target_length([len(e) for e in encodings], kind, limit, pad_to_multiple_of)
            self._pad_encodings(encodings, length, padding_side)

        names = self.model_input_names
        columns: dict[str, list[Any]] = {"input_ids": [e.ids for e in encodings]}
        if return_token_type_ids or (return_token_type_ids is None and "token_type_ids" in names):
            columns["token_type_ids"] = [e.type_ids for e in encodings]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in names):
            columns["attention_mask"] = [e.attention_mask for e in encodings]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [e.special_tokens_mask for e in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [e.offsets for e in encodings]
        if return_length:
            columns["length"] = [len(e) for e in encodings]
        if is_single and return_tensors is None and not return_overflowing_tokens:
            columns = {name: column[0] for name, column in columns.items()}
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = samples
        return BatchEncoding(columns, encodings, return_tensors, self.is_fast)

    @property
    def is_fast(self) -> bool:
        """Whether the Rust library does the work."""
        return False

    def _warn_if_too_long(self, encodings: Sequence[Any]) -> None:
        if self._warned_too_long:
            return
        longest = max(map(len, encodings), default=0)
        if longest > self.model_max_length:
            self._warned_too_long = True
            logger.warning(
                "A text has %d tokens, more than the %d that the model takes. Pass truncation=True to cut it, or "
                "return_overflowing_tokens=True with a stride for windows.",
                longest,
                self.model_max_length,
            )

    def _pad_encodings(self, encodings: Sequence[Any], length: int, side: str | None) -> None:
        side = self.padding_side if side is None else side
        check_side("padding_side", side)
        pad_id, pad_token = self.pad_token_id, self.pad_token
        for encoding in encodings:
            if len(encoding) < length:
                encoding.pad(length, direction=side, pad_id=pad_id, pad_type_id=0, pad_token=pad_token)


_CALL_ARGUMENTS = tuple(name for name in EncodingAPI.__call__.__annotations__ if name not in ("return", "unknown"))


def _check_partners(texts: Sequence[Any], pairs: Sequence[Any] | None) -> None:
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"There are {len(texts)} texts but {len(pairs)} second texts; each needs its partner.")
