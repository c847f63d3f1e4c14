"""``TokenizerBase``: the interface of a DistilBERT tokenizer. Its two subclasses only turn texts into encodings.

It stands on ``TokenTable`` (tokens, their ids, options) and ``IdSequences`` (what is done with ids). Here are, in this
order: making a tokenizer, saving it, text to ids, chats, and what the subclasses implement.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from ..core.errors import InputError, InputTypeError, TokenizerError
from ..core.extras import require
from ..core.hub import encoder_folder, push_saved, resolve
from ..core.transformers_types import KnownToTransformers
from .added_tokens import AddedToken, as_tokens
from .batch_encoding import BatchEncoding, check_tensor_type
from .chat_templates import (
    ChatTemplates,
    as_chat_templates,
    check_conversations,
    check_schemas,
    check_template_options,
    choose_template,
    tokens_in_spans,
)
from .id_sequences import IdSequences
from .padding import NO_LIMIT, check_padding, padded_length
from .spec import (
    DEFAULT_SPECIAL_TOKENS,
    OPTIONS,
    SPECIAL_TOKEN_NAMES,
    TokenizerSpec,
    vocab_from_entries,
)
from .text_inputs import Text, as_batch, check_texts
from .tokenizer_arguments import CALLING, MAKING, SAVING, TRAINING
from .tokenizer_files import (
    TOKENIZER_FILE,
    VOCAB_FILE,
    load_spec,
    read_tokenizer_json,
    read_vocab,
    write_spec,
    write_vocab,
)
from .tokenizer_json import check_vocab, spec_options_from_json
from .truncation import Truncation, check_strategy

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)


class TokenizerBase(KnownToTransformers, IdSequences):
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
        tokenizer_object: a ``tokenizers.Tokenizer`` instead of a ``tokenizer.json``.
        bos_token: begins a text for models that write; usually None.
        eos_token: ends a text for models that write; usually None.
        model_max_length: longest input of the model in tokens; usually 512.
        padding_side: ``"right"`` (usual) or ``"left"``.
        truncation_side: ``"right"`` (usual) or ``"left"``.
        clean_up_tokenization_spaces: default of that argument of ``decode``; usually False.
        split_special_tokens: treat special tokens in a text as ordinary text; usually False.
        model_input_names: the columns that a call returns by default; usually ``input_ids`` and ``attention_mask``.
        additional_special_tokens: special tokens beyond those above; of a dict, which names them, the values.
        added_tokens: other tokens that are matched as a whole.
        name_or_path: where the tokenizer came from, for ``repr``.
        verbose: warn once, through ``logging``, about a text longer than ``model_max_length``.
        others: arguments known from transformers, which docs/transformers.md lists.

    Raises:
        TokenizerError: there is no vocabulary, more than one, or one that cannot be used.
        UnknownArgumentError: there is no such argument.
    """

    transformers_type = ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase")
    name_or_path: str
    init_inputs = ()
    vocab_files_names = {"vocab_file": VOCAB_FILE, "tokenizer_file": TOKENIZER_FILE}  # noqa: RUF012

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
        tokenizer_object: Any = None,
        bos_token: Any = None,
        eos_token: Any = None,
        model_max_length: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        split_special_tokens: bool | None = None,
        model_input_names: Sequence[str] | None = None,
        additional_special_tokens: Iterable[Any] | None = None,
        added_tokens: Iterable[Any] | None = None,
        name_or_path: str = "",
        verbose: bool = True,
        **others: Any,
    ) -> None:
        arguments = locals()
        arguments |= _older_names(
            MAKING.check(others, f"{type(self).__name__}()", TokenizerBase.__init__.__annotations__)
        )
        options = {name: arguments[name] for name in OPTIONS if arguments.get(name) is not None}
        if "spec" in vars(self):  # _from_spec has set it, and calls the constructor of a derived class
            self._set_up(self.spec.with_options(options), name_or_path or self.name_or_path, verbose and self.verbose)
            return
        if tokenizer_file is not None:
            vocab_file = arguments["vocab_file"] = None  # transformers passes both where a folder has both
        sources = [
            name
            for name in ("vocab_file", "vocab", "tokenizer_file", "tokenizer_object")
            if arguments[name] is not None
        ]
        if len(sources) != 1:
            raise TokenizerError(
                f"{type(self).__name__} needs one of vocab_file=, vocab= and tokenizer_file=, but got "
                f"{' and '.join(sources) or 'none'}. For a folder or a name on the hub use from_pretrained."
            )
        spec_options: dict[str, Any]
        if tokenizer_file is not None:
            spec_options = read_tokenizer_json(Path(tokenizer_file))
        elif tokenizer_object is not None:
            spec_options = spec_options_from_json(json.loads(tokenizer_object.to_str()), "the tokenizer_object")
        else:
            spec_options = {"vocab": _read_vocab(vocab_file if vocab is None else vocab), "special_tokens": {}}
        special_tokens = {**DEFAULT_SPECIAL_TOKENS, **spec_options.pop("special_tokens")}
        # The special tokens must be known at once: the vocabulary may hold only those that the caller names.
        special_tokens |= {name: str(options[name]) for name in SPECIAL_TOKEN_NAMES if name in options}
        spec = TokenizerSpec(**spec_options, special_tokens=special_tokens)
        self._set_up(spec.with_options(options), name_or_path, verbose)

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
        verbose: bool = True,
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
            verbose: as in the constructor.
            options: any option of the constructor; it then wins over the files. Arguments known from transformers,
                which docs/transformers.md lists, are taken as well. Others go to the constructor of a derived class
                that has one of its own, which runs after the files were read.

        Raises:
            TokenizerError: the files do not describe a BERT-style tokenizer.
            ModelNotFoundError: the name is neither a folder nor a model that could be fetched.
            UnknownArgumentError: there is no such option.
        """
        own_options = {}
        if cls.__init__ is not TokenizerBase.__init__:
            known = {*TokenizerBase.__init__.__annotations__, *OPTIONS, *MAKING.rows}
            own_options = {name: options.pop(name) for name in [*options] if name not in known}
        options = _older_names(MAKING.check(options, f"{cls.__name__}.from_pretrained", OPTIONS))
        token = options.pop("token", token)
        tokenizer_file, tokenizer_object = options.pop("tokenizer_file", None), options.pop("tokenizer_object", None)
        name = os.fspath(pretrained_model_name_or_path)
        if Path(name).is_dir():
            folder = encoder_folder(Path(name, subfolder))
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
        content = None if tokenizer_object is None else json.loads(tokenizer_object.to_str())
        spec = load_spec(folder, None if tokenizer_file is None else Path(tokenizer_file), content)
        return cls._from_spec(spec.with_options(options), name, verbose, own_options)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        *,
        new_special_tokens: Sequence[Any] = (),
        special_tokens_map: Mapping[str, str] | None = None,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
        show_progress: bool = False,
        **others: Any,
    ) -> Self:
        """Return a tokenizer with the same options and a new vocabulary; it keeps the special and added tokens.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: entries of the new vocabulary, special tokens included; fewer if the texts are small.
            new_special_tokens: further special tokens of the new tokenizer.
            special_tokens_map: new texts for special tokens, by their old ones.
            min_frequency: how often two neighbouring entries must occur together to become one.
            limit_alphabet: how many different characters get an entry, at most.
            show_progress: draw a progress bar on standard error.
            others: arguments known from transformers, which docs/transformers.md lists.

        Raises:
            TokenizerError: ``new_special_tokens`` is a single text.
            InputTypeError: ``text_iterator`` is a single text.
        """
        from .vocabulary_training import train_vocabulary  # loads the Rust library

        TRAINING.check(others, "train_new_from_iterator")
        if isinstance(text_iterator, str):
            raise InputTypeError(f"text_iterator must be a list of texts, but is the text {text_iterator!r:.60}.")
        spec = self.spec.rename_tokens(special_tokens_map or {})
        given = as_tokens(() if new_special_tokens is None else new_special_tokens, "new_special_tokens")
        new_tokens = [AddedToken.of(token, special=True) for token in given]
        for token in new_tokens:
            spec.add(token)
        additional = dict.fromkeys([*spec.additional_special_tokens, *(token.content for token in new_tokens)])
        vocab = train_vocabulary(spec, text_iterator, vocab_size, min_frequency, limit_alphabet, show_progress)
        added_tokens = {vocab[token.content]: token for _, token in sorted(spec.added_tokens.items())}
        return type(self)._from_spec(
            replace(spec, vocab=vocab, added_tokens=added_tokens, additional_special_tokens=list(additional))
        )

    @classmethod
    def _from_spec(
        cls,
        spec: TokenizerSpec,
        name_or_path: str = "",
        verbose: bool = True,
        own_options: Mapping[str, Any] | None = None,
    ) -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(spec, name_or_path, verbose)
        if cls.__init__ is not TokenizerBase.__init__:
            # The constructor of a derived class may have other defaults for options; the spec wins over them.
            _, *named = inspect.signature(cls.__init__).parameters
            values = {name: value for name, value in tokenizer.init_kwargs.items() if name in named}
            cls.__init__(tokenizer, **{**values, **(own_options or {})})
        return tokenizer

    def _set_up(self, spec: TokenizerSpec, name_or_path: str, verbose: bool = True) -> None:
        self.name_or_path = name_or_path
        self.verbose = verbose
        self.deprecation_warnings = {}
        self._set_spec(spec)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"do_lower_case={self.spec.do_lower_case}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    # ---- Saving ----

    def save_pretrained(
        self,
        save_directory: PathLike,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> tuple[str, ...]:
        """Write the files of the tokenizer into a folder, which is created if it is missing; returns their paths.

        The files of a tokenizer that was saved there before are replaced or removed.

        Args:
            save_directory: the folder.
            legacy_format: True leaves out ``tokenizer.json``, False leaves out ``vocab.txt``; None writes both.
            filename_prefix: set before each name, with a dash.
            push_to_hub: upload the tokenizer afterwards, to ``repo_id`` or else to the folder's name.
            options: ``save_jinja_files=False`` writes chat templates into ``tokenizer_config.json``. The others are
                those of ``push_to_hub``.
        """
        options = SAVING.check(options, "save_pretrained")
        folder = Path(save_directory)
        paths = write_spec(
            self.spec,
            folder,
            prefix=filename_prefix or "",
            legacy_format=legacy_format,
            save_jinja_files=options.pop("save_jinja_files", True),
        )
        if push_to_hub:
            self.push_to_hub(options.pop("repo_id", folder.name), **options)
        return paths

    def save_vocabulary(self, save_directory: PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write only ``vocab.txt``, or with a prefix ``PREFIX-vocab.txt``; returns its path."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{filename_prefix}-{VOCAB_FILE}" if filename_prefix else VOCAB_FILE
        return (write_vocab(self.spec.vocab, folder / name),)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Upload the files of the tokenizer to the hub; ``options`` go to ``distilbert.core.hub.push``."""
        options = _older_names(SAVING.keep_meaningful(options, "push_to_hub"))
        options.pop("save_jinja_files", None)
        return push_saved(self.save_pretrained, repo_id, **options)

    def __getstate__(self) -> dict[str, Any]:
        # Without the warnings that were given: datasets.map recognizes a tokenizer by its pickle.
        left_out = {*self._built, "_built", "deprecation_warnings"}
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, deprecation_warnings={})
        self._set_spec(copy.deepcopy(self.spec))  # a copy shares nothing with the original that add_tokens changes

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The options of the tokenizer, with the names of the arguments of its constructor (a copy)."""
        names = [name for name in TokenizerBase.__init__.__annotations__ if name not in ("others", "return")]
        values: dict[str, Any] = {name: getattr(self.spec, name, None) for name in names}
        values |= {name: self.spec.special_tokens.get(name) for name in SPECIAL_TOKEN_NAMES}
        values |= {"name_or_path": self.name_or_path, "verbose": self.verbose}
        values["vocab"] = values["added_tokens"] = None  # these are in get_vocab() and added_tokens_decoder
        return {**self.spec.other_config, **values}

    # ---- Text to ids ----

    def __call__(
        self,
        text: Any = None,
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
        text_target: Any = None,
        text_pair_target: Any = None,
        split_special_tokens: bool | None = None,
        **others: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a pair, or a list of either.

        Args:
            text: a text or a list of texts (``B`` of them); with ``is_split_into_words`` a list of words or a list of
                such lists. A list in which each item holds two texts is a list of pairs.
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
            text_target: texts whose ids become the column ``labels``; without ``text``, they are tokenized instead.
            text_pair_target: second texts to ``text_target``.
            split_special_tokens: treat special tokens in a text as ordinary text; None means as the tokenizer says.
            others: arguments known from transformers, which docs/transformers.md lists.

        Returns:
            Columns of shape (B, S) as tensors or lists of lists; plain lists (S) for a single text without tensors.

        Raises:
            InputTypeError: a text has the wrong type.
            InputError: an option has an unknown value, or rows cannot become a tensor.
            TokenizerError: ``padding_side`` has an unknown value.
            UnknownArgumentError: there is no such argument.
        """
        if others or text_target is not None or text is None:
            values = dict(locals())
            values |= _older_call_names(CALLING.check(others, f"{type(self).__name__}()", _CALL_ARGUMENTS))
            options = {name: values[name] for name in _CALL_ARGUMENTS}
            return self._call_with_target(options) if text_target is not None or text is None else self(**options)
        if return_tensors is not None:
            return_tensors = check_tensor_type(return_tensors)
        padding_strategy = check_padding(padding)
        strategy, limit = self._cut(truncation, max_length, padding)
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
            split_special_tokens=split_special_tokens,
        )
        sample_of_row = list(range(len(encodings)))
        if return_overflowing_tokens:
            if strategy and add_special_tokens and limit <= self.num_special_tokens_to_add(pairs is not None):
                raise InputError(f"max_length={limit} has room for special tokens only, so no window could hold text.")
            sample_of_row = [index for index, main in enumerate(encodings) for _ in (main, *main.overflowing)]
            encodings = [window for main in encodings for window in (main, *main.overflowing)]
        if verbose and strategy is None:
            self._warn_if_too_long(max(map(len, encodings), default=0))
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

    def _call_with_target(self, options: dict[str, Any]) -> BatchEncoding:
        target = {"text": options.pop("text_target"), "text_pair": options.pop("text_pair_target")}
        if target["text"] is None and options["text"] is None:
            raise InputTypeError("text must be a str or a list of str, but is None.")
        if target["text"] is None or options["text"] is None:
            return self(**{**options, **target})
        batch = self(**options)
        batch["labels"] = self(**{**options, **target})["input_ids"]
        return batch

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
        split_special_tokens: bool | None = None,
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
            split_special_tokens: treat special tokens in a text as ordinary text; None means as the tokenizer says.

        Returns:
            One encoding an input, with the attributes of ``text.encoding.Encoding``: ids, tokens, offsets, word_ids,
            sequence_ids, type_ids, special_tokens_mask, attention_mask; and overflowing, the further windows of a cut
            text.

        Raises:
            InputError: a text has the wrong type, or ``max_length`` or ``stride`` leave no room for text.
        """
        check_texts(texts, pairs, is_split_into_words)
        strategy = check_strategy(truncation)
        split_special = self.spec.split_special_tokens if split_special_tokens is None else split_special_tokens
        length = self.model_max_length if max_length is None else max_length
        if strategy is None or length > NO_LIMIT:
            return self._encode(texts, pairs, add_special_tokens, is_split_into_words, None, split_special)
        special = self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0
        room = length - special
        if room < 0:
            raise InputError(f"max_length={length} has no room for the {special} special tokens.")
        if stride < 0 or stride > max(0, room - 1):
            raise InputError(
                f"stride={stride} must be at least 0 and smaller than {room}, the tokens that max_length={length} "
                "leaves besides the special ones."
            )
        cut = Truncation(room, strategy, stride)
        return self._encode(texts, pairs, add_special_tokens, is_split_into_words, cut, split_special)

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

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Return the tokens of a text or pair, as strings; ``options`` are those of a call, such as ``truncation``."""
        if options:
            return self(text, pair, add_special_tokens, **options).tokens()
        pairs = None if pair is None else [pair]
        tokens: list[str] = self.encode_batch([text], pairs, add_special_tokens=add_special_tokens)[0].tokens
        return tokens

    # ---- Chats ----

    @property
    def chat_template(self) -> ChatTemplates | None:
        """The jinja2 template that turns messages into a text: one, several by name, or None. It can be set."""
        return self.spec.chat_template

    @chat_template.setter
    def chat_template(self, value: Any) -> None:
        self.spec.chat_template = as_chat_templates(value)

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """Return the template that ``apply_chat_template`` takes, given these two of its arguments.

        Raises:
            InputError: there is none.
        """
        return choose_template(self.chat_template, chat_template, bool(tools))

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str | None = False,
        truncation: bool | str | None = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Any:
        """Turn messages into one text by a template, and tokenize it without further special tokens.

        Args:
            conversation: a list of messages such as ``{"role": "user", "content": "Hello"}``, or a list of such lists.
            tools: JSON schemas that the template may read.
            documents: dicts that the template may read.
            chat_template: a jinja2 template, or the name of one of ``self.chat_template``.
            add_generation_prompt: tells the template to end with the beginning of an answer.
            continue_final_message: end the text with the content of the last message.
            tokenize: False returns the text.
            padding: as in a call.
            truncation: as in a call.
            max_length: as in a call.
            return_tensors: as in a call.
            return_dict: False returns the ids alone.
            return_assistant_tokens_mask: add ``assistant_masks``, 1 for tokens in the template's ``{% generation %}``.
            tokenizer_kwargs: further arguments of a call.
            variables: what else the template may read; the special tokens are among it.

        Returns:
            Columns as of a call, the ids, or a text; a list of texts for a list of conversations.

        Raises:
            InputError: there is no template, it cannot be used, or ``conversation`` is not made of messages.
            MissingExtraError: jinja2 is not installed.
        """
        require("jinja2", "chat")
        from .chat_rendering import has_assistant_blocks, render_chat

        check_template_options(locals())
        template = self.get_chat_template(chat_template, tools)
        if return_assistant_tokens_mask and not has_assistant_blocks(template):
            logger.warning("The chat template has no {% generation %}, so assistant_masks are 0 everywhere.")
        conversations, is_batch = check_conversations(conversation)
        values = {
            "tools": check_schemas("tools", tools),
            "documents": check_schemas("documents", documents),
            "add_generation_prompt": add_generation_prompt,
            **self.special_tokens_map,
            **variables,
        }
        chats = [render_chat(template, messages, values, continue_final_message) for messages in conversations]
        texts = [chat.text for chat in chats]
        if not tokenize:
            return texts if is_batch else texts[0]
        options = {"add_special_tokens": False, **(tokenizer_kwargs or {})}
        options |= {"padding": padding, "truncation": truncation, "max_length": max_length}
        batch = self(texts, **options)
        if return_assistant_tokens_mask:
            rows = batch.encodings or []
            samples = batch.get("overflow_to_sample_mapping", range(len(rows)))
            spans = [chats[sample].assistant_spans for sample in samples]
            batch["assistant_masks"] = [
                tokens_in_spans(row.offsets, span) for row, span in zip(rows, spans, strict=True)
            ]
        if return_tensors is not None:
            batch.convert_to_tensors(return_tensors)
        elif not is_batch and "overflow_to_sample_mapping" not in batch:
            batch.data = {name: column[0] for name, column in batch.data.items()}
        return batch if return_dict else batch["input_ids"]

    # ---- What the subclasses implement ----

    @property
    def is_fast(self) -> bool:
        """Whether the Rust library does the work."""
        return False

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        truncation: Truncation | None,
        split_special: bool,
    ) -> list[Any]:
        """Return encodings of texts that are checked already, with the attributes of ``text.encoding.Encoding``."""
        raise NotImplementedError

    def _encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool
    ) -> list[list[int]]:
        """Return the ids alone of texts that are checked already."""
        split_special = self.spec.split_special_tokens
        encodings = self._encode(texts, pairs, add_special_tokens, False, None, split_special)
        return [encoding.ids for encoding in encodings]


