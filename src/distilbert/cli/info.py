"""``distilbert info``: shows what a model folder holds, or what this machine has."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..core.errors import UsageError
from ..core.terminal_text import printable
from .failures import OK
from .name_completion import complete_model

EXAMPLE = "distilbert info models/minilm --tensors"


def command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A folder, or a name. Default: the environment.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor with its shape and type.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show a model's configuration, sizes and tokenizer; without a model, versions, devices, extras and models."""
    if model is None and tensors:
        raise UsageError("--tensors goes with a model: distilbert info MODEL --tensors.")
    if model is None:
        from .environment import describe
    else:
        from .model_summary import describe_model

    summary = describe() if model is None else describe_model(model, tensors)
    if model is None:
        from ..core.installed import installed_models

        summary["models"] = {name: str(folder) for name, folder in installed_models().items()}
    if json:
        from json import dumps

        print(dumps(summary, indent=2, ensure_ascii=False))
    else:
        print(printable("\n".join(_lines(summary))))
    return OK


def _lines(values: dict[str, Any], indent: str = "") -> list[str]:
    """Return nested values as indented lines, a name and its value each."""
    lines: list[str] = []
    width = max((len(str(name)) for name, value in values.items() if not isinstance(value, dict)), default=0)
    for name, value in values.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name:<{width}}  {_text(value)}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, dict)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)
