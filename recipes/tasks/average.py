"""Average the weights of several models that were fine-tuned from the same encoder: the best teacher for SST-2.

    python recipes/tasks/average.py MODEL MODEL ... --output FOLDER

The average is often better than each of them ("model soups", arXiv 2203.05482). Writes a model folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from distilbert import AutoTokenizer, DistilBertForSequenceClassification


def average(folders: list[Path]) -> DistilBertForSequenceClassification:
    """Return a model with the mean of the weights of ``folders``, summed in fp32.

    Raises:
        ValueError: the names or shapes of their tensors differ.
    """
    mean = DistilBertForSequenceClassification.from_pretrained(folders[0])
    others = [DistilBertForSequenceClassification.from_pretrained(folder).state_dict() for folder in folders[1:]]
    own = {name: tensor.float() for name, tensor in mean.state_dict().items()}
    for folder, other in zip(folders[1:], others, strict=True):
        if {name: value.shape for name, value in other.items()} != {name: value.shape for name, value in own.items()}:
            raise ValueError(f"{folder} has other weights than {folders[0]}.")
    mean.load_state_dict({name: sum((o[name].float() for o in others), own[name]) / len(folders) for name in own})
    return mean


def main() -> None:
    """Average the models and save the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    average(chosen.models).save_pretrained(chosen.output)
    AutoTokenizer.from_pretrained(chosen.models[0]).save_pretrained(chosen.output)


if __name__ == "__main__":
    main()
