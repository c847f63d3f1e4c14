"""Hold out a fifth of the data sets that come as one file, and cut reviews of films into sentences without labels.

    python recipes/tasks/splits.py [--data ../shared/data]

Writes models/tasks/splits, which the runs of recipes/tasks and recipes/unlabelled read.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from pathlib import Path

SPLITS = Path("models/tasks/splits")


def make_splits(data: Path) -> None:
    """Write the files that are not there: every fifth sentence or review is held out."""
    SPLITS.mkdir(parents=True, exist_ok=True)
    if not (SPLITS / "wikigold-dev.conll").is_file():
        sentences = (data / "wikigold/wikigold.conll").read_text(encoding="utf-8").strip().split("\n\n")
        _write("wikigold", ".conll", [f"{sentence}\n\n" for sentence in sentences])
    if not (SPLITS / "imdb-dev.jsonl").is_file():
        with gzip.open(data / "imdb/train-5000.jsonl.gz", "rt", encoding="utf-8") as file:
            _write("imdb", ".jsonl", list(file))
    if not (SPLITS / "imdb-sentences.jsonl").is_file():
        reviews = (SPLITS / "imdb-train.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
        sentences = [sentence for line in reviews for sentence in _sentences(json.loads(line)["text"])]
        lines = [json.dumps({"text": sentence}) + "\n" for sentence in dict.fromkeys(sentences)]
        (SPLITS / "imdb-sentences.jsonl").write_text("".join(lines), encoding="utf-8")


def _sentences(review: str) -> list[str]:
    """Return the sentences of a review that have 3 to 40 words, in lower case, as in SST-2."""
    sentences = re.split(r"(?<=[.!?])\s+|<br\s*/?>", review)
    return [sentence.strip().lower() for sentence in sentences if 3 <= len(sentence.split()) <= 40]


def _write(name: str, suffix: str, examples: list[str]) -> None:
    train = [example for index, example in enumerate(examples) if index % 5]
    (SPLITS / f"{name}-train{suffix}").write_text("".join(train), encoding="utf-8")
    (SPLITS / f"{name}-dev{suffix}").write_text("".join(examples[::5]), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    make_splits(parser.parse_args().data)
