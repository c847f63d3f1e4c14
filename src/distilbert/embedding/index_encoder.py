"""What an index takes as an encoder: one of ours, the name of a model, any object with ``encode``, or a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.content_hash import hash_files, model_files
from ..core.errors import InputError
from ..tasks.pooling import AUTO
from .encoder import Encoder
from .encoder_identity import LEAST_SIMILARITY, PROBE, EncoderIdentity, probe_of
from .vector_similarity import to_array


@dataclass(frozen=True)
class TextEncoder:
    """Makes vectors of texts, and knows which encoder does so.

    Attributes:
        encoder: an object with ``encode(texts)``, or a function of a list of texts.
        name: folder or name of the model.
        is_model: whether there is a model of that name, which can be loaded.
        recipe: how a model makes vectors, see :attr:`distilbert.Encoder.recipe`; empty where that is not known.
        uses_prompts: whether queries and documents are encoded by the encoder's own ``encode_query`` and
            ``encode_document``, where it has them. Otherwise ``encode`` does both.
        options: of encoding.
    """

    encoder: Any
    name: str
    is_model: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict)
    uses_prompts: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts, (N, D).

        Raises:
            InputError: the encoder returned something else.
        """
        return self._encode("encode", texts)

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of what is searched for, (N, D); see :meth:`__call__`."""
        return self._encode("encode_query" if self.uses_prompts else "encode", texts)

    def encode_document(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of what is searched in, (N, D); see :meth:`__call__`."""
        return self._encode("encode_document" if self.uses_prompts else "encode", texts)

    def hash(self) -> str:
        """Return a hash of the model's files; empty where there are none."""
        return hash_files(model_files(self.name)) if self.is_model else ""

    def _encode(self, method: str, texts: Sequence[str]) -> np.ndarray:
        encode = getattr(self.encoder, method, None) or getattr(self.encoder, "encode", self.encoder)
        vectors = to_array(encode(list(texts), **self.options))
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
        **options: of :class:`~distilbert.Encoder` for a model, such as ``precision`` and ``threads``.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(encoder, TextEncoder):
        return encoder
    if isinstance(encoder, str | os.PathLike):
        name = os.fspath(encoder)
        opened = Encoder(name, pooling=pooling or AUTO, **options)
        name = str(Path(name).resolve()) if Path(name).is_dir() else name
        return TextEncoder(opened, name, True, opened.recipe, options={"show_progress_bar": False})
    encode = getattr(encoder, "encode", encoder)
    if not callable(encode):
        raise InputError(
            f"encoder must be the folder or name of a model, an object with encode(texts), or a function; got a "
            f"{type(encoder).__name__}."
        )
    folder, own_pooling = getattr(encoder, "folder", None), getattr(encoder, "pooling", "")
    if isinstance(folder, Path) and isinstance(own_pooling, str):  # as an encoder of ours, which knows its model
        recipe = getattr(encoder, "recipe", {"pooling": own_pooling})
        return TextEncoder(encoder, str(folder.resolve()), True, recipe)
    return TextEncoder(encoder, getattr(encode, "__qualname__", type(encoder).__name__))


def reopen_encoder(identity: EncoderIdentity, encoder: Any = None) -> TextEncoder:
    """Return the encoder of an index.

    Args:
        identity: what the index remembers of it.
        encoder: as in :func:`open_encoder`; a model is read as the index says. None: the model that the index names.

    Raises:
        InputError: it is none.
    """
    encoder = identity.name if encoder is None else encoder
    recipe = identity.recipe if isinstance(encoder, str | os.PathLike) else {}
    return replace(open_encoder(encoder, **recipe), uses_prompts=identity.uses_prompts)


def identity_of(encoder: TextEncoder) -> EncoderIdentity:
    """Return what an index remembers of an encoder."""
    return EncoderIdentity(encoder.name, encoder.hash(), _probe_of(encoder), encoder.recipe, encoder.uses_prompts)


def check_encoder(identity: EncoderIdentity, encoder: TextEncoder) -> None:
    """Check that an encoder gives the vectors of the one that an index remembers.

    Raises:
        InputError: it gives other ones.
    """
    identity.check_recipe(encoder.recipe)
    similarity = identity.similarity_to(_probe_of(encoder))
    if similarity < LEAST_SIMILARITY:
        raise InputError(
            f"The index was made with {identity}, and this is {identity_of(encoder)}, which gives other vectors "
            f"({similarity:.2f} similar for a test sentence, {LEAST_SIMILARITY} is needed). Search with the encoder of "
            "the index, or build the index again."
        )


def _probe_of(encoder: TextEncoder) -> tuple[float, ...]:
    return probe_of(encoder.encode_document([PROBE])[0])
