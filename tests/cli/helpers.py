from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distilbert.cli import invoke
from distilbert.tasks import loading

from . import fake

ROOT = Path(__file__).parents[2]


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[Any]:
        return [json.loads(line) for line in self.out.split("\n")[:-1]]


class Command:
    """Runs the command in this process, with the fake task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        importlib.import_module("distilbert.training.evaluation.evaluator")  # keeps the pipeline that it finds
        self.folder, self._patch, self._capture = folder, monkeypatch, capfd
        monkeypatch.setattr(loading, "pipeline", fake.fake_pipeline)
        monkeypatch.chdir(folder)
        fake.TASKS.clear()

    @property
    def task(self) -> fake.FakeTask:
        return fake.TASKS[-1]

    def __call__(self, *arguments: str, stdin: str | bytes = b"") -> Done:
        piped = self.folder / ".stdin"
        piped.write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        self._capture.readouterr()
        with piped.open(encoding="utf-8") as file, self._patch.context() as patch:
            patch.setattr(sys, "stdin", file)
            code = invoke(arguments)
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def run(self, *arguments: str, stdin: str | bytes = b"") -> Done:
        return self("run", "--model", "m", *arguments, stdin=stdin)

    def write(self, name: str, content: str | bytes) -> str:
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def start(*arguments: str, cwd: Path, module: str = "tests.cli.fake", **environment: str) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own."""
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "DISTILBERT_DEBUG": ""}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **paths, **environment},
    )


def finish(process: subprocess.Popen[bytes], stdin: bytes = b"") -> Done:
    out, err = process.communicate(stdin, timeout=60)
    return Done(process.returncode, out.decode(), err.decode())
