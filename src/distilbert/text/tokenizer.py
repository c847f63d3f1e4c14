"""``DistilBertTokenizer``: the tokenizer in plain Python, to be read, and to check its Rust-backed twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import TokenizerError
from .added_tokens import AddedTokenMatcher
from .basic_tokenizer import BasicTokenizer, WordpieceTokenizer
from .encoding import Encoding, pair_windows
from .tokenizer_base import TokenizerBase
from .truncation import Truncation, truncated_lengths
from .wordpiece import replace_surrogates, split_tokens, split_whitespace, split_words

MAX_CACHED_WORDS = 100_000  # most words repeat; the cache must not fill the memory with those that do not


class DistilBertTokenizer(TokenizerBase):
    """The tokenizer in plain Python; the arguments are those of ``TokenizerBase``.

    ``DistilBertTokenizerFast`` gives the same results with the Rust library.
    """

    def _rebuild(self) -> None:
        spec = self.spec
        for name in ("normalizer", "pre_tokenizer"):
            if name in spec.components:
                kind = (spec.components[name] or {}).get("type")
                raise TokenizerError(
                    f"tokenizer.json has the {name} {kind!r}, which {type(self).__name__} does not run: it only knows "
                    "BERT's own. Use DistilBertTokenizerFast."
                )
        self._normalizer = spec.normalizer
        self._split_words = split_words if spec.do_basic_tokenize else split_whitespace
        tokens = [token for _, token in sorted(spec.added_tokens.items())]
        # Added tokens are matched in two passes: some in the raw text, the others in the normalized text.
        self._raw_matcher = AddedTokenMatcher((token.content, token) for token in tokens if not token.normalized)
        normalized = [(self._normalize(token.content)[0], token) for token in tokens if token.normalized]
        self._normalized_matcher = AddedTokenMatcher((text, token) for text, token in normalized if text)
        self._word_cache: dict[str, list[tuple[str, int, int, int]]] = {}

    def _normalize(self, text: str) -> tuple[str, Sequence[int]]:
        return self._normalizer(text) if self._normalizer else (text, range(len(text)))

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        truncation: Truncation | None,
        split_special: bool,
    ) -> list[Encoding]:
        encodings = []
        for index, text in enumerate(texts):
            first = self._encode_text(text, 0, is_split, split_special)
            second = None if pairs is None else self._encode_text(pairs[index], 1, is_split, split_special)
            if truncation:
                self._truncate(first, second, truncation, f"Input {index}: ")
            encodings.append(self._add_template(first, second, add_special_tokens))
        return encodings

    def _encode_text(
        self, text: str | Sequence[str], sequence_id: int, is_split: bool, split_special: bool
    ) -> Encoding:
        encoding = Encoding()
        if is_split:
            for index, word in enumerate(text):
                self._append(encoding, word, index, split_special)
        else:
            self._append(encoding, str(text), None, split_special)
        length = len(encoding)
        encoding.type_ids = [sequence_id] * length
        encoding.sequence_ids = [sequence_id] * length
        encoding.special_tokens_mask = [0] * length
        encoding.attention_mask = [1] * length
        return encoding

    def _append(self, encoding: Encoding, text: str, word_id: int | None, split_special: bool) -> None:
        """Append the tokens of ``text``. All get ``word_id``, or with None the index of their word, from 0."""
        text = replace_surrogates(text)
        n_words = 0

        def append(entry: str, token_id: int, start: int, stop: int) -> None:
            encoding.ids.append(token_id)
            encoding.tokens.append(entry)
            encoding.word_ids.append(n_words if word_id is None else word_id)
            encoding.offsets.append((start, stop))

        for start, stop, raw_token in self._raw_matcher.split(text, split_special):
            if raw_token:
                append(text[start:stop], self._vocab[raw_token.content], start, stop)
                n_words += 1
                continue
            normalized, origins = self._normalize(text[start:stop])
            # Positions in the normalized text; origins turn them into positions in the original text.
            for left, right, token in self._normalized_matcher.split(normalized, split_special):
                if token:
                    token_id = self._vocab[token.content]
                    append(normalized[left:right], token_id, start + origins[left], start + origins[right - 1] + 1)
                    n_words += 1
                    continue
                for word_start, word_stop in self._split_words(normalized[left:right]):
                    word = left + word_start
                    for entry, token_id, first, last in self._word_tokens(normalized[word : left + word_stop]):
                        append(entry, token_id, start + origins[word + first], start + origins[word + last - 1] + 1)
                    n_words += 1

    def _word_tokens(self, word: str) -> list[tuple[str, int, int, int]]:
        """Return entry, id, start and stop of each token of a word."""
        tokens = self._word_cache.get(word)
        if tokens is None:
            vocab = self.spec.vocab
            split = split_tokens(word, vocab, self.spec.max_chars_per_word) or [(self.spec.unknown_word, 0, len(word))]
            tokens = [(entry, vocab[entry], start, stop) for entry, start, stop in split]
            if len(self._word_cache) < MAX_CACHED_WORDS:
                self._word_cache[word] = tokens
        return tokens

    def _truncate(self, first: Encoding, second: Encoding | None, truncation: Truncation, where: str) -> None:
        lengths = truncated_lengths(len(first), None if second is None else len(second), truncation, where)
        first.truncate(lengths[0], truncation.stride, self.truncation_side)
        if second is not None:
            second.truncate(lengths[1], truncation.stride, self.truncation_side)

    def _add_template(self, first: Encoding, second: Encoding | None, add_special_tokens: bool) -> Encoding:
        """Make ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` of every window."""
        cls, sep, last_sep = self._special("cls_token", 0), self._special("sep_token", 0), self._special("sep_token", 1)
        if second is None:
            rows = [[cls, window, sep] for window in (first, *first.overflowing)]
        else:
            rows = [[cls, window, sep, other, last_sep] for window, other in pair_windows(first, second)]
        if not add_special_tokens:
            rows = [row[1::2] for row in rows]
        main, *overflowing = [row[0].concat(row[1:]) for row in rows]
        main.overflowing = overflowing
        for encoding in (main, *overflowing):
            encoding.n_sequences = 1 if second is None else 2
        return main

    def _special(self, name: str, type_id: int) -> Encoding:
        """Return an encoding of a special token, which is empty if the token is not set."""
        token = self.spec.special_tokens.get(name)
        return Encoding() if token is None else Encoding.special(token, self._vocab[token], type_id)

    # ---- The steps by themselves, as users of transformers know them ----

    @property
    def basic_tokenizer(self) -> BasicTokenizer:
        """Cuts a text into words."""
        spec = self.spec
        return BasicTokenizer(spec.do_lower_case, spec.never_split, spec.tokenize_chinese_chars, spec.strip_accents)

    @property
    def wordpiece_tokenizer(self) -> WordpieceTokenizer:
        """Cuts words into vocabulary entries."""
        return WordpieceTokenizer(self.spec.vocab, self.spec.unknown_word, self.spec.max_chars_per_word)

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """The entries of the vocabulary by id, without added tokens."""
        return {token_id: entry for entry, token_id in self.spec.vocab.items()}


PreTrainedTokenizer = DistilBertTokenizer  # transformers' name of its base
