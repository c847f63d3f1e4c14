"""Turns the cross-references of docstrings, such as ``:class:`Batch```, into code, which Markdown knows."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|exc):`~?(?:[^`<]*<)?\.*([^`>]+)>?`")
DOUBLE = re.compile(r"``([^`]+)``")


class DocstringRoles(griffe.Extension):
    """Rewrites the docstring of every object that is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", obj.docstring.value)
            obj.docstring.value = DOUBLE.sub(r"`\1`", text)
