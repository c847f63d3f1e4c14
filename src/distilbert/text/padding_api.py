"""``pad``: filling up inputs that are tokenized already."""

from __future__ import annotations

from typing import Any

from .batch_encoding import BatchEncoding
from .padding import NO_LIMIT, as_rows, check_padding, fill_columns, target_length
from .spec import check_side
from .vocabulary import VocabularyAPI


class PaddingAPI(VocabularyAPI):
    """``pad``, the method that collators call."""

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
        """Pad inputs that are tokenized already, as collators do.

        Args:
            encoded_inputs: a dict of columns (one row or many), or a list of dicts of one row each; values may be
                lists, arrays or tensors. Columns other than the tokenizer's own pass through.
            padding: as in a call.
            max_length: as in a call.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: add ``attention_mask`` where it is missing; None means yes.
            return_tensors: as in a call.
            verbose: accepted for callers written for transformers; there is nothing to warn about.

        Raises:
            InputError: there is no ``input_ids`` column, or the rows cannot become a tensor.
        """
        name = self.model_input_names[0]
        columns, is_single = as_rows(encoded_inputs, name)
        rows = columns[name]
        wants_mask = return_attention_mask is None and "attention_mask" in self.model_input_names
        if (return_attention_mask or wants_mask) and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * len(row) for row in rows]
        kind = check_padding(padding)
        if kind:
            limit = self.model_max_length if max_length is None else max_length
            kind = "longest" if limit > NO_LIMIT else kind
            length = target_length([len(row) for row in rows], kind, limit, pad_to_multiple_of)
            fills = {
                "attention_mask": 0,
                "token_type_ids": 0,
                "special_tokens_mask": 1,
                "offset_mapping": (0, 0),
                name: self.pad_token_id,
            }
            side = self.padding_side if padding_side is None else padding_side
            check_side("padding_side", side)
            fill_columns(columns, fills, name, length, side)
        if is_single and return_tensors is None:
            columns = {key: column[0] for key, column in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)
