"""Tables of pandas, polars, Arrow and ``datasets``: every task reads their columns, and adds its answers as columns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from distilbert.core.errors import InputError

from .inputs import TASKS, close

ROWS: dict[str, list[dict[str, Any]]] = {
    "question-answering": [
        {"question": "Who?", "context": "Mary and John"},
        {"question": "Where?", "context": "In Rome"},
        {"question": "", "context": "In Rome"},
    ],
    "multiple-choice": [
        {"context": "it was", "question": "when?", "choices": ["now", "then"]},
        {"context": "it was", "question": None, "choices": ["now", "then"]},
        {"context": "it was", "question": "who?", "choices": ["", "then"]},
    ],
    "sentence-similarity": [
        {"source_sentence": "a car", "sentences": ["a red car", "rain"]},
        {"source_sentence": "a car", "sentences": ["it"]},
        {"source_sentence": "", "sentences": ["it"]},
    ],
    "fill-mask": [{"text": "a [MASK] film"}, {"text": "[MASK] hours"}, {"text": ""}],
}
TEXTS: list[dict[str, Any]] = [{"text": "a fine film"}, {"text": "two hours of noise"}, {"text": None}]
COLUMNS = {
    "text-classification": ["label", "score"],
    "token-classification": ["result"],
    "question-answering": ["score", "start", "end", "answer"],
    "fill-mask": ["result"],
    "feature-extraction": ["result"],
    "zero-shot-classification": ["sequence", "labels", "scores"],
    "multiple-choice": ["answer", "index", "scores"],
    "sentence-similarity": ["result"],
}
TABLES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "pandas": lambda rows: pd.DataFrame(rows, index=[7, 3, 7][: len(rows)]),
    "polars": pl.DataFrame,
    "Arrow": pa.Table.from_pylist,
    "datasets": Dataset.from_list,
    "rows": list,
    "dict": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
}


def rows_for(task: str) -> list[dict[str, Any]]:
    """Three rows with a number beside the arguments; the last cannot be answered."""
    return [{"id": number, **row} for number, row in enumerate(ROWS.get(task, TEXTS))]


def to_rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a table as plain Python, missing values as None."""
    if isinstance(table, list):
        return table
    if isinstance(table, dict):
        return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    for method in ("to_pylist", "to_dicts", "to_list"):
        if hasattr(table, method):
            rows: list[dict[str, Any]] = getattr(table, method)()
            return rows
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if value is pd.NA or (isinstance(value, float) and value != value) else value


@pytest.mark.parametrize("kind", TABLES)
def test_answers_stand_beside_the_rows(name: str, task: Any, kind: str) -> None:
    rows = rows_for(name)
    table = TABLES[kind](rows)
    result = task.frame(table, on_error="null")
    assert type(result) is type(table)
    returned = to_rows(result)
    assert list(returned[0]) == [*rows[0], *COLUMNS[name]]
    inputs = [{key: value for key, value in row.items() if key != "id" and value is not None} for row in rows]
    answers = task([row.get("text", "") if "text" in row or not row else row for row in inputs], on_error="null")
    for row, before, answer in zip(returned, rows, answers, strict=True):
        assert {key: row[key] for key in before} == before
        added = {key: row[key] for key in COLUMNS[name]}
        if answer is None:
            assert set(added.values()) == {None}
        else:
            assert close(added, answer if isinstance(answer, dict) else {"result": answer})
    assert answers[:2].count(None) == 0
    assert answers[2] is None
    assert "result" not in to_rows(table)[0], "the table that was given stays as it was"
    with pytest.raises(InputError, match=r"inputs\[2\]"):
        task.frame(table)


@pytest.mark.parametrize("kind", ["pandas", "polars", "Arrow"])
def test_columns_do_not_depend_on_the_answers(name: str, task: Any, kind: str) -> None:
    table = TABLES[kind](rows_for(name))
    for few in (table[:0], table[2:]):
        result = task.frame(few, on_error="null")
        assert len(result) == len(few)
        names = result.column_names if kind == "Arrow" else list(result.columns)
        assert names[-len(COLUMNS[name]) :] == COLUMNS[name]


def test_the_index_and_the_types_of_pandas_are_kept(make_task: Any) -> None:
    answer = make_task("question-answering", "answers")
    table = pd.DataFrame(rows_for("question-answering"), index=[7, 3, 7])
    result = answer.frame(table, on_error="null")
    assert list(result.index) == [7, 3, 7]
    assert str(result["start"].dtype) == "Int64", "whole numbers stay whole beside a missing value"
    assert result["start"].isna().tolist() == [False, False, True]
    assert str(answer.frame(table[:2])["start"].dtype) == "int64"


