"""Every exception that distilbert raises on purpose, in one tree.

::

    DistilBertError
    |-- ConfigError                   (ValueError)       a field of a configuration
    |-- InputError                    (ValueError)       text, ids or tensors
    |   `-- InputTypeError            (TypeError)        an input that is no text at all
    |-- TokenizerError                (ValueError)       files or options of a tokenizer
    |-- UnknownArgumentError          (TypeError)        a keyword that does not exist
    |-- ModelNotFoundError            (OSError)          a folder or name without a model
    |-- UnsupportedArchitectureError  (ValueError)       a model that is no DistilBERT
    |-- WeightsError                  (OSError)          a weights file that cannot be read
    |-- WeightsMismatchError          (RuntimeError)     tensors that do not fit the model
    |-- MissingExtraError             (ImportError)      a library that is not installed
    |-- ForeignNameError              (ImportError)      a name that only transformers has
    |-- DeviceError                   (RuntimeError)     a device that is not there
    |-- DataError                     (ValueError)       a data file
    |-- TrainingError                 (ArithmeticError)  a loss that is not finite
    |-- ExportError                   (ArithmeticError)  an export that computes something else
    |-- GateError                     (ArithmeticError)  a quantization that loses more than is allowed
    |-- UsageError                    (ValueError)       a command line
    |-- RequestError                  (ValueError)       a request that a server does not answer
    |-- CheckpointError               (OSError)          a checkpoint that cannot be written
    `-- LostProcessError              (RuntimeError)     another process of the same run that ended

Each class also derives from the built-in exception in parentheses, so code that catches the built-in goes on working.
A message says what was given, what was expected, and what to do.

``Interrupted`` (KeyboardInterrupt) stands outside the tree, because Ctrl-C and SIGTERM are no errors.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence
from typing import Any


class DistilBertError(Exception):
    """Base of all errors raised by this package."""


class ConfigError(DistilBertError, ValueError):
    """A field of a configuration is missing, unknown, or has a value that cannot work."""


class InputError(DistilBertError, ValueError):
    """Text, ids or tensors given to a tokenizer, model or task cannot be used as they are."""


class InputTypeError(InputError, TypeError):
    """An input has another type than a text, such as None."""


class TokenizerError(DistilBertError, ValueError):
    """The files or options of a tokenizer do not describe a BERT-style WordPiece tokenizer."""


class UnknownArgumentError(DistilBertError, TypeError):
    """A keyword argument that does not exist; the message names the nearest one that does."""


class ModelNotFoundError(DistilBertError, OSError):
    """A name is neither a folder with a model in it, nor an installed model, nor one that could be downloaded."""


class UnsupportedArchitectureError(DistilBertError, ValueError):
    """The folder holds a model that is neither a DistilBERT nor a BERT with a DistilBERT twin."""


class WeightsError(DistilBertError, OSError):
    """A weights file is truncated, corrupt, or in a format that cannot be read."""


class WeightsMismatchError(DistilBertError, RuntimeError):
    """The tensors of a file are not those of the model: some are missing, left over, or of another shape."""


class MissingExtraError(DistilBertError, ImportError):
    """An optional dependency is not installed."""


class ForeignNameError(DistilBertError, ImportError):
    """A name of transformers that this package does not have; the message says what to import or to call instead."""


class DeviceError(DistilBertError, RuntimeError):
    """The device or attention implementation asked for is not there on this machine."""


class DataError(DistilBertError, ValueError):
    """A data file has a line or a column that cannot be used."""


class TrainingError(DistilBertError, ArithmeticError):
    """The loss or the gradient is no longer a number."""


class ExportError(DistilBertError, ArithmeticError):
    """An exported file and its model disagree by more than the precision of the export allows."""


class GateError(DistilBertError, ArithmeticError):
    """Int8 or shrinking costs more of a metric than was allowed.

    Attributes:
        fp32_score: what the model scores in fp32 and as a whole, in points.
        settings: every :class:`~distilbert.engine.quantization_search.ScoredSetting` of int8 that was tried, in order.
    """

    def __init__(self, message: str, fp32_score: float, settings: Sequence[Any]) -> None:
        super().__init__(message)
        self.fp32_score, self.settings = fp32_score, tuple(settings)


class UsageError(DistilBertError, ValueError):
    """A command line asks for something that cannot be done; the command ends with exit code 2."""


class RequestError(DistilBertError, ValueError):
    """A request over HTTP has no answer.

    Attributes:
        status: of HTTP.
        kind: one word for programs, such as ``"overloaded"``.
        retry_after: seconds after which it is worth trying again; None: it is not.
    """

    def __init__(self, message: str, status: int, kind: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.retry_after = status, kind, retry_after


class LostProcessError(DistilBertError, RuntimeError):
    """One of several processes ended, so the others cannot go on."""


class CheckpointError(DistilBertError, OSError):
    """A checkpoint could not be written; those before it are untouched."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with a message that says what is kept and how to go on.

    Attributes:
        signal: which of them it was.
    """

    def __init__(self, message: str, received: signal.Signals = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = received


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def reject_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise :class:`UnknownArgumentError` if a name is not in ``known``.

    Args:
        names: the keyword arguments that a caller passed.
        known: the arguments that exist.
        where: the function or class that was called, for the message.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownArgumentError(f"{where} got an unknown argument {name!r}.{suggest(name, known)}")
