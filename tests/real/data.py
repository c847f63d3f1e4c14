"""The real data sets. A test that needs one is skipped, with the name of the data set, where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA_FOLDER = Path(os.environ.get("DISTILBERT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def sentences(data_set: str, count: int) -> list[str]:
    """The first ``count`` sentences of a data set's ``dev.tsv``."""
    return [columns[0] for columns in table(f"{data_set}/dev.tsv", count)]


def table(file: str, count: int) -> list[list[str]]:
    """The columns of the first ``count`` rows of a table with a header, or as many as it has."""
    path = DATA_FOLDER / file
    if not path.is_file():
        pytest.skip(f"the data set {path.parent.name} is not at {path}")
    lines = path.read_text(encoding="utf-8").splitlines()[1 : count + 1]
    assert lines, path
    return [line.split("\t") for line in lines]
