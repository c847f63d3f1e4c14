"""The texts that requests have: short sentences, long reviews, and a mixture."""

from __future__ import annotations

import random

from .. import common

WORKLOADS = {
    "short": "sentences of SST-2, one a request",
    "mixed": "nine sentences of SST-2 to one IMDb review",
    "long": "IMDb reviews, up to 512 tokens",
}
LONGEST = 1700  # characters: reviews are cut so that no server needs more than a window of 512 tokens


def texts_of(workload: str) -> list[str]:
    """Return the texts of a workload, in the order in which they are sent."""
    sentences = common.sst2_dev()
    reviews = [review[:LONGEST] for review in common.imdb_reviews(600)]
    if workload == "short":
        texts = sentences
    elif workload == "long":
        texts = reviews
    else:
        texts = sentences[:450] + reviews[:50]
    random.Random(0).shuffle(texts)
    return texts


def of_25_tokens(count: int) -> list[str]:
    """Return texts of 25 tokens with their special tokens: words of SST-2's sentences that are one token each."""
    from distilbert import DistilBertTokenizerFast
    from distilbert.core.installed import find_installed

    folder = find_installed("distilbert-mini-sst2")
    assert folder is not None, "the package distilbert-mini-sst2 is not installed"
    tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
    vocabulary = tokenizer.get_vocab()
    words = [
        word for sentence in common.sst2_dev() for word in sentence.split() if word.isalpha() and word in vocabulary
    ]
    texts = [" ".join(words[23 * start : 23 * start + 23]) for start in range(count)]
    assert {len(ids) for ids in tokenizer.encode_ids(texts)} == {25}
    return texts
