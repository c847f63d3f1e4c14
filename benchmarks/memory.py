"""Peak memory of loading a model, and of ``distilbert run`` over a large JSONL file.

    python -m benchmarks.memory [--megabytes 200]

Each is the peak resident memory of a new process. The run has a tiny model, so that it takes minutes and not hours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .common import base_model, data_folder, imdb_reviews, write_result

ROOT = Path(__file__).parents[1]

LOADING_SCRIPT = """
import sys
from benchmarks.common import peak_memory
from distilbert import DistilBertConfig, DistilBertForSequenceClassification

DistilBertForSequenceClassification(DistilBertConfig(vocab_size=9, n_layers=1))  # so that all imports are done
before = peak_memory()
model = DistilBertForSequenceClassification.from_pretrained(sys.argv[1])
for parameter in model.parameters():
    parameter.sum()  # a mapped file takes memory only when it is read
print(4 * model.num_parameters(), peak_memory() - before)
"""


def tiny_model(folder: Path) -> Path:
    """Write a classifier of one narrow layer with the uncased vocabulary."""
    from distilbert import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer

    DistilBertTokenizer(data_folder() / "vocab" / "uncased.txt").save_pretrained(folder)
    config = DistilBertConfig(dim=32, n_heads=2, n_layers=1, hidden_dim=64)
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    return folder


def write_jsonl(path: Path, size: int) -> int:
    """Write reviews again and again until the file has ``size`` bytes; return its number of lines."""
    lines = [json.dumps({"text": text}) + "\n" for text in imdb_reviews(1000)]
    written = count = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            written += file.write(lines[count % len(lines)])
            count += 1
    return count


def main() -> None:
    """Measure, and write the result files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200, help="size of the JSONL file; 0 measures loading alone")
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as temporary:
        base = base_model(Path(temporary) / "base")
        script = [sys.executable, "-c", LOADING_SCRIPT, str(base)]
        output = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        weights, peak = map(int, output.split())
        loading = {"weights_mb": weights / 1e6, "peak_mb": peak / 1e6, "peak_over_weights": peak / weights}
        write_result("memory_loading", loading)
        if not megabytes:
            return
        tiny = tiny_model(Path(temporary) / "tiny")
        source, output_path = Path(temporary) / "rows.jsonl", Path(temporary) / "rows.jsonl.out.jsonl"
        rows = write_jsonl(source, megabytes * 10**6)
        command = [sys.executable, "-m", "distilbert", "run", "--task", "text-classification", "--model", str(tiny)]
        options = ["--column", "text", "--input", str(source), "--output", str(output_path), "--progress"]
        log = Path(temporary) / "progress.txt"
        start = time.perf_counter()
        with log.open("w") as errors:
            process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)  # the usage of this process alone
        seconds = time.perf_counter() - start
        assert os.waitstatus_to_exitcode(status) == 0, log.read_text()
        progress = log.read_text().strip()
        with output_path.open() as file:
            answers = sum(1 for _ in file)
    assert answers == rows, f"{answers} answers for {rows} rows"
    write_result(
        "memory_run",
        {
            "input_mb": megabytes,
            "rows": rows,
            "seconds": round(seconds, 1),
            "peak_mb": usage.ru_maxrss * 1024 / 1e6,
            "progress_shown": bool(progress),
        },
    )


if __name__ == "__main__":
    main()
