"""What a million texts cost on this CPU, by their length and the precision: seconds of CPU, and of two threads.

    python -m benchmarks.text_cost --model FOLDER [--precisions fp32 int8] [--seconds 6]

The texts are words of SST-2, drawn at random, as many as make the tokens asked for. Long texts are one window each.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

from distilbert import pipeline

from .common import sst2_dev, write_result

LENGTHS = (16, 64, 256, 512)  # tokens, special ones included
TOKENS_A_CALL = 32_768


def texts_of(tokens: int, tokenizer: Any, count: int) -> list[str]:
    """Return different texts with so many tokens each, special ones included."""
    draw = random.Random(tokens)
    words = [word for word in " ".join(sst2_dev()).split() if len(tokenizer.encode(word)) == 3]
    return [" ".join(draw.choices(words, k=tokens - 2)) for _ in range(count)]


def measure(classify: Any, tokens: int, seconds: float) -> dict[str, float]:
    """Return what a million texts of a length cost."""
    texts = texts_of(tokens, classify.tokenizer, TOKENS_A_CALL // tokens)
    classify(texts)
    done, cpu, start = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        classify(texts)
        done += len(texts)
    elapsed, used = time.perf_counter() - start, time.process_time() - cpu
    return {"cpu_hours": round(used / done * 1e6 / 3600, 3), "hours": round(elapsed / done * 1e6 / 3600, 3)}


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a classifier; quantized for int8")
    parser.add_argument("--precisions", nargs="*", default=["fp32", "int8"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    cost: dict[str, Any] = {}
    for precision in options.precisions:
        classify = pipeline(
            "text-classification", options.model, precision=precision, threads=options.threads, truncation=True
        )
        cost[precision] = {str(tokens): measure(classify, tokens, options.seconds) for tokens in LENGTHS}
        print(precision, cost[precision], flush=True)
    config = classify.config
    size = {"layers": config.n_layers, "dim": config.dim}
    write_result("text_cost", {"model": size, "threads": options.threads, "of_a_million_texts": cost})


if __name__ == "__main__":
    main()
