"""Output that appears only when complete, and work that goes on after an interruption."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest

from .helpers import Command, Done, finish, start

RUN = ("run", "--model", "m", "--input", "in.txt", "--output", "out.jsonl")


def rows(count: int) -> str:
    return "".join(f"{'x' * (index % 50)} row {index}\n" for index in range(count))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".stdin")


def killed(folder: Path, *arguments: str, row: int = 200) -> Done:
    done = finish(start(*RUN, *arguments, cwd=folder, FAKE_KILL=str(row)))
    assert done.code == -signal.SIGKILL
    return done


def test_resume_after_a_kill_equals_an_uninterrupted_run(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    assert cli(*RUN).code == 0
    whole = cli.read("out.jsonl")
    windows = cli.task.windows
    (cli.folder / "out.jsonl").unlink()
    killed(cli.folder)
    assert files(cli.folder) == ["in.txt", "out.jsonl.part", "out.jsonl.part.json"]
    part = cli.read("out.jsonl.part")
    assert 0 < len(part) < len(whole)
    assert whole.startswith(part)
    done = cli(*RUN, "--resume")
    assert (done.code, done.err) == (0, "")
    assert cli.read("out.jsonl") == whole
    assert files(cli.folder) == ["in.txt", "out.jsonl"]
    assert cli.task.windows == windows[-len(cli.task.windows) :], "the same rows are batched together"
    assert len(cli.task.windows) < len(windows)


@pytest.mark.parametrize("torn", [b'{"label": "L', b'{"label": "L4", "score": 0.25}\n{"lab'])
def test_a_torn_last_line_is_dropped(cli: Command, torn: bytes) -> None:
    cli.write("in.txt", rows(500))
    cli(*RUN)
    whole = cli.read("out.jsonl")
    (cli.folder / "out.jsonl").unlink()
    killed(cli.folder)
    with (cli.folder / "out.jsonl.part").open("ab") as file:
        file.write(torn)
    assert cli(*RUN, "--resume").code == 0
    assert cli.read("out.jsonl") == whole


def test_resume_with_rows_without_an_answer(cli: Command) -> None:
    lines = rows(400).split("\n")
    for index in (0, 3, 15, 16, 40, 47, 48, 150, 300, 399):
        lines[index] = "" if index % 2 else "refuse me"
    cli.write("in.txt", "\n".join(lines))
    done = cli(*RUN)
    whole = cli.read("out.jsonl")
    assert [number for number, line in enumerate(whole.split("\n")) if line == "null"] == [
        0, 3, 15, 16, 40, 47, 48, 150, 300, 399
    ]  # fmt: skip
    (cli.folder / "out.jsonl").unlink()
    killed(cli.folder)
    again = cli(*RUN, "--resume")
    assert again.code == 0
    assert cli.read("out.jsonl") == whole
    assert (
        done.err.splitlines()[-1]
        == again.err.splitlines()[-1]
        == "distilbert: 10 rows have no answer (null) out of 400."
    )


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_resume_with_skipped_rows_in_every_format(cli: Command, kind: str) -> None:
    text = rows(400).replace(" row 7\n", "\ta\tb\tc\n").replace("x row 151\n", "x\n")
    lines = text.split("\n")
    for index in (3, 40, 47, 48, 150, 300):
        lines[index] = "refuse me"
    cli.write("in.txt", "\n".join(lines))
    arguments = ("--on-error", "skip", "--keep-input", "--output")
    cli(*RUN, *arguments, f"whole.{kind}")
    whole = (cli.folder / f"whole.{kind}").read_bytes()
    killed(cli.folder, *arguments, f"out.{kind}")
    assert cli(*RUN, *arguments, f"out.{kind}", "--resume").code == 0
    assert (cli.folder / f"out.{kind}").read_bytes() == whole
    assert "refuse" not in str(whole)


def test_resume_needs_the_same_command(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    killed(cli.folder)
    part = cli.read("out.jsonl.part")
    done = cli(*RUN, "--model", "other", "--task", "ner", "--resume")
    assert done.code == 2
    assert "task was None and is 'token-classification'" in done.err
    assert "'other'" in done.err
    with (cli.folder / "in.txt").open("a") as file:
        file.write("more\n")
    done = cli(*RUN, "--resume")
    assert done.code == 2
    assert "size was" in done.err
    assert cli.read("out.jsonl.part") == part, "nothing is lost by asking"
    (cli.folder / "out.jsonl.part.json").write_text("{")
    assert "is missing or broken" in cli(*RUN, "--resume").err


def test_unfinished_work_is_neither_lost_nor_reused_by_accident(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    killed(cli.folder)
    done = cli(*RUN)
    assert done.code == 2
    assert "--resume" in done.err
    assert "--overwrite" in done.err
    assert cli(*RUN, "--overwrite").code == 0
    assert files(cli.folder) == ["in.txt", "out.jsonl"]


def test_resume_without_unfinished_work_starts(cli: Command) -> None:
    cli.write("in.txt", rows(50))
    assert cli(*RUN, "--resume").code == 0
    assert len(cli.read("out.jsonl").splitlines()) == 50


def test_a_stop_can_be_resumed(cli: Command) -> None:
    cli.write("in.txt", rows(100).replace(" row 90\n", "\ta\tb\tc\n"))
    done = cli(*RUN, "--on-error", "stop")
    assert done.code == 1
    assert "in.txt:91: 4 fields" in done.err
    assert "90 rows are done" in done.err
    assert "--resume" in done.err
    assert cli(*RUN, "--resume", "--on-error", "stop").code == 1
    done = cli(*RUN, "--resume", "--on-error", "skip")
    assert done.code == 0
    assert len(cli.read("out.jsonl").splitlines()) == 99


def test_a_refused_row_at_the_end_of_a_window_still_stops_after_resume(cli: Command) -> None:
    lines = rows(100).split("\n")
    lines[15] = "refuse me"
    cli.write("in.txt", "\n".join(lines))
    assert cli(*RUN, "--on-error", "stop").code == 1
    assert "in.txt:16" in cli(*RUN, "--on-error", "stop", "--resume").err


def test_an_existing_output_is_an_error_before_any_work(cli: Command) -> None:
    cli.write("in.txt", rows(5))
    cli.write("out.jsonl", "mine")
    done = cli(*RUN)
    assert done.code == 2
    assert "out.jsonl exists already" in done.err
    assert cli.read("out.jsonl") == "mine"
    assert cli(*RUN, "--overwrite").code == 0
    assert len(cli.read("out.jsonl").splitlines()) == 5
    assert cli(*RUN, "--output", "nowhere/out.jsonl").code == 2
    assert cli(*RUN, "--output", "in.txt.csv", "--input", "in.txt.csv").code == 2
    assert cli("run", "--resume", "--input", "in.txt").code == 2


def test_the_old_output_stays_until_the_new_one_is_complete(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    cli.write("out.jsonl", "mine")
    killed(cli.folder, "--overwrite")
    assert cli.read("out.jsonl") == "mine"
    assert cli(*RUN, "--overwrite", "--resume").code == 0
    assert len(cli.read("out.jsonl").splitlines()) == 500


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(rows(5000))
    process = start(*RUN, cwd=tmp_path, FAKE_PAUSE="0.1")
    part = tmp_path / "out.jsonl.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130
    assert "interrupted" in done.err
    assert "--resume" in done.err
    assert "Traceback" not in done.err
    assert files(tmp_path) == ["in.txt", "out.jsonl.part", "out.jsonl.part.json"]
    done = finish(start(*RUN, "--resume", cwd=tmp_path))
    assert (done.code, done.err) == (0, "")
    labels = [json.loads(line)["label"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert labels == [f"L{len(line)}" for line in rows(5000).splitlines()]


def test_results_of_a_pipe_are_kept_too(cli: Command) -> None:
    done = cli.run("--output", "out.json", stdin="one\ntwo\n")
    assert done.code == 0
    assert len(json.loads(cli.read("out.json"))) == 2
    done = cli.run("--output", "other.json", stdin="one\na\tb\tc\n")
    assert "The results of 1 row are kept in other.json.part" in done.err


# Two commands, other contents, full disks.


def test_two_commands_on_one_output(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(rows(600))
    first = start(*RUN, cwd=tmp_path, FAKE_PAUSE="1")
    while not (tmp_path / "out.jsonl.part").exists():
        assert first.poll() is None
        time.sleep(0.02)
    for arguments in ([], ["--overwrite"], ["--resume"]):
        refused = finish(start(*RUN, *arguments, cwd=tmp_path))
        assert refused.code == 2
        assert "Another distilbert run is writing out.jsonl (it holds out.jsonl.part)" in refused.err
    assert finish(first).code == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 600
    assert files(tmp_path) == ["in.txt", "out.jsonl"]


def test_commands_that_start_together_never_mix_their_outputs(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(rows(100))
    several = [start(*RUN, cwd=tmp_path, FAKE_PAUSE="0.05") for _ in range(3)]
    done = [finish(process) for process in several]
    assert sorted(one.code for one in done) == [0, 2, 2]
    assert all("Another distilbert run" in one.err or "exists already" in one.err for one in done if one.code)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 100
    assert files(tmp_path) == ["in.txt", "out.jsonl"]


def test_resume_compares_contents(cli: Command) -> None:
    model = cli.folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"1")
    cli.write("in.txt", rows(500))
    killed(cli.folder, "--model", "model")
    part = cli.read("out.jsonl.part")
    cli.write("in.txt", rows(500).replace("x", "y"))
    done = cli(*RUN, "--model", "model", "--resume")
    assert done.code == 2
    assert "content of the input was" in done.err
    cli.write("in.txt", rows(500))
    (model / "model.safetensors").write_bytes(b"2")
    done = cli(*RUN, "--model", "model", "--resume")
    assert done.code == 2
    assert "content of the model was" in done.err
    assert cli.read("out.jsonl.part") == part
    (model / "model.safetensors").write_bytes(b"1")
    assert cli(*RUN, "--model", "model", "--resume").code == 0


def test_resume_keeps_the_precision_that_was_chosen(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    assert finish(start(*RUN, cwd=cli.folder, FAKE_KILL="200", FAKE_PRECISION="fp32")).code == -signal.SIGKILL
    assert cli(*RUN, "--resume").code == 0
    assert cli.task.options["precision"] == "fp32"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def files_of_a_killed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a run that was killed, and the content of its files."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "in.txt").write_text(rows(500))
    killed(folder)
    return folder, {name: (folder / name).read_bytes() for name in files(folder)}


@pytest.fixture
def interrupted(
    files_of_a_killed_run: tuple[Path, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Command:
    """The command in the folder of a killed run, whose files are as the run left them."""
    folder, contents = files_of_a_killed_run
    for path in folder.iterdir():
        path.unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return Command(monkeypatch, capfd, folder)


@pytest.mark.parametrize("place", range(0, 400, 16))
def test_a_byte_that_changed_meanwhile_is_noticed(interrupted: Command, place: int) -> None:
    cli = interrupted
    for name in ("out.jsonl.part", "out.jsonl.part.json"):
        path = cli.folder / name
        whole = path.read_bytes()
        position = place * len(whole) // 400
        flipped = bytearray(whole)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        done = cli(*RUN, "--resume")
        # A byte of white space between the values of the note may differ, nothing else.
        if done.code == 0:
            assert name == "out.jsonl.part.json"
            assert whole[position : position + 1].isspace()
            return
        assert done.code == 2, done.err
        assert "start again with --overwrite" in done.err
        assert path.read_bytes() == bytes(flipped), "nothing is lost by asking"
        path.write_bytes(whole)
    assert cli(*RUN, "--resume").code == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"command": []}, {"command": None}, {"refused": ["a", 1]}, {"refused": None}, {"refused": [0]}, {"bytes": -1},
        {"bytes": 0}, {"bytes": 1e999}, {"bytes": "1"}, {"bytes": 10**30}, {"hash": None}, {"precision": "bf16"},
    ],
)  # fmt: skip
def test_a_note_with_other_values_is_refused(interrupted: Command, changes: dict[str, object]) -> None:
    cli = interrupted
    note = json.loads(cli.read("out.jsonl.part.json"))
    part = cli.read("out.jsonl.part")
    cli.write("out.jsonl.part.json", json.dumps(note | changes))
    done = cli(*RUN, "--resume")
    assert done.code == 2, done.err
    assert "start again with --overwrite" in done.err
    assert cli.read("out.jsonl.part") == part


def test_lines_after_the_last_note_are_computed_again(cli: Command) -> None:
    cli.write("in.txt", rows(500))
    cli(*RUN)
    whole = cli.read("out.jsonl")
    (cli.folder / "out.jsonl").unlink()
    killed(cli.folder)
    with (cli.folder / "out.jsonl.part").open("a") as file:
        file.write('{"label": "another", "score": 1.0}\n' * 300)
    assert cli(*RUN, "--resume").code == 0
    assert cli.read("out.jsonl") == whole


@pytest.mark.parametrize("name", ["e.jsonl.part", "e.jsonl.part.json", "e.jsonl", "link.jsonl", "hard.jsonl"])
def test_an_input_is_never_lost(cli: Command, name: str) -> None:
    content = '"one"\n"two"\n'
    cli.write(name if name.startswith("e.") else "e.jsonl", content)
    if name == "link.jsonl":
        (cli.folder / name).symlink_to("e.jsonl")
    if name == "hard.jsonl":
        (cli.folder / name).hardlink_to(cli.folder / "e.jsonl")
    for arguments in ([], ["--overwrite"], ["--resume"], ["--overwrite", "--resume"]):
        done = cli.run("--input", name, "--format", "jsonl", "--output", "e.jsonl", *arguments)
        assert done.code == 2
        assert "is the input" in done.err
        assert cli.read(name) == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
@pytest.mark.parametrize(
    ("writes", "file"), [(5, "out.jsonl.part"), (6, "out.jsonl.part.json")], ids=["lines", "the note of the lines"]
)
def test_a_full_disk_names_the_file_and_the_way_on(
    cli: Command, monkeypatch: pytest.MonkeyPatch, writes: int, file: str
) -> None:
    cli.write("in.txt", rows(100))
    original, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr("distilbert.cli.run.partial_output.os.fsync", full)
    done = cli(*RUN)
    assert done.code == 1
    assert done.err == (
        f"distilbert: {file}: No space left on device. 48 rows are done and kept in out.jsonl.part: the same "
        "command with --resume goes on from there.\n"
    )
    monkeypatch.undo()
    (cli.folder / "again").mkdir()
    again = finish(start(*RUN, "--resume", cwd=cli.folder))
    assert again.code == 0
    assert len(cli.read("out.jsonl").splitlines()) == 100
