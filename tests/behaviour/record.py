"""Record what transformers 4.57.6, the last release with all pipelines, answers for the cases of ``cases.py``.

Its results are the files in ``recordings/``; run this again only when cases or tiny models change:

    python -m venv reference && reference/bin/pip install "transformers==4.57.6" torch
    python -m tests.behaviour.make_models tiny          # in the project's own environment, from the repository's root
    reference/bin/python tests/behaviour/record.py tiny
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cases import CASES  # noqa: E402
from transformers import logging, pipeline  # noqa: E402


def answer(task: Any, case: dict[str, Any]) -> Any:
    """Call the reference on one case."""
    inputs, params = copy.deepcopy((case["inputs"], case["params"]))  # the reference changes what it is given
    return task(**inputs, **params) if case.get("as_keywords") else task(inputs, **params)


def rounded(value: Any) -> Any:
    """Make NumPy numbers plain and keep 6 significant digits."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main(folder: Path) -> None:
    """Write one file a task."""
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    tasks: dict[tuple[str, str, str], Any] = {}
    for name, cases in CASES.items():
        recorded = []
        for case in cases:
            key = (name, case["model"], json.dumps(case["defaults"]))
            if key not in tasks:
                tasks[key] = pipeline(name, str(folder / case["model"]), device="cpu", **case["defaults"])
            recorded.append({**case, "outputs": rounded(answer(tasks[key], case))})
        lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in recorded)
        (HERE / "recordings").mkdir(exist_ok=True)
        (HERE / "recordings" / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{name}: {len(recorded)} cases")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
