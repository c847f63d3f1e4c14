"""``TokenizerSpec``: everything that makes a BERT tokenizer, apart from how it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import TokenizerError, suggest
from .added_tokens import AddedToken
from .wordpiece import CONTINUATION, MAX_CHARS_PER_WORD, Normalizer

SPECIAL_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
DEFAULT_SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
DEFAULT_MAX_LENGTH = 512
SIDES = ("right", "left")


@dataclass
class TokenizerSpec:
    """The vocabulary and options of a tokenizer; what files hold and both classes are built from.

    Attributes:
        vocab: WordPiece entries and their ids, 0 to ``len(vocab) - 1``.
        do_lower_case: lower the text, and drop accents unless ``strip_accents`` says otherwise.
        do_basic_tokenize: clean the text and split punctuation; False only splits at whitespace.
        tokenize_chinese_chars: make every Chinese character a word.
        strip_accents: drop accents; None means as ``do_lower_case``.
        never_split: entries of the vocabulary that are kept whole, and cased, where they stand as words.
        special: ``unk_token``, ``sep_token``, ``pad_token``, ``cls_token`` and ``mask_token`` with their texts.
        additional_special_tokens: further special tokens.
        added: tokens matched before WordPiece, by id; the special ones included.
        model_max_length: longest input of the model in tokens, special tokens included.
        padding_side: where padding goes, ``"right"`` or ``"left"``.
        truncation_side: where text is cut, ``"right"`` or ``"left"``.
        clean_up_tokenization_spaces: whether ``decode`` also joins ``do n't`` and the like by default.
        extra: entries of tokenizer_config.json that mean nothing here and are kept for the next reader.
    """

    vocab: dict[str, int]
    do_lower_case: bool = True
    do_basic_tokenize: bool = True
    tokenize_chinese_chars: bool = True
    strip_accents: bool | None = None
    never_split: tuple[str, ...] = ()
    special: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_SPECIAL))
    additional_special_tokens: list[str] = field(default_factory=list)
    added: dict[int, AddedToken] = field(default_factory=dict)
    model_max_length: int = DEFAULT_MAX_LENGTH
    padding_side: str = "right"
    truncation_side: str = "right"
    clean_up_tokenization_spaces: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)  # of the added tokens
    _found_as: dict[str, int] = field(init=False, repr=False, compare=False)  # normalized text -> added token
    _size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("padding_side", "truncation_side"):
            check_side(name, getattr(self, name))
        if sorted(self.vocab.values()) != list(range(len(self.vocab))):
            raise TokenizerError(
                f"The ids of a vocabulary must be 0 to {len(self.vocab) - 1}, each once: {_first_fault(self.vocab)}"
            )
        unknown = self.special["unk_token"]
        if unknown not in self.vocab:
            raise TokenizerError(
                f"The vocabulary of {len(self.vocab)} entries has no {unknown!r}, which stands for unknown words."
                f"{suggest(unknown, self.vocab)} Add it to the vocabulary or name another entry with unk_token=."
            )
        given, self.added, self._ids, self._found_as = self.added, {}, {}, {}
        self._size = len(self.vocab)
        for index, token in sorted(given.items()):
            self._check_id(index, token.content)
            self._put(index, token)
        for content in [*self.special.values(), *self.additional_special_tokens]:
            self.add(AddedToken(content, special=True))
        for word in self.never_split:
            if self.id_of(word) is None:
                raise TokenizerError(
                    f"never_split holds {word!r}, which is not in the vocabulary and would become {unknown!r}. "
                    f"Add it first with add_tokens([{word!r}])."
                )
            if self.id_of(word) not in self.added:
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
        """Id of a vocabulary entry or added token; None if there is none."""
        return self.vocab.get(token, self._ids.get(token))

    def add(self, token: AddedToken) -> bool:
        """Add a token, or change the options of one that is there; returns whether it got a new id."""
        index = self.id_of(token.content)
        is_new = index is None
        if index is None:
            index = len(self)
        elif index in self.added:
            old = self.added[index]
            # A plain text asks for the token, not for other options than it has.
            is_plain = token == AddedToken(token.content, special=token.special)
            token = AddedToken.of(old if is_plain else token, special=token.special or old.special)
        self._put(index, token)
        return is_new

    def _put(self, index: int, token: AddedToken) -> None:
        if token.normalized:
            text = self.normalizer(token.content)[0] if self.normalizer else token.content
            if not text:
                raise TokenizerError(
                    f"The added token {token.content!r} is normalized to an empty text and could never be found. Pass "
                    f"AddedToken({token.content!r}, normalized=False) to match the raw text."
                )
            # Of two tokens with the same normalized text the Rust library finds one by chance. The second one is
            # matched on the raw text instead, as who adds "New" beside "new" expects.
            if self._found_as.setdefault(text, index) != index:
                token = replace(token, normalized=False)
        self.added[index] = token
        self._ids[token.content] = index
        self._size = max(self._size, index + 1)

    def _check_id(self, index: int, content: str) -> None:
        own = self.vocab.get(content)
        if own is not None and own != index:
            raise TokenizerError(f"The added token {content!r} has id {index}, but the vocabulary gives it id {own}.")
        if own is None and index != len(self):
            raise TokenizerError(
                f"The added token {content!r} has id {index}. Tokens that are not in the vocabulary of "
                f"{len(self.vocab)} entries must be numbered on from {len(self.vocab)} without a gap."
            )

    def to_tokenizer_json(self) -> dict[str, Any]:
        """The content of tokenizer.json, from which the Rust library builds the same tokenizer."""
        cls, sep = self.special["cls_token"], self.special["sep_token"]
        normalizer = {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": self.tokenize_chinese_chars,
            "strip_accents": self.strip_accents,
            "lowercase": self.do_lower_case,
        }
        single = [_template_token(cls, 0), _template_text("A", 0), _template_token(sep, 0)]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": index, **token.to_dict()} for index, token in sorted(self.added.items())],
            "normalizer": normalizer if self.do_basic_tokenize else None,
            "pre_tokenizer": {"type": "BertPreTokenizer" if self.do_basic_tokenize else "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": [*single, _template_text("B", 1), _template_token(sep, 1)],
                "special_tokens": {
                    token: {"id": token, "ids": [self.id_of(token)], "tokens": [token]} for token in (cls, sep)
                },
            },
            "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": self.special["unk_token"],
                "continuing_subword_prefix": CONTINUATION,
                "max_input_chars_per_word": MAX_CHARS_PER_WORD,
                "vocab": self.vocab,
            },
        }


def check_side(name: str, value: str) -> None:
    """Raise :class:`TokenizerError` unless ``value`` is ``"right"`` or ``"left"``."""
    if value not in SIDES:
        raise TokenizerError(f"{name}={value!r} is not known: expected 'right' or 'left'.")


def number_lines(entries: Iterable[str]) -> dict[str, int]:
    """The vocabulary whose ids are the places of its entries."""
    return {entry: index for index, entry in enumerate(entries)}


def _first_fault(vocab: dict[str, int]) -> str:
    seen: dict[int, str] = {}
    for token, index in vocab.items():
        if index in seen:
            return f"{seen[index]!r} and {token!r} both have id {index}."
        seen[index] = token
    return f"no entry has id {next(index for index in range(len(vocab) + 1) if index not in seen)}."


def _template_token(token: str, type_id: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": type_id}}


def _template_text(name: str, type_id: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": type_id}}
