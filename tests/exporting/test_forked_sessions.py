"""Children that are forked while another thread computes, with the runners of exported folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import MakeExport

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")

SCRIPT = """
import multiprocessing
import sys
import threading

from distilbert import pipeline

TEXTS = [f"a good film {number}" for number in range(16)]
task = pipeline("text-classification", sys.argv[1], runner=sys.argv[2], threads=2)
expected = task(TEXTS)
is_over = False


def compute():
    while not is_over:
        task(TEXTS)


def send_answer(sender):
    sender.send(task(TEXTS))


thread = threading.Thread(target=compute, daemon=True)
thread.start()
context = multiprocessing.get_context("fork")
for _ in range(5):
    receiver, sender = context.Pipe()
    child = context.Process(target=send_answer, args=(sender,), daemon=True)
    child.start()
    assert receiver.poll(60), "the child hangs"
    for answer, before in zip(receiver.recv(), expected, strict=True):
        assert answer["label"] == before["label"]
        assert abs(answer["score"] - before["score"]) < 1e-5
    child.kill()
is_over = True
thread.join(60)
print("done")
"""


@pytest.mark.parametrize(("to", "runner"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_child_made_while_a_thread_computes(exported: MakeExport, tmp_path: Path, to: str, runner: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(tmp_path / "script.py"), str(exported("labels", to)), runner]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
