"""How many tokens of a model the engine computes in a second, and how many tokens a text has: for predictions."""

from __future__ import annotations

FULL = 0.5  # of the budget: smaller batches say nothing about speed under load
WEIGHT = 0.1  # of the newest batch in a mean
FIRST_GUESS = 20_000.0  # tokens a second, until the warm-up has measured it
TOKENS_PER_CHARACTER = 0.25  # of English, until texts have come
SPECIAL_TOKENS = 2


class EngineSpeed:
    """Running means of one model.

    Args:
        batch_tokens: budget of a batch.

    Attributes:
        tokens_per_second: of large batches, with what is done between two batches.
        tokens_per_character: of texts.
    """

    def __init__(self, batch_tokens: int) -> None:
        self._least = int(batch_tokens * FULL)
        self._is_measured = False
        self.tokens_per_second = FIRST_GUESS
        self.tokens_per_character = TOKENS_PER_CHARACTER

    def measured(self, tokens: int, seconds: float) -> None:
        """Take a batch into account: its tokens, and the seconds until the engine was free again."""
        if tokens < self._least:
            return
        speed = tokens / max(seconds, 1e-6)
        self.tokens_per_second += (speed - self.tokens_per_second) * (WEIGHT if self._is_measured else 1.0)
        self._is_measured = True

    def counted(self, characters: int, tokens: int) -> None:
        """Take the tokens of some text into account."""
        if characters:
            ratio = min(tokens / characters, 4.0)
            self.tokens_per_character += (ratio - self.tokens_per_character) * WEIGHT * min(1.0, characters / 1000)

    def estimate(self, characters: int, texts: int) -> int:
        """Return how many tokens texts will have, special tokens included."""
        return int(characters * self.tokens_per_character) + SPECIAL_TOKENS * texts
