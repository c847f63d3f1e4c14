"""Turning messages into one text by a jinja2 template, in a sandbox. This file needs the extra ``chat``.

A template marks what the assistant wrote by ``{% generation %} ... {% endgeneration %}``. The block is rendered between
two marks, which are found and taken out afterwards; their places are the places of the block in the text.
"""

from __future__ import annotations

import copy
import datetime
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..core.errors import InputError

Message = Mapping[str, Any]
# Random digits: no text can hold them by chance or on purpose, and no filter changes them.
_NONCE = str(secrets.randbelow(10**18)).zfill(18)
_START, _STOP, _END_OF_MESSAGE = (f"\ufdd0{number}{_NONCE}\ufdd1" for number in (1, 2, 3))
_MARKS = re.compile(f"({_START}|{_STOP})")


@dataclass(frozen=True)
class RenderedChat:
    """A conversation as one text.

    Attributes:
        text: the text.
        assistant_spans: start and stop, in characters, of what the template marks as written by the assistant.
    """

    text: str
    assistant_spans: list[tuple[int, int]]


def render_chat(
    template: str, messages: Sequence[Message], variables: Mapping[str, Any], continue_final_message: bool = False
) -> RenderedChat:
    """Render one conversation.

    Args:
        template: a jinja2 template.
        messages: each with a role and a content, which the template reads as ``messages``.
        variables: whatever else the template may read.
        continue_final_message: end the text with the content of the last message, without what the template adds.

    Raises:
        InputError: the template is wrong or raises an error, or it leaves out the content that is to be continued.
    """
    if continue_final_message:
        messages = _with_mark_at_the_end(messages)
    try:
        text = _compile(template).render({**variables, "messages": messages})
    except (TemplateError, RecursionError) as error:
        raise InputError(f"The chat template cannot be used: {error!s:.300}") from error
    except Exception as error:  # a template runs operations of Python on the messages, which may fail in any way
        raise InputError(f"The chat template fails: {type(error).__name__}: {error!s:.300}") from error
    if continue_final_message:
        text = _until_mark(text)
    return _without_marks(text)


def has_assistant_blocks(template: str) -> bool:
    """Whether the template marks what the assistant wrote."""
    return re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", template) is not None


class _GenerationTag(Extension):
    """The block ``{% generation %}``, rendered between two marks."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_between_marks"), [], [], body).set_lineno(line)

    def _between_marks(self, caller: Macro) -> str:
        return f"{_START}{caller()}{_STOP}"


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json  # jinja2's own escapes for HTML
    environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    return environment


@lru_cache(maxsize=32)
def _compile(template: str) -> Template:
    return _environment().from_string(template)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.datetime.now().strftime(format)


def _with_mark_at_the_end(messages: Sequence[Message]) -> list[Message]:
    """Return a copy in which a mark and a space follow the last text of the last message."""
    *others, last = messages
    last = dict(copy.deepcopy(last))
    mark = f"{_END_OF_MESSAGE} "
    content = last.get("content")
    if isinstance(content, str):
        last["content"] = content + mark
        return [*others, last]
    blocks = [block for block in content if isinstance(block, dict) and "text" in block] if content else []
    if not blocks:
        raise InputError("continue_final_message=True needs a text as content of the last message.")
    blocks[-1]["text"] += mark
    return [*others, last]


def _until_mark(text: str) -> str:
    """Return the text before the mark. A template that cuts the space after the mark also cuts those before it."""
    before, mark, after = text.rpartition(_END_OF_MESSAGE)
    if not mark:
        raise InputError(
            "continue_final_message=True, but the chat template leaves out the content of the last message."
        )
    return before if after.startswith(" ") else before.rstrip()


def _without_marks(text: str) -> RenderedChat:
    pieces: list[str] = []
    starts: list[int] = []
    spans: list[tuple[int, int]] = []
    length = 0
    for piece in _MARKS.split(text):
        if piece == _START:
            starts.append(length)
        elif piece == _STOP:
            if starts:
                spans.append((starts.pop(), length))
        else:
            pieces.append(piece)
            length += len(piece)
    return RenderedChat("".join(pieces), sorted(spans))
