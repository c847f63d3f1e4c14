"""Folders: written by us and read by others, the other way round, and folders that cannot be read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizers import AddedToken as RustToken
from tokenizers import Tokenizer

from distilbert.text.added_tokens import AddedToken
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.files import load_spec
from distilbert.text.tokenizer import DistilBertTokenizer

from .helpers import CLASSES, SMALL, twins, write_vocab

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


def same(one: Any, two: Any) -> None:
    for text in SENTENCES:
        assert list(one(text)["input_ids"]) == list(two(text)["input_ids"])
    assert one.get_vocab() == two.get_vocab()
    assert one.padding_side == two.padding_side
    assert one.truncation_side == two.truncation_side
    assert one.mask_token_id == two.mask_token_id
    ids = one.encode(SENTENCES[1])
    assert one.decode(ids) == two.decode(ids)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cls", CLASSES)
def test_round_trip_and_transformers(cls: type[Any], name: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertTokenizer

    ours = cls(vocab=SMALL, **VARIANTS[name])
    paths = ours.save_pretrained(tmp_path)
    assert [Path(path).name for path in paths] == [
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(path).name for path in paths)
    for other in CLASSES:
        again = other.from_pretrained(tmp_path)
        same(again, ours)
        assert again.spec == ours.spec
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "DistilBertTokenizer"
    same(theirs, ours)
    assert theirs.model_max_length == ours.model_max_length
    assert theirs.model_input_names == ours.model_input_names
    same(BertTokenizer.from_pretrained(tmp_path), ours)
    raw = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert raw.encode(SENTENCES[1]).ids == ours(SENTENCES[1])["input_ids"]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "never split"])
@pytest.mark.parametrize("cls", CLASSES)
def test_folders_of_transformers(cls: type[Any], name: str, tmp_path: Path) -> None:
    from transformers import DistilBertTokenizer as Theirs

    options = dict(VARIANTS[name])
    added = options.pop("added_tokens", [])
    if "mask_token" in options:
        options["mask_token"] = RustToken("[MASK]", lstrip=True, special=True, normalized=False)
    theirs = Theirs(vocab={entry: index for index, entry in enumerate(SMALL)}, **options)
    for token in added:
        theirs.add_tokens([token if isinstance(token, str) else RustToken(token.content, lstrip=token.lstrip)])
    theirs.save_pretrained(tmp_path)
    ours = cls.from_pretrained(tmp_path)
    same(ours, theirs)
    assert ours.spec.clean_up_tokenization_spaces == theirs.clean_up_tokenization_spaces


@pytest.mark.parametrize("cls", CLASSES)
def test_a_vocabulary_alone(cls: type[Any], tmp_path: Path) -> None:
    write_vocab(tmp_path)
    ours = cls.from_pretrained(tmp_path, do_lower_case=False)
    assert ours.model_max_length == 512
    assert ours.tokenize("Foo") == ["Foo"]
    same(ours, cls(tmp_path / "vocab.txt", do_lower_case=False))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_tokenizer_json_alone(cls: type[Any], tmp_path: Path) -> None:
    cased = cls(vocab=SMALL, do_lower_case=False)
    cased.save_pretrained(tmp_path)
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    same(cls.from_pretrained(tmp_path), cased)
    same(cls(tokenizer_file=tmp_path / "tokenizer.json"), cased)
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
    assert spec.special["mask_token"] == "do"
    assert spec.extra == {"finetuned_on": "sst2"}
    tokenizer = DistilBertTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer("Foo <b><a>")["input_ids"] == [2, 70, 98, 97, 3]
    assert tokenizer("a", padding="max_length", truncation=True)["input_ids"] == [2, 5, 3]
    assert json.loads(Path(tokenizer.save_pretrained(tmp_path)[2]).read_text())["finetuned_on"] == "sst2"


def test_stored_truncation_and_padding_are_not_applied(tmp_path: Path) -> None:
    _, fast = twins()
    backend = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    backend.enable_truncation(4)
    backend.enable_padding(length=4)
    backend.save(str(tmp_path / "tokenizer.json"))
    for cls in CLASSES:
        assert cls.from_pretrained(tmp_path)("a b c d")["input_ids"] == [2, 5, 6, 7, 8, 3]
        assert cls.from_pretrained(tmp_path)("a")["input_ids"] == [2, 5, 3]


def test_values_of_the_config_win(tmp_path: Path) -> None:
    DistilBertTokenizer(vocab=SMALL).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "do_lower_case": False}))
    for cls in CLASSES:
        assert cls.from_pretrained(tmp_path).tokenize("Foo") == ["Foo"]
        assert cls.from_pretrained(tmp_path, do_lower_case=True).tokenize("Foo") == ["f", "##o", "##o"]


def test_line_ends_and_marks_of_other_systems(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(SMALL).encode() + b"\r\n\r\n")
    assert list(load_spec(tmp_path).vocab) == SMALL


def test_save_vocabulary(tmp_path: Path) -> None:
    (path,) = DistilBertTokenizer(vocab=SMALL).save_vocabulary(tmp_path / "new", "small")
    assert Path(path).name == "small-vocab.txt"
    assert DistilBertTokenizer(path).get_vocab() == DistilBertTokenizer(vocab=SMALL).get_vocab()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_hub_is_asked_for_names_that_are_no_folder(
    cls: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    hub = ModuleType("distilbert.core.hub")

    def resolve(name: str, **options: Any) -> Path:
        calls.append((name, options))
        return tmp_path

    def push(folder: Path, repo_id: str, **options: Any) -> str:
        calls.append((sorted(path.name for path in folder.iterdir()), repo_id, options))
        return "done"

    hub.resolve, hub.push = resolve, push  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distilbert.core.hub", hub)
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
    assert tokenizer.push_to_hub("me/mine", private=True) == "done"
    assert calls[1] == (
        ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"],
        "me/mine",
        {"private": True},
    )


def test_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write_vocab(tmp_path / "inner")
    assert len(DistilBertTokenizer.from_pretrained(tmp_path, subfolder="inner")) == 97
