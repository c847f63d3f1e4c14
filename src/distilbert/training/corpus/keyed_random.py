"""Random generators addressed by purpose, seed and number, so that no generator has a state to save.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): it can
start at any key. A resumed run, or one with another number of processes, therefore draws the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ORDER, BLOCK, MASK = 1, 2, 3  # purposes; each has random numbers of its own

_WORD = (1 << 64) - 1


class KeyedRandom:
    """The random generators of one purpose and seed."""

    def __init__(self, purpose: int, seed: int) -> None:
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._key = np.array([seed & _WORD, 0], np.uint64)
        self._counter = np.array([0, 0, 0, purpose], np.uint64)
        # Setting the state of one generator takes a tenth of the time of creating another.
        self._state: Any = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": self._key},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,  # the buffer is used up
            "has_uint32": 0,
            "uinteger": 0,
        }

    def generator(self, number: int) -> np.random.Generator:
        """Return the generator with the key (seed, ``number``) in its initial state.

        It is one object, which the next call resets.
        """
        self._key[1] = number & _WORD
        self._bits.state = self._state
        return self._generator
