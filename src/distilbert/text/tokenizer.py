"""``DistilBertTokenizer``: the tokenizer in plain Python, to be read and to check its Rust-backed twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .added_tokens import Matcher
from .base import TokenizerBase
from .encoding import Encoding, pair_windows
from .inputs import mend
from .truncation import Strategy, plan
from .wordpiece import split_pieces, split_whitespace, split_words


class DistilBertTokenizer(TokenizerBase):
    """The tokenizer in plain Python; takes the arguments of ``TokenizerBase``.

    ``DistilBertTokenizerFast`` gives the same results through the Rust library.
    """

    def _rebuild(self) -> None:
        spec = self.spec
        self._normalizer = spec.normalizer
        self._split = split_words if spec.do_basic_tokenize else split_whitespace
        tokens = [token for _, token in sorted(spec.added.items())]
        # Added tokens are found in two passes: raw ones before the text is normalized, the others after.
        self._raw = Matcher((token.content, token) for token in tokens if not token.normalized)
        normalized = [(self._normalize(token.content)[0], token) for token in tokens if token.normalized]
        self._normalized = Matcher((text, token) for text, token in normalized if text)
        self._known_words: dict[str, list[tuple[str, int, int, int]]] = {}

    def _normalize(self, text: str) -> tuple[str, Sequence[int]]:
        return self._normalizer(text) if self._normalizer else (text, range(len(text)))

    def _encode(
        self,
        texts: Sequence[Any],
        pairs: Sequence[Any] | None,
        add_special_tokens: bool,
        is_split: bool,
        room: tuple[int, Strategy, int] | None,
    ) -> list[Encoding]:
        encodings = []
        for index, text in enumerate(texts):
            first = self._encode_text(text, 0, is_split)
            second = None if pairs is None else self._encode_text(pairs[index], 1, is_split)
            if room:
                self._truncate(first, second, room, f"Input {index}: ")
            encodings.append(self._add_template(first, second, add_special_tokens))
        return encodings

    def _encode_text(self, text: str | Sequence[str], sequence: int, is_split: bool) -> Encoding:
        encoding = Encoding()
        if is_split:
            for index, word in enumerate(text):
                self._append(encoding, word, index)
        else:
            self._append(encoding, str(text), None)
        length = len(encoding)
        encoding.type_ids = [sequence] * length
        encoding.sequence_ids = [sequence] * length
        encoding.special_tokens_mask = [0] * length
        encoding.attention_mask = [1] * length
        return encoding

    def _append(self, encoding: Encoding, text: str, word_id: int | None) -> None:
        """Append the tokens of ``text``; its words are counted from 0, or all get the given ``word_id``."""
        text = mend(text)
        words = 0

        def append(entry: str, index: int, start: int, stop: int) -> None:
            encoding.ids.append(index)
            encoding.tokens.append(entry)
            encoding.word_ids.append(words if word_id is None else word_id)
            encoding.offsets.append((start, stop))

        for start, stop, token in self._raw.split(text):
            if token:
                append(text[start:stop], self._vocab[token.content], start, stop)
                words += 1
                continue
            clean, origins = self._normalize(text[start:stop])
            for left, right, found in self._normalized.split(clean):
                if found:
                    index = self._vocab[found.content]
                    append(clean[left:right], index, start + origins[left], start + origins[right - 1] + 1)
                    words += 1
                    continue
                for first, last in self._split(clean[left:right]):
                    word = left + first
                    for entry, index, begin, end in self._pieces(clean[word : left + last]):
                        append(entry, index, start + origins[word + begin], start + origins[word + end - 1] + 1)
                    words += 1

    def _pieces(self, word: str) -> list[tuple[str, int, int, int]]:
        """Entry, id, start and stop of each piece of a word."""
        found = self._known_words.get(word)
        if found is None:
            vocab, unknown = self.spec.vocab, self.unk_token
            pieces = split_pieces(word, vocab) or [(unknown, 0, len(word))]
            found = [(entry, vocab[entry], start, stop) for entry, start, stop in pieces]
            if len(self._known_words) < 100_000:  # most words repeat; the rest must not fill the memory
                self._known_words[word] = found
        return found

    def _truncate(self, first: Encoding, second: Encoding | None, room: tuple[int, Strategy, int], where: str) -> None:
        size, strategy, stride = room
        keep = plan(len(first), None if second is None else len(second), size, strategy, stride, where)
        first.truncate(keep[0], stride, self.truncation_side)
        if second is not None:
            second.truncate(keep[1], stride, self.truncation_side)

    def _add_template(self, first: Encoding, second: Encoding | None, add_special_tokens: bool) -> Encoding:
        """``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``, for every window."""
        cls = Encoding.special(self.cls_token, self.cls_token_id, 0)
        sep = Encoding.special(self.sep_token, self.sep_token_id, 0)
        end = Encoding.special(self.sep_token, self.sep_token_id, 1)
        if second is None:
            windows = [[cls, window, sep] for window in (first, *first.overflowing)]
        else:
            windows = [[cls, one, sep, two, end] for one, two in pair_windows(first, second)]
        if not add_special_tokens:
            windows = [window[1::2] for window in windows]
        main, *overflow = [window[0].concat(window[1:]) for window in windows]
        main.overflowing = overflow
        for window in (main, *overflow):
            window.n_sequences = 1 if second is None else 2
        return main
