"""Workers are processes that may die: by chance, because of a row, because of the disk, or with their owner."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from distilbert.cluster import worker_supervision
from distilbert.cluster.answer_settings import AnswerSettings
from distilbert.cluster.local_workers import LocalWorkers
from distilbert.cluster.manifest import Manifest
from distilbert.cluster.shard_outputs import REJECTS, SUCCESS, OutputFolder
from distilbert.cluster.worker_supervision import SupervisedWorker
from distilbert.core.errors import DataError, LostProcessError, UsageError
from tests.child_processes import children_of, needs_proc
from tests.cli.helpers import ROOT, Command

from .test_sharded_run import joined, shards, summary_of

SETTINGS = AnswerSettings("text-classification", {"model": "m"}, column="text", largest_window=64)


def write_texts(folder: Path, texts: list[str], name: str = "in.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return name


def test_two_processes_give_the_bytes_of_one(cli: Command) -> None:
    write_texts(cli.folder, [f"text {number}" for number in range(1500)])
    assert cli.run("--input", "in.jsonl", "--output", "one.jsonl").code == 0
    done = cli.run("--input", "in.jsonl", "--output", "out/", "--shard-rows", "200", "--workers", "2", "--progress")
    assert done.code == 0, done.err
    assert joined(cli.folder / "out") == (cli.folder / "one.jsonl").read_bytes()
    summary = summary_of(cli.folder / "out")
    assert set(summary["workers"]) == {"1", "2"}
    assert sum(worker["shards"] for worker in summary["workers"].values()) == summary["shards"] == 6
    log = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert log[-1]["rows"] == log[-1]["of"] == 1500
    assert log[-1]["shards"] == 6
    assert set(log[-1]["workers"]["1"]) == {"rows", "tokens_per_second", "shards", "restarts"}


@pytest.mark.parametrize("place", [0, 700, 1499])
def test_a_row_that_kills_its_process_is_found(cli: Command, place: int) -> None:
    texts = [f"text {number}" for number in range(1500)]
    write_texts(cli.folder, texts)
    assert cli.run("--input", "in.jsonl", "--output", "one.jsonl").code == 0
    expected = (cli.folder / "one.jsonl").read_bytes().splitlines(keepends=True)
    texts[place] = "kill me"
    expected[place] = b"null\n"
    write_texts(cli.folder, texts)
    done = cli.run("--input", "in.jsonl", "--output", "out/", "--shard-rows", "500", "--workers", "1")
    assert done.code == 0, done.err
    assert joined(cli.folder / "out") == b"".join(expected)
    (reject,) = [json.loads(line) for line in (cli.folder / "out" / REJECTS).read_text().splitlines()]
    assert reject == {"row": f"in.jsonl:{place + 1}", "reason": "the process that answered it ended: SIGABRT"}
    restarts = summary_of(cli.folder / "out")["workers"]["1"]["restarts"]
    assert 3 <= restarts <= 4 <= (500).bit_length() - 1  # log2 of the rows of a shard is 8


def test_rows_that_kill_are_left_out_where_such_rows_are_skipped(cli: Command) -> None:
    texts = [f"text {number}" for number in range(200)]
    write_texts(cli.folder, texts)
    expected = [{"text": text, "label": f"L{len(text)}", "score": 1 / len(text)} for text in texts]
    for place in (150, 40, 41):
        texts[place] = "kill me"
        del expected[place]
    write_texts(cli.folder, texts)
    options = ["--workers", "1", "--on-error", "skip", "--keep-input"]
    done = cli.run("--input", "in.jsonl", "--output", "out/", *options)
    assert done.code == 0, done.err
    expected = [{"text": text, "label": f"L{len(text)}", "score": 1 / len(text)} for text in texts if text != "kill me"]
    assert [json.loads(line) for line in joined(cli.folder / "out").splitlines()] == expected
    assert summary_of(cli.folder / "out")["rejects"] == 3


def test_rows_that_kill_only_together_end_the_run(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_supervision, "MOST_RESTARTS", 3)
    write_texts(cli.folder, ["a", "kill me beside one", "b"])
    done = cli.run("--input", "in.jsonl", "--output", "out/", "--workers", "1")
    assert done.code == 1
    assert (
        "died 3 times in shard 0 of in.jsonl, the last time because of SIGABRT; no single row is the cause" in done.err
    )
    assert not (cli.folder / "out" / SUCCESS).exists()


@pytest.mark.parametrize(
    ("model", "message"), [("missing", "There is no model 'missing'"), ("deadly", "died 3 times while it loaded")]
)
def test_a_model_that_cannot_be_loaded(cli: Command, model: str, message: str) -> None:
    write_texts(cli.folder, ["a"])
    settings = AnswerSettings("text-classification", {"model": model})
    manifest = Manifest.plan(settings, ["in.jsonl"], 10)
    with pytest.raises((DataError, LostProcessError), match=message):
        LocalWorkers(1, 1).run(manifest, str(cli.folder), manifest.shards, lambda record: None, lambda *event: None)


@pytest.mark.parametrize("options", [{"workers": 0}, {"threads": 0}])
def test_numbers_of_workers_and_threads(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be at least 1, got 0"):
        LocalWorkers(**options)


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.cluster.local_workers.count_cores", lambda: 8)
    layouts = [LocalWorkers(), LocalWorkers(2), LocalWorkers(None, 4), LocalWorkers(9)]
    assert [(layout.count, layout.threads) for layout in layouts] == [(8, 1), (2, 4), (2, 4), (9, 1)]


def test_a_process_that_is_killed_is_started_again(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_WORK", "0.002")
    write_texts(cli.folder, [f"text {number}" for number in range(600)])
    manifest = Manifest.plan(SETTINGS, ["in.jsonl"], 1000)
    folder = OutputFolder(str(cli.folder / "out"), "jsonl")
    events: list[Any] = []
    with folder.locked():
        worker = SupervisedWorker(SETTINGS, folder.name, 1, "1", lambda event: events.append(event) or kill(event))

        def kill(event: Any) -> None:
            if event.get("window") in (1, 3) and sum("restarts" in event for event in events) < 2:
                os.kill(worker.process_id, signal.SIGKILL)

        record = worker.answer(manifest.shards[0], manifest.files[0])
        worker.close()
    assert record.restarts == 2
    assert record.rejects == []
    assert [event["reason"] for event in events if "restarts" in event] == ["SIGKILL", "SIGKILL"]
    assert len((cli.folder / "out" / "shard-00000.jsonl").read_text().splitlines()) == 600


def start_run(
    folder: Path, *arguments: str, preexec_fn: Callable[[], None] | None = None, **environment: str
) -> subprocess.Popen[bytes]:
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "FAKE_WORK": "0.0005"}
    command = ["run", "--task", "text-classification", "--model", "m", "--input", "in.jsonl", "--output", "out/"]
    command += ["--shard-rows", "300", "--workers", "2", *arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.fake_worker", *command],
        cwd=folder, env=os.environ | paths | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=preexec_fn,
    )  # fmt: skip


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def wait_for_rows(log: Path, rows: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the workers of a run have begun on more than so many rows; see ``FAKE_LOG`` of the fake worker."""

    def begun() -> bool:
        assert process.poll() is None, "it was over before it was killed"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(int(line.split()[1]) for line in lines) > rows

    wait_until(begun, "the workers stand still")


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def have_ended(processes: list[int]) -> bool:
    return not any(map(is_running, processes))


