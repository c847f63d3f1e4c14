"""Parquet files that are damaged: an error of ours, wherever the damage is."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from distilbert import DataError
from distilbert.data.labelled import read_examples


@pytest.mark.filterwarnings("ignore:.* left out of:UserWarning")
@pytest.mark.parametrize("compression", ["snappy", "gzip", "none"])
def test_flipped_bits_give_rows_or_one_error(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "rows.parquet"
    rows = [{"text": f"text {number}", "label": number % 2} for number in range(50)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression=compression)
    whole, draw, errors = path.read_bytes(), random.Random(0), 0
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 5))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            read_examples("text-classification", [str(path)], labelled=False)
        except DataError:
            errors += 1
    assert errors > 10
