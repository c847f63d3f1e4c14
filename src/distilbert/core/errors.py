"""Every exception that distilbert raises on purpose, in one tree.

Each class also derives from the built-in that a caller would expect (``ValueError``, ``OSError``, ...), so code
written for other libraries keeps catching what it caught. Messages say what was given, what was expected and what
to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DistilBertError(Exception):
    """Base of all errors raised by this package."""


class ConfigError(DistilBertError, ValueError):
    """A field of a configuration is missing, unknown, or has a value that cannot work."""


class InputError(DistilBertError, ValueError):
    """Text, ids or tensors given to a tokenizer, model or task cannot be used as they are."""


class TokenizerError(DistilBertError, ValueError):
    """The files or options of a tokenizer do not describe a BERT-style WordPiece tokenizer."""


class UnknownArgumentError(DistilBertError, TypeError):
    """A keyword that no parameter is named after."""


class ModelNotFoundError(DistilBertError, OSError):
    """A name is neither a folder with a model in it nor a model that could be fetched."""


class UnsupportedArchitectureError(DistilBertError, ValueError):
    """The folder holds a model that is neither a DistilBERT nor a BERT with a DistilBERT twin."""


class WeightsError(DistilBertError, OSError):
    """A weights file is truncated, corrupt, or in a format that cannot be read."""


class WeightsMismatchError(DistilBertError, RuntimeError):
    """The tensors of a file are not those of the model: some are missing, left over, or have another shape."""


class MissingExtraError(DistilBertError, ImportError):
    """An optional dependency is not installed."""


class DeviceError(DistilBertError, RuntimeError):
    """The device or attention implementation asked for is not there on this machine."""


class DataError(DistilBertError, ValueError):
    """A data file has a line or a column that cannot be used."""


class TrainingError(DistilBertError, ArithmeticError):
    """The loss or the gradient is no longer a number."""


class ExportError(DistilBertError, ArithmeticError):
    """What was exported computes something else than the model, by more than its precision allows."""


class UsageError(DistilBertError, ValueError):
    """A command line asks for something that cannot be done; the command ends with exit code 2."""


class CheckpointError(DistilBertError, OSError):
    """A checkpoint could not be written; those before it are untouched."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def reject_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise :class:`UnknownArgumentError` if ``given`` holds a name that is not in ``known``.

    Args:
        given: the keyword names that a caller passed.
        known: the names that ``where`` understands.
        where: what the arguments were given to, as it should stand in the message.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownArgumentError(f"{where} got an unknown argument {name!r}.{suggest(name, known)}")
