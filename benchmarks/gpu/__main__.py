"""Run all stages, each in a process of its own with its own time limit, and write ``gpu.json`` and ``gpu.log``.

    python -m benchmarks.gpu --out FOLDER [--device cuda|cpu] [--tiny] [--only NAME ...]

A stage that fails, or that is stopped at its limit, does not stop the next one. The result file is written anew after
every stage, so that a run that is cut off leaves what it had. The exit code is 0 if all stages passed and all limits
were kept: total time, number and size of the files in FOLDER, and size of what travels.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, pieces
from .stages import STAGES, Stage

TOTAL_SECONDS = 470.0
MOST_FILES, MOST_BYTES = 8, 16 << 20  # of the output folder: files, and bytes of each
LOG_BYTES = 8 << 20
SMALL = {"OMP_NUM_THREADS": "1"}  # tiny tensors gain nothing from threads, and wait for them where others compute
TAIL = 2000  # characters of a failed stage's output in the result file
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PACKAGES = ("torch", "triton", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
PACKAGES += ("jax", "flax", "keras", "tensorflow")


@dataclass(frozen=True)
class Run:
    """One run of several stages.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        tiny: a rehearsal.
        files: data that travelled.
        out: where the result file, the log and the files of stages go.
        total_seconds: time limit of all stages together.
        at_once: stages that run at the same time; more than one is for rehearsals, whose figures mean nothing.
        patience: factor of each stage's own time limit, which is meant for a GPU.
    """

    device: str
    tiny: bool
    files: Path
    out: Path
    total_seconds: float = TOTAL_SECONDS
    at_once: int = 1
    patience: float = 1.0

    def run(self, stages: Sequence[Stage]) -> dict[str, Any]:
        """Run ``stages`` and return the result, which is in ``out/gpu.json`` as well."""
        start = time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        log = self.out / "gpu.log"
        log.write_bytes(b"")
        result = {"benchmark": "gpu", "date": _today(), "commit": _commit(), "device": self.device, "tiny": self.tiny}
        result |= {"machine": machine(), "stages": {stage.name: {"status": "not run"} for stage in stages}}
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(self.at_once) as pool:
            running = {
                pool.submit(self._run_stage, stage, start + self.total_seconds, Path(scratch)): stage.name
                for stage in stages
            }
            for future in as_completed(running):
                error = future.exception()  # such as a full disk
                report, printed = ({"status": "failed", "error": repr(error)}, b"") if error else future.result()
                result["stages"][running[future]] = report
                line = f"{running[future]}: {report['status']} in {report.get('seconds', 0.0)} s"
                print(line, file=sys.stderr, flush=True)
                _append(log, f"===== {line}\n".encode() + printed)
                self._write(result, time.monotonic() - start)
        result["limits"] = self.broken_limits(time.monotonic() - start)
        statuses = {report["status"] for report in result["stages"].values()}
        result["status"] = "passed" if statuses <= {"passed"} and not result["limits"] else "failed"
        self._write(result, time.monotonic() - start)
        return result

    def broken_limits(self, seconds: float) -> list[str]:
        """Name every limit that was not kept."""
        broken = []
        if seconds > self.total_seconds + 10:  # to stop a process and collect its files
            broken.append(f"the run took {seconds:.0f} s, more than {self.total_seconds:.0f}")
        paths = sorted(self.out.iterdir())
        if len(paths) > MOST_FILES:
            broken.append(f"{len(paths)} files come back, more than {MOST_FILES}: {', '.join(p.name for p in paths)}")
        for path in paths:
            if not path.is_file() or not PLAIN_NAME.fullmatch(path.name):
                broken.append(f"{path.name!r} is not a file with a plain name")
            elif path.stat().st_size >= MOST_BYTES:
                broken.append(f"{path.name} has {path.stat().st_size} bytes, not less than {MOST_BYTES}")
        size = files.travelling_bytes(files.ROOT, self.files)
        if size > files.LIMIT:
            broken.append(f"{size} bytes travel, more than {files.LIMIT}")
        return broken

    def _run_stage(self, stage: Stage, end: float, scratch: Path) -> tuple[dict[str, Any], bytes]:
        """Return the report of a stage that is over by ``end``, and what it printed."""
        start = time.monotonic()
        if start >= end:
            return {"status": "not run"}, b""
        own = Path(tempfile.mkdtemp(dir=scratch))
        figures, output, printed = own / "figures.json", own / "output", own / "printed"
        output.mkdir()
        command = [sys.executable, "-m", "benchmarks.gpu.stage", stage.function, *stage.arguments]
        command += ["--device", self.device, *(["--tiny"] if self.tiny else []), "--files", str(self.files)]
        command += ["--scratch", str(scratch), "--output", str(output), "--figures", str(figures)]
        with printed.open("wb") as stream:
            code = run_for(command, min(stage.seconds * self.patience, end - start), stream, SMALL if self.tiny else {})
        report: dict[str, Any] = {"status": _status(code), "seconds": round(time.monotonic() - start, 1)}
        if figures.exists():
            report |= json.loads(figures.read_text(encoding="utf-8"))
        text = printed.read_bytes()
        if code != 0:
            report["error"] = text.decode(errors="replace")[-TAIL:]
        for path in sorted(output.iterdir()):
            report.setdefault("files", []).extend(piece.name for piece in pieces.cut(path, self.out))
        shutil.rmtree(own)
        return report, text

    def _write(self, result: dict[str, Any], seconds: float) -> None:
        result["seconds"] = round(seconds, 1)
        text = json.dumps(result, indent=2) + "\n"
        temporary = self.out / "gpu.json.new"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.out / "gpu.json")


def run_for(
    command: Sequence[str], seconds: float, stream: Any, variables: Mapping[str, str] | None = None
) -> int | None:
    """Run a command for at most so many seconds; return its exit code, or None if it was stopped with its children."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(_paths()), "TOKENIZERS_PARALLELISM": "true"}
    environment |= variables or {}
    with subprocess.Popen(
        command, stdout=stream, stderr=subprocess.STDOUT, cwd=files.ROOT, env=environment, start_new_session=True
    ) as process:
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):  # children that outlive their stage, too
                os.killpg(process.pid, signal.SIGKILL)


