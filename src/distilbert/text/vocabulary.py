"""The vocabulary side of a tokenizer: tokens and their ids, special tokens, added tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, overload

from ..core.errors import InputError, TokenizerError, reject_unknown, suggest
from .added_tokens import AddedToken
from .spec import SPECIAL_NAMES, TokenizerSpec, check_side


class SpecialToken:
    """A property that reads and sets one of the five special tokens."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: VocabularyAPI, owner_type: Any = None) -> str:
        return owner.spec.special[self.name]

    def __set__(self, owner: VocabularyAPI, token: Any) -> None:
        content = str(token)
        if content not in owner.get_vocab():
            raise TokenizerError(
                f"{self.name}={content!r} is not in the vocabulary.{suggest(content, owner.get_vocab())} "
                f"To add it use add_special_tokens({{{self.name!r}: {content!r}}})."
            )
        owner.add_special_tokens({self.name: token})


class SpecialTokenId:
    """A property that reads and sets one of the five special tokens by its id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: VocabularyAPI, owner_type: Any = None) -> int:
        return owner.convert_tokens_to_ids(owner.spec.special[self.name])

    def __set__(self, owner: VocabularyAPI, index: int) -> None:
        owner.add_special_tokens({self.name: owner.convert_ids_to_tokens(index)})


class VocabularyAPI:
    """Tokens and ids. Subclasses build what runs in ``_rebuild``, which is called after every change."""

    spec: TokenizerSpec
    model_input_names: list[str]

    unk_token, unk_token_id = SpecialToken("unk_token"), SpecialTokenId("unk_token")
    sep_token, sep_token_id = SpecialToken("sep_token"), SpecialTokenId("sep_token")
    pad_token, pad_token_id = SpecialToken("pad_token"), SpecialTokenId("pad_token")
    cls_token, cls_token_id = SpecialToken("cls_token"), SpecialTokenId("cls_token")
    mask_token, mask_token_id = SpecialToken("mask_token"), SpecialTokenId("mask_token")
    pad_token_type_id = 0

    def _set_spec(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        self._vocab = {**spec.vocab, **{token.content: index for index, token in spec.added.items()}}
        self._tokens = sorted(self._vocab, key=self._vocab.__getitem__)
        self._special_ids = {index for index, token in spec.added.items() if token.special}
        self._rebuild()

    def _rebuild(self) -> None:
        raise TypeError(f"{type(self).__name__} is no tokenizer by itself: use DistilBertTokenizer.")

    def __len__(self) -> int:
        return len(self._vocab)

    def __bool__(self) -> bool:
        return True

    @property
    def vocab_size(self) -> int:
        """Number of WordPiece entries, without added tokens; ``len(tokenizer)`` counts all."""
        return len(self.spec.vocab)

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens and their ids."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """All tokens and their ids, added tokens included (a copy)."""
        return dict(self._vocab)

    def get_added_vocab(self) -> dict[str, int]:
        """The tokens that are matched before WordPiece, special ones included, and their ids."""
        return {token.content: index for index, token in sorted(self.spec.added.items())}

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Another name for ``get_added_vocab()``."""
        return self.get_added_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self.spec.added.items()))

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens beyond the five named ones."""
        return list(self.spec.additional_special_tokens)

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by name, as special_tokens_map.json holds them."""
        further = self.spec.additional_special_tokens
        return {**self.spec.special, **({"additional_special_tokens": list(further)} if further else {})}

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        return list(dict.fromkeys([*self.spec.special.values(), *self.spec.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of ``all_special_tokens``."""
        return [self._vocab[token] for token in self.all_special_tokens]

    @property
    def model_max_length(self) -> int:
        """Longest input of the model in tokens, special tokens included."""
        return self.spec.model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int) -> None:
        self.spec.model_max_length = int(value)

    @property
    def padding_side(self) -> str:
        """Where padding goes: ``"right"`` or ``"left"``."""
        return self.spec.padding_side

    @padding_side.setter
    def padding_side(self, value: str) -> None:
        check_side("padding_side", value)
        self.spec.padding_side = value

    @property
    def truncation_side(self) -> str:
        """Where text is cut: ``"right"`` or ``"left"``."""
        return self.spec.truncation_side

    @truncation_side.setter
    def truncation_side(self, value: str) -> None:
        check_side("truncation_side", value)
        self.spec.truncation_side = value

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]  # a str is an iterable of str too
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Id of a token, or ids of a list of them; unknown tokens get the id of ``unk_token``."""
        unknown = self._vocab[self.spec.special["unk_token"]]
        if isinstance(tokens, str):
            return self._vocab.get(tokens, unknown)
        return [self._vocab.get(token, unknown) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Token of an id (a str), or tokens of a list, array or tensor of ids (a list of str).

        Args:
            ids: one id, or a list, array or tensor with one axis.
            skip_special_tokens: leave special tokens out of a list.

        Raises:
            InputError: an id is outside of the vocabulary.
        """
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, int):
            return self._token_of(ids)
        return [self._token_of(index) for index in ids if not (skip_special_tokens and index in self._special_ids)]

    def _token_of(self, index: int) -> str:
        if 0 <= index < len(self._tokens):
            return self._tokens[index]
        raise InputError(f"There is no token with id {index}: the vocabulary has {len(self._tokens)} entries.")

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are matched as a whole; resize the model's embeddings afterwards.

        In an uncased tokenizer ``"New"`` is also found in ``new``. Where two tokens differ in nothing else, the one
        added later is matched on the raw text.

        Args:
            new_tokens: a text or AddedToken, or a list of them.
            special_tokens: whether ``decode`` may skip them.

        Returns:
            How many of them were not there before.
        """
        tokens = [new_tokens] if isinstance(new_tokens, str) or hasattr(new_tokens, "content") else list(new_tokens)
        spec = self._copy_spec()
        count = sum(spec.add(AddedToken.of(token, special=special_tokens)) for token in tokens)
        self._set_spec(spec)
        return count

    def _copy_spec(self) -> TokenizerSpec:
        # Changes go to a copy, so that one that fails half-way leaves the tokenizer as it was.
        further = list(self.spec.additional_special_tokens)
        return replace(self.spec, special=dict(self.spec.special), additional_special_tokens=further)

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name, adding those that are not in the vocabulary.

        Args:
            special_tokens_dict: any of ``unk_token``, ``sep_token``, ``pad_token``, ``cls_token``, ``mask_token`` with
                one token, and ``additional_special_tokens`` with a list.
            replace_additional_special_tokens: whether that list replaces the present one or extends it.

        Returns:
            How many of the tokens were not there before.

        Raises:
            UnknownArgumentError: there is no special token of that name.
        """
        lists = ("additional_special_tokens", "extra_special_tokens")
        reject_unknown(special_tokens_dict, (*SPECIAL_NAMES, *lists), "add_special_tokens")
        count = 0
        spec = self._copy_spec()
        for name, value in special_tokens_dict.items():
            tokens = [AddedToken.of(token, special=True) for token in (value if name in lists else [value])]
            count += sum(spec.add(token) for token in tokens)
            contents = [token.content for token in tokens]
            if name in lists:
                kept = [] if replace_additional_special_tokens else spec.additional_special_tokens
                spec.additional_special_tokens = list(dict.fromkeys([*kept, *contents]))
            elif name == "unk_token" and contents[0] not in spec.vocab:
                raise TokenizerError(f"unk_token={contents[0]!r} must be an entry of the WordPiece vocabulary itself.")
            else:
                spec.special[name] = contents[0]
        self._set_spec(spec)
        return count
