"""Search among 100,000 sentences: time beside the query's own embedding, exactness, and the graph as the alternative.

    python -m benchmarks.search --model models/minilm --folder build/search

The sentences are of SST-2, CLINC-150, CoLA, STS-B, MRPC and RTE. Their index is built in the folder, or taken from it.
Queries are sentences of SST-2 dev. Exact is what NumPy gives in float64 over all vectors.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import Index

from .common import data_folder, sst2_dev, write_result

COUNT, QUERIES, K = 100_000, 200, 10
DATA_SETS = ("sst2", "clinc150", "cola", "stsb", "mrpc", "rte")


def sentences(count: int) -> list[str]:
    """Return so many different sentences, the longest text of each row."""
    texts: dict[str, None] = {}
    for data_set in DATA_SETS:
        with (data_folder() / data_set / "train.tsv").open(encoding="utf-8") as file:
            for line in islice(file, 1, None):
                for text in sorted(line.rstrip("\n").split("\t"), key=len)[-2:]:
                    if len(text) > 8:
                        texts[text] = None
    assert len(texts) >= count, len(texts)
    return list(texts)[:count]


def milliseconds(call: Callable[[Any], Any], items: list[Any]) -> dict[str, float]:
    """Return what a call takes for each item: median, and the value that 99 of 100 stay under."""
    call(items[0])
    times = []
    for item in items:
        start = time.perf_counter()
        call(item)
        times.append(1e3 * (time.perf_counter() - start))
    return {"median": round(float(np.median(times)), 2), "p99": round(float(np.percentile(times, 99)), 2)}


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--folder", type=Path, default=Path("build/search"))
    options = parser.parse_args()
    exact_folder, graph_folder = options.folder / "exact", options.folder / "graph"
    if not exact_folder.exists():
        Index.build(sentences(COUNT), options.model).save(exact_folder)
    index = Index.load(exact_folder)
    encoder = index.encoder()
    vectors = np.concatenate(list(index.vectors()))
    build: dict[str, float] = {}
    if not graph_folder.exists():
        start = time.perf_counter()
        Index.from_vectors(vectors, method="hnsw").save(graph_folder)
        build["seconds"] = round(time.perf_counter() - start, 1)
        build["megabytes"] = round(sum(path.stat().st_size for path in graph_folder.glob("*.usearch")) / 1e6)
    queries = sst2_dev()[:QUERIES]
    embedded = list(encoder(queries))
    start = time.perf_counter()
    loaded = Index.load(exact_folder)
    load = 1e3 * (time.perf_counter() - start)
    start = time.perf_counter()
    loaded.search(embedded[0], K)
    first = 1e3 * (time.perf_counter() - start)
    stacked = np.stack(embedded)  # (Q, D)
    found = index.search(stacked, K)
    graph = Index.load(graph_folder)
    approximate = graph.search(stacked, K)
    exact = vectors.astype(np.float64) @ stacked.astype(np.float64).T  # (N, Q)
    order = np.argsort(-exact, axis=0, kind="stable")[:K].T  # (Q, K)
    ids = np.array([[hit["id"] for hit in hits] for hits in found])
    recall = np.mean(
        [np.isin([hit["id"] for hit in hits], row).mean() for hits, row in zip(approximate, order, strict=True)]
    )
    write_result(
        "search",
        {
            "entries": len(index),
            "numbers_of_a_vector": index.dim,
            "k": K,
            "queries": QUERIES,
            "cores": os.cpu_count(),
            "ms_to_load_the_index": round(load, 2),
            "ms_of_the_first_search_after_loading": round(first, 2),
            "ms_to_embed_a_query": milliseconds(lambda text: encoder([text]), queries),
            "ms_of_a_search_by_text": milliseconds(lambda text: index.search(text, K), queries),
            "ms_of_a_search_by_vector": milliseconds(lambda vector: index.search(vector, K), embedded),
            "ms_of_64_searches_by_vector": milliseconds(
                lambda few: index.search(few, K), [np.stack(embedded[:64])] * 5
            ),
            "queries_whose_result_differs_from_float64": int((ids != order).any(axis=1).sum()),
            "graph": {
                "build": build,
                "ms_of_a_search_by_vector": milliseconds(lambda vector: graph.search(vector, K), embedded),
                "share_of_the_nearest_that_it_finds": round(float(recall), 4),
            },
        },
    )


if __name__ == "__main__":
    main()
