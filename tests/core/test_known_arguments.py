from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from distilbert.core import loading_arguments
from distilbert.core.errors import InputError, UnknownArgumentError
from distilbert.core.known_arguments import ArgumentTable, KnownArgument
from distilbert.tasks import pipeline_arguments

PAGE = Path(__file__).parents[2] / "docs" / "transformers.md"
MODULES = (loading_arguments, pipeline_arguments)
TABLES = [value for module in MODULES for value in vars(module).values() if isinstance(value, ArgumentTable)]
TABLE = ArgumentTable(
    "f",
    KnownArgument("colour", "taken", "paints"),
    KnownArgument("hurry", "no effect", "it is fast"),
    KnownArgument("fly", "refused", "it has no wings"),
)


def rows_of_page(heading: str) -> dict[str, tuple[str, str]]:
    """The rows below a heading of the page: name -> effect and reason."""
    page = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", page, re.M | re.S)
    assert section, f"{PAGE.name} has no heading {heading!r}"
    rows = {}
    for line in re.findall(r"^\|.*$", section[1], re.M):
        columns = [column.strip() for column in line.strip("|").split(" | ")]
        for name in re.findall(r"`(\w+)`", columns[0]):
            rows[name] = (columns[1], columns[2])
    return rows


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.heading)
def test_the_page_and_the_table_agree(table: ArgumentTable) -> None:
    assert rows_of_page(table.heading) == {name: (row.effect, row.why) for name, row in table.rows.items()}


def test_arguments_without_effect_are_dropped_whatever_their_value() -> None:
    for value in (None, True, False, "x"):
        assert TABLE.check({"colour": 1, "hurry": value}, "f") == {"colour": 1}


@pytest.mark.parametrize("nothing", [None, False, {}, "", [], ()])
def test_a_refused_argument_may_ask_for_nothing(nothing: Any) -> None:
    assert TABLE.check({"fly": nothing}, "f") == {}


@pytest.mark.parametrize("something", [True, "x", {"a": 1}, 1, 0])
def test_a_refused_argument_says_why(something: Any) -> None:
    with pytest.raises(InputError, match=r"f does not take fly=.*: it has no wings\."):
        TABLE.check({"fly": something}, "f")


def test_an_unknown_argument_names_the_nearest_that_is_taken() -> None:
    with pytest.raises(UnknownArgumentError, match=r"^f got an unknown argument 'color'\. Did you mean 'colour'\?$"):
        TABLE.check({"color": 1}, "f")
    with pytest.raises(UnknownArgumentError, match=r"Did you mean 'size'\?$"):
        TABLE.check({"sizee": 1}, "f", others=["size"])
    with pytest.raises(UnknownArgumentError, match=r"unknown argument 'fli'\.$"):
        TABLE.check({"fli": 1}, "f")
