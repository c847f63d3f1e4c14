"""Tokenizers of other libraries as tokenizers of this package."""

from __future__ import annotations

import tempfile
from typing import Any

from ..core.errors import InputError
from ..models.auto import AutoTokenizer


def is_tokenizer(value: Any) -> bool:
    """Whether ``value`` is a tokenizer, of this package or of transformers."""
    return hasattr(value, "convert_tokens_to_ids") and hasattr(value, "save_pretrained")


def to_task_tokenizer(tokenizer: Any) -> Any:
    """Return a tokenizer that tasks can use.

    Args:
        tokenizer: one of this package stays as it is. One of transformers is written to a temporary folder and read
            from there, with its vocabulary, options and added tokens; later changes of it are not seen.

    Raises:
        InputError: it is something else.
        TokenizerError: it is no WordPiece tokenizer like BERT's.
    """
    if hasattr(tokenizer, "encode_ids") and hasattr(tokenizer, "encode_batch"):
        return tokenizer
    if not is_tokenizer(tokenizer):
        raise InputError(f"tokenizer must be a tokenizer, or the folder or name of one, got {tokenizer!r:.80}.")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        converted = AutoTokenizer.from_pretrained(folder, use_fast=bool(getattr(tokenizer, "is_fast", True)))
    converted.name_or_path = getattr(tokenizer, "name_or_path", "")
    converted.truncation_side = getattr(tokenizer, "truncation_side", "right")  # not saved if it was set later
    return converted
