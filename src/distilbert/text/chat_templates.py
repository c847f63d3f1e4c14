"""Templates of chats: what a tokenizer may hold of them, and which one a call means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ..core.errors import InputError, TokenizerError

ChatTemplates = str | dict[str, str]  # one template, or several by name
DEFAULT_TEMPLATE = "default"
TOOL_TEMPLATE = "tool_use"  # taken for calls with tools


def as_chat_templates(value: Any) -> ChatTemplates | None:
    """Return a template, several by name, or None.

    Args:
        value: a text; a dict of texts; the same as ``tokenizer_config.json`` has it, a list of
            ``{"name": ..., "template": ...}``; or None.

    Raises:
        TokenizerError: it is none of these, or a name cannot be the name of a file.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value):
        value = {item.get("name"): item.get("template") for item in value}
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise TokenizerError(f"chat_template must be a text or a dict of texts, but is {value!r:.80}.")
    for name in value:
        if not isinstance(name, str) or not _is_file_name(name):
            raise TokenizerError(f"A chat template needs a name that can be that of a file, but got {name!r:.80}.")
    return dict(value)


def choose_template(templates: ChatTemplates | None, wanted: str | None, has_tools: bool) -> str:
    """Return the template of a call.

    Args:
        templates: those of the tokenizer.
        wanted: a name among them, or a template itself; None takes the usual one.
        has_tools: whether the call has tools, for which there may be a template of its own.

    Raises:
        InputError: there is no template.
    """
    if isinstance(templates, dict):
        if wanted is not None:
            return templates.get(wanted, wanted)
        for name in (TOOL_TEMPLATE, DEFAULT_TEMPLATE) if has_tools else (DEFAULT_TEMPLATE,):
            if name in templates:
                return templates[name]
        raise InputError(
            f"This tokenizer has chat templates, but none is called {DEFAULT_TEMPLATE!r}: pass chat_template= one of "
            f"{', '.join(sorted(templates))}."
        )
    template = templates if wanted is None else wanted
    if template is None:
        raise InputError(
            "This tokenizer has no chat template. Set tokenizer.chat_template, or pass chat_template= to the call."
        )
    return template


def check_template_options(options: Mapping[str, bool]) -> None:
    """Check that the options of a call to a chat template fit each other.

    Args:
        options: name -> whether it is set.

    Raises:
        InputError: two options exclude each other.
    """
    exclusive = (
        ("continue_final_message", "add_generation_prompt", "one goes on with the last message, the other starts anew"),
        ("continue_final_message", "return_assistant_tokens_mask", "a message that goes on has no end to be marked"),
    )
    for first, second, why in exclusive:
        if options[first] and options[second]:
            raise InputError(f"{first}=True and {second}=True exclude each other: {why}.")
    if options["return_assistant_tokens_mask"] and not (options["return_dict"] and options["tokenize"]):
        raise InputError(
            "return_assistant_tokens_mask=True adds a column: it needs return_dict=True and tokenize=True."
        )


def check_conversations(conversation: Any) -> tuple[list[list[dict[str, Any]]], bool]:
    """Return conversations as lists of messages, and whether they came as a list of several.

    Raises:
        InputError: it is neither a list of messages nor a list of such lists.
    """
    is_batch = isinstance(conversation, (list, tuple)) and bool(conversation) and not _is_message(conversation[0])
    conversations = list(conversation) if is_batch else [conversation]
    for index, messages in enumerate(conversations):
        messages = getattr(messages, "messages", messages)
        if not isinstance(messages, (list, tuple)) or not messages or not all(map(_is_message, messages)):
            place = f"conversation[{index}]" if is_batch else "conversation"
            raise InputError(
                f"{place} must be a list of messages such as {{'role': 'user', 'content': 'Hello'}}, but is "
                f"{messages!r:.60}."
            )
        conversations[index] = list(messages)
    return conversations, is_batch


def check_schemas(name: str, values: Any) -> list[Any] | None:
    """Return tools or documents as a list of dicts, or None.

    Raises:
        InputError: one of them is no dict. Functions are not turned into schemas.
    """
    if values is None:
        return None
    for index, value in enumerate(values):
        if not isinstance(value, Mapping):
            raise InputError(
                f"{name}[{index}] must be a dict{' with a JSON schema' if name == 'tools' else ''}, but is "
                f"{value!r:.60} of type {type(value).__name__}."
            )
    return list(values)


def tokens_in_spans(offsets: Sequence[tuple[int, int]], spans: Iterable[tuple[int, int]]) -> list[int]:
    """Return 1 for each token that stands in one of the spans, and 0 for the others and for padding.

    Args:
        offsets: start and stop of each token in the text, in characters.
        spans: start and stop of each span.
    """
    mask = [0] * len(offsets)
    for start, stop in spans:
        for index, (first, last) in enumerate(offsets):
            if first < last and first < stop and last > start:
                mask[index] = 1
    return mask


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_file_name(name: str) -> bool:
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and len(name) <= 100
        and PurePosixPath(name).name == PureWindowsPath(name).name == name
        and ":" not in name
    )
