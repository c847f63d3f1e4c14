"""Vocabularies with gaps, duplicate and blank lines load as in transformers, and the log says what is unusual."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import TokenizerError
from distilbert.text.added_tokens import AddedToken
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.text.tokenizer_files import load_spec

from .helpers import CLASSES, SPECIAL_TOKENS

ENTRIES = [*SPECIAL_TOKENS, "the", "cafe", "##s", "!", "a", "b", "##b", "foo"]
TEXT = "The Cafés! foo-b [MASK] <a> foob 中 a_b it's"

# The ids are those of DistilBertTokenizer and DistilBertTokenizerFast in transformers 4.57.6 and 5.23.0.
VOCAB_FILES: dict[str, tuple[list[str], list[int]]] = {
    "duplicate": (
        [*ENTRIES[:7], "the", *ENTRIES[7:]],
        [2, 7, 6, 8, 9, 13, 1, 11, 4, 1, 10, 1, 13, 12, 1, 10, 1, 11, 1, 1, 1, 3],
    ),
    "blank": (
        [*ENTRIES[:7], "", *ENTRIES[7:]],
        [2, 5, 6, 8, 9, 13, 1, 11, 4, 1, 10, 1, 13, 12, 1, 10, 1, 11, 1, 1, 1, 3],
    ),
    "two blank": (
        [*ENTRIES[:7], "", "", *ENTRIES[7:]],
        [2, 5, 6, 9, 10, 14, 1, 12, 4, 1, 11, 1, 14, 13, 1, 11, 1, 12, 1, 1, 1, 3],
    ),
    "spaces": (
        [*ENTRIES[:7], "x y ", "  ", *ENTRIES[7:]],
        [2, 5, 6, 9, 10, 14, 1, 12, 4, 1, 11, 1, 14, 13, 1, 11, 1, 12, 1, 1, 1, 3],
    ),
    "duplicate and no [MASK]": (
        [*ENTRIES[:4], "the", *ENTRIES[5:]],
        [2, 5, 6, 7, 8, 12, 1, 10, 12, 1, 9, 1, 12, 11, 1, 9, 1, 10, 1, 1, 1, 3],
    ),
}
GAP = {entry: index if index < 9 else index + 5 for index, entry in enumerate(ENTRIES)}


@pytest.mark.parametrize("name", VOCAB_FILES)
@pytest.mark.parametrize("cls", CLASSES)
def test_unusual_lines(cls: type[Any], name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines, ids = VOCAB_FILES[name]
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = cls.from_pretrained(tmp_path)
    assert [record.levelname for record in caplog.records] == ([] if name == "spaces" else ["WARNING"])
    assert tokenizer(TEXT).input_ids == tokenizer.encode_ids([TEXT])[0] == ids
    tokenizer.save_pretrained(tmp_path / "saved")
    for other in CLASSES:
        assert other.from_pretrained(tmp_path / "saved")(TEXT).input_ids == ids
        if "no [MASK]" not in name:  # a vocab.txt cannot say that [MASK] shares an id
            assert other(tmp_path / "saved" / "vocab.txt")(TEXT).input_ids == ids


def test_the_log_says_which_lines_are_unusual(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\na\nb\na\n\nb\n")
    load_spec(tmp_path)
    (message,) = caplog.messages
    assert message.endswith(
        "has 3 unusual lines; the first: line 4 repeats 'a' of line 2, so its id is 3 and no text gets id 1."
    )


@pytest.mark.parametrize("cls", CLASSES)
def test_a_dict_with_gaps(cls: type[Any], caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = cls(vocab=GAP)
    assert caplog.messages == ["The ids of vocab= are not 0 to 12, each once: no entry has id 9."]
    ids = [2, 5, 6, 7, 8, 17, 1, 15, 4, 1, 14, 1, 17, 16, 1, 14, 1, 15, 1, 1, 1, 3]
    assert tokenizer(TEXT).input_ids == ids
    assert tokenizer.decode([5, 10, 17], skip_special_tokens=True) == "the foo"
    assert tokenizer.convert_ids_to_tokens([5, 10, 17]) == ["the", "[UNK]", "foo"]
    assert (len(tokenizer), tokenizer.vocab_size) == (18, 13)
    # As in the Rust library, new tokens are counted from the number of entries.
    assert tokenizer.add_tokens(["zz", "yy"]) == 2
    assert tokenizer.convert_tokens_to_ids(["zz", "yy"]) == [13, 14]
    assert tokenizer("zz yy a").input_ids == [2, 13, 14, 14, 3]
    assert tokenizer.decode([14]) == "yy"
    with pytest.raises(TokenizerError, match="The added tokens 'yy' and 'a' would share the id 14"):
        tokenizer.add_tokens(["a"])


@pytest.mark.parametrize("cls", CLASSES)
def test_two_entries_with_one_id(cls: type[Any], caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = cls(vocab={**GAP, "b": 14})
    assert "'a' and 'b' both have id 14" in caplog.text
    assert tokenizer("a b", add_special_tokens=False).input_ids == [14, 14]
    assert tokenizer.decode([14]) == "b"


@pytest.mark.parametrize("file", ["added_tokens.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("cls", CLASSES)
def test_added_tokens_with_a_gap_are_numbered_on(
    cls: type[Any], file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    DistilBertTokenizer(vocab=ENTRIES).save_pretrained(tmp_path)
    token = {"id": 20, **AddedToken("<a>", normalized=False).to_dict()}
    if file == "tokenizer.json":
        content = json.loads((tmp_path / file).read_text())
        (tmp_path / file).write_text(json.dumps({**content, "added_tokens": [*content["added_tokens"], token]}))
    else:
        (tmp_path / "tokenizer.json").unlink()
        (tmp_path / file).write_text(
            json.dumps({"<a>": 20} if file == "added_tokens.json" else {"added_tokens_decoder": {"20": token}})
        )
    tokenizer = cls.from_pretrained(tmp_path)
    assert tokenizer("a <a>").input_ids == [2, 9, 13, 3]
    assert "1 added tokens get other ids than the files say" in caplog.text
    assert "the first: '<a>' has 13, not 20." in caplog.text


@pytest.mark.parametrize("vocab", [{"[UNK]": 0, "a": -1}, {"[UNK]": 0, "a": 10**9}])
@pytest.mark.parametrize("cls", CLASSES)
def test_ids_out_of_range(cls: type[Any], vocab: dict[str, int]) -> None:
    with pytest.raises(TokenizerError, match=r"'a' has the id .*; ids must be 0 to 9999999"):
        cls(vocab=vocab)


COMPONENTS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "whitespace": (
        {"pre_tokenizer": {"type": "Whitespace"}},
        [2, 5, 6, 7, 8, 12, 1, 10, 4, 1, 9, 1, 12, 11, 1, 1, 1, 1, 1, 3],
    ),
    "whitespace split": ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, [2, 5, 1, 1, 4, 1, 12, 11, 1, 1, 1, 3]),
    "no pre-tokenizer": ({"pre_tokenizer": None}, [2, 1, 4, 1, 3]),
    "punctuation": (
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}],
            }
        },
        [2, 5, 6, 7, 8, 12, 1, 10, 4, 1, 9, 1, 12, 11, 1, 9, 1, 10, 1, 1, 1, 3],
    ),
    "sequence of normalizers": (
        {
            "normalizer": {
                "type": "Sequence",
                "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}],
            }
        },
        [2, 5, 6, 7, 8, 12, 1, 10, 4, 1, 9, 1, 12, 11, 1, 9, 1, 10, 1, 1, 1, 3],
    ),
    "accents stay": (
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}},
        [2, 5, 1, 8, 12, 1, 10, 4, 1, 9, 1, 12, 11, 1, 9, 1, 10, 1, 1, 1, 3],
    ),
    "no normalizer": (
        {"normalizer": None},
        [2, 1, 1, 8, 12, 1, 10, 4, 1, 9, 1, 12, 11, 1, 9, 1, 10, 1, 1, 1, 3],
    ),
}


def write_tokenizer_json(folder: Path, **changes: Any) -> None:
    DistilBertTokenizer(vocab=ENTRIES).save_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    model = changes.pop("model", {})
    content |= {**changes, "model": {**content["model"], **model}}
    (folder / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_fast_class_runs_the_components_of_the_file(name: str, tmp_path: Path) -> None:
    changes, ids = COMPONENTS[name]
    write_tokenizer_json(tmp_path, **changes)
    tokenizer = DistilBertTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer(TEXT).input_ids == tokenizer.encode_ids([TEXT])[0] == ids
    assert tokenizer("the a", "b").input_ids == tokenizer.encode_ids(["the a"], ["b"])[0]
    tokenizer.save_pretrained(tmp_path / "saved")
    assert DistilBertTokenizerFast.from_pretrained(tmp_path / "saved")(TEXT).input_ids == ids
    kind = next(iter(changes))
    with pytest.raises(TokenizerError, match=rf"has the {kind} .*, which DistilBertTokenizer does not run"):
        DistilBertTokenizer.from_pretrained(tmp_path)


def test_options_that_the_components_of_the_file_decide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tokenizer_json(tmp_path, **COMPONENTS["no normalizer"][0])
    tokenizer = DistilBertTokenizerFast.from_pretrained(tmp_path, do_lower_case=True)
    assert caplog.messages == ["do_lower_case has no effect: tokenizer.json brings its own normalizer."]
    assert tokenizer.do_lower_case is False


@pytest.mark.parametrize("cls", CLASSES)
def test_another_limit_of_characters(cls: type[Any], tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, model={"max_input_chars_per_word": 3})
    tokenizer = cls.from_pretrained(tmp_path)
    ids = [2, 5, 1, 8, 12, 1, 10, 4, 1, 9, 1, 1, 1, 9, 1, 10, 1, 1, 1, 3]
    assert tokenizer(TEXT).input_ids == tokenizer.encode_ids([TEXT])[0] == ids
    write_tokenizer_json(tmp_path, model={"max_input_chars_per_word": 10**9})
    with pytest.raises(TokenizerError, match=r"max_input_chars_per_word=1000000000; it must be 1 to 1000"):
        cls.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("decoder", "text"),
    [
        (None, "[CLS] the cafe ##s ! foo [SEP]"),
        ({"type": "WordPiece", "prefix": "##", "cleanup": False}, "[CLS] the cafes ! foo [SEP]"),
        ({"type": "WordPiece", "prefix": "##", "cleanup": True}, "[CLS] the cafes! foo [SEP]"),
    ],
)
@pytest.mark.parametrize("cls", CLASSES)
def test_the_decoder_of_the_file(cls: type[Any], decoder: Any, text: str, tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, decoder=decoder)
    tokenizer = cls.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer("The cafés! foo").input_ids) == text


@pytest.mark.parametrize("cls", CLASSES)
def test_post_processors(cls: type[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    for post_processor in (bert, None):
        write_tokenizer_json(tmp_path, post_processor=post_processor)
        assert cls.from_pretrained(tmp_path)("a", "b").input_ids == [2, 9, 3, 10, 3]
    assert "has no post_processor" in caplog.text
    for post_processor, message in (
        ({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "post_processor is 'RobertaProcess"),
        ({**bert, "cls": ["[CLS]", 7]}, r"says \[7\] for '\[CLS\]', the vocabulary says 2"),
    ):
        write_tokenizer_json(tmp_path, post_processor=post_processor)
        with pytest.raises(TokenizerError, match=message):
            cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("changes", [{"pre_tokenizer": {"type": "ByteLevel"}}, {"normalizer": {"type": "Precompiled"}}])
@pytest.mark.parametrize("cls", CLASSES)
def test_components_that_are_not_of_a_bert(cls: type[Any], changes: dict[str, Any], tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, **changes)
    with pytest.raises(TokenizerError, match=f"its {next(iter(changes))} is '(ByteLevel|Precompiled)', expected 'Bert"):
        cls.from_pretrained(tmp_path)
