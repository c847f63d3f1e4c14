"""Pages and cards from the jinja2 templates in ``templates/``."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

from ...core.extras import require
from .number_format import encodable, keep_units


def render_page(template: str, **values: Any) -> str:
    """Return a page as HTML. Every text is escaped; drawings are passed through by the templates.

    Args:
        template: name of the file in ``templates/``.
        values: what the template asks for; a name that is missing is an error.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    return str(_page_environment().get_template(template).render(values))


def render_markdown(template: str, **values: Any) -> str:
    """Return a Markdown text; arguments and errors are those of :func:`render_page`."""
    return str(_markdown_environment().get_template(template).render(values))


def escape_markdown(value: Any) -> str:
    """Return text on one line that Markdown and HTML show as it is."""
    text = " ".join(encodable(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def code_span(value: Any) -> str:
    """Return text as code within a line, whatever backticks are in it. Inside, Markdown escapes nothing."""
    text = " ".join(encodable(value).split())
    fence = "`" * (_longest_backticks(text) + 1)
    padding = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def code_block(text: Any, language: str = "") -> str:
    """Return text as a block of code, whatever backticks are in it."""
    text = encodable(text).rstrip("\n")
    fence = "`" * max(3, _longest_backticks(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_backticks(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def _environment(autoescape: bool, **options: Any) -> Any:
    jinja2 = require("jinja2", "evaluate")
    return jinja2.Environment(
        loader=jinja2.PackageLoader("distilbert.training.reports"),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        auto_reload=False,
        **options,
    )


@cache
def _page_environment() -> Any:
    markup = require("markupsafe", "evaluate").Markup

    def finalize(value: Any) -> Any:
        # Names of files may hold bytes that UTF-8 cannot; html.escape spells quotes as the drawings do.
        return value if hasattr(value, "__html__") else markup(escape(encodable(value)))

    environment = _environment(True, finalize=finalize)
    environment.filters["keep_units"] = keep_units
    return environment


@cache
def _markdown_environment() -> Any:
    environment = _environment(False)
    environment.filters |= {"plain": escape_markdown, "code_span": code_span, "code_block": code_block}
    return environment
