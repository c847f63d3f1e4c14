"""``Index``: what it finds, adds, removes, and how it refuses what it cannot use. No framework is loaded."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from distilbert import Index
from distilbert.core.errors import InputError
from distilbert.embedding import index_graph, vector_index
from distilbert.embedding.index_graph import VectorGraph
from distilbert.embedding.index_records import matching

DIM = 12


def encode(texts: Sequence[str]) -> np.ndarray:
    """Vectors that depend on the text alone, and are similar for texts that share words."""
    vectors = np.zeros((len(texts), DIM), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:4], "big")
            row += np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vectors


TEXTS = ["a red car", "rain in the night", "a blue car", "wind and rain", "bread and butter"]
METADATA = [{"kind": "thing"}, {"kind": "weather"}, {"kind": "thing"}, {"kind": "weather", "year": 2024}, {}]


@pytest.fixture
def index() -> Index:
    return Index.build(TEXTS, encode, metadata=METADATA)


def test_the_nearest_come_first(index: Index) -> None:
    hits = index.search("red car", k=3)
    assert hits[0]["text"] == "a red car"
    assert set(hits[0]) == {"id", "score", "text", "metadata"}
    assert (hits[0]["id"], hits[0]["metadata"]) == (0, {"kind": "thing"})
    unit = encode(TEXTS) / np.linalg.norm(encode(TEXTS), axis=1, keepdims=True)
    query = encode(["red car"])[0] / np.linalg.norm(encode(["red car"]))
    order = np.argsort(-(unit @ query))
    assert [hit["id"] for hit in index.search("red car")] == order.tolist()
    np.testing.assert_allclose([hit["score"] for hit in hits], (unit @ query)[order[:3]], atol=1e-6)


def test_one_query_gives_a_list_and_several_a_list_of_lists(index: Index) -> None:
    one = index.search("rain", k=2)
    assert index.search(["rain", "car"], k=2)[0] == one
    for queries in (
        ("rain", "car"), np.array(["rain", "car"]), pd.Series(["rain", "car"]), pl.Series(["rain", "car"]),
        iter(["rain", "car"]),
    ):  # fmt: skip
        assert index.search(queries, k=2) == index.search(["rain", "car"], k=2)
    frame = pd.DataFrame({"query": ["rain", "car"]})
    assert index.search(frame, k=2, column="query") == index.search(["rain", "car"], k=2)
    for nothing in ([], (), np.array([]), np.empty((0, DIM)), iter([])):
        assert index.search(nothing, k=2) == []
    vector = encode(["rain"])[0]
    assert index.search(vector, k=2) == index.search(vector.tolist(), k=2) == one
    assert index.search(vector[None], k=2) == index.search([vector], k=2) == index.search((vector,), k=2) == [one]
    assert index.search(pd.Series([vector]), k=2) == index.search([vector.tolist()], k=2) == [one]
    with pytest.raises(InputError, match="The input is a DataFrame with the columns 'query': pass column="):
        index.search(frame)


def test_tensors(index: Index) -> None:
    torch = pytest.importorskip("torch")
    vector = torch.from_numpy(encode(["rain"])[0])
    one = index.search("rain", k=2)
    assert index.search(vector, k=2) == one
    assert index.search(vector[None], k=2) == index.search([vector], k=2) == [one]
    halves = index.search(vector[None].bfloat16(), k=2)[0]
    assert [hit["score"] for hit in halves] == pytest.approx([hit["score"] for hit in one], abs=0.01)
    assert [hit["id"] for hit in index.search("rain", where={"year": torch.tensor([2024])})] == [3]


def test_metadata_filter(index: Index) -> None:
    def ids(**options: Any) -> set[Any]:
        return {hit["id"] for hit in index.search("rain", **options)}

    assert ids(where={"kind": "thing"}) == {0, 2}
    assert ids(where={"kind": ["thing", "weather"], "year": 2024}) == {3}
    assert ids(where=lambda metadata: metadata.get("year", 0) > 2000) == {3}
    assert ids(where={}) == {0, 1, 2, 3, 4}
    assert ids(where={"kind": "none"}) == set()
    index.remove(3)
    assert ids(where={"kind": "weather"}) == {1}
    index.add(["snow"], metadata=[{"kind": "weather"}])
    assert ids(where={"kind": "weather"}) == {1, 5}, "what was remembered of the metadata is forgotten"
    for values in (
        range(2023, 2026), frozenset([2024]), {2024: 0}.keys(), np.array([2024, 2]), pd.Series([2024]), iter([2024]),
        np.int16(2024), 2024.0,
    ):  # fmt: skip
        index.add(["hail"], ids=["x"], metadata=[{"year": 2024, "day": date(2024, 1, 1), "tags": ["a"]}])
        assert ids(where={"year": values}) == {"x"}
        index.remove("x")
    index.add(["hail"], ids=["x"], metadata=[{"day": date(2024, 1, 1), "hour": None, "tags": ["a"], "size": {"x": 1}}])
    assert ids(where={"day": date(2024, 1, 1)}) == ids(where={"day": [np.datetime64("2024-01-01")]}) == {"x"}
    assert ids(where={"hour": None}) == ids(where={"hour": [float("nan")]}) == {"x"}
    assert ids(where={"tags": [("a",)], "size": {"x": 1}}) == {"x"}
    assert ids(where={"tags": "a"}) == ids(where={"day": []}) == set()
    with pytest.raises(InputError, match=r"where\['day'\] cannot be written as JSON: b'a' is a bytes"):
        ids(where={"day": b"a"})
    with pytest.raises(InputError, match=r"No entry has metadata called 'kid'. Did you mean 'kind'\? There are: kind"):
        ids(where={"kid": 1})
    with pytest.raises(InputError, match="where must be a dict of values by name, or a function"):
        ids(where="kind")


def test_few_answers_to_where_are_remembered(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[object] = []
    monkeypatch.setattr(
        vector_index, "matching", lambda metadata, choices: answered.append(choices) or matching(metadata, choices)
    )
    for year in [2000, *range(2000, 2000 + vector_index.MOST_MASKS), 2000, 3000, 2000, 2001]:
        index.search("rain", where={"year": year})
    assert len(index._masks) == vector_index.MOST_MASKS
    assert [choices["year"][0] for choices in answered] == [*range(2000, 2000 + vector_index.MOST_MASKS), 3000, 2001]
    long = [np.arange(2000), np.arange(2000)]
    long[1][1000] = -1  # which its repr does not show
    index.add(["hail"], ids=["x"], metadata=[{"year": 1000}])
    assert [len(index.search("hail", where={"year": values})) for values in long] == [1, 0]


def test_what_is_given_out_can_be_changed(index: Index) -> None:
    index.add(["hail"], ids=["x"], metadata=[{"tags": ["a"]}])
    expected = {"id": "x", "text": "hail", "metadata": {"tags": ["a"]}}
    for record in (index["x"], index.search("hail", k=1)[0], list(index)[-1]):
        record["metadata"]["tags"].append("b")
        record["metadata"]["rank"] = 1
        assert index["x"] == expected


def test_an_index_can_be_pickled(index: Index) -> None:
    copy = pickle.loads(pickle.dumps(index))
    assert copy.search("rain", k=2, where={"kind": "thing"}) == index.search("rain", k=2, where={"kind": "thing"})


def test_add_and_remove(index: Index) -> None:
    assert index.add(["a green car", "snow"], metadata=[None, {"n": np.int64(3)}]) == [5, 6]
    assert index[6] == {"id": 6, "text": "snow", "metadata": {"n": 3}}
    assert len(index) == 7
    assert index.search("a green car", k=1)[0]["id"] == 5
    index.remove([5, 0])
    assert (len(index), 5 in index, 1 in index) == (5, False, True)
    assert not {hit["id"] for hit in index.search("green car", k=10)} & {0, 5}
    assert [record["id"] for record in index] == [1, 2, 3, 4, 6]
    np.testing.assert_allclose(
        np.concatenate(list(index.vectors()))[-1], encode(["snow"])[0] / np.linalg.norm(encode(["snow"])), atol=1e-6
    )
    assert index.add(["again"]) == [7], "a number is never used twice"
    index.add(["named"], ids=["x"])
    assert index["x"]["text"] == "named"
    index.add(["far"], ids=[100])
    assert index.add(["next"]) == [101]
    index.add(["back"], ids=[0])  # it was removed
    assert index[0]["text"] == "back"


def test_tables_and_columns() -> None:
    frame = pd.DataFrame({"body": TEXTS, "key": list("abcde"), "year": [1, 2, 3, 4, 5]})
    for table in (frame, pl.from_pandas(frame), frame.to_dict("list"), frame.to_dict("records")):
        index = Index.build(table, encode, column="body", ids="key", metadata=["year"])
        assert index["c"] == {"id": "c", "text": "a blue car", "metadata": {"year": 3}}
    index = Index.build(frame["body"], encode, ids=frame["year"], metadata=frame[["key"]])
    assert index[3] == {"id": 3, "text": "a blue car", "metadata": {"key": "c"}}
    rows = frame[["key"]].to_dict("records")
    for metadata in (pl.DataFrame(rows), pa.Table.from_pylist(rows), pd.Series(rows), pl.Series(rows)):
        assert list(Index.build(TEXTS, encode, ids=frame["year"], metadata=metadata)) == list(index)


def test_bare_vectors_and_products() -> None:
    vectors = np.array([[1, 0], [0, 3], [2, 2]], dtype=np.float64)
    index = Index.from_vectors(vectors, metric="dot")
    assert [(hit["id"], hit["score"], hit["text"]) for hit in index.search([0.0, 2.0], k=2)] == [
        (1, 6.0, None),
        (2, 4.0, None),
    ]
    assert Index.from_vectors(vectors).search([0.0, 2.0], k=1)[0]["score"] == 1.0
    with pytest.raises(InputError, match="does not know its encoder: pass vectors, or use Index.load"):
        index.search("text")
    index.add(vectors=[[9, 9]])
    assert index.search([1, 1], k=1)[0]["id"] == 3
    known = Index.from_vectors(encode(TEXTS), texts=TEXTS, encoder=encode)
    assert known.search("a red car", k=1)[0]["text"] == "a red car"


def test_an_empty_index() -> None:
    index = Index(DIM, encode)
    assert (len(index), index.search("a"), list(index), index.add([])) == (0, [], [], [])
    index.add(["one"])
    index.remove([0])
    assert index.search("one") == []


def test_a_graph_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((600, DIM)).astype(np.float32)
    exact, graph = Index.from_vectors(vectors), Index.from_vectors(vectors, method="hnsw")
    for index in (exact, graph):
        index.add(vectors=vectors[:100] + 1)
        index.remove(range(20, 60))
    queries = generator.standard_normal((50, DIM)).astype(np.float32)
    found, expected = graph.search(queries, k=5), exact.search(queries, k=5)
    shared = sum(len({hit["id"] for hit in a} & {hit["id"] for hit in b}) for a, b in zip(found, expected, strict=True))
    assert shared >= 245
    assert all(len(hits) == 5 for hits in found)
    assert [hit["score"] for hit in found[0]] == [hit["score"] for hit in expected[0]]
    assert graph.search(queries[0], k=5) == graph.search(queries[:1], k=5)[0]
    assert {hit["id"] for hit in graph.search(queries[0], k=3, where=lambda _: False)} == set()


@pytest.mark.parametrize("count", [2_500, 20_000])
def test_a_graph_finds_entries_behind_removed_ones(count: int) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((count, 4)).astype(np.float32)
    queries = np.stack([vectors[0], -vectors[0]])
    exact, graph = Index.from_vectors(vectors), Index.from_vectors(vectors, method="hnsw")
    nearest_first = [hit["id"] for hit in exact.search(queries[0], k=500)]
    for index in (exact, graph):
        index.remove(nearest_first)
    expected = exact.search(queries, k=10)
    found = graph.search(queries, k=10)
    assert [len(hits) for hits in found] == [10, 10]
    for hits, right in zip(found, expected, strict=True):
        assert len({hit["id"] for hit in hits} & {hit["id"] for hit in right}) >= 9
    assert [graph.search(query, k=10) for query in queries] == found


def test_a_graph_that_names_too_few_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((1000, DIM)).astype(np.float32)
    index = Index.from_vectors(vectors, method="hnsw")
    expected = Index.from_vectors(vectors).search(vectors[:3], k=5)
    monkeypatch.setattr(VectorGraph, "_nearest", lambda self, queries, count: [np.arange(2)] * len(queries))
    assert index.search(vectors[:3], k=5) == expected, "then all vectors are compared"


def test_a_graph_is_asked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((1000, DIM)).astype(np.float32)
    index = Index.from_vectors(vectors, method="hnsw")
    expected = index.search(vectors[:7], k=5)
    monkeypatch.setattr(index_graph, "BLOCK_PLACES", 60)
    assert index.search(vectors[:7], k=5) == expected


def test_the_graph_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "usearch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ImportError, match=r"pip install 'distilbert\[search\]'"):
        Index(DIM, encode, method="hnsw")


BAD_ADDITIONS: list[tuple[dict[str, Any], str]] = [
    ({"texts": "one text"}, "texts is one text: give a list"),
    ({"texts": ["a", ""]}, r"texts\[1\] is an empty text"),
    ({"texts": ["a", None]}, r"texts\[1\] must be a str, got None"),
    ({}, "There is nothing to add: give texts, or vectors"),
    ({"texts": ["a"], "ids": [0]}, "The id 0 is in the index already; remove it first"),
    ({"texts": ["a", "b"], "ids": [9, 9]}, "The id 9 is there twice"),
    ({"texts": ["a"], "ids": [1.5]}, r"ids\[0\] must be a text or a whole number of 64 bits, got 1.5"),
    ({"texts": ["a"], "ids": [True]}, r"ids\[0\] must be a text or a whole number"),
    ({"texts": ["a"], "ids": [2**63]}, r"ids\[0\] must be a text or a whole number of 64 bits"),
    ({"texts": ["a"], "ids": [2**63 - 1]}, "leaves no larger number for the next entry"),
    ({"texts": ["a"], "ids": [7, 8]}, "There are 1 vectors and 2 ids: one for each is needed"),
    ({"texts": ["a", "b"], "metadata": [{}]}, "There are 2 vectors and 1 metadata"),
    ({"texts": ["a"], "metadata": [3]}, r"metadata\[0\] must be a dict with names as keys, got 3"),
    ({"texts": ["a"], "metadata": {"a": 1}}, "metadata must be a list with a dict for each entry, got a dict"),
    ({"texts": ["a"], "metadata": [{"a": [float("nan")]}]}, r"metadata\[0\] cannot be written as JSON"),
    (
        {"texts": ["a"], "metadata": [{"a": object()}]},
        r"metadata\[0\] cannot be .* JSON: <object.* is a object",
    ),
    ({"vectors": np.zeros((1, DIM))}, r"vectors\[0\] is all zeros, so its similarity to others has no value"),
    ({"vectors": np.full((1, DIM), np.nan)}, r"vectors\[0\] holds a number that is not finite"),
    ({"vectors": np.full((1, DIM), 1e300)}, r"vectors\[0\] holds a number that is not finite"),
    ({"vectors": np.ones((2, 3))}, r"vectors must be numbers of shape \(N, 12\), got float64 of shape \(2, 3\)"),
    ({"vectors": np.ones(DIM)}, r"got float64 of shape \(12,\)"),
    ({"vectors": [["a"] * DIM]}, "vectors must be numbers"),
    ({"vectors": [[1.0], [1.0, 2.0]]}, "vectors must be numbers, the same number of them in each"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ADDITIONS, ids=[message[:40] for _, message in BAD_ADDITIONS])
def test_what_cannot_be_added_is_named(index: Index, arguments: dict[str, Any], message: str) -> None:
    before = list(index)
    with pytest.raises(InputError, match=message):
        index.add(**arguments)
    assert list(index) == before
    assert index.add(["still works"]) == [5]


def test_other_bad_arguments(index: Index) -> None:
    with pytest.raises(InputError, match="There is no entry of the id 77"):
        index.remove([0, 77])
    assert 0 in index, "nothing is removed"
    with pytest.raises(InputError, match="There is no entry of the id '0'. There is one of 0"):
        index["0"]
    with pytest.raises(
        InputError, match=r"The query is an empty text: leave it out, or give at least one character\.$"
    ):
        index.search("")
    with pytest.raises(InputError, match=r"queries\[1\] is an empty text: leave it out, or give"):
        index.search(["a", ""])
    with pytest.raises(InputError, match="k must be"):
        index.search("a", k=0)
    with pytest.raises(InputError, match=r"shape \(N, 12\), got .* of shape \(1, 2\)"):
        index.search([1.0, 2.0])
    with pytest.raises(InputError, match="method must be"):
        Index(4, method="fast")
    with pytest.raises(InputError, match="metric must be"):
        Index(4, metric="l2")
    with pytest.raises(InputError, match="encoder must be the folder or name of a model, an object with encode"):
        Index.build(["a"], 3)
    with pytest.raises(InputError, match=r"must return an array with a row of numbers .* got .*\(3,\)"):
        Index.build(["a"], lambda texts: np.ones(3))
    with pytest.raises(InputError, match="is too long: products of float32 would overflow"):
        Index.from_vectors(np.full((1, 2), 1e30), metric="dot")


def test_a_damaged_query_does_not_pass(index: Index) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match=r"queries\[0\] holds a number that is not finite"):
            index.search(np.full(DIM, value))
    with pytest.raises(InputError, match=r"queries\[0\] is all zeros"):
        index.search(np.zeros(DIM))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, numpy as np\nfrom distilbert import Index\n"
        "index = Index.from_vectors(np.eye(3), texts=['a', 'b', 'c'])\n"
        "assert index.search([0, 1, 0], k=1)[0]['text'] == 'b'\n"
        "print(*{'torch', 'usearch', 'pandas', 'polars', 'pyarrow', 'sklearn'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
