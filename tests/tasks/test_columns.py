"""Inputs in the containers of other libraries: a column gives a list, a table asks which column to read."""

from __future__ import annotations

from collections import UserList
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from distilbert.core.errors import InputError

TEXTS = ["a fine film", "two hours of noise", "a fine film"]
FRAME = pd.DataFrame({"text": TEXTS, "stars": [5, 1, 5]}, index=[7, 3, 9])
COLUMNS: dict[str, Any] = {
    "Series": FRAME["text"],
    "categories": FRAME["text"].astype("category"),
    "Index": pd.Index(TEXTS),
    "objects": np.array(TEXTS, dtype=object),
    "numpy.str_": np.array(TEXTS),
    "one column of two dimensions": np.array(TEXTS)[:, None],
    "extension array": FRAME["text"].array,
    "Arrow": pa.array(TEXTS),
    "chunked Arrow": pa.chunked_array([TEXTS]),
    "Column": Dataset.from_pandas(FRAME)["text"],
    "sequence": UserList(TEXTS),
    "elements of numpy": list(np.array(TEXTS)),
}
TABLES: dict[str, Any] = {
    "DataFrame": FRAME,
    "Arrow": pa.Table.from_pandas(FRAME),
    "Dataset": Dataset.from_pandas(FRAME),
    "dict": FRAME.to_dict("list"),
    "rows": FRAME.to_dict("records"),
}


@pytest.fixture(scope="module")
def task(make_task: Any) -> Any:
    return make_task("text-classification", "labels")


@pytest.fixture(scope="module")
def expected(task: Any) -> Any:
    return task(TEXTS)


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_gives_a_list(task: Any, expected: Any, kind: str) -> None:
    assert task(COLUMNS[kind]) == expected


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_gives_a_list_for_a_column(task: Any, expected: Any, kind: str) -> None:
    assert task(TABLES[kind], column="text") == expected


@pytest.mark.parametrize("kind", TABLES)
def test_several_columns_make_a_dict_of_each_row(make_task: Any, kind: str) -> None:
    answer = make_task("question-answering", "answers")
    frame = pd.DataFrame({"question": ["Who?", "Where?"], "context": ["Mary and John", "In Rome"], "id": [1, 2]})
    tables = {
        "DataFrame": frame,
        "Arrow": pa.Table.from_pandas(frame),
        "Dataset": Dataset.from_pandas(frame),
        "dict": frame.to_dict("list"),
        "rows": frame.to_dict("records"),
    }
    rows = [{"question": "Who?", "context": "Mary and John"}, {"question": "Where?", "context": "In Rome"}]
    assert answer(tables[kind], column=["question", "context"]) == answer(rows)


def test_a_stream_of_rows_stays_a_stream(task: Any, expected: Any) -> None:
    rows = iter([{"text": text, "id": 1} for text in TEXTS])
    answers = task(rows, column="text")
    assert next(answers) == expected[0]
    assert len(list(rows)) == 2, "only the row that was answered is read"
    assert list(task(TABLES["Dataset"].to_iterable_dataset(), column="text")) == expected


def test_rows_of_a_dataset_are_inputs(task: Any, expected: Any) -> None:
    assert task(Dataset.from_dict({"text": TEXTS})) == expected


def test_a_text_of_numpy_is_one_text(task: Any, make_task: Any) -> None:
    assert task(np.str_(TEXTS[0])) == task(np.array(TEXTS[0])) == task(TEXTS[0])
    zero_shot = make_task("zero-shot-classification", "nli", candidate_labels=np.array(["sport", "art"]))
    assert type(zero_shot(np.str_("a match"))["sequence"]) is str
    assert zero_shot("a match") == zero_shot("a match", candidate_labels=["sport", "art"])


def test_words_of_a_column(make_task: Any) -> None:
    task = make_task("token-classification", "entities", is_split_into_words=True, ignore_labels=[])
    words = ["Ada", "was", "here"]
    assert task(pd.Series(words)) == task(np.array(words)) == task(words)
    assert task([np.array(words), words]) == task([words, words])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda task: task(FRAME), r"is a DataFrame with the columns 'text', 'stars': pass column=.*column='text'"),
        (lambda task: task(TABLES["Arrow"]), "is a Table with the columns .*: pass column="),
        (lambda task: task(FRAME, column="txt"), r"no column 'txt'. Did you mean 'text'\? Columns are: text, stars"),
        (lambda task: task(FRAME, column=3), "column must be the name of a column or a list of names, got 3"),
        (lambda task: task(FRAME, column=[]), "column must be the name of a column or a list of names"),
        (lambda task: task("a", column="text"), "column='text' goes with a table or with rows, got 'a'"),
        (lambda task: task(["a"], column="text"), "rows that are dicts; a row is 'a'"),
        (lambda task: task([{"texts": "a"}], column="text"), "A row has no field 'text'. Did you mean 'texts'"),
        (lambda task: task(np.array([TEXTS])), r"is a ndarray of shape \(1, 3\); a column of inputs has one dimension"),
        (lambda task: task(DatasetDict(train=TABLES["Dataset"])), "is a DatasetDict: choose one of its splits, train"),
        (lambda task: task(pd.Series(["a", None])), r"inputs\[1\] must be a str, got nan"),
    ],
)
def test_messages(task: Any, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(task)
