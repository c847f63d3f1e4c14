"""Choose answer spans from the start and end logits of one window. Legend: S tokens, A longest answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .scores import largest, softmax

MASKED = np.float32(-10000.0)


def answer_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, allowed: Sequence[bool], count: int, longest: int
) -> tuple[list[tuple[int, int, float]], float]:
    """Return the likeliest spans of a window, and the score of "no answer".

    Args:
        start_logits: (S,).
        end_logits: (S,).
        allowed: (S,) whether a token belongs to the context. Position 0 ([CLS], "no answer") takes part in the
            softmax and is never in a span.
        count: spans to return, at most.
        longest: tokens of the longest span.

    Returns:
        (first token, last token, probability) of each span, best first, and the probability of position 0.
    """
    open_to_answers = np.asarray(allowed, dtype=bool)
    in_softmax = open_to_answers.copy()
    in_softmax[0] = True
    start = softmax(np.where(in_softmax, start_logits, MASKED))
    end = softmax(np.where(in_softmax, end_logits, MASKED))
    null = float(start[0] * end[0])
    start, end = np.where(open_to_answers, start, 0), np.where(open_to_answers, end, 0)
    width = min(longest, len(start))
    following = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.zeros(width - 1, end.dtype)]), width)
    products = (start[:, None] * following).ravel()  # (S * A,): span from token i over j + 1 tokens at i * A + j
    best = [index for index in largest(products, count) if products[index] > 0]
    return [(i // width, i // width + i % width, float(products[i])) for i in best], null


def whole_words(words: Sequence[int | None], allowed: Sequence[bool], first: int, last: int) -> tuple[int, int]:
    """Grow a span of tokens to whole words, as far as they stand in this window.

    Args:
        words: (S,) index of the word that each token belongs to.
        allowed: (S,) whether a token belongs to the context; the last token ([SEP]) does not.
        first: first token of the span.
        last: last token of the span.
    """
    while allowed[first - 1] and words[first - 1] == words[first]:
        first -= 1
    while allowed[last + 1] and words[last + 1] == words[last]:
        last += 1
    return first, last
