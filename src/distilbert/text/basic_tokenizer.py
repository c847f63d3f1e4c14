"""The two steps of BERT's tokenizer as objects: ``BasicTokenizer`` makes words, ``WordpieceTokenizer`` makes tokens.

``DistilBertTokenizer`` has them as ``basic_tokenizer`` and ``wordpiece_tokenizer``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .added_tokens import as_tokens
from .wordpiece import MAX_CHARS_PER_WORD, Normalizer, split_tokens, split_whitespace, split_words


@dataclass(frozen=True)
class BasicTokenizer:
    """Cleans a text and cuts it into words and punctuation marks.

    Attributes:
        do_lower_case: lower the text, and drop accents unless ``strip_accents`` says otherwise.
        never_split: words that stay as they are.
        tokenize_chinese_chars: make every Chinese character a word.
        strip_accents: drop accents; None means the same as ``do_lower_case``.
    """

    do_lower_case: bool = True
    never_split: Iterable[str] = ()
    tokenize_chinese_chars: bool = True
    strip_accents: bool | None = None

    def tokenize(self, text: str, never_split: Iterable[str] = ()) -> list[str]:
        """Return the words of a text.

        Args:
            text: any text.
            never_split: further words that stay as they are.
        """
        kept = {*as_tokens(self.never_split, "never_split"), *as_tokens(never_split, "never_split")}
        normalizer = Normalizer(self.do_lower_case, self.tokenize_chinese_chars, self.strip_accents)
        words: list[str] = []
        # Cleaning and lowering must not touch the kept words, so it goes word by word.
        for start, stop in split_whitespace(text):
            word = text[start:stop]
            if word in kept:
                words.append(word)
                continue
            normalized, _ = normalizer(word)
            words += [normalized[left:right] for left, right in split_words(normalized)]
        return words


@dataclass(frozen=True)
class WordpieceTokenizer:
    """Cuts words into vocabulary entries, the longest match first.

    Attributes:
        vocab: entries and their ids.
        unk_token: stands for words that cannot be cut.
        max_input_chars_per_word: words with more characters are unknown.
    """

    vocab: Mapping[str, int]
    unk_token: str = "[UNK]"
    max_input_chars_per_word: int = MAX_CHARS_PER_WORD

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text that ``BasicTokenizer`` has cleaned; whitespace separates its words."""
        tokens: list[str] = []
        for start, stop in split_whitespace(text):
            split = split_tokens(text[start:stop], self.vocab, self.max_input_chars_per_word)
            tokens += [self.unk_token] if split is None else [entry for entry, _, _ in split]
        return tokens
