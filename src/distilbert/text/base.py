"""``TokenizerBase``: the whole interface of a DistilBERT tokenizer, whichever way the text is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import InputError, TokenizerError, reject_unknown
from .batch_encoding import BatchEncoding
from .decoding import DecodingAPI
from .encoding_api import EncodingAPI
from .files import read_json, read_vocab
from .padding_api import PaddingAPI
from .persistence import PathLike, PersistenceAPI, override
from .spec import DEFAULT_SPECIAL, TokenizerSpec, number_lines
from .tokenizer_json import read_tokenizer_json


class TokenizerBase(EncodingAPI, PaddingAPI, DecodingAPI, PersistenceAPI):
    """A BERT tokenizer for DistilBERT; ``None`` for an option means the usual value, or that of ``tokenizer_file``.

    Args:
        vocab_file: path of a ``vocab.txt``.
        do_lower_case: lower the text (and drop its accents); usually True.
        do_basic_tokenize: clean the text and split punctuation; usually True.
        never_split: entries of the vocabulary that are kept whole and cased.
        unk_token: stands for unknown words.
        sep_token: ends each text.
        pad_token: fills rows.
        cls_token: starts each input.
        mask_token: stands for a word to guess.
        tokenize_chinese_chars: make every Chinese character a word; usually True.
        strip_accents: drop accents; None means as ``do_lower_case``.
        vocab: the vocabulary itself, a dict of ids or a list, instead of a file.
        tokenizer_file: path of a ``tokenizer.json`` instead of a ``vocab.txt``.
        model_max_length: longest input of the model in tokens; usually 512.
        padding_side: ``"right"`` (usual) or ``"left"``.
        truncation_side: ``"right"`` (usual) or ``"left"``.
        clean_up_tokenization_spaces: default of that argument of ``decode``; usually False.
        additional_special_tokens: further special tokens.
        added_tokens: further tokens that are matched as a whole.
        name_or_path: where the tokenizer came from, for ``repr``.
        unknown: any other argument is an error.

    Raises:
        TokenizerError: not exactly one vocabulary is given, or it cannot be used.
        UnknownArgumentError: there is no such argument.
    """

    def __init__(
        self,
        vocab_file: PathLike | None = None,
        do_lower_case: bool | None = None,
        do_basic_tokenize: bool | None = None,
        never_split: Iterable[str] | None = None,
        unk_token: Any = None,
        sep_token: Any = None,
        pad_token: Any = None,
        cls_token: Any = None,
        mask_token: Any = None,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        *,
        vocab: Mapping[str, int] | Iterable[str] | PathLike | None = None,
        tokenizer_file: PathLike | None = None,
        model_max_length: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        additional_special_tokens: Iterable[Any] | None = None,
        added_tokens: Iterable[Any] | None = None,
        name_or_path: str = "",
        **unknown: Any,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in _NO_OPTIONS and value is not None}
        reject_unknown(unknown, [*TokenizerBase.__init__.__annotations__], f"{type(self).__name__}()")
        sources = {"vocab_file": vocab_file, "vocab": vocab, "tokenizer_file": tokenizer_file}
        given = {name: value for name, value in sources.items() if value is not None}
        if len(given) != 1:
            raise TokenizerError(
                f"{type(self).__name__} needs one of vocab_file=, vocab= and tokenizer_file=, but got "
                f"{' and '.join(given) or 'none'}. For a folder or a name on the hub use from_pretrained."
            )
        base: dict[str, Any]
        if tokenizer_file is not None:
            base = read_tokenizer_json(read_json(Path(tokenizer_file)), str(tokenizer_file))
        else:
            base = {"vocab": _read(vocab_file if vocab is None else vocab), "special": {}}
        special = {**DEFAULT_SPECIAL, **base.pop("special")}
        for name in special:
            if name in options:
                special[name] = str(options[name])
        self._setup(override(TokenizerSpec(**base, special=special), options), name_or_path)

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any) -> Any:
        """Ids of one text or pair: ``self(...)["input_ids"]``; arguments as in a call."""
        return self(text, text_pair, add_special_tokens, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """The older name of a call with one text or pair."""
        return self(text, text_pair, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Any) -> BatchEncoding:
        """The older name of a call with a list of texts, or of tuples of two texts."""
        return self(batch_text_or_text_pairs, **options)

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Tokens of a text or pair, as strings."""
        pairs = None if pair is None else [pair]
        tokens: list[str] = self.encode_batch([text], pairs, add_special_tokens=add_special_tokens)[0].tokens
        return tokens

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` around ids."""
        ids = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return ids if token_ids_1 is None else [*ids, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for the first text and its special tokens, 1 for the second."""
        return [0] * (len(token_ids_0) + 2) + ([] if token_ids_1 is None else [1] * (len(token_ids_1) + 1))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 where a token is special: where the template would put one, or where one is already."""
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InputError("Ids that already have special tokens are one list; leave token_ids_1 out.")
            special = set(self.all_special_ids)
            return [int(index in special) for index in token_ids_0]
        mask = [1, *[0] * len(token_ids_0), 1]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), 1]

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit into the model besides the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of a pair that fit into the model besides the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"do_lower_case={self.spec.do_lower_case}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )


_NO_OPTIONS = {"self", "vocab_file", "vocab", "tokenizer_file", "name_or_path", "unknown", "__class__"}


def _read(vocab: Any) -> dict[str, int]:
    if isinstance(vocab, Mapping):
        return dict(vocab)
    if isinstance(vocab, (list, tuple)):
        return number_lines(vocab)
    return read_vocab(Path(vocab))
