"""``TokenizerSpec``: the vocabulary and the options of a BERT tokenizer, apart from the code that runs it."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..core.errors import TokenizerError, suggest
from .added_tokens import AddedToken, as_tokens
from .chat_templates import ChatTemplates, as_chat_templates
from .wordpiece import MAX_CHARS_PER_WORD, Normalizer

logger = logging.getLogger(__name__)

DEFAULT_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
SPECIAL_TOKEN_NAMES = ("bos_token", "eos_token", *DEFAULT_SPECIAL_TOKENS)
MODEL_INPUT_NAMES = ("input_ids", "attention_mask")
DEFAULT_MAX_LENGTH = 512
NO_LIMIT = 1e30  # the greatest length of a tokenizer that sets none
LARGEST_ID = 9_999_999  # published vocabularies have up to a million entries
LARGEST_MAX_CHARS_PER_WORD = 1_000  # the time for a word grows with the square of its length
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
    "split_special_tokens",
)
OPTIONS = (
    *CONFIG_OPTIONS, *SPECIAL_TOKEN_NAMES, "additional_special_tokens", "added_tokens", "model_input_names",
    "chat_template",
)  # fmt: skip
# The options that a normalizer of another kind, which a tokenizer.json may bring, leaves without effect.
NORMALIZER_OPTIONS = ("do_lower_case", "do_basic_tokenize", "tokenize_chinese_chars", "strip_accents")


def check_model_max_length(value: Any) -> int:
    """Return ``model_max_length`` as an int of at most 1e30, which stands for no limit, also where it is infinite.

    Raises:
        TokenizerError: it is not a positive whole number.
    """
    if type(value) is not bool and isinstance(value, numbers.Integral):
        value = int(value)
    if type(value) in (int, float) and value >= 1 and (value > NO_LIMIT or value == int(value)):
        return int(min(value, NO_LIMIT))
    raise TokenizerError(f"model_max_length must be a positive integer, got {value!r:.40}.")


@dataclass
class TokenizerSpec:
    """The vocabulary and options of a tokenizer: what its files store, and what both tokenizer classes are built from.

    Ids need not be consecutive, but a message in the log names the first fault. An added token that is not in the
    vocabulary gets the id that the Rust library gives: the number of entries, or the largest id of an added token + 1.

    Attributes:
        vocab: WordPiece entries and their ids, usually 0 to ``len(vocab) - 1``.
        do_lower_case: lower the text, and drop accents unless ``strip_accents`` says otherwise.
        do_basic_tokenize: clean the text and split off punctuation; False only splits at whitespace.
        tokenize_chinese_chars: make every Chinese character a word.
        strip_accents: drop accents; None means the same as ``do_lower_case``.
        never_split: vocabulary entries that keep their case and are not split where they stand as words.
        special_tokens: the texts of those of ``SPECIAL_TOKEN_NAMES`` that are set.
        additional_special_tokens: special tokens beyond these.
        added_tokens: tokens matched before WordPiece, by id; the special tokens are among them.
        model_max_length: longest input of the model in tokens, special tokens included.
        padding_side: the side on which rows are padded, ``"right"`` or ``"left"``.
        truncation_side: the side on which texts are cut, ``"right"`` or ``"left"``.
        clean_up_tokenization_spaces: whether ``decode`` by default also joins ``do n't`` and the like.
        split_special_tokens: treat special tokens in a text as ordinary text.
        model_input_names: the columns that a call returns by default.
        unknown_word: the entry that stands for unknown words; by default ``unk_token``.
        max_chars_per_word: words with more characters are unknown.
        components: the ``normalizer`` and ``pre_tokenizer`` of a tokenizer.json that are not those of BERT, as the
            file has them; only the Rust library runs them.
        chat_template: turns messages into a text; one template, several by name, or None.
        other_config: entries of tokenizer_config.json that this package does not use; saving writes them back.

    Raises:
        TokenizerError: ``unk_token`` is not in the vocabulary, an id is out of range or shared by two added tokens, or
            an option has an unknown value.
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
    split_special_tokens: bool = False
    model_input_names: list[str] = field(default_factory=lambda: list(MODEL_INPUT_NAMES))
    unknown_word: str = ""
    max_chars_per_word: int = MAX_CHARS_PER_WORD
    components: dict[str, Any] = field(default_factory=dict)
    chat_template: ChatTemplates | None = None
    other_config: dict[str, Any] = field(default_factory=dict)
    _added_ids: dict[str, int] = field(init=False, repr=False, compare=False)  # content of an added token -> id
    _normalized_ids: dict[str, int] = field(init=False, repr=False, compare=False)  # its normalized content -> id
    _largest_vocab_id: int = field(init=False, repr=False, compare=False)
    _largest_added_id: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("padding_side", "truncation_side"):
            check_side(name, getattr(self, name))
        unk_token = self.special_tokens.get("unk_token") or self.unknown_word
        if unk_token not in self.vocab:
            raise TokenizerError(
                f"The vocabulary of {len(self.vocab)} entries has no {unk_token!r:.80}, which stands for unknown words."
                f"{suggest(unk_token, self.vocab)} Add it to the vocabulary or name another entry with unk_token=."
            )
        self.unknown_word = unk_token
        self._largest_vocab_id = max(self.vocab.values())
        if not 0 <= min(self.vocab.values()) <= self._largest_vocab_id <= LARGEST_ID:
            entry = min(self.vocab, key=lambda entry: 0 <= self.vocab[entry] <= LARGEST_ID)
            raise TokenizerError(f"{entry!r:.80} has the id {self.vocab[entry]}; ids must be 0 to {LARGEST_ID}.")
        added_tokens, self.added_tokens, self._added_ids, self._normalized_ids = self.added_tokens, {}, {}, {}
        self._largest_added_id = -1
        for _, token in sorted(added_tokens.items(), key=lambda item: item[0]):
            self._store(self._id_for(token.content), token)
        for content in [*self.special_tokens.values(), *self.additional_special_tokens]:
            self.add(AddedToken(content, special=True))
        for word in self.never_split:
            word_id = self.id_of(word)
            if word_id is None:
                raise TokenizerError(
                    f"never_split holds {word!r:.80}, which is not in the vocabulary and would become "
                    f"{unk_token!r:.80}. "
                    f"Add it first with add_tokens([{word!r:.80}])."
                )
            if word_id not in self.added_tokens:
                self.add(AddedToken(word, single_word=True, normalized=False))

    @property
    def has_other_components(self) -> bool:
        """Whether a normalizer or pre-tokenizer that is not BERT's decides how texts become words."""
        return "normalizer" in self.components or "pre_tokenizer" in self.components

    @property
    def normalizer(self) -> Normalizer | None:
        """The text cleaning that the options describe; None without basic tokenization, or with other components."""
        if not self.do_basic_tokenize or self.has_other_components:
            return None
        return Normalizer(self.do_lower_case, self.tokenize_chinese_chars, self.strip_accents)

    def __len__(self) -> int:
        return max(self._largest_vocab_id, self._largest_added_id) + 1

    def id_of(self, token: str) -> int | None:
        """Return the id of a vocabulary entry or added token, None if there is no such token."""
        return self.vocab.get(token, self._added_ids.get(token))

    def add(self, token: AddedToken) -> bool:
        """Add a token, or change the options of a known one; returns whether the token got a new id."""
        is_new = self.id_of(token.content) is None
        token_id = self._id_for(token.content)
        if not is_new and token_id in self.added_tokens:
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
            model_input_names=list(self.model_input_names),
        )

    def rename_tokens(self, new_texts: Mapping[str, str]) -> Self:
        """Return a copy in which special tokens have other texts; the vocabulary stays as it is."""
        names = {content: new_texts.get(content, content) for content in [*self._added_ids, self.unknown_word]}
        vocab = {names.get(entry, entry): token_id for entry, token_id in self.vocab.items()}
        return replace(
            self,
            vocab=vocab,
            special_tokens={name: names[content] for name, content in self.special_tokens.items()},
            additional_special_tokens=[names[content] for content in self.additional_special_tokens],
            added_tokens={i: replace(t, content=names[t.content]) for i, t in self.added_tokens.items()},
            unknown_word=names[self.unknown_word],
        )

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a copy with other values for some of ``OPTIONS``; None changes nothing but ``strip_accents``.

        Raises:
            TokenizerError: an option has a value that it cannot have.
        """
        values = {name: value for name, value in options.items() if value is not None or name == "strip_accents"}
        if self.has_other_components:
            ignored = [name for name in NORMALIZER_OPTIONS if values.pop(name, None) is not None]
            if ignored:
                logger.warning("%s has no effect: tokenizer.json brings its own normalizer.", " and ".join(ignored))
        special_tokens = dict(self.special_tokens)
        tokens = [AddedToken.of(token) for token in as_tokens(values.pop("added_tokens", ()), "added_tokens")]
        for name in SPECIAL_TOKEN_NAMES:
            if name in values:
                tokens.append(AddedToken.of(values.pop(name), special=True))
                special_tokens[name] = tokens[-1].content
        additional = list(self.additional_special_tokens)
        if "additional_special_tokens" in values:
            given = as_tokens(values.pop("additional_special_tokens"), "additional_special_tokens")
            additional_tokens = [AddedToken.of(token, special=True) for token in given]
            tokens += additional_tokens
            additional = [token.content for token in additional_tokens]
        if "chat_template" in values:
            values["chat_template"] = as_chat_templates(values["chat_template"])
        if "model_max_length" in values:
            values["model_max_length"] = check_model_max_length(values["model_max_length"])
        if "model_input_names" in values:
            values["model_input_names"] = as_tokens(values["model_input_names"], "model_input_names")
        never_split = tuple(as_tokens(values.pop("never_split", self.never_split), "never_split"))
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
                    f"The added token {token.content!r:.80} is normalized to an empty text and could never be found. "
                    f"Pass AddedToken({token.content!r:.80}, normalized=False) to match the raw text."
                )
            # Of two tokens with the same normalized text, the Rust library finds an arbitrary one. So the second token
            # is matched in the raw text instead, as a user who adds "New" beside "new" expects.
            if self._normalized_ids.setdefault(text, token_id) != token_id:
                token = replace(token, normalized=False)
        self.added_tokens[token_id] = token
        self._added_ids[token.content] = token_id
        self._largest_added_id = max(self._largest_added_id, token_id)

    def _id_for(self, content: str) -> int:
        """Return the id of a token, or the id that it gets if it is new."""
        known = self.id_of(content)
        token_id = max(len(self.vocab), self._largest_added_id + 1) if known is None else known
        other = self.added_tokens.get(token_id)
        if other is not None and other.content != content:
            names = f"{other.content!r:.80} and {content!r:.80}"
            raise TokenizerError(f"The added tokens {names} would share the id {token_id}.")
        return token_id


def check_side(name: str, value: str) -> None:
    """Raise :class:`TokenizerError` unless ``value`` is ``"right"`` or ``"left"``."""
    if value not in ("right", "left"):
        raise TokenizerError(f"{name}={value!r:.80} is not known: expected 'right' or 'left'.")


def vocab_from_entries(entries: Iterable[str]) -> dict[str, int]:
    """Return the vocabulary in which the id of an entry is its place in ``entries``."""
    return {entry: index for index, entry in enumerate(entries)}


def first_fault(vocab: Mapping[str, int]) -> str:
    """Return what is unusual in the ids of a vocabulary, in one sentence; empty if they are 0 to ``len(vocab) - 1``."""
    if list(vocab.values()) == list(range(len(vocab))):  # as nearly always
        return ""
    entries: dict[int, str] = {}
    for entry, token_id in vocab.items():
        if token_id in entries:
            return f"{entries[token_id]!r:.80} and {entry!r:.80} both have id {token_id}."
        entries[token_id] = entry
    missing = next((token_id for token_id in range(len(vocab)) if token_id not in entries), None)
    return "" if missing is None else f"no entry has id {missing}."
