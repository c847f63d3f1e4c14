"""The requests in docs/serving.md are answered as the page says, by the server that it starts, with tiny models."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.behaviour.make_models import make
from tests.server_process import serving

from .test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "serving.md"
REQUESTS = blocks(PAGE, "sh")
TINY = {"words": "masked-lm"}  # names on the page -> names of tiny models, where they differ


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("distilbert_mini_sst2") is None:
        pytest.skip("the package distilbert-mini-sst2 is not installed")
    folder = tmp_path_factory.mktemp("served")
    (command,) = re.findall(r"^distilbert serve (.*=models/.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for model in shlex.split(command):
        name, _, path = model.partition("=")
        if path:
            made = make(folder, TINY.get(name, name))
            (folder / path).parent.mkdir(exist_ok=True)
            made.rename(folder / path)
    with serving(folder, *shlex.split(command), "--precision", "fp32") as found:
        yield found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("commands", "printed"), REQUESTS, ids=[commands[:60] for commands, _ in REQUESTS])
def test_requests(commands: str, printed: str | None, address: str) -> None:
    lines = [line for line in commands.splitlines() if line]
    assert all("http://127.0.0.1:8080" in line for line in lines)
    shown = ""
    for line in lines:
        command = line.replace("http://127.0.0.1:8080", address)
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert '"error"' not in done.stdout, (line, done.stdout)
        shown += done.stdout if done.stdout.endswith("\n") else f"{done.stdout}\n"
    assert shown
    if printed is not None:
        assert shown == printed


@pytest.mark.parametrize(("code", "printed"), blocks(PAGE, "py"))
def test_clients(code: str, printed: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code.replace("http://127.0.0.1:8080", address), PAGE.name, "exec"), {})
    assert capsys.readouterr().out == printed


def test_every_task_and_every_other_server_has_an_example() -> None:
    text = "".join(commands for commands, _ in REQUESTS)
    for path in ("text-classification", "token-classification", "question-answering", "fill-mask", "feature-extraction",
                 "zero-shot-classification", "multiple-choice", "sentence-similarity", "embeddings"):  # fmt: skip
        assert f"/v1/{path} " in text
    for path in ("/embed", "/rerank", "/v2/models/"):
        assert path in text


def test_options_of_the_table_exist(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from distilbert.cli import app

    serve = typer.main.get_group(app).commands["serve"]
    options = {option for parameter in serve.params for option in parameter.opts if option.startswith("--")}
    table = PAGE.read_text(encoding="utf-8").partition("## Options")[2].partition("## Operation")[0]
    assert options - {"--help"} == set(re.findall(r"`(--[a-z-]+)`", re.sub(r"`--port 0`", "", table)))


def test_pictures_are_there() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8"))
    assert pictures
    assert all((PAGE.parent / path).exists() for path in pictures)
