"""``TokenTable``: what a tokenizer knows without reading a text, its tokens, their ids and its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.errors import InputError, TokenizerError, reject_unknown, suggest
from .added_tokens import AddedToken, as_tokens
from .padding import as_ids
from .spec import SPECIAL_TOKEN_NAMES, TokenizerSpec, check_model_max_length, check_side


class SpecialToken:
    """A property that reads and sets one of the named special tokens; None means that there is no such token."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: TokenTable, owner: Any = None) -> Any:
        return tokenizer.spec.special_tokens.get(self.name)

    def __set__(self, tokenizer: TokenTable, token: Any) -> None:
        if token is None:
            tokenizer._unset_special_token(self.name)
            return
        content = str(token)
        vocab = tokenizer.get_vocab()
        if content not in vocab:
            raise TokenizerError(
                f"{self.name}={content!r} is not in the vocabulary.{suggest(content, vocab)} "
                f"To add it use add_special_tokens({{{self.name!r}: {content!r}}})."
            )
        tokenizer.add_special_tokens({self.name: token})


class SpecialTokenId:
    """A property that reads and sets one of the named special tokens by its id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: TokenTable, owner: Any = None) -> Any:
        token = tokenizer.spec.special_tokens.get(self.name)
        return None if token is None else tokenizer._vocab[token]

    def __set__(self, tokenizer: TokenTable, token_id: int | None) -> None:
        if token_id is None:
            tokenizer._unset_special_token(self.name)
        else:
            tokenizer.add_special_tokens({self.name: tokenizer.convert_ids_to_tokens(token_id)})


class SpecOption:
    """A property that reads and sets an option of the spec."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: TokenTable, owner: Any = None) -> Any:
        return getattr(tokenizer.spec, self.name)

    def __set__(self, tokenizer: TokenTable, value: Any) -> None:
        tokenizer._set_spec(tokenizer.spec.with_options({self.name: value}))


