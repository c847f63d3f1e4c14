"""The size of what pip installs for a contestant: its distributions with all that they require, on the disk."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Iterable

from packaging.requirements import Requirement


def installed_megabytes(modules: Iterable[str]) -> float:
    """Return the megabytes of the distributions that have these modules, and of everything that they require.

    Compiled bytecode counts as far as pip wrote it. Extras of requirements count, extras of the distributions do not.
    """
    by_module = importlib.metadata.packages_distributions()
    names = {_normal(name) for module in modules for name in by_module.get(module, [module])[:1]}
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        names |= _requirements(name)
    return round(sum(map(_size, seen)) / 1e6, 1)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(name: str) -> set[str]:
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    parsed = map(Requirement, lines)
    return {_normal(each.name) for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})}


@functools.cache
def _size(name: str) -> int:
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    paths = (file.locate() for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())  # type: ignore[attr-defined]
