"""Fill ``.gpu-files/``: the data of the GPU run, small enough to travel with the checkout.

    python -m benchmarks.gpu.files

Sentences and labelled rows of SST-2, film reviews of IMDb, some text of Wikipedia, and the uncased vocabulary, out of
``DISTILBERT_TEST_DATA`` or ``../shared/data``. Where these are absent, a handful of sentences out of ``examples/``
stands in, enough for a rehearsal; ``source`` in ``about.json`` says which it is. No weights travel: the checkpoints
are drawn from a seed where they are needed.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILES = ROOT / ".gpu-files"
LIMIT = 64 << 20  # bytes that the checkout and the files may take together
REVIEWS, LABELLED, TEXT_BYTES = 256, 2048, 1_500_000
ABSENT = {".git", ".venv", "build", "dist", "models", "compiled"}  # folders that do not travel


def data_folder() -> Path | None:
    """Return the folder of the data sets, or None where there is none."""
    folder = Path(os.environ.get("DISTILBERT_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def fill(folder: Path, data: Path | None) -> dict[str, Any]:
    """Write the files into ``folder`` and return what ``about.json`` says.

    Args:
        folder: is made where it is absent.
        data: the data sets; None for the stand-in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if data is None:
        example = [line for name in ("reviews", "sentences") for line in _lines(ROOT / "examples" / f"{name}.txt")]
        sentences, reviews = example, [" ".join(example)]
        labelled = [(text, index % 2) for index, text in enumerate(example)]
        paragraphs = ["\n\n".join(example * 20)]
        vocabulary = ROOT / "packages" / "distilbert-mini-sst2" / "src" / "distilbert_mini_sst2" / "model" / "vocab.txt"
    else:
        rows = [line.rsplit("\t", 1) for line in _lines(data / "sst2" / "train.tsv")[1 : LABELLED + 1]]
        labelled = [(text, int(label)) for text, label in rows]
        sentences = [line.rsplit("\t", 1)[0] for line in _lines(data / "sst2" / "dev.tsv")[1:]]
        with gzip.open(data / "imdb" / "train-5000.jsonl.gz", "rt", encoding="utf-8") as file:
            reviews = [json.loads(line)["text"] for line, _ in zip(file, range(REVIEWS), strict=False)]
        text = (data / "text" / "wikipedia" / "000.txt").read_text(encoding="utf-8")
        paragraphs = [text[:TEXT_BYTES].rsplit("\n\n", 1)[0]]
        vocabulary = data / "vocab" / "uncased.txt"
    _write(folder / "sentences.jsonl", map(json.dumps, sentences))
    _write(folder / "reviews.jsonl", map(json.dumps, reviews))
    _write(folder / "labelled.jsonl", (json.dumps({"text": text, "label": label}) for text, label in labelled))
    _write(folder / "paragraphs.txt", paragraphs)
    _write(folder / "vocab.txt", _lines(vocabulary))
    about = {
        "source": "examples" if data is None else "data sets",
        "sentences": len(sentences),
        "reviews": len(reviews),
        "labelled": len(labelled),
    }
    _write(folder / "about.json", [json.dumps(about)])
    return about


def travelling_bytes(root: Path, folder: Path) -> int:
    """Return the size of what travels: the checkout without what git ignores, and ``folder``.

    Where git is absent, a few folders that never travel are left out by name.
    """
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        paths = {root / name for name in listed if name}
    except (OSError, subprocess.CalledProcessError):
        paths = {path for path in root.rglob("*") if not ABSENT & set(path.relative_to(root).parts)}
    paths |= set(folder.rglob("*"))
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())


def check_size(root: Path, folder: Path) -> int:
    """Return :func:`travelling_bytes`.

    Raises:
        SystemExit: it is above the limit.
    """
    size = travelling_bytes(root, folder)
    if size > LIMIT:
        sys.exit(f"The checkout and {folder} are {size / 2**20:.1f} MiB together; {LIMIT >> 20} MiB may travel.")
    return size


def main() -> None:
    """Fill the folder and check the size of what travels."""
    about = fill(FILES, data_folder())
    size = check_size(ROOT, FILES)
    print(f"{FILES}: {about['sentences']} sentences, {about['reviews']} reviews, from {about['source']}; ", end="")
    print(f"with the checkout {size / 2**20:.1f} of {LIMIT >> 20} MiB")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
