"""The index that a command opens, with the model that made it."""

from __future__ import annotations

from typing import Any

from ..core.errors import UsageError
from ..embedding.index_encoder import open_encoder
from ..embedding.vector_index import Index


def open_index(folder: str, model: str | None, loading: dict[str, Any]) -> Index:
    """Open an index whose model is loaded.

    Args:
        folder: of the index.
        model: where its model is now; None: where it was.
        loading: options of loading a model; None stands for the default.

    Raises:
        UsageError: no model is named, and the index knows none.
    """
    index = Index.load(folder)
    if name := model or index.model_name:
        options = {option: value for option, value in loading.items() if value is not None}
        return Index.load(folder, open_encoder(name, **index.recipe, **options))
    if not index.encoder_name:
        raise UsageError(f"{folder} does not know its model: name it with --model.")
    raise UsageError(
        f"{folder} was made with {index.encoder_name}, which is no model that a command can load. Use Index.load("
        "folder, encoder=...) in Python, or name a model that gives the same vectors with --model."
    )
