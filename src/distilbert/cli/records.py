"""Results as data: an answer joined to its row, and flattened into the cells of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

RESULT = "result"


def to_json(value: Any) -> str:
    """Return one line of JSON; what JSON has no form for (a date of a parquet file) becomes text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def encode_lines(values: list[Any]) -> bytes:
    """Return JSON lines as bytes; half characters, which UTF-8 cannot hold, stay JSON escapes."""
    return "".join(to_json(value) + "\n" for value in values).encode("utf-8", errors="backslashreplace")


def joined(row: Mapping[str, Any], answer: Any) -> dict[str, Any]:
    """Join an answer to the columns of its row.

    The keys of a dict stand beside the columns; one that is a column already gets the prefix ``result_``. Any other
    answer stands under ``result``.
    """
    record = dict(row)
    for name, value in named(answer).items():
        while name in row:
            name = f"{RESULT}_{name}"
        record[name] = value
    return record


def named(answer: Any) -> dict[str, Any]:
    """Return an answer as named values: a dict is one already, a number is a ``score``, a list a ``result``."""
    if isinstance(answer, Mapping):
        return dict(answer)
    return {"score": answer} if isinstance(answer, float) else {RESULT: answer}


def flattened(record: Any, number: int) -> Iterator[dict[str, Any]]:
    """Yield the table rows of a record.

    One that holds several answers gives a row for each, told apart by a leading ``row``, the number of the record;
    ``labels`` and ``scores`` side by side are such answers too. What is still nested becomes JSON text.
    """
    values = named(record)
    labels, scores, answers = values.get("labels"), values.get("scores"), values.get(RESULT)
    found = list(_dicts(answers)) if isinstance(answers, list) else []
    if isinstance(labels, list) and isinstance(scores, list) and len(labels) == len(scores):
        found = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
        rest = {name: value for name, value in values.items() if name not in ("labels", "scores")}
    elif found or answers == []:
        rest = {name: value for name, value in values.items() if name != RESULT}
    else:
        yield {name: _cell(value) for name, value in values.items()}
        return
    if rest and not found:
        found = [{}]
    for item in found:
        yield {name: _cell(value) for name, value in {"row": number, **joined(rest, item)}.items()}


def _dicts(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the dicts of a list, or of lists within it."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from _dicts(value)


def _cell(value: Any) -> Any:
    return to_json(value) if isinstance(value, (dict, list)) else value
