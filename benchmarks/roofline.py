"""What the engine reaches of this machine's rate of prepacked matrix products, by precision and batch, in turn.

    python -m benchmarks.roofline [--rounds 5] [--threads 2] [--tokens 256 512 1024 2048 4096] [--lengths 25 256]

The rate is that of the model's own products and nothing else: oneDNN's kernels on weights laid out for it, all layers'
weights one after the other, as many rows as the batch has tokens, results allocated anew as in the engine. int8 takes
uint8 activations and returns bf16 where the CPU has it. The engine then runs a classifier of DistilBERT-base's size on
as many tokens. Operations are counted twice: as the encoder's full products (24 dim^2 for each token and layer,
attention's own products apart), and as what the head reads: in the last layer, the first token of each sequence alone.

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

from distilbert import DistilBertConfig, DistilBertForSequenceClassification
from distilbert.core.runner_protocol import Batch, Runner

from . import common, peer_report
from .contestants import engine_module, is_installed

PRECISIONS = ("fp32", "bf16", "int8")
Product = Callable[[torch.Tensor], torch.Tensor]


def shapes(config: DistilBertConfig) -> list[tuple[int, int]]:
    """Return (K, M) of a layer's products."""
    dim, inner = config.dim, config.hidden_dim
    return [(dim, 3 * dim), (dim, dim), (dim, inner), (inner, dim)]


def make_product(inputs: int, outputs: int, precision: str) -> Product:
    """Return a product with a random weight, laid out once."""
    generator = torch.Generator().manual_seed(inputs + outputs)
    weight, bias = torch.randn(outputs, inputs, generator=generator) / 50, torch.zeros(outputs)
    if precision != "int8":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        packed, bias = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), 1024), bias.to(dtype)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    steps = weight.abs().amax(dim=1) / 127
    numbers = (weight / steps[:, None]).round().to(torch.int8)
    packed, zeros = torch.ops.onednn.qlinear_prepack(numbers, [1024, inputs]), torch.zeros(outputs, dtype=torch.int64)
    result = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    return lambda x: torch.ops.onednn.qlinear_pointwise(
        x, 0.02, 128, packed, steps, zeros, bias, 1.0, 0, result, "none", [], ""
    )


def make_input(rows: int, inputs: int, precision: str) -> torch.Tensor:
    """Return (T, K); uint8 for int8, since kernels for int8 activations are none at all."""
    if precision == "int8":
        return torch.randint(0, 256, (rows, inputs), dtype=torch.uint8)
    return torch.randn(rows, inputs).to({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])


class Products:
    """All matrix products of a model, by shape."""

    def __init__(self, config: DistilBertConfig, precision: str) -> None:
        self.precision, self.layers = precision, config.n_layers
        self.weights = {
            shape: [make_product(*shape, precision) for _ in range(self.layers)] for shape in shapes(config)
        }

    def seconds(self, rows: int) -> dict[tuple[int, int], float]:
        """Run all once and return the seconds of each shape."""
        taken = {}
        for (inputs, outputs), products in self.weights.items():
            x = make_input(rows, inputs, self.precision)
            start = time.perf_counter()
            for product in products:
                product(x)
            taken[inputs, outputs] = time.perf_counter() - start
        return taken


def batch_of(config: DistilBertConfig, tokens: int, length: int) -> Batch:
    """Return random sequences of about ``length`` tokens (a fifth more or less), ``tokens`` together."""
    draw, lengths = np.random.default_rng(tokens + length), list[int]()
    while (left := tokens - sum(lengths)) > 0:
        drawn = int(draw.integers(int(0.8 * length), int(1.2 * length) + 1))
        lengths.append(left if left < 1.5 * length else min(drawn, left))
    return Batch.of([draw.integers(1000, config.vocab_size, size).tolist() for size in lengths])


def operations(config: DistilBertConfig, batch: Batch) -> dict[str, float]:
    """Return the operations of a batch, a multiplication with its addition counted as two.

    Returns:
        ``products``: full products of all layers; ``needed``: those of them that the head reads; ``attention``: of
        queries with keys and of weights with values, all layers, and ``attention_needed`` for what the head reads.
    """
    tokens, sequences = len(batch.input_ids), len(batch.lengths)
    layer = 2.0 * sum(inputs * outputs for inputs, outputs in shapes(config))
    square, line = 4.0 * config.dim * float((batch.lengths**2).sum()), 4.0 * config.dim * tokens
    before = config.n_layers - 1
    return {
        "products": config.n_layers * layer * tokens,
        "needed": layer * (before * tokens + sequences),
        "attention": config.n_layers * square,
        "attention_needed": before * square + line,
    }


