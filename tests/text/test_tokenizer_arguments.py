"""Arguments and attributes that code written for transformers uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from distilbert.core import hub
from distilbert.core.errors import InputError, InputTypeError, TokenizerError, UnknownArgumentError
from distilbert.core.known_arguments import ArgumentTable
from distilbert.text import tokenizer_arguments
from distilbert.text.added_tokens import AddedToken
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer

from ..core.test_known_arguments import rows_of_page
from .helpers import CLASSES, SMALL_VOCAB, write_vocab

TABLES = [value for value in vars(tokenizer_arguments).values() if isinstance(value, ArgumentTable)]
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(vocab=SMALL_VOCAB)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.heading)
def test_the_page_and_the_table_agree(table: ArgumentTable) -> None:
    assert rows_of_page(table.heading) == {name: (row.effect, row.why) for name, row in table.rows.items()}


@pytest.mark.parametrize("cls", CLASSES)
def test_loading_takes_the_arguments_of_transformers(cls: type[Any], tmp_path: Path) -> None:
    write_vocab(tmp_path)
    loaded = cls.from_pretrained(
        tmp_path, use_fast=False, trust_remote_code=True, use_auth_token=None, resume_download=True, proxies={},
        add_prefix_space=True, max_len=7, verbose=False, padding_side="left", truncation_side="left",
        model_input_names=["input_ids", "attention_mask", "token_type_ids"], clean_up_tokenization_spaces=True,
        extra_special_tokens=["[Q]"], split_special_tokens=True, eos_token="</s>", chat_template="{{ messages }}",
    )  # fmt: skip
    assert (loaded.model_max_length, loaded.verbose, loaded.padding_side) == (7, False, "left")
    assert loaded.model_input_names[2] == "token_type_ids"
    assert loaded("a", "b").token_type_ids == [0, 0, 0, 1, 1]
    assert (loaded.eos_token, loaded.eos_token_id, loaded.additional_special_tokens) == ("</s>", 97, ["[Q]"])
    assert loaded.clean_up_tokenization_spaces
    assert loaded.chat_template == "{{ messages }}"
    again = cls.from_pretrained(loaded.save_pretrained(tmp_path / "saved") and tmp_path / "saved")
    assert again.spec == loaded.spec
    with pytest.raises(InputError, match=r"does not take max_length=9: give it to the call of the tokenizer"):
        cls.from_pretrained(tmp_path, max_length=9)
    with pytest.raises(UnknownArgumentError, match=rf"{cls.__name__}.from_pretrained .*'use_fats'. .*'use_fast'"):
        cls.from_pretrained(tmp_path, use_fats=True)


def test_named_special_tokens_can_be_unset_and_set(tokenizer: Any) -> None:
    assert tokenizer.bos_token is tokenizer.bos_token_id is tokenizer.eos_token is tokenizer.eos_token_id is None
    for name in NAMES:
        setattr(tokenizer, name, None)
        assert getattr(tokenizer, name) is getattr(tokenizer, f"{name}_id") is None
    assert tokenizer.special_tokens_map == {}
    assert tokenizer("a Ω [MASK]").input_ids == [5, 1, 4]
    assert tokenizer.num_special_tokens_to_add(pair=True) == 0
    assert tokenizer.convert_tokens_to_ids(["a", "nowhere"]) == [5, None]
    with pytest.raises(InputError, match=r"Padding needs a pad_token.*tokenizer.pad_token = "):
        tokenizer(["a", "a b"], padding=True)
    with pytest.raises(InputError, match="Padding needs a pad_token"):
        tokenizer.pad([{"input_ids": [1]}, {"input_ids": [1, 2]}])
    for name in NAMES:
        setattr(tokenizer, f"{name}_id", 59)
        assert (getattr(tokenizer, name), getattr(tokenizer, f"{name}_id")) == ("the", 59)
    assert tokenizer("a", "b").tokens() == ["the", "a", "the", "b", "the"]
    tokenizer.cls_token_id = None
    assert tokenizer("a", "b").tokens() == ["a", "the", "b", "the"]
    assert tokenizer.build_inputs_with_special_tokens([5], [6]) == tokenizer("a", "b").input_ids
    assert tokenizer.get_special_tokens_mask([5], [6]) == [0, 1, 0, 1]
    assert tokenizer.create_token_type_ids_from_sequences([5], [6]) == [0, 0, 1, 1]
    assert tokenizer.encode_ids(["a"]) == [tokenizer.encode("a")] == [[5, 59]]


def test_an_unset_token_stays_unset_in_a_folder(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.pad_token = None
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.save_pretrained(tmp_path)
    for cls in CLASSES:
        loaded = cls.from_pretrained(tmp_path)
        assert (loaded.pad_token, loaded.bos_token, loaded.bos_token_id, loaded.eos_token) == (None, "<s>", 97, None)


def test_additional_special_tokens_can_be_set(tokenizer: Any) -> None:
    tokenizer.additional_special_tokens_ids = [59]
    assert (tokenizer.additional_special_tokens, tokenizer.additional_special_tokens_ids) == (["the"], [59])
    assert tokenizer.extra_special_tokens == ["the"]
    tokenizer.additional_special_tokens = None
    assert tokenizer.additional_special_tokens == []
    with pytest.raises(TokenizerError, match=r"'<q>' is not in the vocabulary. To add it use add_special_tokens"):
        tokenizer.additional_special_tokens = ["<q>"]
    tokenizer.add_special_tokens({"mask_token": AddedToken("[MASK]", lstrip=True, special=True)})
    assert tokenizer.all_special_tokens_extended[-1] == AddedToken("[MASK]", lstrip=True, special=True)
    assert tokenizer.special_tokens_map_extended["cls_token"] == "[CLS]"


@pytest.mark.parametrize("cls", CLASSES)
def test_a_text_is_not_a_list_of_tokens(cls: type[Any], tmp_path: Path) -> None:
    write_vocab(tmp_path)
    for name in ("additional_special_tokens", "added_tokens", "never_split", "model_input_names"):
        for value in ("ab", 5):
            with pytest.raises(TokenizerError, match=rf"^{name} must be a list, but is {value!r}"):
                cls.from_pretrained(tmp_path, **{name: value})
            with pytest.raises(TokenizerError, match=rf"^{name} must be a list, but is {value!r}"):
                cls(vocab=SMALL_VOCAB, **{name: value})
    tokenizer = cls(vocab=SMALL_VOCAB)
    with pytest.raises(TokenizerError, match=r"^additional_special_tokens must be a list, but is 'ab': write \['ab'\]"):
        tokenizer.additional_special_tokens = "ab"
    with pytest.raises(TokenizerError, match="^extra_special_tokens must be a list, but is 'ab'"):
        tokenizer.add_special_tokens({"extra_special_tokens": "ab"})
    with pytest.raises(TokenizerError, match="^new_tokens must be a list, but is 5"):
        tokenizer.add_tokens(5)
    with pytest.raises(TokenizerError, match="^new_special_tokens must be a list, but is '<x>'"):
        tokenizer.train_new_from_iterator(["a b"], 60, new_special_tokens="<x>")
    with pytest.raises(InputTypeError, match="^text_iterator must be a list of texts, but is the text 'a b'"):
        tokenizer.train_new_from_iterator("a b", 60)
    with pytest.raises(InputError, match="^additional_special_tokens_ids takes an id or a list of ids, got 'ab'"):
        tokenizer.additional_special_tokens_ids = "ab"
    with pytest.raises(TokenizerError, match="^never_split must be a list, but is 'ab'"):
        DistilBertTokenizer(vocab=SMALL_VOCAB).basic_tokenizer.tokenize("a", never_split="ab")
    for name in ("additional_special_tokens", "never_split", "model_input_names"):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({name: "ab"}))
        with pytest.raises(TokenizerError, match=rf"tokenizer_config.json: {name} must be a list, but is 'ab'"):
            cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("cls", CLASSES)
def test_of_named_tokens_the_values_count(cls: type[Any], tmp_path: Path) -> None:
    write_vocab(tmp_path)
    loaded = cls.from_pretrained(tmp_path, extra_special_tokens={"ent_token": "<ent>"})
    assert loaded.additional_special_tokens == ["<ent>"]
    assert loaded("a <ent>").input_ids == [2, 5, 97, 3]
    tokenizer = cls(vocab=SMALL_VOCAB)
    assert tokenizer.add_tokens({"new": "<new>"}) == 1
    assert tokenizer.add_special_tokens({"extra_special_tokens": {"ent_token": "<ent>"}}) == 1
    assert tokenizer("<new><ent>").input_ids == [2, 97, 98, 3]


class OwnTokenizer(DistilBertTokenizer):
    """Has a constructor with arguments of its own, in the manner of the slow classes of transformers."""

    def __init__(self, vocab_file: Any, do_lower_case: bool = True, suffix: str = "", **others: Any) -> None:
        super().__init__(vocab_file, do_lower_case=do_lower_case, **others)
        self.suffix = suffix
        self.add_tokens(["<own>"])


class OwnFastTokenizer(DistilBertTokenizerFast):
    """Passes on what it is given, and brings a vocabulary where none is given."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.suffix = options.pop("suffix", "")
        super().__init__(*arguments, **{"vocab": SMALL_VOCAB, **options})
        self.add_tokens(["<own>"])