_CALL_ARGUMENTS = tuple(name for name in TokenizerBase.__call__.__annotations__ if name not in ("return", "others"))


def _older_names(arguments: dict[str, Any]) -> dict[str, Any]:
    """Replace the older or newer names that transformers has for some arguments by those used here."""
    names = {
        "max_len": "model_max_length",
        "extra_special_tokens": "additional_special_tokens",
        "use_auth_token": "token",
    }
    renamed = {names[name]: value for name, value in arguments.items() if name in names and value is not None}
    return {**renamed, **{name: value for name, value in arguments.items() if name not in names}}


def _older_call_names(arguments: dict[str, Any]) -> dict[str, Any]:
    """Replace the names that arguments of a call had in earlier versions of transformers."""
    values = dict(arguments)
    if values.pop("pad_to_max_length", False):
        values["padding"] = "max_length"
    for old, new in (("truncation_strategy", "truncation"), ("is_pretokenized", "is_split_into_words")):
        if values.get(old) is not None:
            values[new] = values[old]
        values.pop(old, None)
    return values


def _read_vocab(vocab: Any) -> dict[str, int]:
    if isinstance(vocab, Mapping):
        return check_vocab(vocab, "vocab=")
    if isinstance(vocab, (list, tuple)):
        return check_vocab(vocab_from_entries(vocab), "vocab=")
    return read_vocab(Path(vocab))


PreTrainedTokenizerBase = TokenizerBase  # transformers' name of its base
