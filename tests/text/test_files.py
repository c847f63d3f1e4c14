"""Tokenizer folders: those we write and others read, those others write and we read, and the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken as RustToken
from tokenizers import Tokenizer

from distilbert.core import hub
from distilbert.text import tokenizer_base, tokenizer_files
from distilbert.text.added_tokens import AddedToken
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.text.tokenizer_files import load_spec

from .helpers import CLASSES, SMALL_VOCAB, both_tokenizers, write_vocab

SENTENCES = ["The cafés, playing!", "Foo [MASK] foo 中 <x> É", "a\0b don't", "NEW new"]
VARIANTS: dict[str, dict[str, Any]] = {
    "uncased": {},
    "cased": {"do_lower_case": False, "model_max_length": 128, "padding_side": "left", "truncation_side": "left"},
    "accents": {"strip_accents": False, "tokenize_chinese_chars": False, "clean_up_tokenization_spaces": True},
    "added": {
        "added_tokens": ["new", AddedToken("<x>", lstrip=True)],
        "additional_special_tokens": ["[Q]"],
        "mask_token": AddedToken("[MASK]", lstrip=True, special=True),
    },
    "never split": {"never_split": ["Foo"]},
}


def assert_same(actual: Any, expected: Any) -> None:
    for text in SENTENCES:
        assert list(actual(text)["input_ids"]) == list(expected(text)["input_ids"])
    assert actual.get_vocab() == expected.get_vocab()
    assert actual.padding_side == expected.padding_side
    assert actual.truncation_side == expected.truncation_side
    assert actual.mask_token_id == expected.mask_token_id
    ids = actual.encode(SENTENCES[1])
    assert actual.decode(ids) == expected.decode(ids)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cls", CLASSES)
def test_a_saved_folder_loads_here_and_in_transformers(cls: type[Any], name: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertTokenizer

    tokenizer = cls(vocab=SMALL_VOCAB, **VARIANTS[name])
    paths = tokenizer.save_pretrained(tmp_path)
    assert [Path(path).name for path in paths] == [
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(path).name for path in paths)
    for other in CLASSES:
        loaded = other.from_pretrained(tmp_path)
        assert_same(loaded, tokenizer)
        assert loaded.spec == tokenizer.spec
    reference = AutoTokenizer.from_pretrained(tmp_path)
    assert type(reference).__name__ == "DistilBertTokenizer"
    assert_same(reference, tokenizer)
    assert reference.model_max_length == tokenizer.model_max_length
    assert reference.model_input_names == tokenizer.model_input_names
    assert_same(BertTokenizer.from_pretrained(tmp_path), tokenizer)
    rust = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert rust.encode(SENTENCES[1]).ids == tokenizer(SENTENCES[1])["input_ids"]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "never split"])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_folder_that_transformers_saved(cls: type[Any], name: str, tmp_path: Path) -> None:
    import transformers

    options = dict(VARIANTS[name])
    added = options.pop("added_tokens", [])
    if "mask_token" in options:
        options["mask_token"] = RustToken("[MASK]", lstrip=True, special=True, normalized=False)
    reference = transformers.DistilBertTokenizer(
        vocab={entry: index for index, entry in enumerate(SMALL_VOCAB)}, **options
    )
    for token in added:
        reference.add_tokens([token if isinstance(token, str) else RustToken(token.content, lstrip=token.lstrip)])
    reference.save_pretrained(tmp_path)
    tokenizer = cls.from_pretrained(tmp_path)
    assert_same(tokenizer, reference)
    assert tokenizer.spec.clean_up_tokenization_spaces == reference.clean_up_tokenization_spaces


@pytest.mark.parametrize("cls", CLASSES)
def test_a_folder_with_only_a_vocabulary(cls: type[Any], tmp_path: Path) -> None:
    write_vocab(tmp_path)
    tokenizer = cls.from_pretrained(tmp_path, do_lower_case=False)
    assert tokenizer.model_max_length == 512
    assert tokenizer.tokenize("Foo") == ["Foo"]
    assert_same(tokenizer, cls(tmp_path / "vocab.txt", do_lower_case=False))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_folder_with_only_a_tokenizer_json(cls: type[Any], tmp_path: Path) -> None:
    cased = cls(vocab=SMALL_VOCAB, do_lower_case=False)
    cased.save_pretrained(tmp_path)
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    assert_same(cls.from_pretrained(tmp_path), cased)
    assert_same(cls(tokenizer_file=tmp_path / "tokenizer.json"), cased)
    lower = cls(tokenizer_file=tmp_path / "tokenizer.json", do_lower_case=True)
    assert lower.tokenize("Foo") == ["f", "##o", "##o"]


def test_an_old_folder(tmp_path: Path) -> None:
    write_vocab(tmp_path)
    config = {
        "do_lower_case": False,
        "tokenizer_class": "BertTokenizer",
        "model_max_length": int(1e30),
        "name_or_path": "/somewhere/else",
        "unk_token": {"content": "[UNK]", "__type": "AddedToken", "normalized": True},
        "special_tokens_map_file": None,
        "finetuned_on": "sst2",
        "never_split": None,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"mask_token": "do", "cls_token": "[CLS]"}))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<b>": 98, "<a>": 97}))
    spec = load_spec(tmp_path)
    assert spec.special_tokens["mask_token"] == "do"
    assert spec.other_config == {"finetuned_on": "sst2"}
    tokenizer = DistilBertTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer("Foo <b><a>")["input_ids"] == [2, 70, 98, 97, 3]
    assert tokenizer("a", padding="max_length", truncation=True)["input_ids"] == [2, 5, 3]
    assert json.loads(Path(tokenizer.save_pretrained(tmp_path)[2]).read_text())["finetuned_on"] == "sst2"


def test_stored_truncation_and_padding_are_ignored(tmp_path: Path) -> None:
    _, fast = both_tokenizers()
    backend = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    backend.save(str(tmp_path / "tokenizer.json"))
    for cls in CLASSES:
        assert cls.from_pretrained(tmp_path)("a b c d")["input_ids"] == [2, 5, 6, 7, 8, 3]
        assert cls.from_pretrained(tmp_path)("a")["input_ids"] == [2, 5, 3]


def test_the_config_wins_over_tokenizer_json(tmp_path: Path) -> None:
    DistilBertTokenizer(vocab=SMALL_VOCAB).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "do_lower_case": False}))
    for cls in CLASSES:
        assert cls.from_pretrained(tmp_path).tokenize("Foo") == ["Foo"]
        assert cls.from_pretrained(tmp_path, do_lower_case=True).tokenize("Foo") == ["f", "##o", "##o"]


def test_a_vocabulary_with_line_ends_and_byte_order_mark_of_windows(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(SMALL_VOCAB).encode() + b"\r\n\r\n")
    assert list(load_spec(tmp_path).vocab) == SMALL_VOCAB


@pytest.mark.parametrize("cls", CLASSES)
def test_no_file_of_an_earlier_tokenizer_stays(cls: type[Any], tmp_path: Path) -> None:
    first = cls(vocab=SMALL_VOCAB, chat_template={"default": "{{ messages }}", "rag": "{{ documents }}"})
    second = cls(vocab=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x", "y"])
    for legacy_format in (True, False, None):
        folder = tmp_path / str(legacy_format)
        kept = [Path(path).name for path in first.save_pretrained(folder, filename_prefix="kept")]
        first.save_pretrained(folder)
        (folder / "added_tokens.json").write_text('{"<x>": 97}')
        (folder / "config.json").write_text("{}")
        written = [Path(path).name for path in second.save_pretrained(folder, legacy_format=legacy_format)]
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert names == {*written, *kept, "config.json"}
        assert cls.from_pretrained(folder).spec == second.spec


def test_earlier_files_go_only_when_the_new_ones_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = DistilBertTokenizer(vocab=SMALL_VOCAB, chat_template="{{ messages }}")
    before = set(tokenizer.save_pretrained(tmp_path, legacy_format=False))
    write_text = tokenizer_files.write_text

    def fill_the_disk_before_the_template(path: Path, text: str) -> None:
        if path.suffix == ".jinja":
            raise OSError("the disk is full")
        write_text(path, text)

    monkeypatch.setattr(tokenizer_files, "write_text", fill_the_disk_before_the_template)
    with pytest.raises(OSError, match="the disk is full"):
        tokenizer.save_pretrained(tmp_path, legacy_format=True)
    assert before <= {str(path) for path in tmp_path.iterdir()}


def test_save_vocabulary(tmp_path: Path) -> None:
    (path,) = DistilBertTokenizer(vocab=SMALL_VOCAB).save_vocabulary(tmp_path / "new", "small")
    assert Path(path).name == "small-vocab.txt"
    assert DistilBertTokenizer(path).get_vocab() == DistilBertTokenizer(vocab=SMALL_VOCAB).get_vocab()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_hub_is_asked_for_names_that_are_not_folders(
    cls: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def resolve(name: str, **options: Any) -> Path:
        calls.append((name, options))
        return tmp_path

    def push(folder: Path, repo_id: str, **options: Any) -> str:
        calls.append((sorted(path.name for path in folder.iterdir()), repo_id, options))
        return "done"

    monkeypatch.setattr(tokenizer_base, "resolve", resolve)
    monkeypatch.setattr(hub, "push", push)
    write_vocab(tmp_path)
    tokenizer = cls.from_pretrained("someone/some-model", revision="v1", do_lower_case=False)
    assert tokenizer.name_or_path == "someone/some-model"
    assert tokenizer.tokenize("Foo") == ["Foo"]
    name, options = calls[0]
    assert (name, options.pop("kind"), options.pop("revision")) == ("someone/some-model", "tokenizer", "v1")
    assert options == {
        "cache_dir": None,
        "token": None,
        "local_files_only": False,
        "force_download": False,
        "subfolder": "",
    }
    assert tokenizer.push_to_hub("me/model", private=True) == "done"
    assert calls[1] == (
        ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"],
        "me/model",
        {"private": True},
    )


def test_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write_vocab(tmp_path / "inner")
    assert len(DistilBertTokenizer.from_pretrained(tmp_path, subfolder="inner")) == 97
