"""Models as Python packages that pip installs and ``from_pretrained`` finds by name.

Begin with ``packager``, which holds :func:`package`. ``contents`` picks and checks the files of the model,
``distribution`` writes what a package says about itself.
"""

from __future__ import annotations

from .packager import package as package

__all__ = ["package"]
