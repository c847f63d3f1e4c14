"""Where the real data sets are, for tests that skip by name without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("DISTILBERT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def sentences(name: str, count: int) -> list[str]:
    """The first sentences of a data set's dev.tsv; skips the test where it is absent."""
    path = FOLDER / name / "dev.tsv"
    if not path.is_file():
        pytest.skip(f"the data set {name} is not at {path}")
    lines = path.read_text(encoding="utf-8").splitlines()[1 : count + 1]
    return [line.split("\t")[0] for line in lines]
