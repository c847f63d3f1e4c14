"""CPU seconds of embedding short texts: one thread against two, and against sentence-transformers.

    python -m benchmarks.encoder --model models/minilm --original FOLDER [--texts 18000] [--compared 1500] [--rounds 3]
    python -m benchmarks.encoder --model models/minilm --fastembed PYTHON --onnx FOLDER

The texts are questions of CLINC-150, in fp32. CPU seconds are those of the whole process, with all its threads. Both
libraries compute with all cores, in turn; the others with the best of several batch sizes.

FastEmbed cannot be installed beside this project's other packages, so it has an environment of its own: ``--fastembed``
is its interpreter, and ``--onnx`` what ``distilbert export MODEL --to onnx`` wrote.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import Encoder

from .common import data_folder, write_result

BATCH_SIZES = (32, 64, 128, 256)
TUNED_ON = 400  # texts that decide the batch size


FASTEMBED = """
import json, sys, time
import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
order = json.loads(sys.stdin.readline())
TextEmbedding.add_custom_model(
    model="local/model", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="local/model"),
    dim=order["dim"], model_file="onnx/model.onnx",
)
model = TextEmbedding("local/model", specific_model_path=order["folder"], threads=order["threads"])
texts = order["texts"]
np.save(order["vectors"], np.stack(list(model.embed(texts, batch_size=64))))
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    cpu, start = time.process_time(), time.perf_counter()
    list(model.embed(texts, batch_size=json.loads(line)))
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - start]), flush=True)
"""


def against_fastembed(encoder: Encoder, texts: list[str], python: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Compare with FastEmbed, in turn: CPU seconds, texts a second, and the largest difference of the vectors."""
    with tempfile.TemporaryDirectory() as temporary:
        order = {
            "folder": str(folder), "texts": texts, "threads": 2, "dim": encoder.dimension,
            "vectors": f"{temporary}/vectors.npy",
        }  # fmt: skip
        with subprocess.Popen(
            [python, "-c", FASTEMBED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as theirs:
            assert theirs.stdin is not None
            assert theirs.stdout is not None

            def ask(line: Any) -> Any:
                theirs.stdin.write(json.dumps(line) + "\n")  # type: ignore[union-attr]
                theirs.stdin.flush()  # type: ignore[union-attr]
                return json.loads(theirs.stdout.readline())  # type: ignore[union-attr]

            ask(order)
            difference = float(np.abs(encoder.encode(texts) - np.load(order["vectors"])).max())
            best = min((16, *BATCH_SIZES), key=lambda size: ask(size)[0])
            ours: list[list[float]] = []
            others: list[list[float]] = []
            for _ in range(rounds):
                start = time.perf_counter()
                cpu = cpu_seconds(lambda: encoder.encode(texts))
                ours.append([cpu, time.perf_counter() - start])
                others.append(ask(best))
            theirs.stdin.close()
    figures = {
        name: {"cpu_seconds": round(min(cpu for cpu, _ in values), 2),
               "texts_a_second": round(len(texts) / min(seconds for _, seconds in values), 1)}
        for name, values in (("distilbert", ours), ("fastembed", others))
    }  # fmt: skip
    return {"texts": len(texts), "batch_size": best, "largest_difference": difference} | figures


def questions(count: int) -> list[str]:
    """Return so many questions of CLINC-150."""
    texts: list[str] = []
    for name in ("train", "dev"):
        lines = (data_folder() / "clinc150" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        texts += [line.split("\t")[0] for line in lines[1:]]
    return texts[:count]


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return the CPU time that a call takes, of all threads."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    start = used()
    call()
    return used() - start


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the best and the median CPU seconds of each call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(cpu_seconds(call))
    return {
        name: {"best": round(min(values), 2), "median": round(float(np.median(values)), 2)}
        for name, values in seconds.items()
    }


def main() -> None:
    """Measure, print and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--original", type=Path, help="folder of the same model for sentence-transformers")
    parser.add_argument("--texts", type=int, default=18_000)
    parser.add_argument("--compared", type=int, default=1_500, help="texts of the comparison")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fastembed", help="interpreter of an environment with fastembed")
    parser.add_argument("--onnx", type=Path, help="the model in ONNX, for fastembed")
    arguments = parser.parse_args()
    if arguments.fastembed:
        encoder = Encoder(arguments.model, precision="fp32", threads=2)
        some = questions(arguments.texts)[: arguments.compared]
        write_result(
            "fastembed", against_fastembed(encoder, some, arguments.fastembed, arguments.onnx, arguments.rounds)
        )
        return
    texts = questions(arguments.texts)
    encoders = {threads: Encoder(arguments.model, precision="fp32", threads=threads) for threads in (1, 2)}
    result: dict[str, Any] = {"texts": len(texts)}
    result["cpu_seconds_by_threads"] = in_turn(
        {f"{threads} threads": lambda e=encoder: e.encode(texts) for threads, encoder in encoders.items()}, 1
    )
    print(result, flush=True)
    if arguments.original is not None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer

        parts = [Transformer(str(arguments.original)), Pooling(384, pooling_mode="mean")]
        theirs = SentenceTransformer(modules=parts, device="cpu")
        some = texts[: arguments.compared]
        tuned = {
            size: cpu_seconds(lambda s=size: theirs.encode(texts[:TUNED_ON], batch_size=s)) for size in BATCH_SIZES
        }
        best = min(tuned, key=lambda size: tuned[size])
        difference = np.abs(encoders[2].encode(some, normalize=False) - theirs.encode(some, batch_size=best)).max()
        result |= {"compared_texts": len(some), "batch_size": best, "largest_difference": float(difference)}
        result["cpu_seconds"] = in_turn(
            {
                "distilbert": lambda: encoders[2].encode(some),
                "sentence-transformers": lambda: theirs.encode(some, batch_size=best),
            },
            arguments.rounds,
        )
        print(result, flush=True)
    write_result("encoder", result, packages=("sentence-transformers",))


if __name__ == "__main__":
    main()
