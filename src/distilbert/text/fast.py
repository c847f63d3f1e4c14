"""``DistilBertTokenizerFast``: the same tokenizer, run by the Rust library ``tokenizers``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from tokenizers import AddedToken as RustAddedToken
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.processors import TemplateProcessing

from ..core.errors import TokenizerError
from ..core.forks import ForkSafeLock
from .added_tokens import TokenSearch
from .spec import TokenizerSpec
from .tokenizer_base import TokenizerBase
from .tokenizer_json import spec_to_tokenizer_json
from .truncation import Truncation, truncated_lengths
from .wordpiece import ASCII_WORD, is_printable_ascii, replace_surrogates

MAX_CACHED_WORDS = 100_000  # most words repeat; the cache must not fill the memory with those that do not
_MAX_TRUNCATING_BACKENDS = 32


class DistilBertTokenizerFast(TokenizerBase):
    """The tokenizer run by the Rust library; the arguments are those of ``TokenizerBase``.

    Several threads may call it at once.
    """

    def _rebuild(self) -> None:
        self._backends: dict[bool, Tokenizer] = {}  # whether special tokens in a text are split -> Rust tokenizer
        self._truncating_backends: dict[tuple[Truncation, str, bool, bool], Tokenizer] = {}
        self._lock = ForkSafeLock()
        self._word_cache: WordCache | None = None

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The Rust tokenizer. All calls share it: do not set truncation or padding on it."""
        return self._backend(self.spec.split_special_tokens)

    def _backend(self, split_special: bool) -> Tokenizer:
        """Return the Rust tokenizer, which is built at its first use: adding tokens one by one must not build many."""
        backend = self._backends.get(split_special)
        if backend is None:
            with self._lock:
                backend = self._backends.get(split_special) or self._build(split_special)
                self._backends[split_special] = backend
        return backend

    def _build(self, split_special: bool) -> Tokenizer:
        try:
            backend = build_backend(self.spec)
        except Exception as error:  # Rust raises no narrower class
            raise TokenizerError(f"The Rust library cannot build this tokenizer: {error}") from None
        backend.encode_special_tokens = split_special
        return backend

    @property
    def is_fast(self) -> bool:
        """Whether the Rust library does the work: yes."""
        return True

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        truncation: Truncation | None,
        split_special: bool,
    ) -> list[Any]:
        if truncation:
            self._check_truncation(texts, pairs, is_split, truncation, split_special)
            backend = self._truncating_backend(truncation, pairs is not None, add_special_tokens, split_special)
        else:
            backend = self._backend(split_special)
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        try:
            return list(backend.encode_batch(inputs, is_pretokenized=is_split, add_special_tokens=add_special_tokens))
        except TypeError:  # Rust takes no lone surrogates
            texts = _replace_all_surrogates(texts)
            inputs = texts if pairs is None else list(zip(texts, _replace_all_surrogates(pairs), strict=True))
            return list(backend.encode_batch(inputs, is_pretokenized=is_split, add_special_tokens=add_special_tokens))

    def _encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool
    ) -> list[list[int]]:
        firsts = self._ids_without_special_tokens(texts)
        seconds = None if pairs is None else self._ids_without_special_tokens(pairs)
        if not add_special_tokens:
            return firsts if seconds is None else [a + b for a, b in zip(firsts, seconds, strict=True)]
        seconds_or_none: Sequence[list[int] | None] = seconds or [None] * len(firsts)
        return [self.build_inputs_with_special_tokens(a, b) for a, b in zip(firsts, seconds_or_none, strict=True)]

    def _ids_without_special_tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if self.spec.split_special_tokens:
            return self._rust_ids(texts)
        if self._word_cache is None:
            self._word_cache = WordCache(self.spec, self._rust_ids)
        cached = self._word_cache(texts)
        rest = [text for text, ids in zip(texts, cached, strict=True) if ids is None]
        rest_ids = iter(self._rust_ids(rest) if rest else [])
        return [next(rest_ids) if ids is None else ids for ids in cached]

    def _rust_ids(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            return [e.ids for e in self.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        except TypeError:
            return super()._encode_ids(texts, None, False)

    def _truncating_backend(
        self, truncation: Truncation, is_pair: bool, add_special_tokens: bool, split_special: bool
    ) -> Tokenizer:
        """Return a Rust tokenizer that truncates. It uses the components of the shared one, which never changes.

        The Rust object keeps truncation as state, so threads that cut to different lengths would disturb each other.
        """
        special = self.num_special_tokens_to_add(is_pair) if add_special_tokens else 0
        truncation = truncation._replace(room=truncation.room + special)  # Rust counts the special tokens
        key = (truncation, self.truncation_side, add_special_tokens, split_special)
        with self._lock:
            backend = self._truncating_backends.get(key)
            if backend is None:
                shared = self._backend(split_special)
                backend = Tokenizer(shared.model)
                backend.normalizer = shared.normalizer
                backend.pre_tokenizer = shared.pre_tokenizer
                backend.encode_special_tokens = split_special
                # Rust subtracts the special tokens of the template even if a call leaves them out.
                no_special_tokens = TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
                backend.post_processor = shared.post_processor if add_special_tokens else no_special_tokens
                for _, token in sorted(self.spec.added_tokens.items()):
                    options = {name: value for name, value in token.to_dict().items() if name != "special"}
                    add = backend.add_special_tokens if token.special else backend.add_tokens
                    add([RustAddedToken(**options)])
                backend.enable_truncation(
                    truncation.room,
                    stride=truncation.stride,
                    strategy=truncation.strategy,
                    direction=self.truncation_side,
                )
                if len(self._truncating_backends) >= _MAX_TRUNCATING_BACKENDS:
                    self._truncating_backends.clear()
                self._truncating_backends[key] = backend
            return backend

    def _check_truncation(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        is_split: bool,
        truncation: Truncation,
        split_special: bool,
    ) -> None:
        """Raise the error that names the input at fault, where Rust would stop with a panic."""
        room, strategy, stride = truncation
        if pairs is None and strategy != "only_second":
            return
        if strategy == "longest_first" and stride < room // 2:
            return  # a cut text keeps at least half of the room
        if pairs is not None and strategy != "longest_first":
            # The uncut texts are often short questions that leave room enough; then there is no need to count the rest.
            uncut = self._lengths(texts if strategy == "only_second" else pairs, is_split, split_special)
            if max(uncut, default=0) + stride < room:
                return
        firsts = self._lengths(texts, is_split, split_special)
        seconds = None if pairs is None else self._lengths(pairs, is_split, split_special)
        for index, first in enumerate(firsts):
            truncated_lengths(first, None if seconds is None else seconds[index], truncation, f"Input {index}: ")

    def _lengths(self, texts: Sequence[Any], is_split: bool, split_special: bool) -> list[int]:
        return [len(encoding) for encoding in self._encode(texts, None, False, is_split, None, split_special)]


class WordCache:
    """Remembers the ids of words. Printable ASCII without added tokens is a plain sequence of words.

    Most words of a text have been seen before; a text that holds only such words needs no tokenizer.

    Args:
        spec: the spec of the tokenizer.
        encode: returns the ids of a list of texts, without special tokens; called with the words that are new.
    """

    def __init__(self, spec: TokenizerSpec, encode: Callable[[Sequence[str]], list[list[int]]]) -> None:
        self._normalizer = spec.normalizer
        self._encode = encode
        self._ids: dict[str, list[int]] = {}
        contents = {token.content for token in spec.added_tokens.values()}
        if self._normalizer is not None:
            contents |= {self._normalizer(content)[0] for content in contents}
        self._added_tokens = AddedTokenFilter(contents)

    def __call__(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Return the ids of each text, without special tokens; None for a text that only the tokenizer can encode."""
        split = [self._split_words(text) for text in texts]
        cache = self._ids
        new = {word for words in split if words for word in words if word not in cache}
        if len(cache) + len(new) > MAX_CACHED_WORDS:
            # Start again: the texts have other words than before, and the next texts will be like these.
            cache = self._ids = {}
            new = {word for words in split if words for word in words}
        if new:
            ordered = sorted(new)
            cache.update(zip(ordered, self._encode(ordered), strict=True))
        return [None if words is None else list(chain.from_iterable(map(cache.__getitem__, words))) for words in split]

    def _split_words(self, text: str) -> list[str] | None:
        if self._normalizer is None or not is_printable_ascii(text):
            return None
        lower = text.lower()
        if self._added_tokens.may_be_in(lower):
            return None
        return ASCII_WORD.findall(lower if self._normalizer.lowercase else text)


class AddedTokenFilter:
    """Says of a text of printable ASCII whether an added token may stand in it.

    Text and tokens are compared in lower case: that may find a token where the tokenizer would not, never the other way
    round. A few tokens are searched in the text. Of many, the longest word is the key: wherever the token stands, its
    key stands inside a word of the text. So a text of words of which each is known to hold no key holds no token.

    Args:
        contents: the texts of the tokens, also as the normalizer makes them.
    """

    def __init__(self, contents: Iterable[str]) -> None:
        lower = {content.lower() for content in contents if content}
        self._contents = TokenSearch(lower)
        words = {content: ASCII_WORD.findall(content) for content in lower}
        self._keys = TokenSearch(max(found, key=len) for found in words.values() if found)
        self._without_key = TokenSearch(content for content, found in words.items() if not found and content.isascii())
        self._has_key: dict[str, bool] = {}  # word in lower case -> whether a key stands in it

    def may_be_in(self, text: str) -> bool:
        """Whether a token may stand in a text in lower case."""
        if self._contents.pattern is not None:
            return self._contents.pattern.search(text) is not None
        words, has_key = ASCII_WORD.findall(text), self._has_key
        try:
            suspicious = any(map(has_key.__getitem__, words))
        except KeyError:
            if len(has_key) > MAX_CACHED_WORDS:
                has_key.clear()
            for word in words:
                if word not in has_key:
                    has_key[word] = self._keys.may_be_in(word)
            suspicious = any(map(has_key.__getitem__, words))
        return (suspicious and self._contents.may_be_in(text)) or self._without_key.may_be_in(text)


def build_backend(spec: TokenizerSpec) -> Tokenizer:
    """Return the Rust tokenizer of a spec.

    The vocabulary goes to Rust as a dict, which takes a third of the time of its JSON text; the rest is read from JSON,
    with the entries that it names.
    """
    content = spec_to_tokenizer_json(spec)
    model = content["model"]
    vocab = model["vocab"]
    named = {token.content: token_id for token_id, token in spec.added_tokens.items()}
    backend = Tokenizer.from_str(json.dumps({**content, "model": {**model, "vocab": named}}))
    backend.model = WordPiece(
        vocab,
        unk_token=model["unk_token"],
        max_input_chars_per_word=model["max_input_chars_per_word"],
        continuing_subword_prefix=model["continuing_subword_prefix"],
    )
    return backend


def _replace_all_surrogates(texts: Sequence[Any]) -> list[Any]:
    return [
        replace_surrogates(text) if isinstance(text, str) else [replace_surrogates(word) for word in text]
        for text in texts
    ]


PreTrainedTokenizerFast = DistilBertTokenizerFast  # transformers' name of its base
