"""Settings as dataclasses: each field is a keyword in Python, a key in TOML and an option on the command line."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints

from ..core.errors import ConfigError, DataError, InputError, reject_unknown
from ..core.extras import require
from ..core.files import write_text
from ..data.memory_source import MemorySource, as_sources
from ..data.text_lines import check_regular_file


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    free: bool = False,
    factory: Any = None,
    in_memory: bool = False,
) -> Any:
    """Describe a field of :class:`Settings`.

    Args:
        default: its default; ``REQUIRED`` for a field without one.
        help: its meaning, with its unit.
        choices: the allowed values; empty for any.
        free: it does not influence the result of a run, so a resumed run may change it.
        factory: returns the default, where that is a list or a dict.
        in_memory: it names labelled data, which in Python may also be in memory; see
            :mod:`distilbert.data.memory_source`.
    """
    metadata = {"help": help, "choices": choices, "free": free, "in_memory": in_memory}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


REQUIRED = dataclasses.MISSING
LARGEST_TOML = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: types are checked and converted, then :meth:`validate` checks the values."""

    def __new__(cls, *arguments: Any, **values: Any) -> Self:
        """Refuse unknown fields with the name of the nearest one, which a dataclass alone does not know."""
        reject_unknown(values, [item.name for item in dataclasses.fields(cls)], cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.metadata["in_memory"]:
                value = _sources(item.name, value)
            elif names_files(item.name) and isinstance(value, str | os.PathLike):
                value = [os.fspath(value)]
            value = _converted(item.name, value, hints[item.name])
            numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
                raise ConfigError(f"{item.name} must be finite; got {value!r}.")
            choices = item.metadata["choices"]
            if choices and value not in choices:
                known = ", ".join(choice or '""' for choice in choices)
                raise ConfigError(f"{item.name} must be one of {known}; got {value!r}.")
            object.__setattr__(self, item.name, value)
        self.validate()

    @classmethod
    def check(cls, config: Any, function: str) -> None:
        """Check that a function got these settings.

        Raises:
            InputError: it got something else, such as a dict.
        """
        if not isinstance(config, cls):
            raise InputError(
                f"{function} takes a {cls.__name__}, got a {type(config).__name__}. {cls.__name__}(name=value, ...) "
                f"makes one, and {cls.__name__}.load(path) reads one from a TOML file."
            )

    def validate(self) -> None:
        """Check the values; the error names the field."""

    def _demand(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {expected}; got {getattr(self, name)!r}.")

    # As a file ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Build from plain values, such as those of a TOML file.

        Raises:
            UnknownArgumentError: a name that is not a setting.
            ConfigError: a value that is not allowed, or a required setting is missing.
        """
        reject_unknown(values, [item.name for item in dataclasses.fields(cls)], where or cls.__name__)
        missing = [f.name for f in dataclasses.fields(cls) if _is_required(f) and f.name not in values]
        if missing:
            raise ConfigError(f"{where or cls.__name__} needs {', '.join(missing)}.")
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Self:
        """Read a TOML file; ``changes`` override its values.

        Raises:
            ConfigError: there is no such file, or it is not TOML.
        """
        return cls.from_dict(read_toml(path) | changes, where=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write all settings as TOML, atomically; :meth:`load` reads them back."""
        write_text(Path(path), require("tomli_w", "train").dumps(self.to_dict()))

    def differences(self, other: Settings) -> list[str]:
        """Return a line for each setting that influences the result and differs from ``other``."""
        lines = []
        for item in dataclasses.fields(self):
            value, previous = getattr(self, item.name), getattr(other, item.name, None)
            if not item.metadata["free"] and value != previous:
                lines.append(f"{item.name}: {previous!r} -> {value!r}")
        return lines


def _sources(name: str, value: Any) -> list[str]:
    try:
        return as_sources(value)
    except DataError as error:
        raise ConfigError(f"{name}: {error}") from None


def names_files(name: str) -> bool:
    """Say whether a setting names files: one path is as good as a list of them."""
    return name == "data" or name.endswith("_data")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    try:
        check_regular_file(Path(path))
        if (size := Path(path).stat().st_size) > LARGEST_TOML:
            raise ConfigError(f"{path} has {size:,} bytes, which is no file of settings.")
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration at {path}.") from None
    except DataError as error:
        raise ConfigError(str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is REQUIRED and item.default_factory is REQUIRED


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return ``value`` converted to the type of its field, if that loses nothing."""
    try:
        return _as_type(value, kind)
    except TypeError:
        expected = getattr(kind, "__name__", "") if isinstance(kind, type) and not get_args(kind) else str(kind)
        raise ConfigError(f"{name} must be of type {expected}; got {value!r}.") from None


def _as_type(value: Any, kind: Any) -> Any:
    origin = get_origin(kind) or kind
    if origin is list and isinstance(value, (list, tuple)):
        return [_as_type(entry, get_args(kind)[0]) for entry in value]
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _as_type(entry, get_args(kind)[1]) for key, entry in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind and not isinstance(value, MemorySource):
        raise TypeError
    return value