@pytest.mark.parametrize("cls", [OwnTokenizer, OwnFastTokenizer])
def test_the_constructor_of_a_derived_class_runs(cls: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"do_lower_case": False, "never_split": ["the"], "additional_special_tokens": ["[Q]"]}
    DistilBertTokenizer(vocab=[*SMALL_VOCAB, "more"], **options).save_pretrained(tmp_path)
    loaded = cls.from_pretrained(tmp_path, suffix="!", verbose=False, model_max_length=7)
    assert (loaded.suffix, loaded.verbose, loaded.model_max_length) == ("!", False, 7)
    assert loaded.name_or_path == str(tmp_path)
    assert loaded.tokenize("Foo more <own> [Q]") == ["Foo", "more", "<own>", "[Q]"]
    loaded.save_pretrained(tmp_path / "again")
    again = cls.from_pretrained(tmp_path / "again")
    assert again.spec == loaded.spec
    assert (again.suffix, again.verbose) == ("", True)
    trained = loaded.train_new_from_iterator(["Zebras graze"] * 5, 60)
    assert trained.tokenize("Zebras <own>") == ["Zebras", "<own>"]
    with pytest.raises(UnknownArgumentError, match=rf"{cls.__name__}\(\) got an unknown argument 'paddin_side'"):
        cls.from_pretrained(tmp_path, paddin_side="left")
    with pytest.raises(UnknownArgumentError, match="unknown argument 'vocab'"):
        cls.from_pretrained(tmp_path, vocab=SMALL_VOCAB)
    assert cls.from_pretrained(tmp_path, trust_remote_code=True).suffix == ""