KILLS = int(os.environ.get("DISTILBERT_KILLS", "10"))


@needs_proc
@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("victim", ["owner", "workers"])
def test_kills_at_random_moments(tmp_path: Path, victim: str, kills: int) -> None:
    """Each run is killed once, at a random row, and resumed: no row is lost, none is twice, and bytes are equal."""
    texts = [f"text {number}" for number in range(3000)]
    write_texts(tmp_path, texts)
    expected = "".join(json.dumps({"label": f"L{len(t)}", "score": 1 / len(t)}) + "\n" for t in texts).encode()
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    for number in range(kills):
        log = tmp_path / f"log-{number}"
        process = start_run(tmp_path, "--overwrite", FAKE_LOG=str(log))
        wait_for_rows(log, draw.randrange(len(texts) - 900), process)  # both workers have a shard, or more, to do
        time.sleep(draw.uniform(0, 0.05))
        children = children_of(process.pid)
        if victim == "owner":
            process.kill()
            process.communicate(timeout=60)
            wait_until(partial(have_ended, children), "workers outlive their owner")
            process = start_run(tmp_path, "--resume")
        else:
            os.kill(draw.choice(children), signal.SIGKILL)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"seed {seed}: {err.decode()}"
        assert joined(tmp_path / "out") == expected, f"seed {seed}"
        assert (tmp_path / "out" / SUCCESS).exists()
        assert not (tmp_path / "out" / REJECTS).exists()
        assert not list((tmp_path / "out").rglob(".*.tmp"))


def test_a_full_disk_keeps_what_is_done(tmp_path: Path) -> None:
    """The limit on the size of files stands for a full disk: EFBIG in place of ENOSPC."""
    write_texts(tmp_path, ["x" * 10] * 400 + ["a longer text " * 40] * 1)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    process = start_run(tmp_path, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    message = err.decode()
    assert "File too large. Make room." in message
    assert "with --resume goes on from there" in message
    process = start_run(tmp_path, "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert len(joined(tmp_path / "out").splitlines()) == 401


@needs_proc
def test_ctrl_c_ends_workers_and_says_how_to_go_on(tmp_path: Path) -> None:
    write_texts(tmp_path, [f"text {number}" for number in range(4000)])
    process = start_run(tmp_path)
    wait_until(lambda: bool(list((tmp_path / "out").glob("shard-*"))), "no shard is done")
    children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "shards are done and kept: the same command with --resume goes on" in err.decode()
    assert not any(map(is_running, children))
    assert shards(tmp_path / "out")


def test_files_that_no_run_wrote_stay(tmp_path: Path) -> None:
    of_runs = (
        "shard-00000.csv",
        "shard-100000.jsonl.gz",
        ".shard-00001.jsonl.0a1b2c3d.tmp",
        ".0a1b2c3d.shard-00002.csv",
    )
    others = ("shard-notes.txt", "shard-1.csv", "notes.csv", ".hidden", ".0a1b2c3d.csv")
    folder = OutputFolder(str(tmp_path), "jsonl")
    with folder.locked():
        for name in (*of_runs, *others):
            (tmp_path / name).touch()
        folder.remove_temporary()
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*of_runs[:2], *others, "_lock"}
        folder.clear()
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*others, "_lock"}


def test_two_runs_do_not_write_one_folder(cli: Command) -> None:
    write_texts(cli.folder, ["a text"])
    with OutputFolder("out/", "jsonl").locked():
        done = cli.run("--input", "in.jsonl", "--output", "out/", "--resume")
    assert done.code == 2
    assert "Another run is writing out/" in done.err
