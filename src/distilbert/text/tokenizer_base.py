"""``TokenizerBase``: the whole interface of a DistilBERT tokenizer. Its two subclasses only turn texts into encodings.

In this order: making a tokenizer, saving it, text to ids, ids to text, padding, tokens and ids, special and added
tokens, options, and what the subclasses implement.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

from ..core.errors import InputError, TokenizerError, reject_unknown, suggest
from ..core.hub import push_saved, resolve
from .added_tokens import AddedToken
from .batch_encoding import BatchEncoding, check_tensor_type
from .padding import NO_LIMIT, as_columns, check_padding, pad_columns, padded_length
from .spec import (
    DEFAULT_SPECIAL_TOKENS,
    OPTIONS,
    SPECIAL_TOKEN_NAMES,
    TokenizerSpec,
    check_side,
    vocab_from_entries,
)
from .text_inputs import Text, as_batch, check_texts
from .tokenizer_files import (
    VOCAB_FILE,
    load_spec,
    read_vocab,
    spec_options_from_tokenizer_json,
    write_spec,
    write_vocab,
)
from .truncation import Truncation, check_strategy
from .wordpiece import clean_up_spaces, join_tokens

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)


class SpecialToken:
    """A property that reads and sets one of the five special tokens."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: TokenizerBase, owner: Any = None) -> str:
        return tokenizer.spec.special_tokens[self.name]

    def __set__(self, tokenizer: TokenizerBase, token: Any) -> None:
        content = str(token)
        vocab = tokenizer.get_vocab()
        if content not in vocab:
            raise TokenizerError(
                f"{self.name}={content!r} is not in the vocabulary.{suggest(content, vocab)} "
                f"To add it use add_special_tokens({{{self.name!r}: {content!r}}})."
            )
        tokenizer.add_special_tokens({self.name: token})


