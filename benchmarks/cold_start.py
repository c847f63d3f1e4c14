"""Time to the first answer from a cold start: the import, ``--help``, and the classification of one text.

    python -m benchmarks.cold_start [--rounds 5]

Each measurement is a new process, and the commands take turns. The model has DistilBERT-base's size.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .common import base_model, best_and_median, in_turn, write_result

TEXT = "I love using small models!"
TRANSFORMERS_SCRIPT = """
import sys
from transformers import pipeline
print(pipeline("text-classification", sys.argv[1])(sys.argv[2]))
"""


def process(*command: str, stdin: str = "") -> Callable[[], None]:
    """Return a function that runs a command to its end; it raises an error if the command fails."""

    def run() -> None:
        subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)

    return run


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    python, command = sys.executable, str(Path(sys.executable).parent / "distilbert")
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(base_model(Path(temporary)))
        seconds = in_turn(
            {
                "python -c pass": process(python, "-c", "pass"),
                "import distilbert": process(python, "-c", "import distilbert"),
                "distilbert --help": process(command, "--help"),
                "distilbert run": process(
                    command, "run", "--task", "text-classification", "--model", folder, stdin=TEXT + "\n"
                ),
                "transformers pipeline script": process(python, "-c", TRANSFORMERS_SCRIPT, folder, TEXT),
            },
            rounds,
        )
    summary = {name: best_and_median(times) for name, times in seconds.items()}
    interpreter = summary["python -c pass"]
    extra_seconds = {
        f"{name}, over a bare interpreter": {
            kind: round(summary[name][kind] - interpreter[kind], 3) for kind in interpreter
        }
        for name in ("import distilbert", "distilbert --help")
    }
    ratio = {
        kind: round(summary["transformers pipeline script"][kind] / summary["distilbert run"][kind], 2)
        for kind in ("best", "median")
    }
    write_result(
        "cold_start", {"rounds": rounds, "seconds": summary, "extra_seconds": extra_seconds, "run_is_faster_by": ratio}
    )


if __name__ == "__main__":
    main()
