"""Search among 100,000 sentences: time beside the query's own embedding, and exactness; the graph as the alternative.

    python -m benchmarks.search --model models/minilm --folder build/search [--graph] [--random]

The sentences are of SST-2, CLINC-150, CoLA, STS-B, MRPC and RTE. Their index is built in the folder, or taken from it.
With ``--random`` the vectors are drawn at random, which saves minutes: an exact search takes the same time. Queries are
sentences of SST-2 dev. Exact is what NumPy gives in float64 over all vectors.
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
    parser.add_argument("--graph", action="store_true", help="measure method='hnsw' as well")
    parser.add_argument("--random", action="store_true", help="vectors drawn at random")
    options = parser.parse_args()
    exact_folder = options.folder / ("random" if options.random else "exact")
    if not exact_folder.exists():
        index = Index.for_encoder(options.model)
        vectors = None
        if options.random:
            vectors = np.random.default_rng(0).standard_normal((COUNT, index.dim), dtype=np.float32)
        index.add(sentences(COUNT), vectors=vectors)
        index.save(exact_folder)
    index = Index.load(exact_folder)
    encoder = index.encoder()
    vectors = np.concatenate(list(index.vectors()))
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
    exact = vectors.astype(np.float64) @ stacked.astype(np.float64).T  # (N, Q)
    order = np.argsort(-exact, axis=0, kind="stable")[:K].T  # (Q, K)
    ids = np.array([[hit["id"] for hit in hits] for hits in found])
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
            "vectors": "drawn at random" if options.random else "of sentences",
            "graph": graph_figures(vectors, embedded, order) if options.graph else None,
        },
    )


def graph_figures(vectors: np.ndarray, queries: list[np.ndarray], order: np.ndarray) -> dict[str, Any]:
    """Return what the graph costs, and how many of the nearest it finds: ``order`` are the nearest, (Q, K)."""
    start = time.perf_counter()
    graph = Index.from_vectors(vectors, method="hnsw")
    seconds = time.perf_counter() - start
    hit_ids = np.array([[hit["id"] for hit in hits] for hits in graph.search(np.stack(queries), K)])  # (Q, K)
    shares = [np.isin(few, row).mean() for few, row in zip(hit_ids, order, strict=True)]
    return {
        "seconds_to_build": round(seconds, 1),
        "ms_of_a_search_by_vector": milliseconds(lambda vector: graph.search(vector, K), queries),
        "share_of_the_nearest_that_it_finds": round(float(np.mean(shares)), 4),
    }


if __name__ == "__main__":
    main()
