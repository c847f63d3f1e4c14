"""Arguments that are known from transformers, in tables: which are taken, which have no effect, which are refused.

Code that was written for transformers passes arguments that mean nothing here. Each function that such code calls has
a table of them, from which ``docs/transformers.md`` is checked. Any other argument is an error that names the nearest
known one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import InputError, reject_unknown

Effect = Literal["taken", "no effect", "refused"]


@dataclass(frozen=True)
class KnownArgument:
    """One row of a table.

    Attributes:
        name: of the argument.
        effect: ``"taken"``: it does here what it does in transformers. ``"no effect"``: what it asks for is so in any
            case, or has no meaning here. ``"refused"``: it asks for something that does not exist here.
        why: what it does, or the reason; one sentence without a full stop.
    """

    name: str
    effect: Effect
    why: str


def argument_rows(effect: Effect, reasons: Mapping[str, str]) -> list[KnownArgument]:
    """Return rows of one effect.

    Args:
        effect: of all of them.
        reasons: names, with spaces between several that have one reason -> the reason.
    """
    return [KnownArgument(name, effect, why) for names, why in reasons.items() for name in names.split()]


class ArgumentTable:
    """The known arguments of a function.

    Args:
        heading: of the table in ``docs/transformers.md``.
        arguments: its rows.
    """

    def __init__(self, heading: str, *arguments: KnownArgument) -> None:
        self.heading = heading
        self.rows = {argument.name: argument for argument in arguments}

    def names(self, effect: Effect) -> tuple[str, ...]:
        """Return the names of all arguments with an effect."""
        return tuple(name for name, row in self.rows.items() if row.effect == effect)

    def keep_meaningful(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the arguments that mean something: without those that have no effect or ask for nothing.

        Args:
            given: name -> value; names that are not in the table are kept.
            where: the function that was called, for messages.

        Raises:
            InputError: a refused argument asks for something: its value is not None, False or empty.
        """
        kept = {}
        for name, value in given.items():
            row = self.rows.get(name)
            if row is None or row.effect == "taken":
                kept[name] = value
            elif row.effect == "refused" and not _asks_for_nothing(value):
                raise InputError(f"{where} does not take {name}={value!r:.60}: {row.why}.")
        return kept

    def check(self, given: Mapping[str, Any], where: str, others: Iterable[str] = ()) -> dict[str, Any]:
        """As :meth:`keep_meaningful`, and check that each argument is in the table or in ``others``.

        Raises:
            InputError: as above.
            UnknownArgumentError: an argument is not known; the message names the nearest that is not refused.
        """
        kept = self.keep_meaningful(given, where)
        refused = set(self.names("refused"))
        reject_unknown(kept, [*(name for name in self.rows if name not in refused), *others], where)
        return kept


def _asks_for_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, dict, list, tuple)) and not value)
