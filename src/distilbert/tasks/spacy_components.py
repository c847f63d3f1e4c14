"""Components of a spaCy pipeline: entities, and labels of texts, by models of this package.

spaCy finds them by their names as soon as this package is installed::

    nlp = spacy.blank("en")
    nlp.add_pipe("distilbert_entities", config={"model": "models/names"})   # fills doc.ents
    nlp.add_pipe("distilbert_labels", config={"model": "models/reviews"})   # fills doc.cats
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..core.extras import require
from .loading import pipeline

_language: Any = require("spacy.language", "spacy")
_util: Any = require("spacy.util", "spacy")


class SpacyComponent:
    """Annotates documents with the answers of a task, many at a time in ``nlp.pipe``.

    Args:
        task: name of the task.
        model: folder or name of a model; empty: the default model of the task.
        options: parameters of the task and of :func:`~distilbert.pipeline`, such as ``threads``.
    """

    def __init__(self, task: str, model: str, options: dict[str, Any]) -> None:
        self._task: Any = pipeline(task, model or None, **options)

    def __call__(self, doc: Any) -> Any:
        """Annotate a document, and return it."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Any], *, batch_size: int = 128) -> Iterator[Any]:
        """Annotate documents, so many at a time."""
        documents = iter(stream)
        while batch := list(islice(documents, batch_size)):
            with_text = [doc for doc in batch if doc.text.strip()]
            answers: Sequence[Any] = self._task([doc.text for doc in with_text]) if with_text else []
            for doc, answer in zip(with_text, answers, strict=True):
                self.annotate(doc, answer)
            yield from batch

    def annotate(self, doc: Any, answer: Any) -> None:
        """Write the answer of the task into a document."""
        raise NotImplementedError


class EntityComponent(SpacyComponent):
    """Fills ``doc.ents``. An entity that ends within a token of spaCy takes the whole token."""

    def annotate(self, doc: Any, answer: Any) -> None:
        """See :class:`SpacyComponent`."""
        spans = (
            doc.char_span(each["start"], each["end"], label=each["entity_group"], alignment_mode="expand")
            for each in answer
        )
        doc.ents = _util.filter_spans([span for span in spans if span is not None])


class LabelComponent(SpacyComponent):
    """Fills ``doc.cats`` with the score of each label."""

    def annotate(self, doc: Any, answer: Any) -> None:
        """See :class:`SpacyComponent`."""
        doc.cats = {each["label"]: each["score"] for each in answer}


@_language.Language.factory(  # type: ignore[untyped-decorator]
    "distilbert_entities", assigns=["doc.ents"], default_config={"model": "", "options": {}}
)
def make_entity_component(nlp: Any, name: str, model: str, options: dict[str, Any]) -> EntityComponent:
    """Return the component ``distilbert_entities``."""
    return EntityComponent("token-classification", model, {"aggregation_strategy": "first", **options})


@_language.Language.factory(  # type: ignore[untyped-decorator]
    "distilbert_labels", assigns=["doc.cats"], default_config={"model": "", "options": {}}
)
def make_label_component(nlp: Any, name: str, model: str, options: dict[str, Any]) -> LabelComponent:
    """Return the component ``distilbert_labels``."""
    return LabelComponent("text-classification", model, {"top_k": None, **options})