def test_options_are_attributes(tokenizer: Any) -> None:
    assert tokenizer.do_lower_case is tokenizer.tokenize_chinese_chars is tokenizer.do_basic_tokenize is True
    assert (tokenizer.strip_accents, tokenizer.split_special_tokens, tokenizer.chat_template) == (None, False, None)
    tokenizer.do_lower_case = False
    assert tokenizer.tokenize("Foo") == ["Foo"]
    assert tokenizer.init_kwargs["do_lower_case"] is False
    assert tokenizer.init_kwargs["cls_token"] == "[CLS]"
    assert type(tokenizer)(**{**tokenizer.init_kwargs, "vocab": SMALL_VOCAB}).spec == tokenizer.spec


def test_special_tokens_in_a_text_can_be_split(tokenizer: Any) -> None:
    ids = tokenizer("a [MASK]").input_ids
    split = tokenizer("a [MASK]", split_special_tokens=True).input_ids
    assert ids == [2, 5, 4, 3]
    assert tokenizer.mask_token_id not in split
    assert tokenizer.convert_ids_to_tokens(split)[2:5] == ["[", "m", "##a"]
    assert tokenizer("a [MASK]").input_ids == ids
    tokenizer.split_special_tokens = True
    assert tokenizer("a [MASK]").input_ids == tokenizer.encode_ids(["a [MASK]"])[0] == split
    assert tokenizer("a [MASK] b", truncation=True, max_length=5).input_ids == [*split[:4], 3]
    assert tokenizer.tokenize("a [MASK]", split_special_tokens=False) == ["a", "[MASK]"]


