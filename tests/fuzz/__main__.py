"""Damage files and use them: ``python -m tests.fuzz --count 20000 --seed 0 [--only NAME] [--case NUMBER]``.

What may come out: the same answer, another answer (a changed label or weight is not visible to anyone), or an error of
ours. What may not: another exception, a number that is not finite, a crash, a hang, or hundreds of megabytes. A case is
a function of the seed and its number, so that ``--case`` repeats it. Workers are processes: one that crashes is
replaced, and the case is counted.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from .mutations import mutate

PATIENCE = 60  # seconds of a case, on a busy machine
MEMORY = 400  # megabytes that a case may take beside what was taken before
ALLOWED = ("equal", "other", "error")
LONGEST_MESSAGE = 20_000


class Hang(BaseException):
    """A case took too long."""


def plan(count: int, seed: int, only: str) -> list[tuple[int, str]]:
    """Return the number and the target of every case."""
    from .targets import TARGETS

    names = [name for name in TARGETS if only in ("", name)]
    draw = random.Random(seed)
    chosen = draw.choices(names, [TARGETS[name].weight for name in names], k=count)
    return list(enumerate(chosen))


def work(names: list[str], seed: int, cases: str) -> None:
    """Do the cases of a worker; a line of JSON for each, written before and after it."""
    from distilbert import DistilBertError

    from .targets import TARGETS, has_nan

    warnings.simplefilter("ignore")
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the commands print

    def stop(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    numbers = [int(number) for number in cases.split(",")]
    with tempfile.TemporaryDirectory() as root:
        pristine, expected = {}, {}
        folder = Path(root, "case")  # always this one, because unfinished work contains the path of its input
        for name in dict.fromkeys(names):
            pristine[name] = Path(root, "whole", name.replace(" ", "-"))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            TARGETS[name].build(folder)
            shutil.copytree(folder, pristine[name])
            expected[name] = repr(used(TARGETS[name], folder))
        for number, name in zip(numbers, names, strict=True):
            target, draw = TARGETS[name], random.Random(f"{seed}/{number}")
            file = sorted(pristine[name].glob(draw.choice(target.files)))[0].relative_to(pristine[name]).as_posix()
            print(json.dumps({"case": number, "target": name, "file": file}), file=output, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pristine[name], folder)
            content = (folder / file).read_bytes()
            (folder / file).write_bytes(mutate(content, file, draw))
            before, began = peak(), time.monotonic()
            outcome, detail = "", ""
            signal.alarm(PATIENCE)
            try:
                answer = used(target, folder)
                differs = "other" if target.may_differ else "unnoticed"
                outcome = "nan" if has_nan(answer) else "equal" if repr(answer) == expected[name] else differs
            except DistilBertError as error:
                outcome, detail = "error", str(error)
                if len(detail) > LONGEST_MESSAGE:
                    outcome, detail = "long message", f"{len(detail)} characters: {detail[:200]}"
            except Hang:
                outcome = "hang"
            except (AssertionError, Exception):
                outcome, detail = "traceback", traceback.format_exc(limit=-4)
            finally:
                signal.alarm(0)
            if peak() - before > MEMORY and outcome in ALLOWED:
                outcome, detail = "memory", f"{peak() - before:.0f} MB; {outcome}: {detail[:200]}"
            seconds = round(time.monotonic() - began, 2)
            print(json.dumps({"outcome": outcome, "detail": detail, "seconds": seconds}), file=output, flush=True)


def used(target: Any, folder: Path) -> Any:
    """Return what comes out of a folder, used as the current one."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return target.use()
    finally:
        os.chdir(before)


def peak() -> float:
    """Return the most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def supervise(cases: list[tuple[int, str]], seed: int) -> list[dict[str, Any]]:
    """Let a worker do cases; one that dies is replaced and goes on after the case that killed it."""
    done: list[dict[str, Any]] = []
    left = list(cases)
    while left:
        arguments = [json.dumps([name for _, name in left]), str(seed), ",".join(str(number) for number, _ in left)]
        command = [sys.executable, "-m", "tests.fuzz", "--work", *arguments]
        with (
            tempfile.TemporaryFile("w+") as printed,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=printed, text=True) as worker,
        ):
            assert worker.stdout is not None
            current: dict[str, Any] | None = None
            for line in worker.stdout:
                entry = json.loads(line)
                if "case" in entry:
                    current = entry
                    continue
                assert current is not None
                done.append(current | entry)
                current = None
                left.pop(0)
            worker.wait()
            printed.seek(0)
            last_words = printed.read()[-3000:]
        if left:
            if current is None:
                raise SystemExit(f"a worker ended with {worker.returncode} between two cases:\n{last_words}")
            detail = f"exit code {worker.returncode}\n{last_words}"
            done.append(current | {"outcome": "crash", "detail": detail, "seconds": 0})
            left.pop(0)
    return done


def main() -> int:
    """Run the cases and print how many had which outcome; the exit code is 1 if one may not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="one target")
    parser.add_argument("--case", type=int, help="repeat one case")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work[0]), int(options.work[1]), options.work[2])
        return 0
    cases = plan(options.count, options.seed, options.only)
    if options.case is not None:
        cases = [cases[options.case]]
    cases.sort(key=lambda case: case[1])
    results: list[dict[str, Any]] = []
    began = time.monotonic()
    for start in range(0, len(cases), 500):
        results += supervise(cases[start : start + 500], options.seed)
        print(f"{len(results)} of {len(cases)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for result in results:
        counts[result["target"]][result["outcome"]] += 1
        counts["all"][result["outcome"]] += 1
    outcomes = [*ALLOWED, *sorted(set(counts["all"]) - set(ALLOWED))]
    print(f"{'target':24}", *(f"{name:>12}" for name in outcomes))
    for target, counter in counts.items():
        print(f"{target:24}", *(f"{counter[name]:>12,}" for name in outcomes))
    print(f"slowest: {max(result['seconds'] for result in results)} s")
    bad = [result for result in results if result["outcome"] not in ALLOWED]
    for result in bad[:50]:
        print(
            f"\ncase {result['case']} (seed {options.seed}, {result['target']}, {result['file']}): {result['outcome']}"
        )
        print(result["detail"])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
