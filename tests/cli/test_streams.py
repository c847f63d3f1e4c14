"""Pipes and terminals: answers come promptly, and the command ends with its input or its reader."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from .helpers import ROOT, Command, finish, start

RUN = ("run", "--model", "m")


def test_answers_of_a_slow_pipe_come_line_by_line(tmp_path: Path) -> None:
    process = start(*RUN, cwd=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("one", "three", "", "fourteen"):
        process.stdin.write(text.encode() + b"\n")
        process.stdin.flush()
        if text:
            assert f'"L{len(text)}"' in process.stdout.readline().decode()
    process.stdin.write(b"whole\nha")
    process.stdin.flush()
    assert "L5" in process.stdout.readline().decode(), "half a line holds nobody up"
    done = finish(process, b"lf\nend")
    assert done.code == 0
    assert [answer["label"] for answer in done.answers] == ["L4", "L3"]


def test_a_reader_that_leaves_ends_the_work_quietly(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("text\n" * 50_000)
    process = start(*RUN, "--input", "in.txt", cwd=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    process.stdin.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), error) == (141, b"")


def test_ctrl_c_on_a_pipe_is_quiet(tmp_path: Path) -> None:
    process = start(*RUN, cwd=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"one\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert (done.code, done.err) == (130, "distilbert: interrupted\n")


def on_terminal(*arguments: str, cwd: Path) -> str:
    """Run the command with a terminal as its standard output, and return what it shows."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "TERM": "dumb", "COLUMNS": "80"}
    command = [sys.executable, "-m", "tests.cli.fake", *arguments]
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=follower, stderr=2, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(60) == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_a_ranking_of_sentences(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a long sentence\nshort\n\nin \x1b[31mbetween\n")
    rank = ("--task", "sentence-similarity", "--source", "x", "--input", "in.txt")
    shown = on_terminal(*RUN, *rank, cwd=tmp_path)
    assert [line.strip() for line in shown.splitlines()] == [
        "score  sentence", "0.2000  short", "0.0667  a long sentence", "0.0667  in  [31mbetween"
    ]  # fmt: skip
    assert on_terminal(*RUN, *rank, "--format", "json", "--top-k", "1", cwd=tmp_path) == (
        '{"score": 0.2, "sentence": "short"}\n'
    )


def test_a_terminal_shows_answers_below_their_inputs(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("two\n")
    assert on_terminal(*RUN, "--input", "in.txt", cwd=tmp_path) == "two\n  L3  0.3333  ███████\n"
    assert on_terminal(*RUN, "--input", "in.txt", "--format", "json", cwd=tmp_path).startswith('{"label"')


def test_a_ranking_goes_to_files_and_pipes(cli: Command) -> None:
    cli.write("in.csv", "id,title\n1,long title\n2,x\n3,mid\n4,\n")
    rank = ("--source", "s", "--input", "in.csv", "--column", "title", "--on-error", "skip")
    done = cli.run(*rank)
    assert [answer["sentence"] for answer in done.answers] == ["x", "mid", "long title"]
    assert cli.run(*rank, "--output", "o.csv", "--keep-input", "--top-k", "2").code == 0
    assert cli.read("o.csv").splitlines()[:2] == ["id,title,score,sentence", "2,x,1.0,x"]
    assert sorted(path.name for path in cli.folder.iterdir()) == [".stdin", "in.csv", "o.csv"]
    for wrong in (["--task", "ner"], ["--top-k", "0"], ["--source", " "], ["--resume", "--output", "x.csv"]):
        assert cli.run(*rank, *wrong).code == 2


def test_a_ranking_that_a_file_cannot_hold_is_kept(cli: Command) -> None:
    cli.write("in.jsonl", '{"text": "x", "a": 1}\n{"text": "yy", "a": "b"}\n')
    done = cli.run("--source", "s", "--input", "in.jsonl", "--keep-input", "--output", "o.parquet")
    assert done.code == 1
    assert "All results are kept in o.parquet.part, as JSON lines." in done.err
    assert "--resume" not in done.err, "a ranking cannot go on in the middle"
    assert [json.loads(line)["sentence"] for line in cli.read("o.parquet.part").splitlines()] == ["x", "yy"]


def test_the_bar_goes_to_standard_error_only(cli: Command) -> None:
    cli.write("in.txt", "one\n" * 40)
    done = cli.run("--input", "in.txt", "--progress")
    assert len(done.answers) == 40
    assert "40 rows" in done.err
    assert cli.run("--input", "in.txt").err == ""


def test_memory_stays_constant_and_windows_grow(cli: Command) -> None:
    cli.write("in.txt", "one\n" * 3000)
    assert cli.run("--input", "in.txt", "--output", "o.jsonl").code == 0
    assert [len(window) for window in cli.task.windows][:5] == [16, 32, 64, 64, 64], "64 is the fake's own limit"


def test_time_is_not_lost_at_the_end_of_input(tmp_path: Path) -> None:
    started = time.monotonic()
    assert finish(start(*RUN, cwd=tmp_path), b"").code == 0
    assert time.monotonic() - started < 20
