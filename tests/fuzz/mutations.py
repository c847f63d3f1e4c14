"""Ways to damage a file: its bytes, or the values of its JSON."""

from __future__ import annotations

import json
import random
from typing import Any

NUMBERS = (0, -1, 1, 2**31, 2**63, 10**400, -(2**63), 1e400, float("nan"), 1e-320, 3.5, True)
HOSTILE = (None, "", "x" * 5000, "\x00", "\ud800", "../../etc/passwd", [], {}, [[]], {"a": {"b": []}}, *NUMBERS)
DEEP = 100_000  # brackets


def mutate(content: bytes, name: str, draw: random.Random) -> bytes:
    """Return a damaged copy of a file.

    Args:
        content: of the file.
        name: of the file; the values of a ``.json`` file are changed more often than its bytes.
        draw: decides what happens.
    """
    if name.endswith((".json", ".jsonl")) and draw.random() < 0.7:
        return _mutate_json(content, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 5, 20))):
        content = draw.choice(_BYTES)(content, draw)
    return content


def _flip(content: bytes, draw: random.Random) -> bytes:
    if not content:
        return b"\x00"
    place = draw.randrange(min(len(content), draw.choice((64, 512, len(content)))))
    return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _remove(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + content[start + draw.choice((1, 2, 8, 100)) :]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + draw.randbytes(draw.choice((1, 4, 16))) + content[start:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    piece = content[start : start + draw.choice((1, 8, 100, 1000))]
    return content[:start] + piece * draw.choice((2, 3, 50)) + content[start:]


def _overwrite(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    filler = draw.choice((b"\x00", b"\xff", b"\x80", b"{", b"[", b'"', b"9", b"\n", b"\t"))
    size = draw.choice((1, 4, 8, 64))
    return content[:start] + filler * size + content[start + size :]


def _append(content: bytes, draw: random.Random) -> bytes:
    return content + draw.choice((b"\x00" * 8, b"\n", b"{}", b"\xff\xfe", content[:100]))


def _swap_number(content: bytes, draw: random.Random) -> bytes:
    """Replace a run of digits by a number that is far off."""
    places = [place for place, byte in enumerate(content[:100_000]) if 48 <= byte <= 57]
    if not places:
        return _flip(content, draw)
    start = stop = draw.choice(places)
    while stop < len(content) and 48 <= content[stop] <= 57:
        stop += 1
    number = draw.choice((b"0", b"-1", b"1", b"999999999", b"18446744073709551616", b"1e999", b"NaN", b"0.5", b"null"))
    return content[:start] + number + content[stop:]


_BYTES = (_flip, _flip, _cut, _remove, _insert, _repeat, _overwrite, _append, _swap_number)


def _mutate_json(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    place = draw.randrange(len(lines)) if lines[0].endswith(b"}") else None
    try:
        value = json.loads(content if place is None else lines[place])
    except ValueError:
        return _flip(content, draw)
    if draw.random() < 0.03:
        return b"[" * DEEP if draw.random() < 0.5 else b'{"a":' * DEEP + b"1" + b"}" * DEEP
    for _ in range(draw.choice((1, 1, 2, 4))):
        value = _changed(value, draw)
    text = json.dumps(value, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    if place is None:
        return text
    lines[place] = text
    return b"\n".join(lines)


def _changed(value: Any, draw: random.Random) -> Any:
    """Return a JSON value with something in it replaced, removed, renamed, repeated or added."""
    if not isinstance(value, (dict, list)) or not value or draw.random() < 0.1:
        return draw.choice(HOSTILE)
    if isinstance(value, list):
        place = draw.randrange(len(value))
        new = list(value)
        action = draw.random()
        if action < 0.15:
            del new[place]
        elif action < 0.3:
            new.insert(place, draw.choice((new[place], *HOSTILE)))
        else:
            new[place] = _changed(new[place], draw)
        return new
    key = draw.choice(list(value))
    action = draw.random()
    if action < 0.15:
        return {name: entry for name, entry in value.items() if name != key}
    if action < 0.25:
        return {(draw.choice(("", "x", "-1", key.upper())) if name == key else name): e for name, e in value.items()}
    if action < 0.3:
        return value | {draw.choice(("", "auto_map", "x", "0")): draw.choice(HOSTILE)}
    if action < 0.5:
        return value | {key: value[draw.choice(list(value))]}
    return value | {key: _changed(value[key], draw)}
