"""One forward pass in Flax and in Keras, in turn: ours, and transformers 4.57.6's, the last release that had both.

    python -m venv reference
    reference/bin/pip install "transformers==4.57.6" "tensorflow-cpu==2.19.1" "tf-keras==2.19.0" flax
    python -m benchmarks.siblings --reference-python reference/bin/python [--rounds 30]

The model is a sequence classifier of DistilBERT-base's size with random weights, in fp32, on 32 x 128 tokens of which
some are padding. Each competitor is a process that stays alive. A line on its standard input asks for one forward pass;
a line on its standard output gives the seconds from NumPy arrays to a NumPy array. All have the same cores, weights and
inputs; the result states the largest difference of a logit.

transformers' Flax class runs under ``jax.jit``. Its TensorFlow class runs under ``tf.function``, with and without
``jit_compile``; ratios are to the faster one. Our Flax class runs under ``nnx.jit``, which copies the weights out
again, and under ``nnx.jit`` with ``graph_updates=False``, which does not. In the last block, our classes compute the
first token alone, since the classifier reads no other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .common import base_model, best_and_median, installed_versions, write_result

OURS = {
    "flax": "distilbert Flax, nnx.jit without updates",
    "flax-updating": "distilbert Flax, nnx.jit",
    "keras": "distilbert Keras, jit_compile",
}
REFERENCES = {
    "reference-flax": "transformers Flax, jax.jit",
    "reference-keras": "transformers TF, jit_compile",
    "reference-graph": "transformers TF, tf.function",
}
COMPARED_WITH = {
    "flax": ("reference-flax",),
    "flax-updating": ("reference-flax",),
    "keras": ("reference-keras", "reference-graph"),
}
FORMATS = {
    "flax": "safetensors",
    "flax-updating": "safetensors",
    "keras": "safetensors",
    "reference-flax": "flax_model.msgpack",
    "reference-keras": "tf_model.h5",
    "reference-graph": "tf_model.h5",
}
VERSIONS = ("transformers", "tensorflow-cpu", "keras", "tf-keras", "jax", "flax", "numpy")
Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
WARM_UP = 3


def inputs(vocabulary: int, batch: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask, both (batch, length) int32; every fourth row has its second half padded."""
    ids = np.random.default_rng(0).integers(1, vocabulary, (batch, length), dtype=np.int32)
    mask = np.ones_like(ids)
    mask[::4, length // 2 :] = 0
    return ids * mask, mask


# A competitor. Frameworks are imported inside the functions, since an environment has one release of transformers ----


def load_flax(folder: str, **options: Any) -> Forward:
    from flax import nnx

    from distilbert import FlaxDistilBertForSequenceClassification

    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder)
    run = nnx.jit(lambda model, ids, mask: model(ids, mask).logits, **options)
    return lambda ids, mask: np.asarray(run(model, ids, mask))


def load_reference_flax(folder: str) -> Forward:
    import jax
    from transformers import FlaxDistilBertForSequenceClassification

    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder)
    run = jax.jit(lambda params, ids, mask: model(ids, mask, params=params).logits)
    return lambda ids, mask: np.asarray(run(model.params, ids, mask))


def load_keras(folder: str) -> Forward:
    from distilbert import TFDistilBertForSequenceClassification

    return _compile_graph(TFDistilBertForSequenceClassification.from_pretrained(folder), jit_compile=True)


def load_reference_keras(folder: str, jit_compile: bool = True) -> Forward:
    from transformers import TFDistilBertForSequenceClassification

    return _compile_graph(TFDistilBertForSequenceClassification.from_pretrained(folder), jit_compile)


def _compile_graph(model: Any, jit_compile: bool) -> Forward:
    import tensorflow as tf

    run = tf.function(lambda ids, mask: model(ids, attention_mask=mask).logits, jit_compile=jit_compile)
    return lambda ids, mask: run(tf.constant(ids), tf.constant(mask)).numpy()


LOADERS: dict[str, Callable[[str], Forward]] = {
    "flax": partial(load_flax, graph_updates=False),
    "flax-updating": load_flax,
    "keras": load_keras,
    "reference-flax": load_reference_flax,
    "reference-keras": load_reference_keras,
    "reference-graph": partial(load_reference_keras, jit_compile=False),
}


