"""The reference of the documentation site names everything that is public, once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import distilbert

ROOT = Path(__file__).parents[2]
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]


def in_reference(pattern: str) -> list[str]:
    """What a pattern finds on the pages of the reference."""
    return [name for page in REFERENCE for name in re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE)]


def test_every_public_name_stands_in_the_reference_once() -> None:
    assert sorted(in_reference(r"^::: distilbert\.(\w+)$")) == sorted(set(distilbert.__all__) - {"__version__"})


def test_settings_have_their_table() -> None:
    settings = [name for name in distilbert.__all__ if re.fullmatch("(Distill|Pretrain|Finetune|Evaluate)Config", name)]
    assert set(settings) <= set(in_reference(r"<!-- settings distilbert\.(\w+) -->"))


@pytest.mark.parametrize("page", [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")])
def test_every_page_is_in_the_navigation(page: str) -> None:
    assert re.search(rf"(: |- ){re.escape(page)}$", NAV, re.MULTILINE)
