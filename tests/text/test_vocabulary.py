"""Tokens, ids, special and added tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from distilbert.core.errors import InputError, TokenizerError, UnknownArgumentError
from distilbert.text.added_tokens import AddedToken

from .helpers import CLASSES, SMALL_VOCAB, SPECIAL_TOKENS


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(vocab=SMALL_VOCAB)


def test_tokens_and_ids(tokenizer: Any) -> None:
    assert tokenizer.vocab_size == len(tokenizer) == 97
    assert tokenizer.get_vocab() == tokenizer.vocab == {entry: index for index, entry in enumerate(SMALL_VOCAB)}
    assert tokenizer.convert_tokens_to_ids("the") == 59
    assert tokenizer.convert_tokens_to_ids(["the", "nothing"]) == [59, 1]
    assert tokenizer.convert_ids_to_tokens(59) == "the"
    assert tokenizer.convert_ids_to_tokens([2, 59, 3]) == ["[CLS]", "the", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(torch.tensor([2, 59, 3]), skip_special_tokens=True) == ["the"]
    assert tokenizer.convert_ids_to_tokens(np.array([59])) == ["the"]
    assert tokenizer.convert_tokens_to_string(["play", "##ing", "."]) == "playing."
    with pytest.raises(InputError, match="no token with id 97: the vocabulary has 97"):
        tokenizer.convert_ids_to_tokens([97])


def test_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert [getattr(tokenizer, f"{name}_token") for name in ("pad", "unk", "cls", "sep", "mask")] == SPECIAL_TOKENS
    assert [getattr(tokenizer, f"{name}_token_id") for name in ("pad", "unk", "cls", "sep", "mask")] == [0, 1, 2, 3, 4]
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    tokenizer.cls_token = "do"
    tokenizer.sep_token_id = tokenizer.convert_tokens_to_ids("not")
    assert tokenizer("a").tokens() == ["do", "a", "not"]
    with pytest.raises(TokenizerError, match=r"cls_token='\[CLX\]' is not in the vocabulary.*'\[CLS\]'.*add_special"):
        tokenizer.cls_token = "[CLX]"


def test_add_tokens(tokenizer: Any) -> None:
    assert tokenizer.add_tokens("Bonn") == 1
    assert (
        tokenizer.add_tokens(["Bonn", AddedToken("<b>", lstrip=True), tokenizers.AddedToken("<c>", rstrip=True)]) == 2
    )
    assert (len(tokenizer), tokenizer.vocab_size) == (100, 97)
    assert tokenizer.get_added_vocab() == {
        **{name: i for i, name in enumerate(SPECIAL_TOKENS)},
        "Bonn": 97,
        "<b>": 98,
        "<c>": 99,
    }
    assert tokenizer.added_tokens_decoder[99] == AddedToken("<c>", rstrip=True)
    assert tokenizer.encode("bonn <b> <c> a", add_special_tokens=False) == [97, 98, 99, 5]
    assert tokenizer.decode([5, 97, 98], skip_special_tokens=True) == "a Bonn <b>"
    with pytest.raises(TokenizerError, match="must not be empty"):
        tokenizer.add_tokens([""])
    with pytest.raises(TokenizerError, match="str or an AddedToken, but got 3 of type int"):
        tokenizer.add_tokens([3])
    with pytest.raises(TokenizerError, match="needs a 'content'"):
        AddedToken.of({"lstrip": True})


def test_added_tokens_with_the_same_normalized_text(tokenizer: Any) -> None:
    tokenizer.add_tokens(["new", "New", "NEW"])
    assert tokenizer.encode("new New NEW nEw", add_special_tokens=False) == [97, 98, 99, 97]
    with pytest.raises(TokenizerError, match=r"is normalized to an empty text.*normalized=False"):
        tokenizer.add_tokens(["fine", "\u0301"])
    assert len(tokenizer) == 100


def test_add_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["[Q]", "do"], "mask_token": "<mask>"}) == 2
    assert tokenizer.additional_special_tokens == ["[Q]", "do"]
    assert tokenizer.mask_token_id == 98
    assert tokenizer.decode(tokenizer.encode("do [Q] a"), skip_special_tokens=True) == "a"
    tokenizer.add_special_tokens({"additional_special_tokens": ["[R]"]}, replace_additional_special_tokens=False)
    assert tokenizer.additional_special_tokens == ["[Q]", "do", "[R]"]
    assert tokenizer.special_tokens_map["additional_special_tokens"] == ["[Q]", "do", "[R]"]
    with pytest.raises(UnknownArgumentError, match=r"'cls_tokn'. Did you mean 'cls_token'"):
        tokenizer.add_special_tokens({"cls_tokn": "x"})
    with pytest.raises(TokenizerError, match="unk_token='<u>' must be an entry of the WordPiece vocabulary"):
        tokenizer.add_special_tokens({"unk_token": "<u>"})


def test_changing_the_options_of_a_known_token(tokenizer: Any) -> None:
    assert tokenizer.add_special_tokens({"mask_token": AddedToken("[MASK]", lstrip=True, special=True)}) == 0
    assert tokenizer("a [MASK]", return_offsets_mapping=True)["offset_mapping"][2] == (1, 8)
    assert tokenizer.add_tokens(["[MASK]"]) == 0
    assert tokenizer.added_tokens_decoder[4].lstrip
    assert tokenizer.added_tokens_decoder[4].special


@pytest.mark.parametrize("cls", CLASSES)
def test_missing_special_tokens_are_added(cls: type[Any]) -> None:
    tokenizer = cls(vocab=["[UNK]", "a"])
    assert len(tokenizer) == 6
    assert tokenizer("a [MASK]").tokens() == ["[CLS]", "a", "[MASK]", "[SEP]"]


@pytest.mark.parametrize("cls", CLASSES)
def test_invalid_constructor_arguments(cls: type[Any]) -> None:
    with pytest.raises(TokenizerError, match=f"{cls.__name__} needs one of vocab_file=.* got none.*from_pretrained"):
        cls()
    with pytest.raises(TokenizerError, match="got vocab_file and vocab"):
        cls("vocab.txt", vocab=SMALL_VOCAB)
    with pytest.raises(TokenizerError, match=r"no vocabulary file 'nowhere.txt'"):
        cls("nowhere.txt")
    with pytest.raises(UnknownArgumentError, match=r"'do_lowercase'. Did you mean 'do_lower_case'"):
        cls(vocab=SMALL_VOCAB, do_lowercase=True)
    with pytest.raises(TokenizerError, match=r"never_split holds 'Bar'.*add_tokens\(\['Bar'\]\)"):
        cls(vocab=SMALL_VOCAB, never_split=["Bar"])
    with pytest.raises(TokenizerError, match="padding_side='middle' is not known"):
        cls(vocab=SMALL_VOCAB, padding_side="middle")


def test_special_tokens_around_ids(tokenizer: Any) -> None:
    assert tokenizer.build_inputs_with_special_tokens([5]) == [2, 5, 3]
    assert tokenizer.build_inputs_with_special_tokens([5], [6, 7]) == [2, 5, 3, 6, 7, 3]
    assert tokenizer.create_token_type_ids_from_sequences([5], [6, 7]) == [0, 0, 0, 1, 1, 1]
    assert tokenizer.get_special_tokens_mask([5], [6, 7]) == [1, 0, 1, 0, 0, 1]
    assert tokenizer.get_special_tokens_mask([2, 5, 3, 0], already_has_special_tokens=True) == [1, 0, 1, 1]
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (510, 509)
    assert "vocab_size=97" in repr(tokenizer)


def test_a_new_vocabulary(tokenizer: Any) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": ["[Q]"]})
    texts = ["Zebras graze, zebras gaze."] * 5
    for iterable in (texts, [texts]):
        new = tokenizer.train_new_from_iterator(iter(iterable), 60, min_frequency=2)
        assert type(new) is type(tokenizer)
        assert "[Q]" in new.all_special_tokens
        assert new.pad_token_id == 0
        assert new.tokenize("Zebras [Q]") == ["zebras", "[Q]"]
        assert len(new) == new.vocab_size <= 60