def test_targets_become_labels(tokenizer: Any) -> None:
    batch = tokenizer(["a", "b"], text_target=["c d", "e"], padding=True, return_tensors="pt")
    assert batch.input_ids.tolist() == [[2, 5, 3], [2, 6, 3]]
    assert batch.labels.tolist() == [[2, 7, 8, 3], [2, 9, 3, 0]]
    assert tokenizer(text_target="a").input_ids == [2, 5, 3]
    assert tokenizer("a", text_target="b", text_pair_target="c").labels == [2, 6, 3, 7, 3]
    for call in (tokenizer.tokenize, tokenizer.encode, tokenizer.encode_plus, tokenizer.batch_encode_plus):
        with pytest.raises(TypeError, match="must be a str"):
            call(None)
    with pytest.raises(ValueError, match="text must be a str or a list of str, but is None"):
        tokenizer()


def test_options_of_a_call_by_their_older_names(tokenizer: Any) -> None:
    assert tokenizer("a", max_length=5, pad_to_max_length=True).input_ids == [2, 5, 3, 0, 0]
    assert tokenizer("a b c", max_length=4, truncation_strategy="longest_first").input_ids == [2, 5, 6, 3]
    assert tokenizer(["a", "b"], is_pretokenized=True).input_ids == [2, 5, 6, 3]
    assert tokenizer.tokenize("a b c", truncation=True, max_length=2) == ["a", "b"]
    assert tokenizer.tokenize("a", "b", add_special_tokens=True, padding="max_length", max_length=6)[-1] == "[PAD]"


@pytest.mark.parametrize("kind", ["list", "tuple", "array", "series", "arrow", "datasets"])
def test_columns_of_other_libraries(tokenizer: Any, kind: str) -> None:
    import datasets
    import pandas as pd
    import pyarrow as pa

    texts = ["a", "b c"]
    column: Any = {
        "list": lambda: texts,
        "tuple": lambda: tuple(texts),
        "array": lambda: np.array(texts),
        "series": lambda: pd.Series(texts, index=[7, 9]),
        "arrow": lambda: pa.chunked_array([texts]),
        "datasets": lambda: datasets.Dataset.from_dict({"text": texts})["text"],
    }[kind]()
    assert tokenizer(column).input_ids == [[2, 5, 3], [2, 6, 7, 3]]
    assert tokenizer(column, column).input_ids == [[2, 5, 3, 5, 3], [2, 6, 7, 3, 6, 7, 3]]
    assert tokenizer.batch_encode_plus(column).input_ids == [[2, 5, 3], [2, 6, 7, 3]]


def test_lists_of_pairs(tokenizer: Any) -> None:
    pairs = [[2, 5, 3, 6, 3], [2, 7, 3, 8, 3]]
    assert tokenizer([["a", "b"], ["c", "d"]]).input_ids == tokenizer([("a", "b"), ("c", "d")]).input_ids == pairs
    words = [[["a", "b"], ["c"]], [["a"], ["b"]]]
    assert tokenizer(words, is_split_into_words=True).input_ids == [[2, 5, 6, 3, 7, 3], [2, 5, 3, 6, 3]]
    assert tokenizer([["a", "b"], ["c", "d"]], is_split_into_words=True).input_ids == [[2, 5, 6, 3], [2, 7, 8, 3]]
    with pytest.raises(InputError, match=r"text\[0\] must be a str"):
        tokenizer([["a", "b"], ["c"]])


