"""Texts in which two tokenizers are likely to differ: any character, and often the awkward ones."""

from __future__ import annotations

from hypothesis import strategies as st

AWKWARD = [
    *"aeiAEIsSz .,!?'-#[]",
    *"\t\n\r\0\x1c\x7f\x85\xa0\xad\u1680\u2028\u3000\ufeff\ufffd",
    *"\u0300\u0301\u0316\u0323\u0327\u0334\u0344\u0345\u05b0\u0f71\u0f72\u0f73\u3099\u302e\u1dfa\U00016ff0",
    *"éÉßẞİıΣσςǅﬁÅÅêëậở\u0958\u1e9b\ufb1d\U0001d15e\U0001d1bb",
    *"中文㐀\uf900\U00020000\U0002b820\U0002ceb0\u3005가각힣한각",
    *"\u0660\u203f\u200d\u2014\u00ab\U0001f600\U000e0001\ue000",
]
PIECES = ["[MASK]", "[SEP]", "[mask]", "the", "cafe", "playing", "Foo", "foo", "don't", "##s", "unaffable", "x" * 101]
PIECES += ["aaa!", "aaaa", "the play", "<ccc>", "foo", "ab", "a!b"]

characters = st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=["Cs"]))
texts = st.lists(st.one_of(characters, characters, st.sampled_from(PIECES)), max_size=30).map("".join)
words = st.lists(texts, min_size=1, max_size=6)
ascii_words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=6)
plain_texts = st.lists(ascii_words | st.sampled_from(PIECES), max_size=12).map(" ".join)
