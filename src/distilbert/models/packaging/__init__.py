"""Models as Python packages that pip installs and ``from_pretrained`` finds by name."""

from __future__ import annotations

from .package import package as package

__all__ = ["package"]
