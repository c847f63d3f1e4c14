"""What an export is checked on: random ids of many shapes, and sentences.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig

SHAPES = (
    (1, 1),
    (2, 2),
    (5, 7),
    (3, 16),
    (1, 33),
    (4, 64),
    (2, 128),
)  # rows and lengths; the model's own longest is added
CHOICES = (1, 2, 3, 4)
SENTENCES = (
    "The food was cold, but the waiter made up for it.",
    "A warm and funny film that never talks down to its audience.",
    "Two hours of noise.",
    "The museum in Berlin opened in 1830 and is closed on Mondays.",
    "Which of these trains leaves first, and from where?",
    "Researchers at the University of Oslo found that sleeping less than six hours a night for two weeks harmed memory "
    "as much as one night without any sleep, although most people did not notice that they had become slower.",
    "Yes!",
    "Mary Anna Wolf, who had lived in Paris for ten years, sold her company last spring.",
    "Please send the invoice again; the first one got lost.",
    "I would not recommend this phone to anybody who takes photographs.",
    "Heavy rain is expected along the coast tonight, with winds of up to 90 km/h.",
    "He said he'd come, he didn't come, and then he said he had never said so.",
)


@dataclass(frozen=True)
class Case:
    """One batch.

    Attributes:
        name: what it is, for a message.
        input_ids: (B, S) or (B, C, S) int64.
        attention_mask: of the same shape, int64; no row is all padding.
        text: it was made of sentences.
    """

    name: str
    input_ids: np.ndarray
    attention_mask: np.ndarray
    text: bool = False


def random_cases(config: DistilBertConfig, rank: int) -> list[Case]:
    """Return batches of random ids: of 1 to 5 rows, from one token to all that the model takes, with padding.

    Args:
        config: of the model.
        rank: 3 for multiple choice, else 2.
    """
    generator = np.random.default_rng(0)
    limit = config.max_position_embeddings
    shapes = sorted({(rows, min(length, limit)) for rows, length in (*SHAPES, (2, limit))}, key=lambda s: (s[1], s[0]))
    cases = []
    for number, (rows, length) in enumerate(shapes):
        shape = (rows, length) if rank == 2 else (rows, CHOICES[number % len(CHOICES)], length)
        ids = generator.integers(0, config.vocab_size, shape)
        lengths = generator.integers(1, length + 1, shape[:-1])
        lengths.flat[0] = length
        mask = (np.arange(length) < lengths[..., None]).astype(np.int64)
        if number % 2:
            mask[-1] = mask[-1, ..., ::-1]  # padding on the left
        ids[mask == 0] = config.pad_token_id or 0
        cases.append(Case(f"random ids of {' x '.join(map(str, shape))}", ids, mask))
    return cases


def sentence_cases(tokenizer: Any, config: DistilBertConfig, rank: int, pairs: bool) -> list[Case]:
    """Return the built-in sentences as padded batches, in the order of :data:`SENTENCES`.

    Args:
        tokenizer: of the model.
        config: of the model.
        rank: 3 for multiple choice, where each sentence has its three followers as choices; else 2.
        pairs: each sentence with its follower, as for questions.
    """
    followers = [*SENTENCES[1:], SENTENCES[0]]
    if rank == 3:
        count = len(SENTENCES)
        choices = [(SENTENCES[i], SENTENCES[(i + step) % count]) for i in range(count) for step in (1, 2, 3)]
        ids, mask = encode(tokenizer, choices, config)
        shape = (count, 3, -1)
        return [Case("sentences with three choices", ids.reshape(shape), mask.reshape(shape), text=True)]
    texts: list[Any] = list(zip(SENTENCES, followers, strict=True)) if pairs else list(SENTENCES)
    half = len(texts) // 2
    return [
        Case(f"sentences {first + 1} to {first + half}", *encode(tokenizer, texts[first : first + half], config), True)
        for first in (0, half)
    ]


def encode(tokenizer: Any, texts: Iterable[Any], config: DistilBertConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask, both (B, S) int64, of texts or pairs of texts, cut to what the model takes."""
    encoded = tokenizer(
        list(texts), padding=True, truncation=True, max_length=config.max_position_embeddings, return_tensors="np"
    )
    return encoded["input_ids"].astype(np.int64), encoded["attention_mask"].astype(np.int64)
