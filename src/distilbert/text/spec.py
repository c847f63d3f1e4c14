"""``TokenizerSpec``: the vocabulary and the options of a BERT tokenizer, apart from the code that runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..core.errors import TokenizerError, suggest
from .added_tokens import AddedToken
from .wordpiece import Normalizer

DEFAULT_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
SPECIAL_TOKEN_NAMES = tuple(DEFAULT_SPECIAL_TOKENS)
DEFAULT_MAX_LENGTH = 512
# The options that tokenizer_config.json stores under their own names.
CONFIG_OPTIONS = (
    "do_lower_case",
    "do_basic_tokenize",
    "tokenize_chinese_chars",
    "strip_accents",
    "never_split",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
)
OPTIONS = (*CONFIG_OPTIONS, *SPECIAL_TOKEN_NAMES, "additional_special_tokens", "added_tokens")


@dataclass
class TokenizerSpec:
    """The vocabulary and options of a tokenizer: what its files store, and what both tokenizer classes are built from.

    Attributes:
        vocab: WordPiece entries and their ids, 0 to ``len(vocab) - 1``.
        do_lower_case: lower the text, and drop accents unless ``strip_accents`` says otherwise.
        do_basic_tokenize: clean the text and split off punctuation; False only splits at whitespace.
        tokenize_chinese_chars: make every Chinese character a word.
        strip_accents: drop accents; None means the same as ``do_lower_case``.
        never_split: vocabulary entries that keep their case and are not split where they stand as words.
        special_tokens: the texts of ``unk_token``, ``sep_token``, ``pad_token``, ``cls_token`` and ``mask_token``.
        additional_special_tokens: special tokens beyond these five.
        added_tokens: tokens matched before WordPiece, by id; the special tokens are among them.
        model_max_length: longest input of the model in tokens, special tokens included.
        padding_side: the side on which rows are padded, ``"right"`` or ``"left"``.
        truncation_side: the side on which texts are cut, ``"right"`` or ``"left"``.
        clean_up_tokenization_spaces: whether ``decode`` by default also joins ``do n't`` and the like.
        other_config: entries of tokenizer_config.json that this package does not use; saving writes them back.

    Raises:
        TokenizerError: the ids have gaps, ``unk_token`` is not in the vocabulary, or an option has an unknown value.
    """

    vocab: dict[str, int]
    do_lower_case: bool = True
    do_basic_tokenize: bool = True
    tokenize_chinese_chars: bool = True
    strip_accents: bool | None = None
    never_split: tuple[str, ...] = ()
    special_tokens: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_SPECIAL_TOKENS))
    additional_special_tokens: list[str] = field(default_factory=list)
    added_tokens: dict[int, AddedToken] = field(default_factory=dict)
    model_max_length: int = DEFAULT_MAX_LENGTH
    padding_side: str = "right"
    truncation_side: str = "right"
    clean_up_tokenization_spaces: bool = False
    other_config: dict[str, Any] = field(default_factory=dict)
    _added_ids: dict[str, int] = field(init=False, repr=False, compare=False)  # content of an added token -> id
    _normalized_ids: dict[str, int] = field(init=False, repr=False, compare=False)  # its normalized content -> id
    _size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("padding_side", "truncation_side"):
            check_side(name, getattr(self, name))
        if sorted(self.vocab.values()) != list(range(len(self.vocab))):
            raise TokenizerError(
                f"The ids of a vocabulary must be 0 to {len(self.vocab) - 1}, each once: {_first_fault(self.vocab)}"
            )
        unk_token = self.special_tokens["unk_token"]
        if unk_token not in self.vocab:
            raise TokenizerError(
                f"The vocabulary of {len(self.vocab)} entries has no {unk_token!r}, which stands for unknown words."
                f"{suggest(unk_token, self.vocab)} Add it to the vocabulary or name another entry with unk_token=."
            )
        added_tokens, self.added_tokens, self._added_ids, self._normalized_ids = self.added_tokens, {}, {}, {}
        self._size = len(self.vocab)
        for token_id, token in sorted(added_tokens.items()):
            self._check_id(token_id, token.content)
            self._store(token_id, token)
        for content in [*self.special_tokens.values(), *self.additional_special_tokens]:
            self.add(AddedToken(content, special=True))
        for word in self.never_split:
            word_id = self.id_of(word)
            if word_id is None:
                raise TokenizerError(
                    f"never_split holds {word!r}, which is not in the vocabulary and would become {unk_token!r}. "
                    f"Add it first with add_tokens([{word!r}])."
                )
            if word_id not in self.added_tokens:
                self.add(AddedToken(word, single_word=True, normalized=False))

    @property
    def normalizer(self) -> Normalizer | None:
        """The text cleaning that the options describe; None without basic tokenization."""
        if not self.do_basic_tokenize:
            return None
        return Normalizer(self.do_lower_case, self.tokenize_chinese_chars, self.strip_accents)

    def __len__(self) -> int:
        return self._size

    def id_of(self, token: str) -> int | None:
        """Return the id of a vocabulary entry or added token, None if there is no such token."""
        return self.vocab.get(token, self._added_ids.get(token))

    def add(self, token: AddedToken) -> bool:
        """Add a token, or change the options of a known one; returns whether the token got a new id."""
        token_id = self.id_of(token.content)
        is_new = token_id is None
        if token_id is None:
            token_id = len(self)
        elif token_id in self.added_tokens:
            known = self.added_tokens[token_id]
            # Adding a known token by its text alone leaves its options as they are.
            is_text_only = token == AddedToken(token.content, special=token.special)
            token = AddedToken.of(known if is_text_only else token, special=token.special or known.special)
        self._store(token_id, token)
        return is_new

    def copy(self) -> Self:
        """Return a copy to which tokens can be added without changing this spec."""
        return replace(
            self,
            special_tokens=dict(self.special_tokens),
            additional_special_tokens=list(self.additional_special_tokens),
        )

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a copy with other values for some of ``OPTIONS``; None changes nothing but ``strip_accents``."""
        values = {name: value for name, value in options.items() if value is not None or name == "strip_accents"}
        special_tokens = dict(self.special_tokens)
        tokens = [AddedToken.of(token) for token in values.pop("added_tokens", ())]
        for name in SPECIAL_TOKEN_NAMES:
            if name in values:
                tokens.append(AddedToken.of(values.pop(name), special=True))
                special_tokens[name] = tokens[-1].content
        additional = list(self.additional_special_tokens)
        if "additional_special_tokens" in values:
            additional_tokens = [AddedToken.of(t, special=True) for t in values.pop("additional_special_tokens")]
            tokens += additional_tokens
            additional = [token.content for token in additional_tokens]
        if "model_max_length" in values:
            values["model_max_length"] = int(values["model_max_length"])
        never_split = tuple(values.pop("never_split", self.never_split))
        spec = replace(
            self, **values, special_tokens=special_tokens, additional_special_tokens=additional, never_split=()
        )
        for token in tokens:
            spec.add(token)
        # never_split may name tokens that were only just added.
        return replace(spec, never_split=never_split)

    def _store(self, token_id: int, token: AddedToken) -> None:
        if token.normalized:
            text = self.normalizer(token.content)[0] if self.normalizer else token.content
            if not text:
                raise TokenizerError(
                    f"The added token {token.content!r} is normalized to an empty text and could never be found. Pass "
                    f"AddedToken({token.content!r}, normalized=False) to match the raw text."
                )
            # Of two tokens with the same normalized text, the Rust library finds an arbitrary one. So the second token
            # is matched in the raw text instead, as a user who adds "New" beside "new" expects.
            if self._normalized_ids.setdefault(text, token_id) != token_id:
                token = replace(token, normalized=False)
        self.added_tokens[token_id] = token
        self._added_ids[token.content] = token_id
        self._size = max(self._size, token_id + 1)

    def _check_id(self, token_id: int, content: str) -> None:
        vocab_id = self.vocab.get(content)
        if vocab_id is not None and vocab_id != token_id:
            raise TokenizerError(
                f"The added token {content!r} has id {token_id}, but the vocabulary gives it id {vocab_id}."
            )
        if vocab_id is None and token_id != len(self):
            raise TokenizerError(
                f"The added token {content!r} has id {token_id}. Tokens that are not in the vocabulary of "
                f"{len(self.vocab)} entries must be numbered on from {len(self.vocab)} without a gap."
            )


def check_side(name: str, value: str) -> None:
    """Raise :class:`TokenizerError` unless ``value`` is ``"right"`` or ``"left"``."""
    if value not in ("right", "left"):
        raise TokenizerError(f"{name}={value!r} is not known: expected 'right' or 'left'.")


def vocab_from_entries(entries: Iterable[str]) -> dict[str, int]:
    """Return the vocabulary in which the id of an entry is its place in ``entries``."""
    return {entry: index for index, entry in enumerate(entries)}


def _first_fault(vocab: dict[str, int]) -> str:
    entries: dict[int, str] = {}
    for entry, token_id in vocab.items():
        if token_id in entries:
            return f"{entries[token_id]!r} and {entry!r} both have id {token_id}."
        entries[token_id] = entry
    return f"no entry has id {next(token_id for token_id in range(len(vocab) + 1) if token_id not in entries)}."
