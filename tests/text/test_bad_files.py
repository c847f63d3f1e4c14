"""Folders and vocabularies that cannot be read, and the messages of their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from distilbert.core.errors import TokenizerError, UnknownArgumentError
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.text.tokenizer_files import load_spec

from .helpers import write_vocab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"[UNK]\n\na\n", "Line 2 .* is blank"),
        (b"[UNK]\na\nb\na\n", "Line 4 .* repeats 'a' of line 2"),
        (b"[UNK]\n\xff\n", "is not UTF-8: invalid start byte at byte 6"),
        (b"a\n[unk]\n", r"has no '\[UNK\]'.*unk_token="),
    ],
)
def test_vocabularies_that_cannot_be_used(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        DistilBertTokenizer.from_pretrained(tmp_path)


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"neither a vocab.txt nor a tokenizer.json"):
        load_spec(tmp_path)
    (tmp_path / "tokenizer.json").write_text(Tokenizer(models.BPE()).to_str())
    with pytest.raises(TokenizerError, match="its model is 'BPE', expected 'WordPiece'"):
        load_spec(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(TokenizerError, match=r"not valid JSON.*Is the file complete"):
        load_spec(tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(TokenizerError, match="must hold a JSON object, but holds a list"):
        load_spec(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    write_vocab(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    with pytest.raises(TokenizerError, match="tokenizer_class 'XLNetTokenizer', which is not BERT's WordPiece"):
        load_spec(tmp_path)
    with pytest.raises(TokenizerError, match="is a file; from_pretrained takes its folder"):
        DistilBertTokenizer.from_pretrained(tmp_path / "vocab.txt")
    with pytest.raises(UnknownArgumentError, match=r"'do_lowercase'. Did you mean 'do_lower_case'"):
        DistilBertTokenizer.from_pretrained(tmp_path, do_lowercase=True)


def test_ids_with_gaps(tmp_path: Path) -> None:
    write_vocab(tmp_path)
    (tmp_path / "added_tokens.json").write_text('{"<a>": 99}')
    with pytest.raises(TokenizerError, match=r"'<a>' has id 99.*numbered on from 97 without a gap"):
        load_spec(tmp_path)
    with pytest.raises(TokenizerError, match="'a' and 'b' both have id 1"):
        DistilBertTokenizer(vocab={"[UNK]": 0, "a": 1, "b": 1})
    with pytest.raises(TokenizerError, match="no entry has id 1"):
        DistilBertTokenizer(vocab={"[UNK]": 0, "a": 2})
