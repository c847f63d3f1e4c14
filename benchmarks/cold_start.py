"""Time to the first answer, from a cold start: imports, ``--help``, and one text classified.

    python -m benchmarks.cold_start [--rounds 5]

Each measurement is a process of its own; the two sides take turns. The answers come from DistilBERT-base's size.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .common import base_model, best_and_median, in_turn, write_result

TEXT = "I love using small models!"
SCRIPT = """
import sys
from transformers import pipeline
print(pipeline("text-classification", sys.argv[1])(sys.argv[2]))
"""


def process(*command: str, stdin: str = "") -> Callable[[], Any]:
    """Return a function that runs a command to its end and fails if the command does."""

    def run() -> None:
        subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)

    return run


def main() -> None:
    """Run all measurements and write the result file."""
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
                "transformers pipeline script": process(python, "-c", SCRIPT, folder, TEXT),
            },
            rounds,
        )
    summary = {name: best_and_median(times) for name, times in seconds.items()}
    bare = summary["python -c pass"]
    extra = {
        f"{name}, over a bare interpreter": {kind: round(summary[name][kind] - bare[kind], 3) for kind in bare}
        for name in ("import distilbert", "distilbert --help")
    }
    ratio = {
        kind: round(summary["transformers pipeline script"][kind] / summary["distilbert run"][kind], 2)
        for kind in ("best", "median")
    }
    write_result(
        "cold_start", {"rounds": rounds, "seconds": summary, "extra_seconds": extra, "run_is_faster_by": ratio}
    )


if __name__ == "__main__":
    main()
