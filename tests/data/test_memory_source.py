"""Data in memory, used where files are named."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from distilbert import ConfigError, DataError, FinetuneConfig
from distilbert.data.labelled import read_examples
from distilbert.data.memory_source import MemorySource, as_sources

ROWS = [{"text": "good", "label": 1}, {"text": "bad", "label": 0}, {"text": "fine", "label": 1}]


def in_memory() -> dict[str, Any]:
    datasets = pytest.importorskip("datasets")
    return {
        "rows": ROWS,
        "tuple": tuple(ROWS),
        "pandas": pandas.DataFrame(ROWS),
        "pyarrow": pyarrow.Table.from_pylist(ROWS),
        "datasets": datasets.Dataset.from_list(ROWS),
    }


@pytest.mark.parametrize("kind", ["rows", "tuple", "pandas", "pyarrow", "datasets"])
def test_every_kind_gives_the_same_examples(kind: str, tmp_path: Path) -> None:
    pandas.DataFrame(ROWS).to_csv(tmp_path / "rows.csv", index=False)
    expected = read_examples("text-classification", [str(tmp_path / "rows.csv")]).examples
    sources = as_sources(in_memory()[kind])
    read = read_examples("text-classification", sources)
    pairs = [[(example.text, int(example.label)) for example in some] for some in (read.examples, expected)]  # type: ignore[union-attr, arg-type]
    assert pairs[0] == pairs[1]
    assert read.columns == {"text": "text", "label": "label"}
    assert read.sources == sources


def test_names_of_classes_of_a_data_set_are_used() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_list(ROWS, features=features)
    examples = read_examples("text-classification", as_sources(data)).examples
    assert [example.label for example in examples] == ["yes", "no", "yes"]  # type: ignore[union-attr]


def test_a_name_tells_contents_apart() -> None:
    first, again = (MemorySource.of(pandas.DataFrame(ROWS)) for _ in range(2))
    other = MemorySource.of(pandas.DataFrame([*ROWS[:2], {"text": "fine", "label": 0}]))
    assert first == again != other
    assert first.startswith("memory:DataFrame:3:")
    for copied in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert copied == first
        assert copied.content == first.content


def test_missing_values_and_arrays_are_plain() -> None:
    frame = pandas.DataFrame(
        {"text": ["a", None, "c"], "tags": [np.array(["O"]), ["O"], ["O"]], "n": pandas.array([1, None, 3], "Int64")}
    )
    assert MemorySource.of(frame).content == [
        {"text": "a", "tags": ["O"], "n": 1},
        {"text": None, "tags": ["O"], "n": None},
        {"text": "c", "tags": ["O"], "n": 3},
    ]


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_a_name_that_several_columns_have(kind: str) -> None:
    frame = pandas.concat([pandas.DataFrame(ROWS), pandas.DataFrame({"text": ["x"] * 3, "other": ["y"] * 3})], axis=1)
    data: Any = frame
    if kind == "pyarrow":
        data = pyarrow.table([pyarrow.array(column) for _, column in frame.items()], names=list(frame.columns))
    sources = as_sources(data)
    for some in (sources, pickle.loads(pickle.dumps(sources))):
        with pytest.raises(DataError, match="'text' more than once, so the text could be any of them. Rename all but"):
            read_examples("text-classification", some)
    examples = read_examples("text-classification", sources, columns={"text": "other"}).examples
    assert [example.text for example in examples] == ["y"] * 3  # type: ignore[union-attr]


def test_paths_and_mixtures() -> None:
    assert as_sources("a.csv") == as_sources(Path("a.csv")) == as_sources(["a.csv"]) == ["a.csv"]
    mixed = as_sources([Path("a.csv"), pandas.DataFrame(ROWS)])
    assert mixed[0] == "a.csv"
    assert isinstance(mixed[1], MemorySource)
    config = FinetuneConfig(task="text-classification", model="m", output="o", train_data=Path("a.csv"))  # type: ignore[arg-type]
    assert config.train_data == ["a.csv"]


@pytest.mark.parametrize("data", [3, {"train": ROWS}, object(), b"x"])
def test_other_types_are_refused(data: Any) -> None:
    with pytest.raises(ConfigError, match=r"^train_data: "):
        FinetuneConfig(task="text-classification", model="m", output="o", train_data=data)


def test_data_of_an_earlier_process_is_gone() -> None:
    with pytest.raises(DataError, match=r"memory:rows:3:\w+ was data in memory, which is gone"):
        read_examples("text-classification", [str(MemorySource.of(ROWS))])
