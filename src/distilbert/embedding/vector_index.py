"""``Index``: texts and their vectors, to search by meaning.

    index = Index.build(["A red car.", "Rain is coming."], "models/minilm")
    index.search("an automobile", k=1)    # [{"id": 0, "score": 0.61, "text": "A red car.", "metadata": {}}]
    index.save("notes.index")
    Index.load("notes.index").search("weather")

Legend: N entries, Q queries, D numbers of a vector.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core.errors import InputError
from ..tasks.checks import check_choice, check_count, check_text
from ..tasks.columns import Column
from .encoder_identity import PROBE, EncoderIdentity
from .exact_search import Nearest, nearest, ranked
from .index_encoder import TextEncoder, check_encoder, identity_of, open_encoder, reopen_encoder
from .index_folder import (
    INDEX_FILE,
    METHODS,
    METRICS,
    IndexState,
    Segment,
    StoredIndex,
    can_hold_index,
    check_is_unchanged,
    commit,
    locked,
    new_name,
    read_index,
    write_graph,
    write_removed,
    write_segment,
)
from .index_graph import VectorGraph
from .index_inputs import from_table, to_int, to_queries, to_vectors
from .index_records import Id, Record, Where, copy_of, matching, to_choices, to_records

EXACT_ENTRIES = 500_000  # more than these, and an exact search on two cores takes longer than 50 ms
MOST_SEGMENTS = 16  # of a folder; with more, saving writes one instead
UNIT_TOLERANCE = 1e-6  # a vector whose length differs from 1 by no more stays as it is
MOST_MASKS = 16  # answers to ``where`` that are remembered, a byte an entry each
ENCODE_TEXTS = 4096  # texts that are encoded at once when an index is built


class Index:
    """Vectors with their texts and metadata, searched by cosine similarity or by products.

    Use :meth:`build`, :meth:`from_vectors` or :meth:`load`.

    Args:
        dim: numbers of a vector.
        encoder: makes vectors of texts: an :class:`~distilbert.Encoder`, the folder or name of a model, any object with
            ``encode(texts)``, or a function. Where it has ``encode_query`` and ``encode_document``, as our encoder has
            for models with prompts, these encode queries and entries. None: the index takes vectors only.
        metric: ``"cosine"``, or ``"dot"`` for products of vectors as they are.
        method: ``"exact"`` compares a query with every vector: 100,000 take some milliseconds. ``"hnsw"`` follows a
            graph (extra ``search``): faster for millions, and it misses a few results.
    """

    def __init__(self, dim: int, encoder: Any = None, *, metric: str = "cosine", method: str = "exact") -> None:
        check_count(dim, "dim")
        check_choice(metric, METRICS, "metric")
        check_choice(method, METHODS, "method")
        self._encoder: TextEncoder | None = None if encoder is None else open_encoder(encoder)
        self._state = IndexState(dim=dim, metric=metric, method=method, largest_norm=0.0)
        self._stored = self._state  # as it is in the folder
        self._segments: list[Segment] = []
        self._removed = np.empty(0, dtype=np.int64)
        self._graph: VectorGraph | None = VectorGraph(dim) if method == "hnsw" else None
        self._folder: Path | None = None
        self._encoder_is_checked = True
        self._forget()

    @classmethod
    def build(
        cls,
        texts: Any,
        encoder: Any,
        *,
        column: Column | None = None,
        ids: Any = None,
        metadata: Any = None,
        metric: str = "cosine",
        method: str = "exact",
    ) -> Self:
        """Encode texts and return an index of them.

        Args:
            texts: a list, a Series, an array, or with ``column`` a table of pandas, polars, Arrow or ``datasets``.
            encoder: see :class:`Index`.
            column: name of the column of a table that holds the texts.
            ids: a text or a whole number for each, all different; with ``column`` also the name of a column. By default
                they are numbered from 0.
            metadata: a dict for each text; with ``column`` also a list of names of columns.
            metric: see :class:`Index`.
            method: see :class:`Index`.

        Raises:
            InputError: a text is empty, an id comes twice, or the lengths differ.
        """
        index = cls.for_encoder(encoder, metric=metric, method=method)
        index.add(texts, column=column, ids=ids, metadata=metadata)
        return index

    @classmethod
    def for_encoder(cls, encoder: Any, *, metric: str = "cosine", method: str = "exact") -> Self:
        """Return an empty index for the vectors of an encoder; see :class:`Index`."""
        opened = open_encoder(encoder)
        return cls(opened.encode_document([PROBE]).shape[1], opened, metric=metric, method=method)

    @classmethod
    def from_vectors(
        cls,
        vectors: Any,
        *,
        texts: Any = None,
        ids: Any = None,
        metadata: Any = None,
        encoder: Any = None,
        metric: str = "cosine",
        method: str = "exact",
    ) -> Self:
        """Return an index of vectors that are there already.

        Args:
            vectors: (N, D) numbers.
            texts: of each; None: the index holds no texts.
            ids: see :meth:`build`.
            metadata: see :meth:`build`.
            encoder: what made the vectors, for queries that are texts; it is not asked to encode ``texts``.
            metric: see :class:`Index`.
            method: see :class:`Index`.

        Raises:
            InputError: the vectors are not such an array, or the lengths differ.
        """
        array = to_vectors(vectors, None)
        index = cls(array.shape[1], encoder, metric=metric, method=method)
        index.add(texts, vectors=array, ids=ids, metadata=metadata)
        return index

    # What is in it.

    def __len__(self) -> int:
        return sum(len(segment.vectors) for segment in self._segments) - len(self._removed)

    def __repr__(self) -> str:
        encoder = f", {self.encoder_name}" if self.encoder_name else ""
        return f"Index({len(self):,} entries, {self.dim} numbers each, {self.method}{encoder})"

    def __contains__(self, identifier: Any) -> bool:
        return identifier in self._places()

    def __getitem__(self, identifier: Id) -> Record:
        """Return the entry of an id."""
        return self._record(self._place(identifier))

    def __iter__(self) -> Iterator[Record]:
        """Yield all entries in the order in which they were added."""
        removed = set(self._removed.tolist())
        records = chain.from_iterable(segment.records for segment in self._segments)
        yield from (copy_of(record) for place, record in enumerate(records) if place not in removed)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self._state.dim

    @property
    def metric(self) -> str:
        """``"cosine"`` or ``"dot"``."""
        return self._state.metric

    @property
    def method(self) -> str:
        """``"exact"`` or ``"hnsw"``."""
        return self._state.method

    @property
    def encoder_name(self) -> str:
        """Folder or name of the encoder that made the vectors; empty where that is not known."""
        if self._state.encoder is not None:
            return self._state.encoder.name
        return "" if self._encoder is None else self._encoder.name

    @property
    def model_name(self) -> str:
        """Folder or name of the model that made the vectors; empty where it was no model, or is not known."""
        identity = self._state.encoder
        return identity.name if identity is not None and identity.is_of_model else ""

    @property
    def pooling(self) -> str:
        """How the encoder makes one vector of a text; empty where that is not known."""
        return "" if self._state.encoder is None else self._state.encoder.pooling

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Arguments of :class:`~distilbert.Encoder` with which the model makes its vectors; empty where not known."""
        return {} if self._state.encoder is None else self._state.encoder.recipe

    def encoder(self) -> TextEncoder:
        """Return what makes vectors of texts, loaded and checked to be the one that made the index.

        Raises:
            InputError: it is another one, or not known.
        """
        if self._encoder is None:
            identity = self._state.encoder
            if identity is None or not identity.name:
                raise InputError(
                    "This index does not know its encoder: pass vectors, or use Index.load(folder, encoder=...)."
                )
            if not identity.is_of_model:
                raise InputError(
                    f"This index was made with {identity.name}, which is no model that can be loaded: give the same "
                    "encoder, Index.load(folder, encoder=...), or pass vectors."
                )
            self._encoder = reopen_encoder(identity)
        if not self._encoder_is_checked and self._state.encoder is not None:
            check_encoder(self._state.encoder, self._encoder)
        self._encoder_is_checked = True
        return self._encoder

    def vectors(self) -> Iterator[np.ndarray]:
        """Yield the vectors of all entries in the order of iteration, some thousand at a time, (R, D) float32."""
        alive, before = self._alive(), 0
        for segment in self._segments:
            for start in range(0, len(segment.vectors), ENCODE_TEXTS):
                block = segment.vectors[start : start + ENCODE_TEXTS]
                yield block if alive is None else block[alive[before + start : before + start + len(block)]]
            before += len(segment.vectors)

    # Changing it.

    def add(
        self, texts: Any = None, *, vectors: Any = None, column: Column | None = None, ids: Any = None,
        metadata: Any = None,
    ) -> list[Id]:  # fmt: skip
        """Add entries, and return their ids.

        Args:
            texts: see :meth:`build`.
            vectors: (N, D) of them; None: the encoder makes them.
            column: see :meth:`build`.
            ids: see :meth:`build`; by default the numbers after the largest that was ever there.
            metadata: see :meth:`build`.

        Raises:
            InputError: nothing is added then.
        """
        texts, ids, metadata = from_table(texts, column, ids, metadata)
        if texts is not None:
            texts = [check_text(text, f"texts[{place}]", can_be_null=False) for place, text in enumerate(texts)]
        if vectors is None:
            if texts is None:
                raise InputError("There is nothing to add: give texts, or vectors.")
            vectors = self.encoder().encode_document(texts)
        array, norm = self._prepared(to_vectors(vectors, self.dim))
        first = self._state.next_id
        records = to_records(len(array), range(first, first + len(array)) if ids is None else ids, texts, metadata)
        if ids is not None:
            self._check_are_new([record["id"] for record in records])
        if not records:
            return []
        numbers = [record["id"] + 1 for record in records if isinstance(record["id"], int)]
        if max(numbers, default=0) >= 2**63:
            raise InputError(f"The id {max(numbers) - 1} leaves no larger number for the next entry.")
        self._segments.append(Segment(array, records))
        norm = max(norm, self._state.largest_norm)
        self._state = replace(self._state, next_id=max([first, *numbers]), largest_norm=norm)
        if self._graph is not None:
            self._graph.add([array])
        self._forget()
        return [record["id"] for record in records]

    def remove(self, ids: Id | Iterable[Id]) -> None:
        """Remove entries.

        Args:
            ids: of the entries, or of one.

        Raises:
            InputError: there is no entry of one of these ids; none is removed then.
        """
        single = isinstance(ids, int | str | np.integer)
        places = [self._place(identifier) for identifier in ([ids] if single else ids)]  # type: ignore[union-attr]
        self._removed = np.union1d(self._removed, np.array(places, dtype=np.int64))
        self._forget()

    # Searching.

    def search(self, queries: Any, k: int = 10, *, where: Where | None = None, column: Column | None = None) -> Any:
        """Return the entries that are nearest to a query, the nearest first.

        Args:
            queries: a text or a vector (D,) gives a list of entries. Several, as a list, a column or an array (Q, D),
                give a list of such lists.
            k: how many entries, at most.
            where: only entries with these metadata: ``{"language": "en", "year": [2023, 2024]}``, or a function of the
                metadata. Anything that can be iterated over stands for several values, and only a text and a dict for
                one. Such a search is always exact.
            column: name of the column of a table that holds the queries.

        Returns:
            ``{"id", "score", "text", "metadata"}`` for each entry. The score is the cosine similarity, or the product.

        Raises:
            InputError: a query is empty or has another size, or the encoder is not the one of the index.
        """
        check_count(k, "k")
        given, is_single = to_queries(queries, column, self.dim)
        if isinstance(given, list):
            names = ["The query"] if is_single else [f"queries[{place}]" for place in range(len(given))]
            texts = [check_text(text, name, can_be_null=False) for text, name in zip(given, names, strict=True)]
            given = self.encoder().encode_query(texts)
        hits = self._hits(given, k, where)
        return hits[0] if is_single else hits

    def nearest(self, vectors: Any, k: int = 10, where: Where | None = None) -> list[Nearest]:
        """Return positions and scores of the nearest entries for each vector, (Q, D); see :meth:`search`.

        Positions count the entries in the order in which they were added, removed ones included.
        """
        queries, _ = self._prepared(to_vectors(vectors, self.dim), is_query=True)
        blocks = [segment.vectors for segment in self._segments]
        allowed = self._allowed(where)
        candidates: list[np.ndarray | None] = [None] * len(queries)  # (C,) each; None: all are compared
        if self._graph is not None and where is None and k * 4 < len(self):
            candidates = self._graph.candidates(queries, k, allowed)
        others = queries[[places is None for places in candidates]]
        exact = iter(nearest(blocks, others, k, self._state.largest_norm * (1 + 1e-6), allowed))
        return [
            next(exact) if places is None else ranked(blocks, places, query, k)
            for places, query in zip(candidates, queries, strict=True)
        ]

    def _hits(self, vectors: Any, k: int, where: Where | None) -> list[list[dict[str, Any]]]:
        return [
            [
                {"id": record["id"], "score": float(score), "text": record["text"], "metadata": record["metadata"]}
                for record, score in zip(map(self._record, found.positions.tolist()), found.scores, strict=True)
            ]
            for found in self.nearest(vectors, k, where)
        ]

    # Files.

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index into a folder: at once, or not at all.

        Where the index was loaded from this folder or saved to it, only what is new is written. Another index that is
        there is replaced; files that are not of an index stay.

        Raises:
            InputError: there is something else at that path, or another process is saving there, or has changed the
                index meanwhile.
        """
        path = Path(folder)
        if not can_hold_index(path):
            raise InputError(f"{path} is not the folder of an index: choose another name, or delete it.")
        state = replace(self._state, encoder=self._identity(), generation=self._state.generation + 1)
        with locked(path):
            is_own = self._folder is not None and self._folder == path.resolve() and (path / INDEX_FILE).is_file()
            if is_own:
                check_is_unchanged(path, self._stored)
            count = sum(bool(segment.name) for segment in self._segments) + 1  # all that is new becomes one
            write = self._write_changes if is_own and count <= MOST_SEGMENTS else self._write_all
            graph = write(path, state)
            self._open(path, read_index(path, graph))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], encoder: Any = None, *, check: bool = True) -> Self:
        """Open an index. Its vectors are mapped into memory: they are read when they are searched.

        Args:
            folder: of the index.
            encoder: see :class:`Index`; None: the one whose name the index remembers, loaded with the first query that
                is a text.
            check: compare the encoder with the one that made the index, when it is first used.

        Raises:
            ModelNotFoundError: there is no index in the folder.
            DataError: it is damaged, or of another version.
        """
        path = Path(folder)
        stored = read_index(path)
        if encoder is not None and stored.state.encoder is not None:
            encoder = reopen_encoder(stored.state.encoder, encoder)
        index = cls(stored.state.dim, encoder, metric=stored.state.metric)
        index._encoder_is_checked = not check
        index._open(path, stored)
        return index

    def export(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Write all entries into one file, for other programs.

        Args:
            path: of the file.
            format: ``"parquet"`` (columns ``id``, ``text``, ``metadata``, ``vector``; extra ``parquet``),
                ``"pgvector"`` (the text format of PostgreSQL's ``COPY``), or ``"qdrant"`` (points as JSON lines). By
                default the ending of the name tells it: ``.parquet``, ``.copy`` or ``.jsonl``.

        Raises:
            InputError: neither tells a format, or two ids are the same in it, such as 1 and "1" where all are texts.
            MissingExtraError: ``pyarrow`` is not installed.
        """
        from .index_export import export

        export(self, Path(path), format)

    @property
    def source(self) -> Mapping[str, Any]:
        """Notes of who built the index from a file."""
        return self._state.source

    def note_source(self, source: Mapping[str, Any]) -> None:
        """Remember notes, which are saved with the index; plain JSON."""
        self._state = replace(self._state, source=json.loads(json.dumps(dict(source))))

    def _write_changes(self, path: Path, state: IndexState) -> VectorGraph | None:
        """Write what is not in the folder yet; return the graph."""
        name = new_name(state.generation)
        segments = [(segment.name, len(segment.vectors)) for segment in self._segments if segment.name]
        if new := [segment for segment in self._segments if not segment.name]:
            rows = sum(len(segment.vectors) for segment in new)
            records = chain.from_iterable(segment.records for segment in new)
            write_segment(path, name, [segment.vectors for segment in new], records, rows)
            segments.append((name, rows))
        if len(self._removed):
            write_removed(path, name, self._removed)
        state = replace(state, segments=tuple(segments), removed=name if len(self._removed) else "")
        commit(path, _with_graph(path, state, name, self._graph))
        return self._graph

    def _write_all(self, path: Path, state: IndexState) -> VectorGraph | None:
        """Write all entries anew, without those that were removed; return the graph."""
        name = new_name(state.generation)
        segments: tuple[tuple[str, int], ...] = ()
        if len(self):
            write_segment(path, name, self.vectors(), self, len(self))
            segments = ((name, len(self)),)
        graph = self._graph
        if graph is not None and len(self._removed):
            graph = VectorGraph(self.dim)  # positions change, as the removed entries are left out
            graph.add(self.vectors())
        commit(path, _with_graph(path, replace(state, segments=segments, removed=""), name, graph))
        return graph

    def _open(self, path: Path, stored: StoredIndex) -> None:
        self._state = self._stored = stored.state
        self._segments, self._removed, self._graph = stored.segments, stored.removed, stored.graph
        self._folder = path.resolve()
        self._forget()

    # Vectors.

    def _identity(self) -> EncoderIdentity | None:
        """Return what the folder says about the encoder."""
        if self._state.encoder is not None or self._encoder is None:
            return self._state.encoder
        return identity_of(self._encoder)

    def _prepared(self, vectors: np.ndarray, is_query: bool = False) -> tuple[np.ndarray, float]:
        """Return vectors as they are compared, and the length of the longest."""
        name = "queries" if is_query else "vectors"
        if not len(vectors):
            return vectors, 0.0
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)  # (N,)
        if not np.isfinite(norms).all():
            raise InputError(f"{name}[{int(np.argmin(np.isfinite(norms)))}] holds a number that is not finite.")
        if self.metric == "dot":
            if norms.max() > 1e18:
                raise InputError(f"{name}[{int(np.argmax(norms))}] is too long: products of float32 would overflow.")
            return vectors, float(norms.max())
        if not norms.all():
            raise InputError(f"{name}[{int(np.argmin(norms))}] is all zeros, so its similarity to others has no value.")
        others = np.abs(norms - 1) > UNIT_TOLERANCE
        if others.any():
            vectors = vectors.copy()
            vectors[others] = (vectors[others].astype(np.float64) / norms[others, None]).astype(np.float32)
        return vectors, 1.0 + 2 * UNIT_TOLERANCE

    # Entries.

    def _forget(self) -> None:
        """Drop what was computed from the entries, which have changed."""
        self._place_by_id: dict[Id, int] | None = None
        self._metadata: list[dict[str, Any]] | None = None
        self._masks: dict[str, np.ndarray] = {}

    def _places(self) -> dict[Id, int]:
        if self._place_by_id is None:
            removed = set(self._removed.tolist())
            places = (record["id"] for segment in self._segments for record in segment.records)
            self._place_by_id = {identifier: place for place, identifier in enumerate(places) if place not in removed}
        return self._place_by_id

    def _place(self, identifier: Any) -> int:
        identifier = identifier.item() if isinstance(identifier, np.generic) else identifier
        try:
            return self._places()[identifier]
        except (KeyError, TypeError):
            other = str(identifier) if isinstance(identifier, int) else to_int(identifier)
            hint = f" There is one of {other!r}." if other in self._places() else ""
            raise InputError(f"There is no entry of the id {identifier!r:.80}.{hint}") from None

    def _check_are_new(self, ids: Sequence[Id]) -> None:
        known = self._places() if self._segments else {}
        added: set[Id] = set()
        for identifier in ids:
            if identifier in known or identifier in added:
                where = "in the index already; remove it first" if identifier in known else "there twice"
                raise InputError(f"The id {identifier!r:.80} is {where}.")
            added.add(identifier)

    def _record(self, place: int) -> Record:
        for segment in self._segments:
            if place < len(segment.vectors):
                return copy_of(segment.records[place])
            place -= len(segment.vectors)
        raise IndexError(place)

    def _alive(self) -> np.ndarray | None:
        """Return which entries are not removed, (N,) bool; None where all are there."""
        if not len(self._removed):
            return None
        alive = np.ones(sum(len(segment.vectors) for segment in self._segments), dtype=bool)
        alive[self._removed] = False
        return alive

    def _allowed(self, where: Where | None) -> np.ndarray | None:
        """Return which entries may be found, (N,) bool; None for all."""
        alive = self._alive()
        if where is None:
            return alive
        if self._metadata is None:
            self._metadata = [record["metadata"] for segment in self._segments for record in segment.records]
        if callable(where):
            mask = np.fromiter((bool(where(values)) for values in self._metadata), bool, len(self._metadata))
        else:
            mask = self._mask(self._metadata, to_choices(where))
        return mask if alive is None else mask & alive

    def _mask(self, metadata: list[dict[str, Any]], choices: dict[str, list[Any]]) -> np.ndarray:
        """Return which entries have the metadata that are asked for, (N,) bool; the latest answers are remembered."""
        key = repr(sorted(choices.items(), key=repr))
        mask = self._masks.pop(key, None)
        mask = matching(metadata, choices) if mask is None else mask
        self._masks[key] = mask  # the latest stands last
        for oldest in list(self._masks)[:-MOST_MASKS]:
            self._masks.pop(oldest, None)
        return mask


def _with_graph(path: Path, state: IndexState, name: str, graph: VectorGraph | None) -> IndexState:
    """Write the graph, and return a state that names it."""
    if graph is None or not len(graph):
        return replace(state, graph="", graph_hash="", graph_rows=0)
    return replace(state, graph=name, graph_hash=write_graph(path, name, graph), graph_rows=len(graph))
