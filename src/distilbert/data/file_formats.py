"""The file formats that rows are read from, and the endings of file names that tell them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

# Any ending but those of parquet may be followed by one of these.
GZIP, ZSTANDARD = COMPRESSIONS = (".gz", ".zst")
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "txt",
    ".text": "txt",
    ".conll": "conll",
    ".parquet": "parquet",
    ".pq": "parquet",
}
FORMATS = tuple(dict.fromkeys(ENDINGS.values()))
COMPRESSED_PARQUET = "parquet is compressed inside already; .gz and .zst go with the other formats."


class FileFormat(NamedTuple):
    """What the name of a file says about its content.

    Attributes:
        format: one of ``FORMATS``; empty if the ending is not a known one.
        compressed: whether the name ends in ``.gz`` or ``.zst``.
    """

    format: str
    compressed: bool


def format_of(path: str | Path, formats: Collection[str] = FORMATS, *, without_ending: str = "") -> FileFormat:
    """Return the format that the ending of a file's name tells.

    Args:
        path: the file; only its name is looked at, in lower case.
        formats: those that count; any other ending counts as unknown.
        without_ending: the format of a name that has no ending.
    """
    name = Path(path).name.lower()
    compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    ending = Path(name.removesuffix(compression)).suffix
    told = ENDINGS.get(ending, "") if ending else without_ending
    return FileFormat(told if told in formats else "", bool(compression))


def endings_of(formats: Collection[str]) -> str:
    """Return the endings of some formats, in their order, as a message lists them: ``".csv, .tsv"``."""
    return ", ".join(ending for format in formats for ending, told in ENDINGS.items() if told == format)
