"""Tags of one scheme (BIO, BIOES, BILOU) written in another, so that a file fits a model whose labels are in that one.

``tasks/tagging_schemes.py`` says what the schemes mean.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..tasks.tagging_schemes import OUTSIDE, Tag
from .examples import Example, Labels, TaggedExample

logger = logging.getLogger("distilbert")

# Scheme -> prefix of the first, a middle and the last word of an entity, and of an entity of one word.
SCHEMES = {"BIO": ("B", "I", "I", "B"), "BIOES": ("B", "I", "E", "S"), "BILOU": ("B", "I", "L", "U")}


def scheme_of(tags: Iterable[str]) -> str:
    """Return ``"BIO"``, ``"BIOES"`` or ``"BILOU"``; empty if the tags do not show where entities begin."""
    prefixes = {tag[0] for tag in tags if tag[1:2] == "-"}
    if prefixes & {"L", "U"}:
        return "" if prefixes & {"E", "S"} else "BILOU"
    if prefixes & {"E", "S"}:
        return "BIOES"
    return "BIO" if "B" in prefixes else ""


def convert_tags(tags: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Return the tags of a sentence in another scheme, with the same entities.

    Example: ``("B-PER", "E-PER", "S-LOC")`` in BIO is ``("B-PER", "I-PER", "B-LOC")``.

    Args:
        tags: of each word, in any scheme.
        scheme: one of ``SCHEMES``.
    """
    first, middle, last, single = SCHEMES[scheme]
    parsed = [Tag.parse(tag) for tag in tags]
    converted = []
    for index, tag in enumerate(parsed):
        if tag.kind == OUTSIDE:
            converted.append(OUTSIDE)
            continue
        begins = index == 0 or tag.begins_after(parsed[index - 1])
        ends = index + 1 == len(parsed) or parsed[index + 1].begins_after(tag)
        prefix = (single if ends else first) if begins else (last if ends else middle)
        converted.append(f"{prefix}-{tag.kind}")
    return tuple(converted)


def in_scheme_of(labels: Labels, examples: Sequence[Example], what: str) -> list[Example]:
    """Return examples with their tags in the scheme of a model's labels.

    Examples of other tasks or of the same scheme stay as they are, and so do tags of entities that the model does not
    know.

    Args:
        labels: of the model.
        examples: of any task.
        what: name of the examples, such as ``"the evaluation data"``.
    """
    examples = list(examples)
    scheme = scheme_of(labels.names) or scheme_of(labels.values)
    sentences = [example.tags for example in examples if isinstance(example, TaggedExample) and example.tags]
    own = scheme_of(tag for tags in sentences for tag in tags)
    if not scheme or own in ("", scheme):
        return examples
    converted: list[Example] = []
    for example in examples:
        if isinstance(example, TaggedExample) and example.tags:
            pairs = zip(example.tags, convert_tags(example.tags, scheme), strict=True)
            example = replace(example, tags=tuple(new if new in labels.index else old for old, new in pairs))
        converted.append(example)
    logger.info("The tags of %s are in %s and those of the model in %s: they were converted.", what, own, scheme)
    return converted
