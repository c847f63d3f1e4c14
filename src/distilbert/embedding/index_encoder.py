"""What an index takes as an encoder: one of ours, the name of a model, any object with ``encode``, or a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.content_hash import hash_files, model_files
from ..core.errors import InputError
from ..tasks.pooling import AUTO
from .encoder import Encoder
from .encoder_identity import PROBE, EncoderIdentity, probe_of


@dataclass(frozen=True)
class TextEncoder:
    """A function from texts to vectors, and what is known about it.

    Attributes:
        encode: texts -> (N, D) numbers.
        name: folder or name of the model.
        pooling: how it makes one vector of a text; empty where that is not known.
        hash_files: returns a hash of the model's files; empty where there are none.
    """

    encode: Callable[[list[str]], Any]
    name: str
    pooling: str = ""
    hash_files: Callable[[], str] = lambda: ""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts, (N, D).

        Raises:
            InputError: the encoder returned something else.
        """
        vectors = self.encode(list(texts))
        vectors = np.asarray(vectors.detach().cpu() if hasattr(vectors, "detach") else vectors)
        if texts and (vectors.ndim != 2 or len(vectors) != len(texts) or vectors.dtype.kind not in "fiu"):
            raise InputError(
                f"The encoder {self.name} must return an array with a row of numbers for each of {len(texts)} texts, "
                f"got {vectors.dtype} of shape {vectors.shape}."
            )
        return vectors


def open_encoder(encoder: Any, pooling: str = "", **options: Any) -> TextEncoder:
    """Return an encoder as a function with a name.

    Args:
        encoder: the folder or name of a model, an object with ``encode(texts)`` such as :class:`~distilbert.Encoder`,
            or a function of a list of texts.
        pooling: that a model is to be read with; empty for what its folder says.
        **options: of loading a model, such as ``precision`` and ``threads``.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(encoder, TextEncoder):
        return encoder
    if isinstance(encoder, str | os.PathLike):
        return _of_model(os.fspath(encoder), pooling or AUTO, options)
    encode = getattr(encoder, "encode", encoder)
    if not callable(encode):
        raise InputError(
            f"encoder must be the folder or name of a model, an object with encode(texts), or a function; got a "
            f"{type(encoder).__name__}."
        )
    folder, own_pooling = getattr(encoder, "folder", None), getattr(encoder, "pooling", "")
    if isinstance(folder, Path) and isinstance(own_pooling, str):  # an encoder of ours, which knows its model
        return TextEncoder(encode, str(folder.resolve()), own_pooling, lambda: hash_files(model_files(str(folder))))
    return TextEncoder(encode, getattr(encode, "__qualname__", type(encoder).__name__))


def identity_of(encoder: TextEncoder) -> EncoderIdentity:
    """Return what an index remembers of an encoder."""
    return EncoderIdentity(encoder.name, encoder.pooling, encoder.hash_files(), probe_of(encoder([PROBE])[0]))


def _of_model(name: str, pooling: str, options: dict[str, Any]) -> TextEncoder:
    encoder = Encoder(name, pooling=pooling, **options)
    return TextEncoder(
        partial(encoder.encode, show_progress_bar=False),
        str(Path(name).resolve()) if Path(name).is_dir() else name,
        pooling,
        lambda: hash_files(model_files(name)),
    )
