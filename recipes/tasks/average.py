"""The recipe's best teacher for SST-2: the average of the weights of several, which were all tuned from one encoder.

    python recipes/tasks/average.py MODEL MODEL ... --output FOLDER [--data ../shared/data]

Models that were fine-tuned from the same weights lie in one basin, and their average is often better than each ("model
soups", arXiv 2203.05482); it costs nothing to run. Writes a folder like the first one's and prints the accuracy of all
on SST-2's development set, in fp32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from distilbert import AutoTokenizer, DistilBertForSequenceClassification, pipeline


def average(folders: list[Path]) -> DistilBertForSequenceClassification:
    """Return a model with the mean of the weights of ``folders``, summed in fp32.

    Raises:
        ValueError: they have other tensors than the first one, or other shapes.
    """
    mean = DistilBertForSequenceClassification.from_pretrained(folders[0])
    others = [DistilBertForSequenceClassification.from_pretrained(folder).state_dict() for folder in folders[1:]]
    own = {name: tensor.float() for name, tensor in mean.state_dict().items()}
    for folder, other in zip(folders[1:], others, strict=True):
        if {name: value.shape for name, value in other.items()} != {name: value.shape for name, value in own.items()}:
            raise ValueError(f"{folder} has other weights than {folders[0]}.")
    mean.load_state_dict({name: sum((o[name].float() for o in others), own[name]) / len(folders) for name in own})
    return mean


def correct(folder: Path, rows: list[tuple[str, str]]) -> int:
    """Return how many sentences a model labels as their authors did."""
    classify = pipeline("text-classification", str(folder), precision="fp32")
    answers = classify([text for text, _ in rows])
    return sum(answer["label"] == label for answer, (_, label) in zip(answers, rows, strict=True))


def main() -> None:
    """Average, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    chosen = parser.parse_args()
    lines = (chosen.data / "sst2/dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [(text, ("negative", "positive")[int(label)]) for text, label in (line.split("\t") for line in lines)]
    average(chosen.models).save_pretrained(chosen.output)
    AutoTokenizer.from_pretrained(chosen.models[0]).save_pretrained(chosen.output)
    for folder in [*chosen.models, chosen.output]:
        right = correct(folder, rows)
        print(f"{folder}: {right} of {len(rows)}, {right / len(rows):.2%}")


if __name__ == "__main__":
    main()
