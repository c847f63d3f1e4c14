"""Reading small JSON files that may come from anywhere: what is too large, too deep or no file at all is refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ConfigError, DistilBertError, ModelNotFoundError
from .files import is_pointer, pointer_message

LARGEST_FILE = 64 * 2**20  # bytes
DEEPEST = 100  # objects and arrays inside each other


def read_json(path: Path, error: type[DistilBertError], largest: int = LARGEST_FILE) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        error: what is raised if it cannot be used.
        largest: most bytes that are read.

    Raises:
        ModelNotFoundError: there is no such file.
        DistilBertError: of type ``error``: it is no regular file, too large, not UTF-8, not JSON or nested too deeply.
    """
    try:
        if not path.is_file():
            if path.exists():
                raise error(f"{path} is no regular file.")
            raise ModelNotFoundError(f"There is no {path.name} in {path.parent}.")
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as reason:
        if isinstance(reason, DistilBertError):
            raise
        raise error(f"{path} cannot be read: {reason.strerror or reason}") from None
    if is_pointer(data):
        raise error(pointer_message(path))
    if len(data) > largest:
        raise error(f"{path} is larger than {largest >> 20} MB, which is too large for a file of this kind.")
    try:
        return parse_json(data.decode("utf-8"))
    except ValueError as reason:
        raise error(f"{path} is not valid JSON: {str(reason)[:200]}") from None


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, holds a number of thousands of digits, or is nested too deeply.
    """
    depth = f"it nests objects more than {DEEPEST} deep"
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(depth) from None
    level = [value]
    for _ in range(DEEPEST):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return value
    raise ValueError(depth)


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the JSON object in a ``config.json``.

    Raises:
        ModelNotFoundError: there is no such file.
        ConfigError: it is not a JSON object.
    """
    values = read_json(path, ConfigError)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a JSON object, got a {type(values).__name__}.")
    return values


@contextmanager
def naming_config(path: Path, replaced: Collection[str] = ()) -> Iterator[None]:
    """Make an error about a field name the file that it comes from.

    Args:
        path: of the ``config.json``.
        replaced: fields that arguments replace; an error about one of them is not the file's.
    """
    try:
        yield
    except ConfigError as error:
        if str(error).partition(" ")[0] in replaced:
            raise
        raise ConfigError(f"{path}: {error}") from None
