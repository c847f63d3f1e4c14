"""How close the engine comes to this machine's rate of matrix products, by precision and batch, in turn.

    python -m benchmarks.roofline [--rounds 5] [--threads 2] [--tokens 256 512 1024 2048 4096] [--lengths 25 256]

The rate is that of the model's own products and nothing else: oneDNN's kernels on prepacked weights, the weights of all
layers one after the other, as many rows as the batch has tokens, results in newly allocated memory as in the engine.
In int8, the activations are uint8, and the result is bf16 where the CPU has it. Then the engine runs a classifier of
DistilBERT-base's size on the same number of tokens. Its share of the rate is given twice: counting all products of the
encoder (24 dim^2 for each token and layer; attention's own products are listed apart), and counting only what the head
needs, which is the first token of each sequence in the last layer.

Legend: T tokens, K input features, M output features.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilbert import DistilBertConfig, DistilBertForSequenceClassification, EngineRunner
from distilbert.core.runner_protocol import Batch, Runner
from distilbert.engine.quantization import calibrate

from . import common
from .contestant_files import LIBRARIES

PRECISIONS = ("fp32", "bf16", "int8")
Product = Callable[[torch.Tensor], torch.Tensor]


def shapes(config: DistilBertConfig) -> list[tuple[int, int]]:
    """Return (K, M) of a layer's products."""
    dim, inner = config.dim, config.hidden_dim
    return [(dim, 3 * dim), (dim, dim), (dim, inner), (inner, dim)]