class SpecialTokenId:
    """A property that reads and sets one of the five special tokens by its id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: TokenizerBase, owner: Any = None) -> int:
        return tokenizer.convert_tokens_to_ids(tokenizer.spec.special_tokens[self.name])

    def __set__(self, tokenizer: TokenizerBase, token_id: int) -> None:
        tokenizer.add_special_tokens({self.name: tokenizer.convert_ids_to_tokens(token_id)})


class TokenizerBase:
    """A BERT tokenizer for DistilBERT.

    For every option, ``None`` means the usual value, or the value in ``tokenizer_file``.

    Args:
        vocab_file: path of a ``vocab.txt``.
        do_lower_case: lower the text (and drop its accents); usually True.
        do_basic_tokenize: clean the text and split off punctuation; usually True.
        never_split: vocabulary entries that keep their case and are not split.
        unk_token: stands for unknown words.
        sep_token: ends each text.
        pad_token: fills rows.
        cls_token: starts each input.
        mask_token: stands for a word to guess.
        tokenize_chinese_chars: make every Chinese character a word; usually True.
        strip_accents: drop accents; None means the same as ``do_lower_case``.
        vocab: the vocabulary itself, a dict of ids or a list, instead of a file.
        tokenizer_file: path of a ``tokenizer.json`` instead of a ``vocab.txt``.
        model_max_length: longest input of the model in tokens; usually 512.
        padding_side: ``"right"`` (usual) or ``"left"``.
        truncation_side: ``"right"`` (usual) or ``"left"``.
        clean_up_tokenization_spaces: default of that argument of ``decode``; usually False.
        additional_special_tokens: special tokens beyond the five above.
        added_tokens: other tokens that are matched as a whole.
        name_or_path: where the tokenizer came from, for ``repr``.
        unknown: any other argument is an error.

    Raises:
        TokenizerError: there is no vocabulary, more than one, or one that cannot be used.
        UnknownArgumentError: there is no such argument.
    """

    spec: TokenizerSpec
    name_or_path: str
    model_input_names: list[str]

    unk_token, unk_token_id = SpecialToken("unk_token"), SpecialTokenId("unk_token")
    sep_token, sep_token_id = SpecialToken("sep_token"), SpecialTokenId("sep_token")
    pad_token, pad_token_id = SpecialToken("pad_token"), SpecialTokenId("pad_token")
    cls_token, cls_token_id = SpecialToken("cls_token"), SpecialTokenId("cls_token")
    mask_token, mask_token_id = SpecialToken("mask_token"), SpecialTokenId("mask_token")
    pad_token_type_id = 0
    _warned_too_long = False

    # ---- Making a tokenizer ----

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
        arguments = locals()
        reject_unknown(unknown, [*TokenizerBase.__init__.__annotations__], f"{type(self).__name__}()")
        options = {name: arguments[name] for name in OPTIONS if arguments[name] is not None}
        sources = [name for name in ("vocab_file", "vocab", "tokenizer_file") if arguments[name] is not None]
        if len(sources) != 1:
            raise TokenizerError(
                f"{type(self).__name__} needs one of vocab_file=, vocab= and tokenizer_file=, but got "
                f"{' and '.join(sources) or 'none'}. For a folder or a name on the hub use from_pretrained."
            )
        spec_options: dict[str, Any]
        if tokenizer_file is not None:
            spec_options = spec_options_from_tokenizer_json(Path(tokenizer_file))
        else:
            spec_options = {"vocab": _read_vocab(vocab_file if vocab is None else vocab), "special_tokens": {}}
        special_tokens = {**DEFAULT_SPECIAL_TOKENS, **spec_options.pop("special_tokens")}
        # The special tokens must be known at once: the vocabulary may hold only those that the caller names.
        special_tokens |= {name: str(options[name]) for name in SPECIAL_TOKEN_NAMES if name in options}
        spec = TokenizerSpec(**spec_options, special_tokens=special_tokens)
        self._set_up(spec.with_options(options), name_or_path)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: PathLike,
        *,
        cache_dir: PathLike | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        **options: Any,
    ) -> Self:
        """Load the tokenizer of a folder, of an installed model, or of a model on the hub.

        Args:
            pretrained_model_name_or_path: a folder with ``vocab.txt`` or ``tokenizer.json``, or the name of a model.
            cache_dir: where downloads are kept.
            revision: branch, tag or commit on the hub.
            token: access token of the hub.
            local_files_only: use only what was downloaded before.
            force_download: download again.
            subfolder: folder of the tokenizer inside the folder or model.
            options: any option of the constructor; it then wins over the files.

        Raises:
            TokenizerError: the files do not describe a BERT-style tokenizer.
            ModelNotFoundError: the name is neither a folder nor a model that could be fetched.
            UnknownArgumentError: there is no such option.
        """
        reject_unknown(options, OPTIONS, f"{cls.__name__}.from_pretrained")
        name = os.fspath(pretrained_model_name_or_path)
        if Path(name).is_dir():
            folder = Path(name, subfolder)
        elif Path(name).is_file():
            raise TokenizerError(
                f"{name!r} is a file; from_pretrained takes its folder, vocab_file= takes a vocab.txt."
            )
        else:
            folder = resolve(
                name,
                kind="tokenizer",
                cache_dir=cache_dir,
                revision=revision,
                token=token,
                local_files_only=local_files_only,
                force_download=force_download,
                subfolder=subfolder,
            )
        return cls._from_spec(load_spec(folder).with_options(options), name)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        *,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
        show_progress: bool = False,
    ) -> Self:
        """Return a tokenizer with the same options and a new vocabulary; it keeps the special and added tokens.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: entries of the new vocabulary, special tokens included; fewer if the texts are small.
            min_frequency: how often two neighbouring entries must occur together to become one.
            limit_alphabet: how many different characters get an entry, at most.
            show_progress: draw a progress bar on standard error.
        """
        from .vocabulary_training import train_vocabulary  # loads the Rust library

        vocab = train_vocabulary(self.spec, text_iterator, vocab_size, min_frequency, limit_alphabet, show_progress)
        added_tokens = {vocab[token.content]: token for _, token in sorted(self.spec.added_tokens.items())}
        return type(self)._from_spec(replace(self.spec, vocab=vocab, added_tokens=added_tokens))

    @classmethod
    def _from_spec(cls, spec: TokenizerSpec, name_or_path: str = "") -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(spec, name_or_path)
        return tokenizer

    def _set_up(self, spec: TokenizerSpec, name_or_path: str) -> None:
        self.name_or_path = name_or_path
        self.model_input_names = ["input_ids", "attention_mask"]
        self._set_spec(spec)

    def _set_spec(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        self._vocab = {**spec.vocab, **{token.content: token_id for token_id, token in spec.added_tokens.items()}}
        self._tokens = sorted(self._vocab, key=self._vocab.__getitem__)
        self._special_ids = {token_id for token_id, token in spec.added_tokens.items() if token.special}
        self._rebuild()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"do_lower_case={self.spec.do_lower_case}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    # ---- Saving ----

    def save_pretrained(self, save_directory: PathLike) -> tuple[str, ...]:
        """Write the files of the tokenizer into a folder, which is created if it is missing; returns their paths."""
        return write_spec(self.spec, Path(save_directory))

    def save_vocabulary(self, save_directory: PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write only ``vocab.txt``, or with a prefix ``PREFIX-vocab.txt``; returns its path."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{filename_prefix}-{VOCAB_FILE}" if filename_prefix else VOCAB_FILE
        return (write_vocab(self.spec.vocab, folder / name),)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Upload the files of the tokenizer to the hub; ``options`` go to ``distilbert.core.hub.push``."""
        return push_saved(self.save_pretrained, repo_id, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "name_or_path": self.name_or_path, "model_input_names": self.model_input_names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy shares nothing with the original that add_tokens changes.
        self._set_up(copy.deepcopy(state["spec"]), state["name_or_path"])
        self.model_input_names = list(state["model_input_names"])

    # ---- Text to ids ----

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | None = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a pair, or a list of either.

        Args:
            text: a text or a list of texts (``B`` of them); with ``is_split_into_words`` a list of words or a list of
                such lists. A list of tuples of two texts is a list of pairs.
            text_pair: second text or texts, as many as ``text``.
            add_special_tokens: make ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.
            padding: True or ``"longest"`` pads to the longest row of the batch, ``"max_length"`` to ``max_length``.
                False or ``"do_not_pad"`` leaves the rows as they are.
            truncation: True or ``"longest_first"`` cuts to ``max_length``, ``"only_first"`` and ``"only_second"`` cut
                one text of a pair, False does not cut. None cuts only if ``max_length`` is given without padding.
            max_length: in tokens, special tokens included; None means ``model_max_length``.
            stride: tokens that each window repeats from the window before, with ``return_overflowing_tokens``.
            is_split_into_words: the texts are lists of words; offsets then count within a word.
            pad_to_multiple_of: round the padded length up to a multiple of this.
            padding_side: ``"right"`` or ``"left"`` instead of the tokenizer's own side.
            return_tensors: ``"pt"``, ``"np"``, ``"tf"`` or ``"jax"``; None returns lists.
            return_token_type_ids: add ``token_type_ids``; None means no, because DistilBERT has none.
            return_attention_mask: add ``attention_mask``; None means yes.
            return_overflowing_tokens: return all windows of a cut text, each as a row, and
                ``overflow_to_sample_mapping``, the index of the input that each row belongs to.
            return_special_tokens_mask: add ``special_tokens_mask``, 1 for special tokens and padding.
            return_offsets_mapping: add ``offset_mapping``, (start, stop) of each token in its text in characters.
            return_length: add ``length``, the length of each row.
            verbose: warn once, through ``logging``, about a text longer than ``model_max_length``.
            unknown: any other argument is an error.

        Returns:
            Columns of shape (B, S) as tensors or lists of lists; plain lists (S) for a single text without tensors.

        Raises:
            InputError: a text has the wrong type, an option has an unknown value, or rows cannot become a tensor.
            TokenizerError: ``padding_side`` has an unknown value.
            UnknownArgumentError: there is no such argument.
        """
        if unknown:
            reject_unknown(unknown, _CALL_ARGUMENTS, f"{type(self).__name__}()")
        if return_tensors is not None:
            return_tensors = check_tensor_type(return_tensors)
        padding_strategy = check_padding(padding)
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        strategy = check_strategy(truncation)
        limit = self.model_max_length if max_length is None else max_length
        if limit > NO_LIMIT:
            padding_strategy, strategy = (None if padding_strategy == "max_length" else padding_strategy), None
        if strategy and padding_strategy and pad_to_multiple_of and limit % pad_to_multiple_of:
            raise InputError(
                f"max_length={limit} is not a multiple of pad_to_multiple_of={pad_to_multiple_of}, so a cut text would "
                "be filled beyond max_length."
            )
        texts, pairs, is_single = as_batch(text, text_pair, is_split_into_words)
        encodings = self.encode_batch(
            texts,
            pairs,
            add_special_tokens=add_special_tokens,
            truncation=strategy,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
        )
        sample_of_row = list(range(len(encodings)))
        if return_overflowing_tokens:
            if strategy and add_special_tokens and limit <= self.num_special_tokens_to_add(pairs is not None):
                raise InputError(f"max_length={limit} has room for special tokens only, so no window could hold text.")
            sample_of_row = [index for index, main in enumerate(encodings) for _ in (main, *main.overflowing)]
            encodings = [window for main in encodings for window in (main, *main.overflowing)]
        if verbose and strategy is None:
            self._warn_if_too_long(encodings)
        if padding_strategy:
            length = padded_length([len(e) for e in encodings], padding_strategy, limit, pad_to_multiple_of)
            self._pad_encodings(encodings, length, padding_side)

        names = self.model_input_names
        columns: dict[str, list[Any]] = {"input_ids": [e.ids for e in encodings]}
        if return_token_type_ids or (return_token_type_ids is None and "token_type_ids" in names):
            columns["token_type_ids"] = [e.type_ids for e in encodings]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in names):
            columns["attention_mask"] = [e.attention_mask for e in encodings]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [e.special_tokens_mask for e in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [e.offsets for e in encodings]
        if return_length:
            columns["length"] = [len(e) for e in encodings]
        if is_single and return_tensors is None and not return_overflowing_tokens:
            columns = {name: column[0] for name, column in columns.items()}
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = sample_of_row
        return BatchEncoding(columns, encodings, return_tensors, self.is_fast)

    def encode_batch(
        self,
        texts: Sequence[Text],
        pairs: Sequence[Text] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = False,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
    ) -> list[Any]:
        """Return encodings of a list of texts (or pairs), without padding.

        Args:
            texts: the first texts.
            pairs: the second texts, as many, or None.
            add_special_tokens: make ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.
            truncation: False, or how to cut: True, ``"longest_first"``, ``"only_first"`` or ``"only_second"``.
            max_length: tokens that stay, special tokens included; None means ``model_max_length``.
            stride: tokens that each window of a cut text repeats from the window before.
            is_split_into_words: every text is a list of words; offsets then count within a word.

        Returns:
            One encoding an input, with the attributes of ``text.encoding.Encoding``: ids, tokens, offsets, word_ids,
            sequence_ids, type_ids, special_tokens_mask, attention_mask; and overflowing, the further windows of a cut
            text.

        Raises:
            InputError: a text has the wrong type, or ``max_length`` or ``stride`` leave no room for text.
        """
        check_texts(texts, pairs, is_split_into_words)
        strategy = check_strategy(truncation)
        length = self.model_max_length if max_length is None else max_length
        if strategy is None or length > NO_LIMIT:
            return self._encode(texts, pairs, add_special_tokens, is_split_into_words, None)
        special = self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0
        room = length - special
        if room < 0:
            raise InputError(f"max_length={length} has no room for the {special} special tokens.")
        if stride < 0 or stride > max(0, room - 1):
            raise InputError(
                f"stride={stride} must be at least 0 and smaller than {room}, the tokens that max_length={length} "
                "leaves besides the special ones."
            )
        return self._encode(texts, pairs, add_special_tokens, is_split_into_words, Truncation(room, strategy, stride))

    def encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Return only the ids of a list of texts (or pairs), neither cut nor padded: the fastest way."""
        check_texts(texts, pairs, pairs_name="pairs")
        return self._encode_ids(texts, pairs, add_special_tokens)

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any) -> Any:
        """Return the ids of one text or pair: ``self(...)["input_ids"]``; the arguments are those of a call."""
        return self(text, text_pair, add_special_tokens, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Tokenize one text or pair; an older way to call the tokenizer."""
        return self(text, text_pair, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Any) -> BatchEncoding:
        """Tokenize a list of texts, or of tuples of two texts; an older way to call the tokenizer."""
        return self(batch_text_or_text_pairs, **options)

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Return the tokens of a text or pair, as strings."""
        pairs = None if pair is None else [pair]
        tokens: list[str] = self.encode_batch([text], pairs, add_special_tokens=add_special_tokens)[0].tokens
        return tokens

    def _warn_if_too_long(self, encodings: Sequence[Any]) -> None:
        if self._warned_too_long:
            return
        longest = max(map(len, encodings), default=0)
        if longest > self.model_max_length:
            self._warned_too_long = True
            logger.warning(
                "A text has %d tokens, more than the %d that the model takes. Pass truncation=True to cut it, or "
                "return_overflowing_tokens=True with a stride for windows.",
                longest,
                self.model_max_length,
            )

    # ---- Special tokens around ids ----

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens around a text (2) or a pair (3)."""
        return 3 if pair else 2

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit into the model besides the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of a pair that fit into the model besides the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` around ids."""
        ids = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return ids if token_ids_1 is None else [*ids, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return 0 for every token of the first text and its special tokens, 1 for those of the second."""
        return [0] * (len(token_ids_0) + 2) + ([] if token_ids_1 is None else [1] * (len(token_ids_1) + 1))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """Return 1 for special tokens and 0 for others.

        Args:
            token_ids_0: ids of the first text.
            token_ids_1: ids of the second text, or None.
            already_has_special_tokens: whether the ids include the special tokens; otherwise the mask is for the ids
                that ``build_inputs_with_special_tokens`` returns.

        Raises:
            InputError: ``token_ids_1`` is given although the ids include the special tokens.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InputError("Ids that already have special tokens are one list; leave token_ids_1 out.")
            special_ids = set(self.all_special_ids)
            return [int(token_id in special_ids) for token_id in token_ids_0]
        mask = [1, *[0] * len(token_ids_0), 1]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), 1]

    # ---- Ids to text ----

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Return the text of one sequence of ids.

        Args:
            token_ids: one id, or a list, array or tensor of ids with one axis. Ids beyond the vocabulary are left out.
            skip_special_tokens: leave out ``[CLS]``, ``[SEP]``, ``[PAD]`` and the like.
            clean_up_tokenization_spaces: also join ``n't``, ``'s`` and the like where they are several tokens; None
                means what the tokenizer's files say, by default no.

        Raises:
            InputError: an id is negative or not an integer, or there is more than one sequence.
        """
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        ids = [ids] if isinstance(ids, int) else list(ids)
        for token_id in ids:
            if hasattr(token_id, "__len__"):
                raise InputError("decode takes the ids of one sequence; for a batch use batch_decode.")
            if not hasattr(token_id, "__index__"):
                raise InputError(f"decode takes integers, but got {token_id!r} of type {type(token_id).__name__}.")
            if token_id < 0:
                raise InputError(
                    f"decode got the id {token_id}. Replace label masks such as -100 by pad_token_id first."
                )
        skipped = self._special_ids if skip_special_tokens else ()
        text = join_tokens(self._tokens[i] for i in ids if i < len(self._tokens) and i not in skipped)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.spec.clean_up_tokenization_spaces
        return clean_up_spaces(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """Return the texts of a list of sequences, or of an array or tensor with two axes; arguments as ``decode``."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else sequences
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in rows]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text."""
        return join_tokens(tokens)

    # ---- Padding ----

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | None = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad inputs that are tokenized already; collators call this.

        Args:
            encoded_inputs: a dict of columns (one row or many), or a list of dicts of one row each; the values may be
                lists, arrays or tensors. Columns that a tokenizer does not make stay as they are.
            padding: as in a call.
            max_length: as in a call.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: add ``attention_mask`` if it is missing; None means yes.
            return_tensors: as in a call.
            verbose: has no effect; accepted because code written for transformers passes it.

        Raises:
            InputError: there is no ``input_ids`` column, or the rows cannot become a tensor.
            TokenizerError: ``padding_side`` has an unknown value.
        """
        ids_name = self.model_input_names[0]
        columns, is_single = as_columns(encoded_inputs, ids_name)
        rows = columns[ids_name]
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        if return_attention_mask and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * len(row) for row in rows]
        strategy = check_padding(padding)
        if strategy:
            limit = self.model_max_length if max_length is None else max_length
            strategy = "longest" if limit > NO_LIMIT else strategy
            length = padded_length([len(row) for row in rows], strategy, limit, pad_to_multiple_of)
            pad_values = {
                "attention_mask": 0,
                "token_type_ids": 0,
                "special_tokens_mask": 1,
                "offset_mapping": (0, 0),
                ids_name: self.pad_token_id,
            }
            side = self.padding_side if padding_side is None else padding_side
            check_side("padding_side", side)
            pad_columns(columns, pad_values, ids_name, length, side)
        if is_single and return_tensors is None:
            columns = {name: column[0] for name, column in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)

    def _pad_encodings(self, encodings: Sequence[Any], length: int, side: str | None) -> None:
        side = self.padding_side if side is None else side
        check_side("padding_side", side)
        pad_id, pad_token = self.pad_token_id, self.pad_token
        for encoding in encodings:
            if len(encoding) < length:
                encoding.pad(length, direction=side, pad_id=pad_id, pad_type_id=0, pad_token=pad_token)

    # ---- Tokens and ids ----

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
        """Return all tokens and their ids, added tokens included (a copy)."""
        return dict(self._vocab)

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]  # a str is an iterable of str too
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Return the id of a token, or the ids of a list of them; unknown tokens get the id of ``unk_token``."""
        unk_id = self._vocab[self.spec.special_tokens["unk_token"]]
        if isinstance(tokens, str):
            return self._vocab.get(tokens, unk_id)
        return [self._vocab.get(token, unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id (a str), or the tokens of a list, array or tensor of ids (a list of str).

        Args:
            ids: one id, or a list, array or tensor with one axis.
            skip_special_tokens: leave special tokens out of a list.

        Raises:
            InputError: an id is outside of the vocabulary.
        """
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, int):
            return self._token_of(ids)
        return [self._token_of(i) for i in ids if not (skip_special_tokens and i in self._special_ids)]

    def _token_of(self, token_id: int) -> str:
        if 0 <= token_id < len(self._tokens):
            return self._tokens[token_id]
        raise InputError(f"There is no token with id {token_id}: the vocabulary has {len(self._tokens)} entries.")

    # ---- Special and added tokens ----

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by name, as special_tokens_map.json holds them."""
        additional = self.additional_special_tokens
        return {**self.spec.special_tokens, **({"additional_special_tokens": additional} if additional else {})}

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens beyond the five named ones."""
        return list(self.spec.additional_special_tokens)

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
        tokens = [new_tokens] if isinstance(new_tokens, str) or hasattr(new_tokens, "content") else list(new_tokens)
        spec = self.spec.copy()  # if a token raises an error, the tokenizer stays as it was
        count = sum(spec.add(AddedToken.of(token, special=special_tokens)) for token in tokens)
        self._set_spec(spec)
        return count

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name, and add those that are not in the vocabulary.

        Args:
            special_tokens_dict: any of ``unk_token``, ``sep_token``, ``pad_token``, ``cls_token``, ``mask_token`` with
                one token, and ``additional_special_tokens`` with a list.
            replace_additional_special_tokens: whether that list replaces the present one or extends it.

        Returns:
            How many of the tokens are new.

        Raises:
            TokenizerError: ``unk_token`` is not in the WordPiece vocabulary.
            UnknownArgumentError: there is no special token of that name.
        """
        list_names = ("additional_special_tokens", "extra_special_tokens")
        reject_unknown(special_tokens_dict, (*SPECIAL_TOKEN_NAMES, *list_names), "add_special_tokens")
        count = 0
        spec = self.spec.copy()  # if a token raises an error, the tokenizer stays as it was
        for name, value in special_tokens_dict.items():
            tokens = [AddedToken.of(token, special=True) for token in (value if name in list_names else [value])]
            count += sum(spec.add(token) for token in tokens)
            contents = [token.content for token in tokens]
            if name in list_names:
                kept = [] if replace_additional_special_tokens else spec.additional_special_tokens
                spec.additional_special_tokens = list(dict.fromkeys([*kept, *contents]))
            elif name == "unk_token" and contents[0] not in spec.vocab:
                raise TokenizerError(f"unk_token={contents[0]!r} must be an entry of the WordPiece vocabulary itself.")
            else:
                spec.special_tokens[name] = contents[0]
        self._set_spec(spec)
        return count

    # ---- Options that can be set later ----

    @property
    def model_max_length(self) -> int:
        """Longest input of the model in tokens, special tokens included."""
        return self.spec.model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int) -> None:
        self.spec.model_max_length = int(value)

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

    # ---- What the subclasses implement ----

    @property
    def is_fast(self) -> bool:
        """Whether the Rust library does the work."""
        return False

    def _rebuild(self) -> None:
        """Build what ``_encode`` needs; called whenever ``spec`` has changed."""
        raise TypeError(f"{type(self).__name__} cannot encode texts: use DistilBertTokenizer.")

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        truncation: Truncation | None,
    ) -> list[Any]:
        """Return encodings of texts that are checked already, with the attributes of ``text.encoding.Encoding``."""
        raise NotImplementedError

    def _encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool
    ) -> list[list[int]]:
        """Return the ids alone of texts that are checked already."""
        return [encoding.ids for encoding in self._encode(texts, pairs, add_special_tokens, False, None)]


_CALL_ARGUMENTS = tuple(name for name in TokenizerBase.__call__.__annotations__ if name not in ("return", "unknown"))


def _read_vocab(vocab: Any) -> dict[str, int]:
    if isinstance(vocab, Mapping):
        return dict(vocab)
    if isinstance(vocab, (list, tuple)):
        return vocab_from_entries(vocab)
    return read_vocab(Path(vocab))