def test_a_column_may_have_any_name(make_task: Any) -> None:
    classify = make_task("text-classification", "labels")
    frame = pl.DataFrame({"review": ["a fine film"], "label": [1], "result_label": [0]})
    assert classify.frame(frame, column="review").columns == [*frame.columns, "result_result_label", "score"]
    answer = make_task("question-answering", "answers")
    table = pa.table({"q": ["Who?"], "passage": ["Mary and John"]})
    names = {"question": "q", "context": "passage"}
    expected = answer([{"question": "Who?", "context": "Mary and John"}])
    assert answer(table, column=names) == expected
    assert answer(iter(table.to_pylist()), column=names).__next__() == expected[0]
    assert answer.frame(table, column=names).to_pylist()[0]["answer"] == expected[0]["answer"]


def test_a_pair_gives_a_number(make_task: Any) -> None:
    similar = make_task("sentence-similarity", "encoder")
    frame = pd.DataFrame({"text": ["a car", ""], "text_pair": ["a red car", "it"]})
    result = similar.frame(frame, on_error="null")
    assert list(result.columns) == ["text", "text_pair", "score"]
    assert similar.frame(frame[1:], on_error="null")["score"].isna().all()
    classify = make_task("text-classification", "labels")
    gaps = pd.DataFrame({"text": ["a car", "it"], "text_pair": ["a red car", np.nan]})
    assert classify.frame(gaps)["score"].tolist() == [
        classify([{"text": "a car", "text_pair": "a red car"}])[0]["score"],
        classify(["it"])[0]["score"],
    ]


@pytest.mark.parametrize("kind", ["polars", "Arrow", "datasets"])
def test_answers_of_different_depth_fit_into_a_column_of_one_type(make_task: Any, kind: str) -> None:
    fill = make_task("fill-mask", "masked-lm")
    texts = ["a [MASK] film", "[MASK] hours of [MASK]", ""]
    one, two, _ = fill(texts, on_error="null")
    table = TABLES[kind]([{"text": text} for text in texts])
    answers = [row["result"] for row in to_rows(fill.frame(table, on_error="null"))]
    assert close(answers[:2], [[one], two])
    assert answers[2] is None
    assert close(to_rows(fill.frame(TABLES[kind]([{"text": texts[0]}])))[0]["result"], one)


def test_no_rows_are_no_answers(name: str, task: Any) -> None:
    assert task.frame([]) == []
    with pytest.raises(InputError, match="it has none"):
        task.frame(pd.DataFrame())


def test_series_and_frames_of_polars_give_a_list(name: str, task: Any) -> None:
    rows = rows_for(name)[:2]
    frame = pl.DataFrame(rows)
    arguments = [column for column in frame.columns if column != "id"]
    if arguments == ["text"]:
        expected = task([row["text"] for row in rows])
        assert task(frame["text"]) == task(frame, column="text") == expected
        assert isinstance(task(frame["text"]), list)
        return
    first = rows[:1]
    plain = [{key: row[key] for key in arguments} for row in first]
    assert task(frame[:1], column=arguments) == task(plain)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pl.LazyFrame({"text": ["a"]}), r"is a LazyFrame, whose rows are not computed yet: pass its collect\(\)"),
        (pd.Series(["a"]), r"is a Series, which is one column: pass a table, such as its to_frame\(\)"),
        (DatasetDict(train=Dataset.from_list(TEXTS)), "is a DatasetDict: choose one of its splits, train"),
        (
            Dataset.from_list(TEXTS).to_iterable_dataset(),
            "is a IterableDataset, which is read row by row: use ",
        ),
        ("a text", "A table is needed, which is .*; got a str"),
        (np.array(["a"]), "A table is needed, which is .*; got a ndarray"),
        (pd.DataFrame({"review": ["a"]}), r"has no column 'text'; it has 'review'. Pass column="),
    ],
)
def test_what_is_no_table_is_named(make_task: Any, table: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_task("text-classification", "labels").frame(table)


def test_a_lazy_frame_is_named_in_a_call(make_task: Any) -> None:
    for column in (None, "text"):
        with pytest.raises(InputError, match="is a LazyFrame, whose rows are not computed yet"):
            make_task("text-classification", "labels")(pl.LazyFrame({"text": ["a"]}), column=column)


def test_no_library_of_tables_is_imported_unasked(model_folder: Callable[[str], Path]) -> None:
    code = (
        "import sys\nfrom distilbert import pipeline\n"
        f"classify = pipeline('text-classification', {str(model_folder('labels'))!r})\n"
        "rows = classify.frame([{'text': 'a fine film'}])\n"
        "assert rows[0]['label'], rows\n"
        "print(*{'pandas', 'polars', 'pyarrow', 'datasets', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_all_tasks_are_here() -> None:
    assert set(COLUMNS) == set(TASKS)
