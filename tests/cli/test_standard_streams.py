"""Standard streams that are closed or full, and parameters of the wrong type: one message each, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distilbert import DeviceError
from distilbert.cli.failures import in_options
from distilbert.tasks import loading

from .helpers import ROOT, Command

SHELL = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def shell(redirections: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Run the command with redirections; return its exit code, its output and its messages."""
    command = f'"{sys.executable}" -m tests.cli.fake "$@" {redirections}'
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "DISTILBERT_DEBUG": ""}
    done = subprocess.run(
        ["sh", "-c", command, "sh", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


@SHELL
def test_closed_streams(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    run = ("run", "--model", "m")
    assert shell("<&-", *run, cwd=tmp_path) == (
        2,
        "",
        "distilbert: Standard input is closed; name a file with --input.\n",
    )
    code, _, err = shell(">&-", *run, "--input", "in.txt", cwd=tmp_path)
    assert (code, err) == (1, "distilbert: The results could not be printed on standard output: it is closed.\n")
    code, out, _ = shell("2>&-", *run, "--input", "in.txt", cwd=tmp_path)
    assert (code, out) == (0, '{"label": "L3", "score": 0.3333333333333333}\n')
    code, out, err = shell("<&- >&- 2>&-", *run, "--input", "in.txt", "--output", "out.jsonl", cwd=tmp_path)
    assert (code, out, err) == (0, "", "")
    assert (tmp_path / "out.jsonl").read_text() == '{"label": "L3", "score": 0.3333333333333333}\n'
    code, _, err = shell("<&-", "tokenize", "--vocab", "in.txt", cwd=tmp_path)
    assert code != 0
    assert "Traceback" not in err
    code, _, err = shell(">&-", "info", cwd=tmp_path)
    assert (code, err) == (1, "distilbert: The results could not be printed on standard output: it is closed.\n")


@SHELL
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
def test_a_full_standard_output(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    for arguments in (("run", "--model", "m", "--input", "in.txt"), ("info",)):
        code, _, err = shell("> /dev/full", *arguments, cwd=tmp_path)
        assert (code, err) == (
            1, "distilbert: The results could not be printed on standard output: No space left on device.\n"
        )  # fmt: skip


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("top_k=" + "[" * 100_000, "--param top_k: its JSON is nested too deeply."),
        ("inputs=3", "--param inputs: this is no parameter of text-classification; it has top_k,"),
        ("self=3", "--param self: this is no parameter"),
        ("on_error=null", "--param on_error: this is no parameter"),
        ('stride="a"', "--stride: int | None is expected, got 'a' of type str."),
        ("stride=1.5", "--stride: int | None is expected, got 1.5 of type float."),
        ("stride=true", "--stride: int | None is expected, got True of type bool."),
        ('top_k={"a": 1}', "--top-k: int | None is expected, got {'a': 1} of type dict."),
    ],
)
def test_parameters_of_another_type(cli: Command, parameter: str, said: str) -> None:
    done = cli.run("--param", parameter, stdin="one\n")
    assert done.code == 2
    assert done.err.startswith(f"distilbert: {said}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_pipes_and_devices_are_no_files(cli: Command) -> None:
    os.mkfifo(cli.folder / "pipe.csv")
    (cli.folder / "zero.csv").symlink_to("/dev/zero")
    (cli.folder / "zero.toml").symlink_to("/dev/zero")
    os.mkfifo(cli.folder / "pipe.toml")
    for name in ("pipe.csv", "zero.csv"):
        done = cli.run("--input", name)
        assert done.code == 2
        assert f"{name} is a pipe or a device, not a file" in done.err
    for name in ("pipe.toml", "zero.toml"):
        for command in ("evaluate", "finetune", "distill"):
            done = cli(command, "--config", name)
            assert done.code == 2
            assert f"{name} is a pipe or a device, not a file" in done.err


@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
def test_deep_json(cli: Command, name: str) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    cli.write(name, deep if name == "in.json" else f'"one"\n{deep}\n{{"text": "three", "more": {deep}}}\n')
    done = cli.run("--input", name, "--keep-input")
    assert (done.code, "Traceback" in done.err) == (1 if name == "in.json" else 0, False)
    assert "not JSON" in done.err
    nested = "[" * 900 + "]" * 900  # it can be read, but not be written everywhere
    cli.write("in.jsonl", f'{{"text": "one", "more": {nested}}}\n')
    for output in ("o.jsonl", "o.csv", "o.parquet"):
        done = cli.run("--input", "in.jsonl", "--keep-input", "--output", output)
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Use device='cpu', or device_map='auto' to take whatever there is.", "Use --device cpu."),
        ("Leave batch_tokens=8 out.", "Leave --batch-tokens 8 out."),
        (
            "runner= goes with framework='pt'; keras has its own.",
            "--runner goes with --framework pt; keras has its own.",
        ),
        ("Pass runner='onnxruntime' for it.", "Pass --runner onnxruntime for it."),
        ("pass model=, a folder", "pass --model, a folder"),
        ("take it with force=True.", "take it with --force."),
        ("the labels=5 of no option; is_device=True", "the labels=5 of no option; is_device=True"),
        ("batch_tokens must be an integer.", "--batch-tokens must be an integer."),
        ("model must be a name; got 3.", "--model must be a name; got 3."),
        ("model: there is none.", "--model: there is none."),
        ("state eval_data, or leave it.", "state --eval-data, or leave it."),
        ("trials must be 0 where eval_data is not given", "trials must be 0 where --eval-data is not given"),
        ("'eval_data' of /x/eval_data/eval_data.csv", "'eval_data' of /x/eval_data/eval_data.csv"),
        ("go on with it (resume), start it anew (overwrite)", "go on with it (--resume), start it anew (--overwrite)"),
        ("resume goes on and overwrite starts anew.", "--resume goes on and --overwrite starts anew."),
        ("choose another folder, or overwrite it.", "choose another folder, or overwrite it (--overwrite)."),
        ("the model must be a folder", "the model must be a folder"),
    ],
)
def test_messages_speak_of_options(message: str, said: str) -> None:
    names = ["device", "batch_tokens", "runner", "framework", "model", "force", "eval_data", "resume", "overwrite"]
    assert in_options(message, names) == said


def test_a_device_that_is_not_there(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise DeviceError(
            "device 'cuda' is not there. Use device='cpu', or device_map='auto' to take whatever there is."
        )

    monkeypatch.setattr(loading, "pipeline", refuse)
    done = cli.run("--device", "cuda", stdin="one\n")
    assert (done.code, done.err) == (1, "distilbert: device 'cuda' is not there. Use --device cpu.\n")
