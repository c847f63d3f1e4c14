"""Tags of words: what their prefixes mean, and where an entity begins.

==========  ======================================================  ======================
schemes     prefixes                                                "Ada Lovelace in Rome"
==========  ======================================================  ======================
IO          ``I-``, or none at all: in an X                         ``I-PER I-PER O I-LOC``
IOB1, IOB2  ``B-`` begins an X, ``I-`` continues one                ``B-PER I-PER O B-LOC``
BIOES       also ``E-`` ends an X, ``S-`` is an X of a single word  ``B-PER E-PER O S-LOC``
BILOU       the same with ``L-`` (last) and ``U-`` (unit)           ``B-PER L-PER O U-LOC``
==========  ======================================================  ======================
"""

from __future__ import annotations

from typing import NamedTuple

OUTSIDE = "O"
_PREFIXES = {"B-": "B", "I-": "I", "E-": "E", "S-": "S", "L-": "E", "U-": "S"}


class Tag(NamedTuple):
    """A tag in its two parts.

    Attributes:
        prefix: ``"B"``, ``"I"``, ``"E"`` or ``"S"``; empty for ``O``.
        kind: the kind of entity; ``"O"`` for ``O``.
    """

    prefix: str
    kind: str

    @classmethod
    def parse(cls, tag: str) -> Tag:
        """Read a tag of any scheme; one without a prefix counts as ``I-``."""
        if tag == OUTSIDE:
            return cls("", OUTSIDE)
        prefix = _PREFIXES.get(tag[:2])
        return cls("I", tag) if prefix is None else cls(prefix, tag[2:])

    def begins_after(self, previous: Tag) -> bool:
        """Whether a new entity (or a new run of ``O``) begins here, given the tag before it."""
        return self.kind != previous.kind or self.prefix in ("B", "S") or previous.prefix in ("E", "S")

    def __str__(self) -> str:
        return f"{self.prefix}-{self.kind}" if self.prefix else self.kind
