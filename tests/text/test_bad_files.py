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


def test_an_option_that_cannot_work_names_its_file(tmp_path: Path) -> None:
    write_vocab(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": "many"}')
    with pytest.raises(TokenizerError) as caught:
        load_spec(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    assert str(caught.value) == f"{file}: model_max_length must be a positive integer, got 'many'."
