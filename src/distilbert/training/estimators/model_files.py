"""A trained model that lives in an estimator: its folder, which a pickle carries along."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class StoredModel:
    """A temporary folder with the files of a fine-tuned model, which goes when this object goes.

    Attributes:
        folder: where it is.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="distilbert-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def __getstate__(self) -> dict[str, bytes]:
        paths = [self.folder / name for name in FILES]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def __setstate__(self, files: dict[str, bytes]) -> None:
        self.__init__()  # type: ignore[misc]
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredModel:
        return self
