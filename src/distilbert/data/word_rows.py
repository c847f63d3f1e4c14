"""Tables with a word a row, and a column that says which sentence each word is of."""

from __future__ import annotations

import re
from dataclasses import replace

from ..tasks.token_classification import SPEC
from .row_stream import Row
from .row_values import is_missing
from .table import Table

_SENTENCE = re.compile(r"(sentence|sent)[ _]?(#|id|idx|index|nr|no|num|number)?", re.IGNORECASE)


def join_words(table: Table) -> Table:
    """Return a table of words as one of sentences, with lists of words and tags; any other table as it is.

    A row without a number of its sentence goes on with the one above it.

    Example: the columns ``Sentence #``, ``Word`` and ``Tag``.
    """
    data = SPEC.labelled
    names = {
        role.role: {name for group in role.known_names for name in group} for role in (data.columns if data else ())
    }
    sentences = [column for column in table.columns if _SENTENCE.fullmatch(column)]
    words = [column for column in table.columns if column.lower() in names["words"]]
    tags = [column for column in table.columns if column.lower() in names["tags"] and column not in words]
    if len(sentences) != 1 or len(words) != 1 or not tags:
        return table
    tag = min(tags, key=lambda column: (column.lower() == "pos_tags", tags.index(column)))
    if any(isinstance(row.value.get(words[0]), list) for row in table.rows):
        return table
    rows: list[Row] = []
    number = None
    for row in table.rows:
        word, own = row.value.get(words[0]), row.value.get(sentences[0])
        if is_missing(word):
            continue
        if not rows or (not is_missing(own) and own != number):
            number = own
            rows.append(Row(row.place, {words[0]: [], tag: []}))
        rows[-1].value[words[0]].append(word)
        rows[-1].value[tag].append(row.value.get(tag))
    return replace(table, columns=(words[0], tag), rows=rows)
