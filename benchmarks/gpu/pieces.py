"""Files that come back in pieces: cut below the largest size that travels, and put together again.

    python -m benchmarks.gpu.pieces FOLDER

joins every ``NAME.1-of-3``, ``NAME.2-of-3``, ... in FOLDER into ``NAME`` and removes the pieces.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

PIECE_BYTES = 15 << 20
NAME = re.compile(r"(.+)\.(\d+)-of-(\d+)")


def cut(path: Path, folder: Path, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Copy a file into ``folder``, in pieces if it is longer than one, and return their paths.

    Args:
        path: the file; it stays.
        folder: of the pieces.
        piece_bytes: largest size of a piece.
    """
    size = path.stat().st_size
    count = max(1, -(-size // piece_bytes))
    pieces = []
    with path.open("rb") as file:
        for number in range(1, count + 1):
            name = path.name if count == 1 else f"{path.name}.{number}-of-{count}"
            (folder / name).write_bytes(file.read(piece_bytes))
            pieces.append(folder / name)
    return pieces


def join(folder: Path) -> list[Path]:
    """Join the pieces of every file in ``folder`` and return the paths of the files.

    Raises:
        FileNotFoundError: a piece is missing.
    """
    pieces: dict[tuple[str, int], dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := NAME.fullmatch(path.name):
            pieces.setdefault((match[1], int(match[3])), {})[int(match[2])] = path
    joined = []
    for (name, count), numbered in pieces.items():
        missing = sorted(set(range(1, count + 1)) - set(numbered))
        if missing:
            raise FileNotFoundError(f"{folder / name} lacks the pieces {', '.join(map(str, missing))} of {count}.")
        with (folder / name).open("wb") as file:
            for number in range(1, count + 1):
                file.write(numbered[number].read_bytes())
        for path in numbered.values():
            path.unlink()
        joined.append(folder / name)
    return joined


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for joined_file in join(parser.parse_args().folder):
        print(joined_file)