def test_decoding_without_spaces_around_added_tokens(tokenizer: Any) -> None:
    tokenizer.add_tokens(["<a>", "<b>"])
    ids = [97, 98, 59, 61, 97]
    assert tokenizer.decode(ids) == tokenizer.decode(ids, spaces_between_special_tokens=True) == "<a> <b> the play <a>"
    assert tokenizer.decode(ids, spaces_between_special_tokens=False) == "<a><b>the play<a>"
    assert tokenizer.batch_decode([ids], spaces_between_special_tokens=False) == ["<a><b>the play<a>"]
    assert tokenizer.decode(torch.tensor([[59], [61]]), use_source_tokenizer=False) == ["the", "play"]


@pytest.mark.parametrize("make", [torch.tensor, np.array])
def test_padding_tensors_gives_tensors(tokenizer: Any, make: Any) -> None:
    rows = [{"input_ids": make([2, 5, 3])}, {"input_ids": make([2, 3])}]
    batch = tokenizer.pad(rows)
    assert type(batch.input_ids) is type(batch.attention_mask) is type(make([1]))
    assert batch.input_ids.tolist() == [[2, 5, 3], [2, 3, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert tokenizer.pad({"input_ids": (make([2, 5, 3]), make([2, 3]))}).input_ids.tolist() == [[2, 5, 3], [2, 3, 0]]
    columns = {"input_ids": make([[2, 5, 3], [2, 3, 0]]), "attention_mask": make([[1, 1, 1], [1, 1, 0]])}
    assert tokenizer.pad(columns, padding="max_length", max_length=4).input_ids.tolist() == [[2, 5, 3, 0], [2, 3, 0, 0]]
    assert tokenizer.pad({"input_ids": make([2, 3])}, padding="max_length", max_length=3).input_ids.shape == (3,)
    assert tokenizer.pad([{"input_ids": [2, 3]}]).input_ids == [[2, 3]]


def test_ids_are_prepared_like_a_text(tokenizer: Any) -> None:
    first, second = (tokenizer.encode(text, add_special_tokens=False) for text in ("a b c d e", "f g h"))
    options = {"return_special_tokens_mask": True, "return_token_type_ids": True, "return_length": True}
    for cut in ({}, {"truncation": True, "max_length": 8}, {"truncation": "only_first", "max_length": 7}):
        for more in ({}, {"padding": "max_length", "max_length": cut.get("max_length", 20)}):
            expected = dict(tokenizer("a b c d e", "f g h", **options, **{**cut, **more}))
            assert dict(tokenizer.prepare_for_model(first, second, **options, **{**cut, **more})) == expected
    batch = tokenizer.prepare_for_model(first, max_length=5, stride=1, return_overflowing_tokens=True)
    assert dict(batch) == {
        "overflowing_tokens": [7, 8, 9],
        "num_truncated_tokens": 2,
        "input_ids": [2, 5, 6, 7, 3],
        "attention_mask": [1] * 5,
    }
    assert tokenizer.prepare_for_model(first, return_tensors="pt", prepend_batch_axis=True).input_ids.shape == (1, 7)
    assert tokenizer.prepare_for_model(first, add_special_tokens=False, return_tensors="np").input_ids.shape == (5,)
    with pytest.raises(InputError, match="has no single overflow"):
        tokenizer.prepare_for_model(first, second, truncation=True, max_length=6, return_overflowing_tokens=True)
    tokenizer.truncation_side = "left"
    assert tokenizer.truncate_sequences(first, None, 2, stride=1) == ([7, 8, 9], None, [5, 6, 7])
    assert tokenizer.truncate_sequences(first, second, 2, "only_second", 1) == (first, [12], [10, 11, 12])
    assert tokenizer.truncate_sequences(first, second, 2) == ([7, 8, 9], second, [])


def test_the_steps_of_the_slow_class() -> None:
    slow = DistilBertTokenizer(vocab=SMALL_VOCAB, never_split=["Foo"])
    assert slow.basic_tokenizer.tokenize(" The CAFÉS,中x Foo\n") == ["the", "cafes", ",", "中", "x", "Foo"]
    assert slow.basic_tokenizer.tokenize("Bar Foo", never_split=["Bar"]) == ["Bar", "Foo"]
    assert slow.wordpiece_tokenizer.tokenize("unaffable playing qqq中") == [
        "un",
        "##aff",
        "##able",
        "play",
        "##ing",
        "[UNK]",
    ]
    assert slow.wordpiece_tokenizer.vocab["the"] == 59
    assert slow.ids_to_tokens[59] == "the"


def test_saving_takes_the_arguments_of_transformers(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Any] = []
    monkeypatch.setattr(hub, "push", lambda folder, repo_id, **options: pushed.append((repo_id, options)))

    def names(folder: str, **options: Any) -> list[str]:
        return [Path(path).name for path in tokenizer.save_pretrained(tmp_path / folder, **options)]

    both = ["tokenizer_config.json", "special_tokens_map.json"]
    assert names("a", legacy_format=True) == ["vocab.txt", *both]
    assert names("b", legacy_format=False, save_jinja_files=True) == ["tokenizer.json", *both]
    assert names("c", filename_prefix="x") == [f"x-{name}" for name in ["vocab.txt", "tokenizer.json", *both]]
    for folder in ("a", "b"):
        assert type(tokenizer).from_pretrained(tmp_path / folder).get_vocab() == tokenizer.get_vocab()
    names("d", push_to_hub=True, private=True, use_auth_token="secret")
    names("e", push_to_hub=True, repo_id="me/e")
    assert pushed == [("d", {"private": True, "token": "secret"}), ("me/e", {})]
    with pytest.raises(UnknownArgumentError, match="'legacy_fromat'. Did you mean 'legacy_format'"):
        names("f", legacy_fromat=True)


def test_a_tokenizer_of_the_rust_library(tokenizer: Any) -> None:
    fast = DistilBertTokenizerFast(vocab=SMALL_VOCAB, do_lower_case=False, added_tokens=["<a>"])
    rust = tokenizers.Tokenizer.from_str(fast.backend_tokenizer.to_str())
    made = type(tokenizer)(tokenizer_object=rust, model_max_length=7)
    assert made.tokenize("Foo <a>") == ["Foo", "<a>"]
    assert (made.model_max_length, made.get_vocab()) == (7, fast.get_vocab())
    with pytest.raises(TokenizerError, match="got vocab and tokenizer_object"):
        type(tokenizer)(vocab=SMALL_VOCAB, tokenizer_object=rust)


def test_a_new_vocabulary_with_other_special_tokens(tokenizer: Any) -> None:
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True, special=True)})
    texts = ["Zebras graze, zebras gaze."] * 5
    names = {"[CLS]": "<s>", "[UNK]": "<unk>", "<mask>": "<m>"}
    new = tokenizer.train_new_from_iterator(
        texts, 60, length=5, new_special_tokens=["<new>"], special_tokens_map=names, min_frequency=2
    )
    assert (new.cls_token, new.unk_token, new.mask_token, new.sep_token) == ("<s>", "<unk>", "<m>", "[SEP]")
    assert new.additional_special_tokens == ["<new>"]
    assert new.added_tokens_decoder[new.mask_token_id] == AddedToken("<m>", lstrip=True, special=True)
    assert new("zebras Ω").tokens() == ["<s>", "zebras", "<unk>", "[SEP]"]
    assert len(new) == new.vocab_size
    with pytest.raises(InputError, match="does not take initial_alphabet"):
        tokenizer.train_new_from_iterator(texts, 60, initial_alphabet=["a"])


def test_warnings_can_be_given_again(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer.model_max_length = 3
    for expected in (1, 1, 2):
        if expected == 2:
            tokenizer.deprecation_warnings = {}
        tokenizer("a b c")
        assert len(caplog.records) == expected
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    tokenizer.verbose = False
    tokenizer.deprecation_warnings.clear()
    tokenizer("a b c")
    assert len(caplog.records) == 2
