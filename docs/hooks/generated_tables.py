"""Fills in what the reference takes from the code: the options of commands, the fields of settings.

``<!-- commands -->`` becomes a section a command, ``<!-- settings distilbert.DistillConfig -->`` a table of fields.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from typing import Any

import click
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

COMMANDS = "<!-- commands -->"
SETTINGS = re.compile(r"<!-- settings ([\w.]+) -->")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the comments."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, commands_text())
    return SETTINGS.sub(lambda match: settings_table(match[1]), markdown)


def commands_text() -> str:
    """Return the commands with their options as Markdown."""
    from distilbert.cli import COMMANDS as MODULES
    from distilbert.cli import app

    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="distilbert")
    sections = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        usage = " ".join(command.collect_usage_pieces(typer.Context(command, info_name=name)))
        summary = re.sub(r"\s*\n\s*", " ", command.help or "").strip()
        example = MODULES[name].EXAMPLE.strip()
        sections.append(
            f"## distilbert {name}\n\n{summary}\n\n```text\ndistilbert {name} {usage}\n```\n\n"
            f"```sh\n{example}\n```\n\n{options_table(command.params)}\n"
        )
    return "\n".join(sections)


def options_table(parameters: list[click.Parameter]) -> str:
    """Return a table of arguments and options."""
    lines = ["| option | default | |", "|---|---|---|"]
    for parameter in parameters:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        names = ", ".join(f"`{option}`" for option in parameter.opts) or f"`{parameter.name}`"
        if parameter.param_type_name == "argument":
            names = f"`{(parameter.metavar or parameter.name or '').upper()}`"
        default = parameter.default
        plain = default not in (None, "", (), [], False) and not callable(default)
        help_text = getattr(parameter, "help", "") or ""
        lines.append(f"| {names} | {f'`{default}`' if plain else ''} | {cell(help_text)} |")
    return "\n".join(lines)


def settings_table(path: str) -> str:
    """Return the fields of a class of settings."""
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for field in dataclasses.fields(kind):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = "required" if default is dataclasses.MISSING else f"`{default!r}`"
        lines.append(f"| `{field.name}` | `{cell(str(field.type))}` | {shown} | {cell(field.metadata['help'])} |")
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a text that stays within a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
