"""Random numbers by address: a generator is named by what it is for, a seed and a number, and nothing runs on.

Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): any key can be asked
at any time, so a resumed run, or one with another number of processes, draws what the first one drew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ORDER, BLOCK, MASK = 1, 2, 3  # what numbers are drawn for; each purpose has numbers of its own

_WORD = (1 << 64) - 1


class Draws:
    """The generators of one purpose and seed; the one returned last is overwritten by the next call."""

    def __init__(self, purpose: int, seed: int) -> None:
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._key = np.array([seed & _WORD, 0], np.uint64)
        self._counter = np.array([0, 0, 0, purpose], np.uint64)
        # Setting the state of one object takes a tenth of the time that making another does.
        self._state: Any = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": self._key},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,  # the buffer is used up
            "has_uint32": 0,
            "uinteger": 0,
        }

    def number(self, number: int) -> np.random.Generator:
        """Return the generator with the key (seed, ``number``), at its beginning."""
        self._key[1] = number & _WORD
        self._bits.state = self._state
        return self._generator
