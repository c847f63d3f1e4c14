"""``DistilBertTokenizerFast``: the same tokenizer, run by the Rust library ``tokenizers``."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken as RustToken
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from .base import TokenizerBase
from .inputs import mend
from .truncation import Strategy, plan
from .word_ids import WordIds

_MAX_VARIANTS = 32


class DistilBertTokenizerFast(TokenizerBase):
    """The tokenizer run by the Rust library; takes the arguments of ``TokenizerBase``.

    Calls may come from several threads at once.
    """

    def _rebuild(self) -> None:
        self._backend = Tokenizer.from_str(json.dumps(self.spec.to_tokenizer_json()))
        self._variants: dict[tuple[int, str, int, str, bool], Tokenizer] = {}
        self._lock = threading.Lock()
        self._word_ids = WordIds(self.spec, self._rust_ids)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The Rust tokenizer. It is shared between calls: set neither truncation nor padding on it."""
        return self._backend

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
        room: tuple[int, Strategy, int] | None,
    ) -> list[Any]:
        backend = self._backend
        if room:
            self._check_room(texts, pairs, is_split, room)
            special = self.num_special_tokens_to_add(pairs is not None) if add_special_tokens else 0
            backend = self._variant(room[0] + special, room[1], room[2], add_special_tokens)
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        try:
            return list(backend.encode_batch(inputs, is_pretokenized=is_split, add_special_tokens=add_special_tokens))
        except TypeError:
            # Half characters cannot pass to Rust.
            inputs = _mend_all(texts) if pairs is None else list(zip(_mend_all(texts), _mend_all(pairs), strict=True))
            return list(backend.encode_batch(inputs, is_pretokenized=is_split, add_special_tokens=add_special_tokens))

    def _encode_ids(
        self, texts: Sequence[str], pairs: Sequence[str] | None, add_special_tokens: bool
    ) -> list[list[int]]:
        firsts = self._bodies(texts)
        seconds = None if pairs is None else self._bodies(pairs)
        if not add_special_tokens:
            return firsts if seconds is None else [a + b for a, b in zip(firsts, seconds, strict=True)]
        others: Sequence[list[int] | None] = seconds or [None] * len(firsts)
        return [self.build_inputs_with_special_tokens(a, b) for a, b in zip(firsts, others, strict=True)]

    def _bodies(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids without special tokens: of known words from memory, of other texts from Rust."""
        found = self._word_ids(texts)
        rest = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        others = iter(self._rust_ids(rest) if rest else [])
        return [next(others) if ids is None else ids for ids in found]

    def _rust_ids(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        except TypeError:
            return super()._encode_ids(texts, None, False)

    def _variant(self, length: int, strategy: Strategy, stride: int, add_special_tokens: bool) -> Tokenizer:
        """A tokenizer that cuts, made of the parts of the shared one, which itself never changes.

        The Rust object keeps truncation as state; threads with different lengths would disturb each other.
        """
        key = (length, strategy, stride, self.truncation_side, add_special_tokens)
        with self._lock:
            variant = self._variants.get(key)
            if variant is None:
                variant = Tokenizer(self._backend.model)
                variant.normalizer = self._backend.normalizer
                variant.pre_tokenizer = self._backend.pre_tokenizer
                # Rust takes the special tokens of the template off the length even where a call leaves them out.
                bare = TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
                variant.post_processor = self._backend.post_processor if add_special_tokens else bare
                for _, token in sorted(self.spec.added.items()):
                    rust = RustToken(**{k: v for k, v in token.to_dict().items() if k != "special"})
                    add = variant.add_special_tokens if token.special else variant.add_tokens
                    add([rust])
                variant.enable_truncation(length, stride=stride, strategy=strategy, direction=self.truncation_side)
                if len(self._variants) >= _MAX_VARIANTS:
                    self._variants.clear()
                self._variants[key] = variant
            return variant

    def _check_room(
        self, texts: Sequence[Any], pairs: Sequence[Any] | None, is_split: bool, room: tuple[int, Strategy, int]
    ) -> None:
        """Raise the error that names the input at fault, where Rust would stop with a panic."""
        size, strategy, stride = room
        if pairs is None and strategy != "only_second":
            return
        if strategy == "longest_first" and stride < size // 2:
            return  # a cut text keeps at least half of the room
        if pairs is not None and strategy != "longest_first":
            # Often the uncut texts are short (questions), and what they leave is enough.
            uncut = self._lengths(texts if strategy == "only_second" else pairs, is_split)
            if max(uncut, default=0) + stride < size:
                return
        firsts = self._lengths(texts, is_split)
        seconds = None if pairs is None else self._lengths(pairs, is_split)
        for index, first in enumerate(firsts):
            plan(first, None if seconds is None else seconds[index], size, strategy, stride, f"Input {index}: ")

    def _lengths(self, texts: Sequence[Any], is_split: bool) -> list[int]:
        return [len(encoding) for encoding in self._encode(texts, None, False, is_split, None)]


def _mend_all(texts: Sequence[Any]) -> list[Any]:
    return [mend(text) if isinstance(text, str) else [mend(word) for word in text] for text in texts]
