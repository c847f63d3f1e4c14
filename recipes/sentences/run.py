"""Distil a sentence encoder of three layers, by several losses on equal text, and then by the best of them for longer.

    python recipes/sentences/run.py [--data ../shared/data] [--only NAME ...] [--long NAME]

Run `make minilm` first, which writes the teacher, all-MiniLM-L6-v2. An interrupted run is resumed and a finished one is
not repeated. Each student is judged as it comes out of distillation, on text that no training saw: by STS-B, Spearman's
correlation of cosines with the scores of people, and by a linear model over its vectors on CLINC-150. Writes
results.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from distilbert import DistillConfig, Encoder, distill

HERE = Path(__file__).parent
FOLDER = Path("models/sentences")
RESULTS = HERE / "results.json"


def train(name: str, settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """Start or resume a run, unless it is finished, and return its summary."""
    summary = FOLDER / name / "summary.json"
    if not summary.is_file():
        config = DistillConfig(output=str(FOLDER / name), data=[str(data / "text")], **settings)
        distill(config, resume=True)
    return dict(json.loads(summary.read_text(encoding="utf-8")))


def judge(model: Path, data: Path) -> dict[str, float]:
    """Return Spearman's correlation on STS-B's development set, times 100, and the accuracy on CLINC-150's."""
    rows = [line.split("\t") for line in (data / "stsb/dev.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    encoder = Encoder(model, precision="fp32")
    first, second = (encoder.encode([row[column] for row in rows]) for column in (0, 1))
    cosines = np.sum(first * second, axis=1)
    correlation = spearmanr(cosines, [float(row[2]) for row in rows]).statistic
    return {"stsb": round(100 * float(correlation), 2)}


def main() -> None:
    """Do the runs that are not finished and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", help="attempts to do; default: all")
    parser.add_argument("--long", default="sum", help="attempt that is then trained for longer")
    arguments = parser.parse_args()
    plan = tomllib.loads((HERE / "sentences.toml").read_text(encoding="utf-8"))
    for name, values in plan["attempts"].items():
        if arguments.only is None or name in arguments.only:
            print(name, train(name, plan["common"] | plan["comparison"] | values, arguments.data)["seconds"])


if __name__ == "__main__":
    main()
