"""Every page, card and table of fixed inputs is what it was, byte for byte; see ``golden_pages.py``."""

from __future__ import annotations

import json
from typing import Any

import matplotlib
import pytest

from tests.training.golden_pages import EVALUATIONS, FOLDER, MATPLOTLIB, PAGES, numbers, without_drawings


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_it_was(name: str) -> None:
    made, expected = PAGES[name](), FOLDER.joinpath(name).read_text(encoding="utf-8")
    if matplotlib.__version__ != FOLDER.joinpath(MATPLOTLIB).read_text(encoding="utf-8").strip():
        made, expected = without_drawings(made), without_drawings(expected)
    assert made == expected


@pytest.mark.parametrize("name", EVALUATIONS)
def test_numbers_are_what_they_were(name: str) -> None:
    expected = json.loads(FOLDER.joinpath(f"evaluation_{name}.json").read_text(encoding="utf-8"))
    assert_same(numbers(*EVALUATIONS[name]), expected, name)


def assert_same(made: Any, expected: Any, place: str) -> None:
    """Compare plain values; sums of floats may differ in their last bits from one CPU to another."""
    assert type(made) is type(expected), place
    if isinstance(made, dict):
        assert list(made) == list(expected), place
        for key, value in made.items():
            assert_same(value, expected[key], f"{place}/{key}")
    elif isinstance(made, list):
        assert len(made) == len(expected), place
        for index, value in enumerate(made):
            assert_same(value, expected[index], f"{place}/{index}")
    elif isinstance(made, float):
        assert made == pytest.approx(expected, rel=1e-9, abs=1e-12), place
    else:
        assert made == expected, place


def test_golden_folder_holds_nothing_else() -> None:
    named = {*PAGES, *(f"evaluation_{name}.json" for name in EVALUATIONS), MATPLOTLIB}
    assert {path.name for path in FOLDER.iterdir()} == named
