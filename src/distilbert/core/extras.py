"""Optional dependencies: import one, or say in one sentence how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``; if it is not installed, raise an error that names the extra to install.

    Args:
        module: dotted module name, such as ``"torch"``.
        extra: the extra of this package that depends on it, such as ``"torch"``.

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"This needs {module!r}, which is not installed: pip install 'distilbert[{extra}]'"
        ) from None
