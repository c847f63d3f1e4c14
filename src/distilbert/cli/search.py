"""``distilbert search``: finds the entries of an index that are nearest to a query."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from ..core.errors import UsageError
from .failures import OK

EXAMPLE = 'distilbert search reviews.index "a film to laugh about" --k 3'


class HitsFormat(StrEnum):
    """Values of ``--format``."""

    table = "table"
    json = "json"


def command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the index.")],
    queries: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY...]", help="Queries. Default: lines of standard input.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many entries for each query.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only entries with this metadata, NAME=VALUE (JSON or text); repeatable: the same name for one of "
            "several values.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Where the model of the index is now, if not where it was.", show_default=False),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads on a CPU.", show_default=False)] = None,
    format: Annotated[
        HitsFormat | None,
        typer.Option(help="table (default on a terminal), or json: an object a query.", show_default=False),
    ] = None,
) -> int:
    """Find the entries of an index that are nearest to a query in meaning."""
    from .index_model import open_index

    index = open_index(folder, model, {"threads": threads})
    conditions = _conditions(where or [])
    is_table = format is HitsFormat.table or (format is None and sys.stdout.isatty())
    for query in queries or _lines():
        hits = _search(index, query, k, conditions)
        if is_table:
            _print_table(query, hits)
        else:
            from ..data.json_lines import encode_lines

            sys.stdout.buffer.write(encode_lines([{"query": query, "hits": hits}]))
            sys.stdout.buffer.flush()
    return OK


def _search(index: Any, query: str, k: int, conditions: dict[str, list[Any]]) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = index.search(query, k, where=conditions or None)
    return hits


def _lines() -> Iterator[str]:
    """Yield the lines of standard input that are not blank."""
    from ..data.text_lines import PipeLines

    if sys.stdin is None:
        raise UsageError("Standard input is closed; give a query as an argument.")
    for line in PipeLines(sys.stdin.fileno(), ""):
        if text := line.strip("\r\n"):
            yield text


def _conditions(options: Iterable[str]) -> dict[str, list[Any]]:
    """Return the values that ``--where`` asks for, by name; what can be read as JSON counts as text, too."""
    conditions: dict[str, list[Any]] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise UsageError(f"--where {option!r} is not of the form NAME=VALUE.")
        values = conditions.setdefault(name, [])
        values.append(value)
        try:
            values.append(json.loads(value))
        except (ValueError, RecursionError):
            continue
    return conditions


def _print_table(query: str, hits: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from .text_output import clean, plain_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("id", no_wrap=True, max_width=24)
    table.add_column("text", overflow="fold")
    for hit in hits:
        metadata = ", ".join(f"{name}: {value}" for name, value in hit["metadata"].items() if value is not None)
        text = Text(clean(hit["text"] or ""))
        table.add_row(
            f"{hit['score']:.4f}",
            Text(clean(str(hit["id"]))),
            text.append(f"  {clean(metadata, 100)}", style="dim") if metadata else text,
        )
    console = plain_console()
    console.print(Text(clean(query), style="bold"))
    console.print(table if hits else "  (nothing found)")