def serve(name: str, folder: str, vocabulary: int, batch: int, length: int) -> None:
    """Be a competitor: print logits and versions in one line, then seconds in one line for every line that comes in."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error, so that it does not mix with the answers
    forward = LOADERS[name](folder)
    ids, mask = inputs(vocabulary, batch, length)
    start = time.perf_counter()
    logits = forward(ids, mask)
    first = time.perf_counter() - start
    for _ in range(WARM_UP):
        forward(ids, mask)
    versions = installed_versions(VERSIONS)
    print(json.dumps({"logits": logits.tolist(), "first": first, "versions": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        forward(ids, mask)
        print(time.perf_counter() - start, file=answers, flush=True)


# The comparison -----------------------------------------------------------------------------------------------------


class Competitor:
    """A process that runs :func:`serve`."""

    def __init__(self, name: str, python: str, folder: Path, sizes: list[int], cores: list[int]) -> None:
        environment = os.environ | {
            "TF_USE_LEGACY_KERAS": "1",  # transformers' classes need it; ours import keras itself
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TF_NUM_INTRAOP_THREADS": str(len(cores)),
            "OMP_NUM_THREADS": str(len(cores)),
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
        }
        if not name.startswith("reference"):
            del environment["TF_USE_LEGACY_KERAS"]
        command = [python, "-m", "benchmarks.siblings", "--serve", name, "--folder", str(folder)]
        self.process = subprocess.Popen(
            [*command, "--sizes", *map(str, sizes)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, cwd=Path(__file__).parents[1],
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        report = json.loads(self._line())
        self.logits = np.asarray(report["logits"])
        self.first, self.versions = report["first"], report["versions"]

    def forward(self) -> float:
        """Return the seconds of one forward pass."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with code {self.process.wait()}.")
        return line


def compare(
    reference_python: str, folders: dict[str, Path], sizes: list[int], rounds: int, cores: list[int]
) -> dict[str, Any]:
    """Let all competitors take turns, and summarize their times."""
    titles = OURS | REFERENCES
    competitors = {}
    for name, title in titles.items():
        python = reference_python if name in REFERENCES else sys.executable
        competitors[name] = Competitor(name, python, folders[name], sizes, cores)
        print(f"  {title} is ready", file=sys.stderr, flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(rounds):
        # Each round begins with another competitor, and every other round runs backwards, so that neighbours change.
        order = list(competitors)
        order = order[number % len(order) :] + order[: number % len(order)]
        for name in order if number % 2 else order[::-1]:
            seconds[name].append(competitors[name].forward())
        taken = "  ".join(f"{name} {seconds[name][-1]:.3f}" for name in competitors)
        print(f"  round {number + 1}/{rounds}  {taken}", file=sys.stderr, flush=True)
    for competitor in competitors.values():
        competitor.close()
    summary = {name: best_and_median(times) for name, times in seconds.items()}
    reference_logits = competitors["reference-flax"].logits
    return {
        "seconds": {
            titles[name]: {kind: round(value, 4) for kind, value in both.items()} for name, both in summary.items()
        },
        "first_call_seconds": {titles[name]: round(competitors[name].first, 2) for name in competitors},
        "faster_than_transformers_by": {
            OURS[name]: {
                kind: round(min(summary[reference][kind] for reference in references) / summary[name][kind], 3)
                for kind in ("best", "median")
            }
            for name, references in COMPARED_WITH.items()
        },
        "largest_difference_of_a_logit": max(
            float(np.abs(competitor.logits - reference_logits).max()) for competitor in competitors.values()
        ),
        "versions_here": competitors["keras"].versions,
        "versions_of_the_reference": competitors["reference-keras"].versions,
    }


def prepare(folder: Path, layers: int | None) -> tuple[dict[str, Path], int]:
    """Write the model in the format of each competitor; return the folder of each and the size of the vocabulary."""
    from distilbert import convert

    source, kept_layers = base_model(folder / "base"), None if layers is None else list(range(layers))
    for file_format in set(FORMATS.values()):
        convert(source, folder / file_format, to=file_format, layers=kept_layers)
    vocabulary: int = json.loads((source / "config.json").read_text())["vocab_size"]
    return {name: folder / file_format for name, file_format in FORMATS.items()}, vocabulary


def main() -> None:
    """Measure and write the result file; with ``--serve``, be one competitor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference-python", help="Python of an environment with transformers 4.57.6")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--layers", type=int, help="number of layers, for a quick trial")
    parser.add_argument("--threads", type=int, help="cores that each competitor may use; by default all")
    parser.add_argument("--dry-run", action="store_true", help="print the result, write no file")
    parser.add_argument("--serve", choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.folder, *arguments.sizes)
        return
    if arguments.reference_python is None:
        parser.error("--reference-python is required; the top of this file shows how to create that environment")
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    with tempfile.TemporaryDirectory() as temporary:
        folders, vocabulary = prepare(Path(temporary), arguments.layers)
        sizes = [vocabulary, arguments.batch, arguments.length]
        result = compare(arguments.reference_python, folders, sizes, arguments.rounds, cores)
    tokens = f"{arguments.batch} x {arguments.length}"
    result = {"tokens": tokens, "threads": len(cores), "rounds": arguments.rounds} | result
    if arguments.dry_run:
        print(json.dumps(result, indent=2))
    else:
        write_result("siblings", result)


if __name__ == "__main__":
    main()
