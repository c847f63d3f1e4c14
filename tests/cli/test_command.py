"""The command itself: help, usage, exit codes, and no heavy import without need."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from distilbert import __main__ as entry
from distilbert.cli import main
from distilbert.cli.failures import warn
from distilbert.cli.run.terminal_views import VIEWS
from distilbert.core.errors import MissingExtraError
from distilbert.tasks import TASKS, loading
from tests.behaviour.make_models import make

from . import fake
from .helpers import ROOT, Command, finish, start

HEAVY = ("torch", "numpy", "tokenizers", "pyarrow", "rich", "safetensors", "huggingface_hub", "transformers")


@pytest.mark.parametrize(
    "arguments",
    [
        "--help", "run --help", "finetune --help", "evaluate --help", "distill --help", "pretrain -h", "convert --help",
        "package --help", "quantize --help", "export --help", "tokenize -h", "info --help", "pack -h", "push --help",
        "--version",
    ],
)  # fmt: skip
def test_help_loads_nothing_heavy(arguments: str) -> None:
    code = (
        "import sys, distilbert.cli as cli\n"
        f"code = cli.invoke({arguments.split()!r})\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr == "0 []\n"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "finetune",
        "evaluate",
        "distill",
        "pretrain",
        "convert",
        "package",
        "quantize",
        "export",
        "tokenize",
        "info",
    ],
)
def test_help_ends_with_an_example(cli: Command, command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.code == 0
    last = done.out.rstrip().rpartition("Example:\n")[2]
    assert "distilbert " in last
    assert len(last.splitlines()) <= 2


def test_usage_errors_are_one_message_and_exit_2(cli: Command) -> None:
    cli.write("in.txt", "x\n")
    cli.write("in.unknown", "x\n")
    for line, message in {
        "": "",
        "rn": "No such command 'rn'",
        "run": "Name a model",
        "run --model m --taks x": "--taks",
        "run --model m --task sumarization": "There is no task 'sumarization'",
        "run --model m --task text-clasification": "Did you mean 'text-classification'?",
        "run --model m --format xml": "--format",
        "run --model m --input gone.csv": "There is no file 'gone.csv'",
        "run --model m --input .": "A run in shards writes a folder: name it with --output",
        "run --model m --input in.unknown": "does not tell its format",
        "run --model m --input in.txt --format pipe": "--format pipe reads standard input",
        "run --model m --format parquet": "cannot be read from a pipe",
        "run --model m --output o.xyz": "does not tell a format",
        "run --model m --output o.parquet.gz": "compressed inside already",
        "run --model m --overwrite": "--overwrite goes with --output",
        "run --model m --param x": "NAME=VALUE",
        "run --model m --param tpo_k=3": "unknown argument 'tpo_k'",
        "run --model m --top-k 0": "--top-k must be at least 1",
        "run --model m --source s --task ner": "--source ranks",
        "info --tensors": "--tensors goes with a model",
        "tokenize": "Give one of --model",
        "tokenize a --pair --vocab v": "v",
        "convert a": "OUTPUT",
        "convert a b --layers x": "numbers of blocks",
    }.items():
        done = cli(*shlex.split(line))
        assert done.code == (1 if line.startswith("tokenize a") else 2), line
        assert message in done.err, line
        assert "Traceback" not in done.err
        assert done.err.startswith("distilbert: ") or not line


def test_the_options_reach_the_pipeline_and_the_task(cli: Command) -> None:
    loading = "--config c --tokenizer t --device 1 --precision bf16 --batch-tokens 64"
    params = "--top-k 2 --stride 8 --param pooling=mean"
    assert cli.run(*loading.split(), *params.split(), stdin="one\n").code == 0
    assert cli.task.options == {  # type: ignore[attr-defined]
        "model": "m", "config": "c", "tokenizer": "t", "device": 1, "precision": "bf16", "batch_tokens": 64
    }  # fmt: skip
    for given, device in (("-1", "cpu"), ("0", 0), ("cuda:1", "cuda:1"), ("mps", "mps")):
        assert cli.run("--device", given).code == 0
        assert cli.task.options["device"] == device  # type: ignore[attr-defined]


def test_the_question_answering_stride_goes_by_its_own_name(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "PARAMS", ("doc_stride",))
    assert cli.run("--task", "question-answering", "--stride", "8").code == 0


def test_every_option_of_a_task_is_one_of_run(cli: Command) -> None:
    text = cli("run", "--help").out
    for spec in TASKS.values():
        for name, option in spec.options.items():
            assert f" {option} " in text, f"{option}, which sets {name} of {spec.name}"


def test_every_task_has_a_view_on_a_terminal() -> None:
    assert set(VIEWS) == set(TASKS)


def test_main_leaves_with_the_code(cli: Command) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    with pytest.raises(SystemExit) as left:
        main(["nonsense"])
    assert left.value.code == 2


def test_debug_shows_the_traceback(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILBERT_DEBUG", "1")
    done = cli.run("--input", "gone.csv")
    assert done.code == 2
    assert "Traceback" in done.err


def test_errors_of_the_system_are_one_message(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "secret")

    monkeypatch.setattr("distilbert.cli.run.steps.load", refuse)
    done = cli.run()
    assert (done.code, done.err) == (1, "distilbert: secret: Permission denied\n")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = finish(start("--version", cwd=tmp_path, module="distilbert"))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("distilbert ")


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"


def test_names_from_files_do_not_steer_the_terminal(cli: Command) -> None:
    """An error and ``info`` show control characters of labels and file names as escapes."""
    folder = make(cli.folder / f"m{HOSTILE[:4]}", "labels")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = HOSTILE
    config["label2id"] = {label: int(index) for index, label in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    done = cli("info", str(folder))
    assert done.code == 0
    assert r"\x1b[2J\x1b]0;owned\x07\u202e" in done.out
    missing = cli("info", str(cli.folder / f"none{HOSTILE}"))
    assert missing.code == 1
    assert r"none\x1b[2J" in missing.err
    for text in (done.out, done.err, missing.out, missing.err):
        assert all(character.isprintable() or character in "\n\t" for character in text)


def test_answers_that_cannot_be_written_are_refused(cli: Command) -> None:
    """Tensors would be written as the text that Python shows of them."""
    make(cli.folder, "encoder")
    line = ["run", "--task", "feature-extraction", "--model", "encoder", "--param", "return_tensors=true"]
    done = cli(*line, stdin="a film\n")
    assert (done.code, done.out) == (2, "")
    assert done.err == "distilbert: --param return_tensors: a file holds numbers and no tensors; leave it out.\n"


def test_contradictions_and_empty_names_are_wrong_usage(cli: Command) -> None:
    cli.write("in.txt", "one\n")
    cli.write("plain", "")
    for line, message in {
        "run --model m --param top_k=2 --top-k 1": "--param top_k and the option for it are both given",
        "run --model m --param top_k=2 --param top-k=1": "--param top_k is given twice.",
        "run --model m --device -3": "--device must be -1 or cpu, 0 or cuda:0, mps, ..., got -3.",
        "run --model m --input in.txt --output ": "--output is empty: name a file or a folder",
        "run --model  --input in.txt": "--model is empty: name a file or a folder",
        "prepare in.txt --tokenizer m --cache plain": "--cache plain is a file; name a folder.",
    }.items():
        done = cli(*line.split(" "))
        assert (done.code, done.out) == (2, ""), line
        assert message in done.err, line


def test_an_import_error_of_our_own_is_no_message_to_the_user(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise ImportError("cannot import name 'x'")

    monkeypatch.setattr(loading, "pipeline", broken)
    with pytest.raises(ImportError, match="cannot import name 'x'"):
        cli.run(stdin="one\n")

    def without_extra(*arguments: Any, **options: Any) -> Any:
        raise MissingExtraError("This needs 'x', which is not installed")

    monkeypatch.setattr(loading, "pipeline", without_extra)
    done = cli.run(stdin="one\n")
    assert (done.code, done.err) == (1, "distilbert: This needs 'x', which is not installed\n")


def test_ctrl_c_during_the_imports_is_one_message(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Interrupting(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "distilbert.cli", Interrupting("distilbert.cli"))
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert (caught.value.code, capsys.readouterr().err) == (130, "distilbert: interrupted\n")


def test_the_installed_command_is_that_entry() -> None:
    (script,) = entry_points(group="console_scripts", name="distilbert")
    assert script.value == "distilbert.__main__:main"


def test_a_message_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self) -> None:
            self.written: list[str] = []

        def write(self, text: str) -> None:
            self.written.append(text)

        def flush(self) -> None:
            pass

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    warn("a message")
    assert stream.written == ["distilbert: a message\n"]
