"""Numbers, times and lists as people read them; what is not a finite number is written as a dash."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

ABSENT = "–"


def finite(value: Any) -> float | None:
    """Return a number as a float; None for what is no number, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: Any) -> str:
    """Three digits: ``12.3``, ``0.0123``, ``1,234``, ``5e-4``."""
    x = finite(value)
    if x is None:
        return ABSENT
    if x == 0:
        return "0"
    if float(f"{abs(x):.3g}") >= 1000:
        return f"{x:,.0f}"
    if abs(x) < 1e-3:
        mantissa, exponent = f"{x:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{x:#.3g}".rstrip(".")


def whole(value: Any) -> str:
    """A whole number with separators: ``2,000``."""
    x = finite(value)
    return ABSENT if x is None else f"{x:,.0f}"


def count(value: Any) -> str:
    """A whole number, three digits from 10,000 on: ``9,876``, ``66.4 M``."""
    x = finite(value)
    if x is None or abs(x) < 10_000:
        return whole(value)
    return _scaled(x, ("", " k", " M", " B", " T"))


def size(value: Any) -> str:
    """A number of bytes, in powers of 1,000: ``21.3 MB``."""
    x = finite(value)
    return ABSENT if x is None else _scaled(x, (" bytes", " kB", " MB", " GB", " TB"))


def duration(value: Any) -> str:
    """A number of seconds: ``45.2 s``, ``12 min 5 s``, ``3 h 12 min``, ``2 d 3 h``."""
    x = finite(value)
    if x is None:
        return ABSENT
    if x < 59.95:
        return f"{x:.1f} s"
    seconds, minutes, hours = round(x), round(x / 60), round(x / 3600)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24:,} d {hours % 24} h"


def percent(value: Any) -> str:
    """A share as a percentage: ``78.3 %``."""
    x = finite(value)
    return ABSENT if x is None else f"{100 * x:.1f} %"


def speed(value: Any) -> str:
    """Tokens a second: ``12,345 tokens/s``."""
    return ABSENT if finite(value) is None else f"{pace(value)} tokens/s"


def pace(value: Any) -> str:
    """The number of :func:`speed` without its unit."""
    x = finite(value)
    return whole(x) if x is None or abs(x) < 1e6 else count(x)


def ratio(value: Any, base: Any) -> str:
    """How many times ``base``: ``0.52×``."""
    x, y = finite(value), finite(base)
    if x is None or not y:
        return ABSENT
    return f"{x / y:,.0f}×" if abs(x / y) >= 10 else f"{x / y:#.2g}".rstrip(".") + "×"


def change(value: Any, base: Any) -> str:
    """The difference from ``base`` in per cent of it: ``+12 %``, ``−1.4 %``."""
    x, y = finite(value), finite(base)
    if x is None or not y:
        return ABSENT
    share = 100 * (x / y - 1)
    return f"{share:+,.{0 if abs(share) >= 10 else 1}f} %".replace("-", "−")


def _scaled(x: float, units: tuple[str, ...]) -> str:
    for unit in units:  # noqa: B007 - the last one stays
        if float(f"{abs(x):.3g}") < 1000:
            break
        x /= 1000
    return (f"{x:.0f}" if unit == units[0] else f"{x:#.3g}".rstrip(".")) + unit


def encodable(value: Any) -> str:
    """Return text that UTF-8 can hold: names of files may come with bytes that it cannot."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def listed(parts: list[str]) -> str:
    """Join as in a sentence: ``a``, ``a and b``, ``a, b, and c``."""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


def signed(value: Any) -> str:
    """A number with its sign: ``+0.0123``, ``−0.5``."""
    x = finite(value)
    if x is None:
        return ABSENT
    return number(x) if x == 0 else f"{'+' if x > 0 else '−'}{number(abs(x))}"


def when(value: Any) -> str:
    """An ISO date and time as ``2026-11-24 14:03 UTC``; anything else as it is."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def keep_units(text: Any) -> str:
    """Join numbers and their units with a no-break space, so that a line does not end between them."""
    return re.sub(r"(\d) (?=[kMBT%]\b|%|[kMGT]B\b)", "\\1\u00a0", str(text))
