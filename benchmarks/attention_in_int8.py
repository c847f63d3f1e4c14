"""Whether the scores of attention would be faster in int8 on this CPU, and what a block could gain by it.

    python -m benchmarks.attention_in_int8 [--rounds 7] [--threads 2]

The engine's own products of the scores' shape run in turn: queries (L, 64) by keys (L, 64) of one head, in fp32, in
int8 from numbers that are uint8 already, and in int8 from floats that are quantized first, queries and keys. Beside
them runs the attention of a sequence of L tokens with all heads, and the matrix products of a block, in fp32. Half of
attention's multiplications are those of the scores, so a block can gain at most what half of attention takes, less what
int8 takes in its place.

Legend: L tokens of the sequence.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import FP32, SequenceOffsets
from distilbert.engine.precision import pick_threads
from distilbert.engine.products import ActivationRange, float_map, int8_map, quantize_weight

from . import common

LENGTHS = (32, 128, 512)
HEADS, HEAD_DIM, WIDE = 12, 64, 3072  # of DistilBERT
REPEATS = 40  # of a product in a measurement


def repeat(run: Callable[[], Any]) -> None:
    """Run something several times; no result is kept, so that each takes the memory of the one before."""
    for _ in range(REPEATS):
        run()


def measure(length: int, rounds: int, threads: int) -> dict[str, float]:
    """Return milliseconds, medians of the rounds, for a sequence of so many tokens."""
    operations = load_operations(threads)
    generator, dim = np.random.default_rng(length), HEADS * HEAD_DIM
    floats = generator.standard_normal((length, HEAD_DIM), dtype=np.float32)
    values = ActivationRange(np.ones(HEAD_DIM, np.float32), -4.0, 4.0)
    scores = float_map(floats, np.zeros(length, np.float32), FP32, operations)
    scores8 = int8_map(floats, np.zeros(length, np.float32), values, FP32, operations)
    quantizer = values.quantizer()
    bytes8 = quantizer(floats)
    weights = [(dim, 3 * dim), (dim, dim), (dim, WIDE), (WIDE, dim)]
    products = [
        float_map(generator.standard_normal((m, k), dtype=np.float32), np.zeros(m, np.float32), FP32, operations)
        for k, m in weights
    ]
    inputs = [generator.standard_normal((length, k), dtype=np.float32) for k, _ in weights]
    qkv = generator.standard_normal((length, 3 * dim), dtype=np.float32)
    offsets = np.array([0, length])
    columns = [qkv[:, start : start + dim] for start in (0, dim, 2 * dim)]

    def quantized() -> None:
        quantizer(floats)
        quantize_weight(floats)
        scores8(bytes8)

    competitors = {
        "scores of a head in fp32": lambda: scores(floats),
        "scores of a head in int8": lambda: scores8(bytes8),
        "scores of a head in int8, quantized first": quantized,
        "attention": lambda: operations.attend(
            *columns, SequenceOffsets(offsets, offsets), HEADS, HEAD_DIM**-0.5, None
        ),
        "products of a block": lambda: [product(x) for product, x in zip(products, inputs, strict=True)],
    }
    taken = common.in_turn({name: partial(repeat, run) for name, run in competitors.items()}, rounds)
    return {name: round(1000 * statistics.median(seconds) / REPEATS, 4) for name, seconds in taken.items()}


def main() -> None:
    """Measure all lengths, print them and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    threads = pick_threads(options.threads)
    figures = {length: measure(length, options.rounds, threads) for length in LENGTHS}
    for length, milliseconds in figures.items():
        print(length, milliseconds)
    common.write_result(
        "attention_in_int8",
        {"kernels": load_operations(threads).name, "threads": threads, "milliseconds_by_length": figures},
    )


if __name__ == "__main__":
    main()
