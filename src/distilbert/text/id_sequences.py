"""``IdSequences``: what a tokenizer does with ids: special tokens around them, cutting, padding, and back to text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..core.errors import InputError
from .batch_encoding import BatchEncoding
from .padding import (
    NO_LIMIT,
    PAD_VALUES,
    as_columns,
    as_ids,
    check_padding,
    pad_columns,
    padded_length,
    tensor_type_of,
    to_lists,
)
from .spec import check_side
from .token_table import TokenTable
from .tokenizer_arguments import DECODING
from .tokenizer_json import DECODER
from .truncation import Truncation, check_strategy, cut_ids, truncated_lengths
from .wordpiece import clean_up_spaces, join_tokens

logger = logging.getLogger(__name__)


class IdSequences(TokenTable):
    """Lists of ids, of texts that were tokenized before.

    Attributes:
        verbose: warn once, through ``logging``, about a text longer than ``model_max_length``.
        deprecation_warnings: which warnings were given already, by the names of transformers.
    """

    verbose: bool
    deprecation_warnings: dict[str, bool]

    # ---- Special tokens around ids ----

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens around a text (usually 2) or a pair (usually 3)."""
        return len(self._cls_ids) + len(self._sep_ids) * (2 if pair else 1)

    @property
    def _cls_ids(self) -> list[int]:
        return [] if self.cls_token is None else [self.cls_token_id]

    @property
    def _sep_ids(self) -> list[int]:
        return [] if self.sep_token is None else [self.sep_token_id]

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit into the model besides the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of a pair that fit into the model besides the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` around ids."""
        ids = [*self._cls_ids, *token_ids_0, *self._sep_ids]
        return ids if token_ids_1 is None else [*ids, *token_ids_1, *self._sep_ids]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return 0 for every token of the first text and its special tokens, 1 for those of the second."""
        first = [0] * (len(token_ids_0) + self.num_special_tokens_to_add())
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + len(self._sep_ids))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """Return 1 for special tokens and 0 for others.

        Args:
            token_ids_0: ids of the first text.
            token_ids_1: ids of the second text, or None.
            already_has_special_tokens: whether the ids include the special tokens; otherwise the mask is for the ids
                that ``build_inputs_with_special_tokens`` returns.

        Raises:
            InputError: ``token_ids_1`` is given although the ids include the special tokens.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InputError("Ids that already have special tokens are one list; leave token_ids_1 out.")
            special_ids = set(self.all_special_ids)
            return [int(token_id in special_ids) for token_id in token_ids_0]
        cls, sep = [1] * len(self._cls_ids), [1] * len(self._sep_ids)
        mask = [*cls, *[0] * len(token_ids_0), *sep]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), *sep]

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str | None = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
    ) -> BatchEncoding:
        """Do with ids what a call does with a text: cut them, put special tokens around them, and pad them.

        Args:
            ids: ids of the first text, without special tokens.
            pair_ids: ids of the second text, or None.
            add_special_tokens: as in a call.
            padding: as in a call.
            truncation: as in a call.
            max_length: as in a call.
            stride: tokens that ``overflowing_tokens`` repeats from those that stay.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_tensors: as in a call.
            return_token_type_ids: as in a call.
            return_attention_mask: as in a call.
            return_overflowing_tokens: add ``overflowing_tokens``, the ids that were cut off, and
                ``num_truncated_tokens``, how many they are; not for a pair that is cut ``"longest_first"``.
            return_special_tokens_mask: as in a call.
            return_length: add ``length``.
            verbose: as in a call.
            prepend_batch_axis: add a first axis of size 1 to tensors.

        Raises:
            InputError: as in a call.
        """
        strategy, limit = self._cut(truncation, max_length, padding)
        special = self.num_special_tokens_to_add(pair_ids is not None) if add_special_tokens else 0
        columns: dict[str, Any] = {}
        n_cut = max(0, len(ids) + len(pair_ids or ()) + special - limit) if strategy else 0
        ids, pair_ids, overflow = self.truncate_sequences(ids, pair_ids, n_cut, strategy or "longest_first", stride)
        if return_overflowing_tokens:
            if pair_ids is not None and strategy == "longest_first":
                raise InputError("A pair that is cut 'longest_first' has no single overflow: cut one of its texts.")
            columns = {"overflowing_tokens": overflow, "num_truncated_tokens": n_cut}
        if add_special_tokens:
            columns["input_ids"] = self.build_inputs_with_special_tokens(ids, pair_ids)
        else:
            columns["input_ids"] = [*ids, *(pair_ids or ())]
        if return_token_type_ids or (return_token_type_ids is None and "token_type_ids" in self.model_input_names):
            if add_special_tokens:
                columns["token_type_ids"] = self.create_token_type_ids_from_sequences(ids, pair_ids)
            else:
                columns["token_type_ids"] = [0] * len(ids) + [1] * len(pair_ids or ())
        if return_special_tokens_mask:
            mask = (
                self.get_special_tokens_mask(ids, pair_ids) if add_special_tokens else [0] * len(columns["input_ids"])
            )
            columns["special_tokens_mask"] = mask
        if verbose and strategy is None:
            self._warn_if_too_long(len(columns["input_ids"]))
        names = {"input_ids": self.model_input_names[0]}
        batch = self.pad(
            {names.get(name, name): column for name, column in columns.items()},
            padding,
            max_length,
            pad_to_multiple_of,
            padding_side,
            return_attention_mask,
        )
        if return_length:
            batch["length"] = len(batch[self.model_input_names[0]])
        return batch.convert_to_tensors(return_tensors, prepend_batch_axis)

    def truncate_sequences(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: bool | str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Cut ids by a number of tokens, by the rules of a call.

        Returns:
            The first ids, the second ids or None, and those that were cut off, with ``stride`` of those that stay; none
            for a pair that is cut ``"longest_first"``.

        Raises:
            InputError: the text that may be cut is too short.
        """
        first, second = list(ids), None if pair_ids is None else list(pair_ids)
        strategy = check_strategy(truncation_strategy)
        if num_tokens_to_remove <= 0 or strategy is None:
            return first, second, []
        room = len(first) + len(second or ()) - num_tokens_to_remove
        if room < 0:
            raise InputError(f"num_tokens_to_remove={num_tokens_to_remove} is more than all tokens.")
        n_second = None if second is None else len(second)
        lengths = truncated_lengths(len(first), n_second, Truncation(room, strategy))
        kept_first, cut_first = cut_ids(first, lengths[0], stride, self.truncation_side)
        if second is None:
            return kept_first, None, cut_first
        kept_second, cut_second = cut_ids(second, lengths[1], stride, self.truncation_side)
        overflow = {"only_first": cut_first, "only_second": cut_second}.get(strategy, [])
        return kept_first, kept_second, overflow

    # ---- Ids to text ----

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
        **others: Any,
    ) -> Any:
        """Return the text of one sequence of ids, or the texts of a batch.

        Args:
            token_ids: one id, or a list, array or tensor of ids with one axis; for a batch with two. Ids without a
                token are left out.
            skip_special_tokens: leave out ``[CLS]``, ``[SEP]``, ``[PAD]`` and the like.
            clean_up_tokenization_spaces: also join ``n't``, ``'s`` and the like where they are several tokens; None
                means what the tokenizer's files say, by default no.
            spaces_between_special_tokens: False sets no space around added tokens.
            others: arguments known from transformers, which docs/transformers.md lists.

        Raises:
            InputError: an id is negative or not an integer.
        """
        DECODING.check(others, "decode")
        ids = to_lists(token_ids)
        options = (skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens)
        if isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], (list, tuple)):
            return [self.decode(row, *options) for row in ids]
        ids = as_ids(ids, "decode")
        for token_id in ids:
            if token_id < 0:
                raise InputError(
                    f"decode got the id {token_id}. Replace label masks such as -100 by pad_token_id first."
                )
        skipped = self._special_ids if skip_special_tokens else ()
        tokens = [self._tokens[i] for i in ids if i in self._tokens and i not in skipped]
        if spaces_between_special_tokens:
            text = self.convert_tokens_to_string(tokens)
        else:
            added = {token.content for token in self.spec.added_tokens.values()}
            runs = groupby(tokens, lambda token: token if token in added else None)
            text = "".join("".join(run) if token else self.convert_tokens_to_string([*run]) for token, run in runs)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.spec.clean_up_tokenization_spaces
        return clean_up_spaces(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
        **others: Any,
    ) -> list[str]:
        """Return the texts of a list of sequences, or of an array or tensor with two axes; arguments as ``decode``."""
        options = (skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens)
        return [self.decode(row, *options, **others) for row in to_lists(sequences)]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text."""
        decoder = self.spec.components.get("decoder", DECODER)
        if decoder is None:
            return " ".join(tokens)
        return join_tokens(tokens, clean_up=decoder.get("cleanup", True))

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces before ``n't``, ``'s`` and the like, where these consist of several tokens."""
        return clean_up_spaces(out_string)

    # ---- Padding ----

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | None = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad inputs that are tokenized already; collators call this.

        Args:
            encoded_inputs: a dict of columns (one row or many), or a list of dicts of one row each; the values may be
                lists, arrays or tensors. Columns that a tokenizer does not make stay as they are.
            padding: as in a call.
            max_length: as in a call.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: add ``attention_mask`` if it is missing; None means yes.
            return_tensors: as in a call; None returns tensors if the ids are tensors, else lists.
            verbose: has no effect; accepted because code written for transformers passes it.

        Raises:
            InputError: there is no ``input_ids`` column, rows or columns do not fit together, or a column cannot become
                a tensor.
            TokenizerError: ``padding_side`` has an unknown value.
        """
        ids_name = self.model_input_names[0]
        columns, is_single = as_columns(encoded_inputs, ids_name)
        if return_tensors is None:
            return_tensors = tensor_type_of(encoded_inputs, ids_name)
        rows = columns[ids_name]
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        if return_attention_mask and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * len(row) for row in rows]
        strategy = check_padding(padding)
        if strategy:
            limit = self.model_max_length if max_length is None else max_length
            strategy = "longest" if limit > NO_LIMIT else strategy
            length = padded_length([len(row) for row in rows], strategy, limit, pad_to_multiple_of)
            pad_values = {**PAD_VALUES, ids_name: self._pad_id() if any(len(row) < length for row in rows) else 0}
            side = self.padding_side if padding_side is None else padding_side
            check_side("padding_side", side)
            pad_columns(columns, pad_values, ids_name, length, side)
        if is_single:
            columns = {name: column[0] for name, column in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)

    def _pad_id(self) -> int:
        if self.pad_token is None:
            raise InputError(
                "Padding needs a pad_token, and the tokenizer has none. Set it to a token of the vocabulary: "
                "tokenizer.pad_token = '[PAD]', or add one: tokenizer.add_special_tokens({'pad_token': '[PAD]'})."
            )
        pad_id: int = self.pad_token_id
        return pad_id

    def _pad_encodings(self, encodings: Sequence[Any], length: int, side: str | None) -> None:
        side = self.padding_side if side is None else side
        check_side("padding_side", side)
        pad_id, pad_token = self._pad_id(), self.pad_token
        for encoding in encodings:
            if len(encoding) < length:
                encoding.pad(length, direction=side, pad_id=pad_id, pad_type_id=0, pad_token=pad_token)

    # ---- Lengths ----

    def _cut(
        self, truncation: bool | str | None, max_length: int | None, padding: bool | str | None
    ) -> tuple[str | None, int]:
        """Return how a call cuts, None for not at all, and to how many tokens."""
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        return check_strategy(truncation), self.model_max_length if max_length is None else max_length

    def _warn_if_too_long(self, longest: int) -> None:
        name = "sequence-length-is-longer-than-the-specified-maximum"
        if longest > self.model_max_length and self.verbose and not self.deprecation_warnings.get(name):
            self.deprecation_warnings[name] = True
            logger.warning(
                "A text has %d tokens, more than the %d that the model takes. Pass truncation=True to cut it, or "
                "return_overflowing_tokens=True with a stride for windows.",
                longest,
                self.model_max_length,
            )