def make_product(inputs: int, outputs: int, precision: str) -> Product:
    """Return a product of (T, K) with a random weight, which is prepacked here."""
    generator = torch.Generator().manual_seed(inputs + outputs)
    weight, bias = torch.randn(outputs, inputs, generator=generator) / 50, torch.zeros(outputs)
    if precision != "int8":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        packed, bias = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), 1024), bias.to(dtype)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    scales = weight.abs().amax(dim=1) / 127
    rounded = (weight / scales[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(rounded, [1024, inputs])
    zero_points = torch.zeros(outputs, dtype=torch.int64)
    result = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    return lambda x: torch.ops.onednn.qlinear_pointwise(
        x, 0.02, 128, packed, scales, zero_points, bias, 1.0, 0, result, "none", [], ""
    )


def make_input(rows: int, inputs: int, precision: str) -> torch.Tensor:
    """Return (T, K); uint8 for int8, since there are no kernels for int8 activations."""
    if precision == "int8":
        return torch.randint(0, 256, (rows, inputs), dtype=torch.uint8)
    return torch.randn(rows, inputs).to({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])


class Products:
    """All matrix products of a model's layers, by shape (K, M)."""

    def __init__(self, config: DistilBertConfig, precision: str) -> None:
        self.precision, self.layers = precision, config.n_layers
        self.weights = {
            shape: [make_product(*shape, precision) for _ in range(self.layers)] for shape in shapes(config)
        }

    def seconds(self, rows: int) -> dict[tuple[int, int], float]:
        """Run each product once on ``rows`` tokens, and return the seconds of each shape."""
        taken = {}
        for (inputs, outputs), products in self.weights.items():
            x = make_input(rows, inputs, self.precision)
            start = time.perf_counter()
            for product in products:
                product(x)
            taken[inputs, outputs] = time.perf_counter() - start
        return taken


def batch_of(config: DistilBertConfig, tokens: int, length: int) -> Batch:
    """Return random sequences of ``length`` tokens, a fifth more or less each, and ``tokens`` tokens in total."""
    generator, lengths = np.random.default_rng(tokens + length), list[int]()
    while (left := tokens - sum(lengths)) > 0:
        random_length = int(generator.integers(int(0.8 * length), int(1.2 * length) + 1))
        lengths.append(left if left < 1.5 * length else min(random_length, left))
    return Batch.of([generator.integers(1000, config.vocab_size, size).tolist() for size in lengths])


def operations(config: DistilBertConfig, batch: Batch) -> dict[str, float]:
    """Count the operations of a batch; a multiplication and its addition are two.

    Returns:
        ``products``: linear layers of all blocks. ``needed``: the part of these that the head needs. ``attention``:
        queries times keys and probabilities times values, in all blocks. ``attention_needed``: the part of these that
        the head needs.
    """
    tokens, sequences = len(batch.input_ids), len(batch.lengths)
    layer = 2.0 * sum(inputs * outputs for inputs, outputs in shapes(config))
    all_queries = 4.0 * config.dim * float((batch.lengths**2).sum())
    one_query = 4.0 * config.dim * tokens  # of each sequence, the first token attends to all tokens
    full_layers = config.n_layers - 1
    return {
        "products": config.n_layers * layer * tokens,
        "needed": layer * (full_layers * tokens + sequences),
        "attention": config.n_layers * all_queries,
        "attention_needed": full_layers * all_queries + one_query,
    }


def start_engine(model: DistilBertForSequenceClassification, precision: str, threads: int) -> Runner | str:
    """Return the engine, or the reason why it does not run in this precision."""
    quantization = None
    if precision == "int8":
        samples = [batch_of(model.config, 1024, length) for length in (25, 256)]
        quantization = calibrate(model, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = EngineRunner(model, precision=precision, threads=threads, quantization=quantization)
    if runner.precision != precision:
        return f"the engine runs in {runner.precision} on this CPU"
    return runner


def measure(precision: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one precision: the rate of matrix products, and the engine's share of it."""
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(DistilBertConfig(num_labels=2)).eval()
    config, runner = model.config, start_engine(model, precision, arguments.threads)
    if isinstance(runner, str):
        return {"left_out": runner}
    torch.set_num_threads(arguments.threads)
    products = Products(config, precision)
    batches = {
        (length, tokens): batch_of(config, tokens, length)
        for tokens in arguments.tokens
        for length in arguments.lengths
    }
    product_seconds: dict[int, list[dict[tuple[int, int], float]]] = {tokens: [] for tokens in arguments.tokens}
    engine_seconds: dict[tuple[int, int], list[float]] = {key: [] for key in batches}
    for number in range(arguments.rounds + 1):  # round 0 allocates memory and chooses kernels; it does not count
        print(f"  {precision}, round {number} of {arguments.rounds}", file=sys.stderr, flush=True)
        for tokens in arguments.tokens:
            product_seconds[tokens].append(products.seconds(tokens))
            for length in arguments.lengths:
                start = time.perf_counter()
                runner(batches[length, tokens])
                engine_seconds[length, tokens].append(time.perf_counter() - start)
    rates = {tokens: _rates(config, tokens, rounds[1:]) for tokens, rounds in product_seconds.items()}
    return {
        "rate_gflops": rates,
        "engine": {
            f"sequences of {length}": {
                tokens: _shares(
                    operations(config, batches[length, tokens]), engine_seconds[length, tokens][1:], rates[tokens]
                )
                for tokens in arguments.tokens
            }
            for length in arguments.lengths
        },
    }


def _rates(config: DistilBertConfig, tokens: int, rounds: list[dict[tuple[int, int], float]]) -> dict[str, Any]:
    """Return rates in GFLOP/s: best and median of all products together, and the best of each shape."""
    operations_of_shape = {
        shape: 2.0 * shape[0] * shape[1] * tokens * config.n_layers / 1e9 for shape in shapes(config)
    }
    total = sum(operations_of_shape.values())
    all_products = common.best_and_median([sum(seconds.values()) for seconds in rounds])
    return {kind: round(total / seconds, 1) for kind, seconds in all_products.items()} | {
        f"{inputs}->{outputs}": round(count / min(seconds[inputs, outputs] for seconds in rounds), 1)
        for (inputs, outputs), count in operations_of_shape.items()
    }


def _shares(counts: dict[str, float], seconds: list[float], rate: dict[str, float]) -> dict[str, Any]:
    """Return the engine's share of the rate: best against best, median against median."""
    times = common.best_and_median(seconds)
    return {
        "ms": {kind: round(1000 * value, 2) for kind, value in times.items()},
        "share": {kind: round(counts["products"] / times[kind] / 1e9 / rate[kind], 3) for kind in times},
        "share_of_needed": {kind: round(counts["needed"] / times[kind] / 1e9 / rate[kind], 3) for kind in times},
        "gflop": {name: round(value / 1e9, 2) for name, value in counts.items()},
    }


def table(results: dict[str, Any]) -> str:
    """Return the shares as a Markdown table."""
    lines = [
        "| precision | tokens | rate, GFLOP/s | lengths | engine, ms | share of the rate | of what the head needs |",
        "|---|---|---|---|---|---|---|",
    ]
    for precision, result in results.items():
        for lengths, by_tokens in result.get("engine", {}).items():
            for tokens, engine in by_tokens.items():
                rate = result["rate_gflops"][tokens]
                cells = [f"{rate['best']:.0f} / {rate['median']:.0f}", lengths.removeprefix("sequences of ")]
                cells.append(f"{engine['ms']['best']} / {engine['ms']['median']}")
                cells += [f"{engine[k]['best']:.0%} / {engine[k]['median']:.0%}" for k in ("share", "share_of_needed")]
                lines.append(f"| {precision} | {tokens} | {' | '.join(cells)} |")
        if "left_out" in result:
            lines.append(f"| {precision} | left out: {result['left_out']} | | | | | |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--lengths", type=int, nargs="+", default=[25, 256], help="of sequences, in tokens")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the result file")
    arguments = parser.parse_args()
    load = common.load_average()
    results = {}
    with torch.inference_mode():
        for precision in arguments.precisions:
            try:
                results[precision] = measure(precision, arguments)
            except Exception as error:  # a precision without kernels on this CPU is left out, the others are measured
                results[precision] = {"left_out": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(table(results) + "\n")
    conditions = {"threads": arguments.threads, "rounds": arguments.rounds, "load_before": load}
    common.write_result("roofline", conditions | results, arguments.output, LIBRARIES)


if __name__ == "__main__":
    main()
