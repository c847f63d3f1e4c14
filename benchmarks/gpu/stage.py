"""Run one stage in this process and write its figures: what ``__main__.py`` starts for each stage."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from .setting import Setting, StageFailed


def main() -> None:
    """Call the function of a stage with its setting; an exception ends the process with an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("function", help="module:function")
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    for name in ("files", "scratch", "output", "figures"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    module, name = options.function.split(":")
    setting = Setting(options.device, options.tiny, options.files, options.scratch, options.output)
    failed = False
    try:
        figures = getattr(importlib.import_module(module), name)(setting, *options.arguments)
    except StageFailed as failure:
        failed, figures = True, failure.figures
    options.figures.write_text(json.dumps(figures), encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
