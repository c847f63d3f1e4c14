"""Results as data: an answer joined to its row, and laid out as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..tasks.answer_columns import RESULT, free_name, named
from .json_lines import to_json


def joined(row: Mapping[str, Any], answer: Any) -> dict[str, Any]:
    """Join an answer to the columns of its row.

    The keys of a dict stand beside the columns; a key that is already a column gets the prefix ``result_``. Any other
    answer stands under ``result``, also null, which a row without an answer has.
    """
    result = dict(row)
    for name, value in named(answer).items():
        result[free_name(name, row)] = value
    return result


def table_rows(result: Any, number: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table that a result becomes.

    A result with several answers gives a row for each, which begins with ``row``, the number of the result. Lists
    ``labels`` and ``scores`` of equal length are such answers, too. What is still nested becomes JSON text. Null gives
    a row without values, or with those of its input.
    """
    values = named(result)
    if RESULT in values and values[RESULT] is None:
        yield {name: _flat(value) for name, value in values.items() if name != RESULT}
        return
    labels, scores, answers = values.get("labels"), values.get("scores"), values.get(RESULT)
    several = list(_dicts(answers)) if isinstance(answers, list) else []
    if isinstance(labels, list) and isinstance(scores, list) and len(labels) == len(scores):
        several = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
        rest = {name: value for name, value in values.items() if name not in ("labels", "scores")}
    elif several or answers == []:
        rest = {name: value for name, value in values.items() if name != RESULT}
    else:
        yield {name: _flat(value) for name, value in values.items()}
        return
    if rest and not several:
        several = [{}]
    for answer in several:
        yield {name: _flat(value) for name, value in {"row": number, **joined(rest, answer)}.items()}


def _dicts(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the dicts of a list, and of lists within it."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from _dicts(value)


def _flat(value: Any) -> Any:
    return to_json(value) if isinstance(value, (dict, list)) else value