def start_engine(model: DistilBertForSequenceClassification, precision: str, threads: int) -> Runner | str:
    """Return the engine, or why it does not run in this precision."""
    if not is_installed("distilbert.engine"):
        return "this checkout has no engine"
    from distilbert import EngineRunner

    scales = None
    if precision == "int8":
        samples = [batch_of(model.config, 1024, length) for length in (25, 256)]
        scales = engine_module().calibrate(model, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = EngineRunner(model, precision=precision, threads=threads, quantization=scales)
    if runner.precision != precision:
        return f"the engine runs in {runner.precision} on this CPU"
    return runner


def measure(precision: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return rates and shares of one precision."""
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
    raw: dict[int, list[dict[tuple[int, int], float]]] = {tokens: [] for tokens in arguments.tokens}
    engine: dict[tuple[int, int], list[float]] = {key: [] for key in batches}
    for number in range(arguments.rounds + 1):  # the first round allocates and chooses kernels
        print(f"  {precision}, round {number} of {arguments.rounds}", file=sys.stderr, flush=True)
        for tokens in arguments.tokens:
            raw[tokens].append(products.seconds(tokens))
            for length in arguments.lengths:
                start = time.perf_counter()
                runner(batches[length, tokens])
                engine[length, tokens].append(time.perf_counter() - start)
    rates = {tokens: _rates(config, tokens, rounds[1:]) for tokens, rounds in raw.items()}
    return {
        "rate_gflops": rates,
        "engine": {
            f"sequences of {length}": {
                tokens: _shares(operations(config, batches[length, tokens]), engine[length, tokens][1:], rates[tokens])
                for tokens in arguments.tokens
            }
            for length in arguments.lengths
        },
    }


def _rates(config: DistilBertConfig, tokens: int, rounds: list[dict[tuple[int, int], float]]) -> dict[str, Any]:
    """Return rates in GFLOP/s: of all products together, and the best of each shape."""
    once = {shape: 2.0 * shape[0] * shape[1] * tokens * config.n_layers / 1e9 for shape in shapes(config)}
    whole = common.best_and_median([sum(taken.values()) for taken in rounds])
    return {kind: round(sum(once.values()) / seconds, 1) for kind, seconds in whole.items()} | {
        f"{inputs}->{outputs}": round(work / min(taken[inputs, outputs] for taken in rounds), 1)
        for (inputs, outputs), work in once.items()
    }


def _shares(work: dict[str, float], seconds: list[float], rate: dict[str, float]) -> dict[str, Any]:
    """Return the engine's part of the rate: best against best, median against median."""
    times = common.best_and_median(seconds)
    return {
        "ms": {kind: round(1000 * value, 2) for kind, value in times.items()},
        "share": {kind: round(work["products"] / times[kind] / 1e9 / rate[kind], 3) for kind in times},
        "share_of_needed": {kind: round(work["needed"] / times[kind] / 1e9 / rate[kind], 3) for kind in times},
        "gflop": {name: round(value / 1e9, 2) for name, value in work.items()},
    }


def table(results: dict[str, Any]) -> str:
    """Return the shares as a table of Markdown."""
    lines = [
        "| precision | tokens | rate, GFLOP/s | lengths | engine, ms | share of the rate | of what the head needs |",
        "|---|---|---|---|---|---|---|",
    ]
    for precision, result in results.items():
        for lengths, by_tokens in result.get("engine", {}).items():
            for tokens, found in by_tokens.items():
                rate = result["rate_gflops"][tokens]
                cells = [f"{rate['best']:.0f} / {rate['median']:.0f}", lengths.removeprefix("sequences of ")]
                cells.append(f"{found['ms']['best']} / {found['ms']['median']}")
                cells += [f"{found[k]['best']:.0%} / {found[k]['median']:.0%}" for k in ("share", "share_of_needed")]
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
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    found = {}
    with torch.inference_mode():
        for precision in arguments.precisions:
            try:
                found[precision] = measure(precision, arguments)
            except Exception as error:  # a CPU without these kernels leaves out its precision, not the others
                found[precision] = {"left_out": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(table(found) + "\n")
    facts = {"threads": arguments.threads, "rounds": arguments.rounds, "load_before": load}
    peer_report.save("roofline", facts | found, arguments.output)


if __name__ == "__main__":
    main()
