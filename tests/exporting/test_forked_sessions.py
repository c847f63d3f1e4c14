"""Exported folders in processes that are forked while another thread computes, and in spawned ones."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from distilbert.core.runner_protocol import Batch
from distilbert.exporting.exported_runner import load_exported
from tests.scripts import run_until_done

from .conftest import MakeExport

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
BATCH = Batch.of([[2, 7, 9, 3], [2, 5, 3]])

FORKS = """
import multiprocessing
import sys
import threading

from distilbert import InputError, pipeline

TEXTS = [f"a good film {number}" for number in range(16)]
folder, runner = sys.argv[1:]
task = pipeline("text-classification", folder, runner=runner, threads=2)
expected = task(TEXTS)
is_over = False


def compute():
    while not is_over:
        task(TEXTS)


def answer(use):
    try:
        return use()
    except InputError as error:
        return str(error)


def send_answers(sender):
    sender.send(answer(lambda: task(TEXTS)))
    sender.send(answer(lambda: pipeline("text-classification", folder, runner=runner, threads=1)(TEXTS)))


def check(given):
    if runner == "openvino":
        assert "has used OpenVINO" in given, given
        return
    for answer, before in zip(given, expected, strict=True):
        assert answer["label"] == before["label"]
        assert abs(answer["score"] - before["score"]) < 1e-5


thread = threading.Thread(target=compute, daemon=True)
thread.start()
context = multiprocessing.get_context("fork")
for _ in range(20):
    receiver, sender = context.Pipe()
    child = context.Process(target=send_answers, args=(sender,), daemon=True)
    child.start()
    for _ in range(2):
        assert receiver.poll(60), "the child hangs"
        check(receiver.recv())
    child.join(60)
    assert child.exitcode == 0, child.exitcode
is_over = True
thread.join(60)
print("done")
"""

DROPPED = """
import gc
import os
import sys
from pathlib import Path

from distilbert.core.runner_protocol import Batch
from distilbert.exporting.exported_runner import load_exported

runner = load_exported(Path(sys.argv[1]), sys.argv[2], threads=2)
runner(Batch.of([[2, 7, 9, 3]] * 40))
process = os.fork()
if process == 0:
    del runner
    gc.collect()
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
assert code == 0, code
print("done")
"""


@needs_fork
@pytest.mark.parametrize("script", [FORKS, DROPPED], ids=["answers-or-says-why-not", "drops-a-session-without-waiting"])
@pytest.mark.parametrize(("to", "runner"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_child_of_a_process_that_has_computed(
    exported: MakeExport, tmp_path: Path, to: str, runner: str, script: str
) -> None:
    run_until_done(tmp_path, script, str(exported("labels", to)), runner)


CHANGED = """
import os
import shutil
import sys
from pathlib import Path

from distilbert import WeightsError
from distilbert.core.runner_protocol import Batch
from distilbert.exporting.exported_runner import load_exported

folder = Path(sys.argv[1])
runner = load_exported(folder, "onnxruntime")
file = folder / "onnx" / "model.onnx"
shutil.copy(file, folder / "copy")
os.replace(folder / "copy", file)
runner(Batch.of([[2, 3]]))  # the parent goes on with what it had
process = os.fork()
if process == 0:
    try:
        runner(Batch.of([[2, 3]]))
    except WeightsError as error:
        os._exit(0 if "has changed" in str(error) else 1)
    os._exit(2)
code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
assert code == 0, code
print("done")
"""


@needs_fork
def test_a_child_takes_no_file_that_its_parent_did_not_open(exported: MakeExport, tmp_path: Path) -> None:
    shutil.copytree(exported("labels", "onnx"), tmp_path / "labels")
    run_until_done(tmp_path, CHANGED, str(tmp_path / "labels"))


@pytest.mark.parametrize(("to", "runner"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_runner_can_be_pickled(exported: MakeExport, to: str, runner: str) -> None:
    original = load_exported(exported("labels", to), runner)
    copy = pickle.loads(pickle.dumps(original))
    assert (copy.head, copy.precision, copy.config) == (original.head, original.precision, original.config)
    np.testing.assert_array_equal(copy(BATCH)["logits"], original(BATCH)["logits"])
