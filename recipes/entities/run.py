"""Train a model of names, in three layers: persons, places, organisations and others.

    python recipes/entities/run.py [--data ../shared/data]

Wikigold and WNUT-17 are mapped to one set of tags. A teacher of six layers (all-MiniLM-L6-v2) learns them. It is shrunk
to its three lower layers, which learn from it, on these sentences and on unlabelled ones of Wikipedia; and these to
half of their columns and a third of their vocabulary. An interrupted run is resumed and a finished one is not repeated.
All are evaluated on sentences that no training saw; the figures go to results.json.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distilbert import EvaluateConfig, FinetuneConfig, ShrinkConfig, evaluate, finetune, shrink

HERE = Path(__file__).parent
FOLDER = Path("models/entities")
BASE = "models/minilm"
UNLABELLED = 40_000  # sentences
HELD_OUT = ("wikigold-dev", "wnut17-dev")
TAGS = {
    "PER": "PER", "LOC": "LOC", "ORG": "ORG", "MISC": "MISC",  # of Wikigold
    "person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG", "creative-work": "MISC",
    "product": "MISC",  # of WNUT-17
}  # fmt: skip
Sentence = list[tuple[str, str]]  # words and their tags


def read_sentences(path: Path) -> list[Sentence]:
    """Read a file with a word and its tag on a line, and map the tags to ``B-`` and ``I-`` of four types."""
    blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())  # WNUT-17's blank lines hold a tab
    return [list(map_tags([line.split() for line in block.split("\n")])) for block in blocks]


def map_tags(lines: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield words and tags of a sentence. A tag begins a name where the word before it has none, or another type."""
    before = ""
    for word, tag in lines:
        prefix, _, kind = tag.partition("-")
        mapped = TAGS[kind] if kind else ""
        begins = mapped and (prefix == "B" or mapped != before)
        yield word, f"{'B' if begins else 'I'}-{mapped}" if mapped else "O"
        before = mapped


def write_sentences(path: Path, sentences: list[Sentence]) -> None:
    """Write a word and its tag a line, and a blank line after each sentence."""
    lines = ["".join(f"{word}\t{tag}\n" for word, tag in sentence) + "\n" for sentence in sentences]
    path.write_text("".join(lines), encoding="utf-8")


def unlabelled_sentences(data: Path) -> Iterator[str]:
    """Yield every seventh sentence of Wikipedia's articles that has 6 to 50 words and a capital beyond its first."""
    number = 0
    for path in sorted((data / "text/wikipedia").glob("*.txt")):
        for paragraph in path.read_text(encoding="utf-8").split("\n"):
            for sentence in re.split(r"(?<=[.!?])\s+", paragraph):
                words = sentence.split()
                if 6 <= len(words) <= 50 and any(word[:1].isupper() for word in words[1:]):
                    number += 1
                    if number % 7 == 0:
                        yield sentence


def write_data(data: Path) -> None:
    """Write what is trained and evaluated on; every fifth sentence of Wikigold is held out."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wikigold = read_sentences(data / "wikigold/wikigold.conll")
    write_sentences(FOLDER / "wikigold-dev.conll", wikigold[::5])
    write_sentences(FOLDER / "wnut17-dev.conll", read_sentences(data / "wnut17/dev.conll"))
    training = [sentence for number, sentence in enumerate(wikigold) if number % 5]
    write_sentences(FOLDER / "train.conll", training + read_sentences(data / "wnut17/train.conll"))
    texts = dict.fromkeys(unlabelled_sentences(data))
    lines = [json.dumps({"words": text.split()}) + "\n" for text in list(texts)[:UNLABELLED]]
    (FOLDER / "unlabelled.jsonl").write_text("".join(lines), encoding="utf-8")


def train_teacher(values: dict[str, Any]) -> Path:
    """Start or resume the training of the teacher, unless it is finished, and return its folder."""
    folder = FOLDER / "teacher"
    if not (folder / "summary.json").is_file():
        config = FinetuneConfig(
            model=BASE,
            train_data=[str(FOLDER / "train.conll")],
            eval_data=[str(FOLDER / "wikigold-dev.conll")],
            output=str(folder),
            **values,
        )
        finetune(config, resume=True)
    return folder


def shrink_to(name: str, model: Path, values: dict[str, Any]) -> Path:
    """Start or resume the shrinking of a model, unless it is finished, and return the folder of what is left."""
    folder = FOLDER / name
    if not (folder / "shrink.json").is_file():
        config = ShrinkConfig(
            model=str(model),
            data=[str(FOLDER / "train.conll")],
            unlabelled_data=[str(FOLDER / "unlabelled.jsonl")],
            metric_data=[str(FOLDER / f"{held_out}.conll") for held_out in HELD_OUT],
            output=str(folder),
            **values,
        )
        shrink(config, resume=True)
    return folder


def main() -> None:
    """Do the runs that are not finished and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    plan = tomllib.loads((HERE / "entities.toml").read_text(encoding="utf-8"))
    if not (FOLDER / "unlabelled.jsonl").is_file():
        write_data(data)
    teacher = train_teacher(plan["teacher"])
    half = shrink_to("three-layers", teacher, plan["three-layers"])
    small = shrink_to("distilbert-mini-ner", half, plan["distilbert-mini-ner"])
    results: dict[str, Any] = {}
    for model in (teacher, half, small):
        for held_out in HELD_OUT:
            config = EvaluateConfig(
                model=str(model),
                data=[str(FOLDER / f"{held_out}.conll")],
                output=str(FOLDER / f"evaluation-{model.name}-{held_out}"),
                precision="fp32",
                overwrite=True,
            )
            evaluated = evaluate(config, verbose=False).models[0]
            interval = evaluated.intervals["f1"]
            results.setdefault(model.name, {})[held_out] = evaluated.metrics | {
                "f1_low": interval.low,
                "f1_high": interval.high,
            }
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