def machine() -> dict[str, Any]:
    """Describe the machine and the software, without importing a framework."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        gpus = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        gpus = []
    return {"gpus": gpus, "cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}


def main() -> None:
    """Run what the command line asks for."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the result file and the log")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="rehearse with small models and few texts")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"stages to run: {', '.join(names)}")
    options = parser.parse_args()
    if not (files.FILES / "about.json").exists():
        sys.exit(f"{files.FILES} is not filled: run `python -m benchmarks.gpu.files`, or `make gpu-files`.")
    rehearsal = options.device == "cpu" and options.tiny
    at_once, patience = (min(4, os.cpu_count() or 1), 3.0) if rehearsal else (1, 1.0)
    run = Run(options.device, options.tiny, files.FILES, options.out, at_once=at_once, patience=patience)
    result = run.run([stage for stage in STAGES if options.only is None or stage.name in options.only])
    for broken in result["limits"]:
        print(f"Limit: {broken}", file=sys.stderr)
    print(f"{result['status']} in {result['seconds']} s: {options.out / 'gpu.json'}", file=sys.stderr)
    sys.exit(result["status"] != "passed")


def _paths() -> list[str]:
    """What a stage imports from: this checkout first."""
    inherited = os.environ.get("PYTHONPATH")
    return [str(files.ROOT / "src"), str(files.ROOT), *([inherited] if inherited else [])]


def _status(code: int | None) -> str:
    return "stopped at its limit" if code is None else "failed" if code else "passed"


def _append(log: Path, text: bytes) -> None:
    """Append to the log; of a very long one, only the newest end is kept."""
    log.write_bytes((log.read_bytes() + text + b"\n")[-LOG_BYTES:])


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def _commit() -> str | None:
    """Return the commit of the checkout; None where git or its folder is absent."""
    command = ["git", "-C", str(files.ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    main()