class TokenTable:
    """The tokens of a tokenizer and their ids: WordPiece entries, special and added tokens; and its options.

    Attributes:
        spec: all that is known of the tokenizer.
    """

    spec: TokenizerSpec
    _built: frozenset[str] = frozenset()  # the attributes that are made from spec; pickles leave them out
    SPECIAL_TOKENS_ATTRIBUTES = (*SPECIAL_TOKEN_NAMES, "additional_special_tokens")

    bos_token, bos_token_id = SpecialToken("bos_token"), SpecialTokenId("bos_token")
    eos_token, eos_token_id = SpecialToken("eos_token"), SpecialTokenId("eos_token")
    unk_token, unk_token_id = SpecialToken("unk_token"), SpecialTokenId("unk_token")
    sep_token, sep_token_id = SpecialToken("sep_token"), SpecialTokenId("sep_token")
    pad_token, pad_token_id = SpecialToken("pad_token"), SpecialTokenId("pad_token")
    cls_token, cls_token_id = SpecialToken("cls_token"), SpecialTokenId("cls_token")
    mask_token, mask_token_id = SpecialToken("mask_token"), SpecialTokenId("mask_token")
    pad_token_type_id = 0
    do_lower_case, do_basic_tokenize = SpecOption("do_lower_case"), SpecOption("do_basic_tokenize")
    tokenize_chinese_chars, strip_accents = SpecOption("tokenize_chinese_chars"), SpecOption("strip_accents")
    clean_up_tokenization_spaces = SpecOption("clean_up_tokenization_spaces")
    split_special_tokens = SpecOption("split_special_tokens")
    model_input_names = SpecOption("model_input_names")

    def _set_spec(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        others = vars(self).keys() - self._built
        self._vocab = {**spec.vocab, **{token.content: token_id for token_id, token in spec.added_tokens.items()}}
        # Where two tokens have one id, the added token is shown, as in the Rust library.
        self._tokens = {token_id: token for token, token_id in self._vocab.items()}
        self._special_ids = {token_id for token_id, token in spec.added_tokens.items() if token.special}
        self._rebuild()
        self._built = frozenset(vars(self).keys() - others)

    def _rebuild(self) -> None:
        """Build what ``_encode`` needs; called whenever ``spec`` has changed."""
        raise TypeError(f"{type(self).__name__} cannot encode texts: use DistilBertTokenizer.")

    # ---- Tokens and ids ----

    def __len__(self) -> int:
        """The number of embeddings that a model needs for all ids."""
        return len(self.spec)

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
        """Return all tokens and their ids, added tokens included (a copy)."""
        return dict(self._vocab)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token (an int), or the ids of a list of them (a list of int).

        Unknown tokens get the id of ``unk_token``, or None if that is not set.
        """
        if tokens is None:
            return None
        unk_id = self.unk_token_id
        if isinstance(tokens, str):
            return self._vocab.get(tokens, unk_id)
        return [self._vocab.get(token, unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id (a str), or the tokens of a list, array or tensor of ids (a list of str).

        Args:
            ids: one id, or a list, array or tensor with one axis.
            skip_special_tokens: leave special tokens out of a list.

        Raises:
            InputError: an id is outside of the vocabulary, or not an integer.
        """
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, int):
            return self._token_of(ids)
        ids = as_ids(ids, "convert_ids_to_tokens")
        return [self._token_of(i) for i in ids if not (skip_special_tokens and i in self._special_ids)]

    def _token_of(self, token_id: int) -> str:
        token = self._tokens.get(token_id)
        if token is None:
            if 0 <= token_id < len(self):
                return self.spec.unknown_word  # the vocabulary has a gap here
            raise InputError(f"There is no token with id {token_id}: the vocabulary has {len(self)} entries.")
        return token

    # ---- Special and added tokens ----

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by name, as special_tokens_map.json holds them."""
        additional = self.additional_special_tokens
        return {**self.spec.special_tokens, **({"additional_special_tokens": additional} if additional else {})}

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """As ``special_tokens_map``, with an AddedToken for each token that has options."""
        extended: dict[str, Any] = {name: self._extended(token) for name, token in self.spec.special_tokens.items()}
        additional = [self._extended(token) for token in self.spec.additional_special_tokens]
        return {**extended, **({"additional_special_tokens": additional} if additional else {})}

    @property
    def all_special_tokens_extended(self) -> list[Any]:
        """As ``all_special_tokens``, with an AddedToken for each token that has options."""
        return [self._extended(token) for token in self.all_special_tokens]

    def _extended(self, content: str) -> str | AddedToken:
        token = self.spec.added_tokens[self._vocab[content]]
        return content if token == AddedToken(content, special=True) else token

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens beyond the named ones; a list or None (for none) can be set."""
        return list(self.spec.additional_special_tokens)

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Any] | None) -> None:
        tokens = [] if tokens is None else as_tokens(tokens, "additional_special_tokens")
        missing = [str(token) for token in tokens if str(token) not in self._vocab]
        if missing:
            raise TokenizerError(
                f"{missing[0]!r} is not in the vocabulary. To add it use "
                f"add_special_tokens({{'additional_special_tokens': [{missing[0]!r}]}})."
            )
        self.add_special_tokens({"additional_special_tokens": tokens})

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of ``additional_special_tokens``; they can be set."""
        return [self._vocab[token] for token in self.spec.additional_special_tokens]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Iterable[int] | None) -> None:
        ids = [] if ids is None else as_ids(ids, "additional_special_tokens_ids")
        self.additional_special_tokens = [self._token_of(token_id) for token_id in ids]

    @property
    def extra_special_tokens(self) -> list[str]:
        """Another name for ``additional_special_tokens``."""
        return self.additional_special_tokens

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Iterable[Any] | None) -> None:
        self.additional_special_tokens = tokens

    def _unset_special_token(self, name: str) -> None:
        spec = self.spec.copy()
        spec.special_tokens.pop(name, None)
        self._set_spec(spec)

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        return list(dict.fromkeys([*self.spec.special_tokens.values(), *self.spec.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of ``all_special_tokens``."""
        return [self._vocab[token] for token in self.all_special_tokens]

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Another name for ``get_added_vocab()``."""
        return self.get_added_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self.spec.added_tokens.items()))

    def get_added_vocab(self) -> dict[str, int]:
        """Return the tokens that are matched before WordPiece and their ids; the special tokens are among them."""
        return {token.content: token_id for token_id, token in sorted(self.spec.added_tokens.items())}

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are matched as a whole; resize the model's embeddings afterwards.

        An uncased tokenizer also matches ``"New"`` in ``new``. If two tokens have the same normalized text, the one
        that was added later is matched in the raw text.

        Args:
            new_tokens: a text or AddedToken, or a list of them.
            special_tokens: whether the tokens are special, so that ``decode`` can leave them out.

        Returns:
            How many of them are new.

        Raises:
            TokenizerError: a token is empty, or of an unknown type.
        """
        is_one = isinstance(new_tokens, str) or hasattr(new_tokens, "content")
        tokens = [new_tokens] if is_one else as_tokens(() if new_tokens is None else new_tokens, "new_tokens")
        spec = self.spec.copy()  # if a token raises an error, the tokenizer stays as it was
        count = sum(spec.add(AddedToken.of(token, special=special_tokens)) for token in tokens)
        self._set_spec(spec)
        return count

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_additional_special_tokens: bool = True,
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Set special tokens by name, and add those that are not in the vocabulary.

        Args:
            special_tokens_dict: any of ``unk_token``, ``sep_token``, ``pad_token``, ``cls_token``, ``mask_token``,
                ``bos_token``, ``eos_token`` with one token, and ``additional_special_tokens`` with a list.
            replace_additional_special_tokens: whether that list replaces the present one or extends it.
            replace_extra_special_tokens: the newer name of the argument above; False in either extends the list.

        Returns:
            How many of the tokens are new.

        Raises:
            TokenizerError: ``unk_token`` is not in the WordPiece vocabulary, or a list or a single token is expected.
            UnknownArgumentError: there is no special token of that name.
        """
        list_names = ("additional_special_tokens", "extra_special_tokens")
        reject_unknown(special_tokens_dict, (*SPECIAL_TOKEN_NAMES, *list_names), "add_special_tokens")
        count = 0
        spec = self.spec.copy()  # if a token raises an error, the tokenizer stays as it was
        for name, value in special_tokens_dict.items():
            given = as_tokens(value, name) if name in list_names else [value]
            tokens = [AddedToken.of(token, special=True) for token in given]
            count += sum(spec.add(token) for token in tokens)
            contents = [token.content for token in tokens]
            if name in list_names:
                replaces = replace_additional_special_tokens and replace_extra_special_tokens
                kept = [] if replaces else spec.additional_special_tokens
                spec.additional_special_tokens = list(dict.fromkeys([*kept, *contents]))
            elif name == "unk_token" and contents[0] not in spec.vocab:
                raise TokenizerError(f"unk_token={contents[0]!r} must be an entry of the WordPiece vocabulary itself.")
            else:
                spec.special_tokens[name] = contents[0]
                if name == "unk_token":
                    spec.unknown_word = contents[0]
        self._set_spec(spec)
        return count

    # ---- Options that can be set later ----

    @property
    def model_max_length(self) -> int:
        """Longest input of the model in tokens, special tokens included."""
        return self.spec.model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int) -> None:
        self.spec.model_max_length = check_model_max_length(value)

    @property
    def padding_side(self) -> str:
        """The side on which rows are padded: ``"right"`` or ``"left"``."""
        return self.spec.padding_side

    @padding_side.setter
    def padding_side(self, value: str) -> None:
        check_side("padding_side", value)
        self.spec.padding_side = value

    @property
    def truncation_side(self) -> str:
        """The side on which texts are cut: ``"right"`` or ``"left"``."""
        return self.spec.truncation_side

    @truncation_side.setter
    def truncation_side(self, value: str) -> None:
        check_side("truncation_side", value)
        self.spec.truncation_side = value
