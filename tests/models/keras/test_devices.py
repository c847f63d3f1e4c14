"""Where a Keras model runs."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from distilbert import DeviceError, DistilBertTokenizer, pipeline
from distilbert.models.keras.device import copy_to, device_of, list_devices, pick_device
from distilbert.models.keras.runner import KerasRunner
from tests.models.assertions import assert_same
from tests.models.keras.test_backends import run
from tests.models.keras.twins import inputs, tiny_keras

TWO = """
import tensorflow as tf
device, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from distilbert.core.runner_protocol import Batch
from distilbert.models.keras.device import device_of, list_devices
from distilbert.models.keras.runner import KerasRunner
from tests.models.assertions import assert_close
from tests.models.keras.twins import keras_class, tiny_keras
assert list_devices() == ["cpu:0", "cpu:1"]
model = tiny_keras("ForSequenceClassification")
batch = Batch.of([[1, 2, 3], [4, 5]])
where = []
original = type(model).head
type(model).head = lambda self, hidden: (where.append(hidden.device), original(self, hidden))[1]
tf.config.run_functions_eagerly(True)
for name in ("cpu:0", "cpu:1"):
    runner = KerasRunner(model, name)
    assert_close(runner(batch)["logits"], KerasRunner(model)(batch)["logits"])
    print(runner.device, device_of(runner._selected_tokens.model), where[-2][-5:], device_of(model))
tf.config.run_functions_eagerly(False)
copied = KerasRunner(model, "cpu:1")
copied(batch)
model.distilbert.transformer.layer[0].ffn.lin1.kernel.assign_add(model.distilbert.transformer.layer[0].ffn.lin1.kernel)
assert_close(copied(batch)["logits"], KerasRunner(model)(batch)["logits"])
model.prune_heads({0: [1]})
assert_close(copied(batch)["logits"], KerasRunner(model)(batch)["logits"])
assert_close(KerasRunner(model, 'cpu:1')(batch)["logits"], KerasRunner(model)(batch)["logits"])
"""


def test_what_a_caller_may_write() -> None:
    for device in (None, -1, "cpu", "CPU:0", "cpu:0", "/job:localhost/replica:0/task:0/device:CPU:0", {"": "cpu"}):
        assert pick_device(device) == "cpu:0"
    for wrong in ("gp", "cpu:x", 1.5):
        with pytest.raises(DeviceError, match="is none that TensorFlow knows: use 'cpu', 'cuda:0', a number or 'auto'"):
            pick_device(wrong)
    with pytest.raises(DeviceError, match="cpu:7' is not there"):
        pick_device("cpu:7")
    with pytest.raises(DeviceError, match="whole model on one device"):
        pick_device({"a": "cpu", "b": 0})


@pytest.mark.skipif(len(list_devices()) > 1, reason="this machine has another device than a CPU")
def test_devices_that_are_not_there(tmp_path: Path) -> None:
    assert pick_device("auto") == "cpu:0"
    model = tiny_keras("ForSequenceClassification")
    model.save_pretrained(tmp_path)
    words = [f"w{number}" for number in range(92)]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    DistilBertTokenizer(vocabulary).save_pretrained(tmp_path)
    for device in (0, "cuda", "cuda:3", "gpu:0", "tpu"):
        with pytest.raises(DeviceError, match=r"is not there: TensorFlow 2\..* sees cpu:0\. Use device='cpu'"):
            pipeline("text-classification", tmp_path, framework="tf", device=device)
        with pytest.raises(DeviceError, match="is not there"):
            type(model).from_pretrained(tmp_path, device_map=device)
    answers = [
        pipeline("text-classification", tmp_path, framework="tf", **where)("w1 w2")
        for where in ({}, {"device": "cpu"}, {"device": -1}, {"device": "auto"}, {"device_map": "auto"})
    ]
    assert all(answer == answers[0] for answer in answers)


def test_auto_picks_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"cpu": ["cpu:0"], "gpu": ["gpu:0", "gpu:1"], "tpu": []}
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: there[kind])
    assert pick_device("auto") == pick_device(0) == pick_device("cuda") == pick_device("/GPU:0".strip("/")) == "gpu:0"
    assert pick_device(1) == pick_device("cuda:1") == pick_device("/device:GPU:1") == "gpu:1"
    assert pick_device(None) == pick_device(-1) == "cpu:0"
    with pytest.raises(DeviceError, match="device 2 is not there: TensorFlow .* sees cpu:0, gpu:0, gpu:1"):
        pick_device(2)
    there["gpu"] = []
    there["tpu"] = ["tpu:0"]
    assert pick_device("auto") == "tpu:0"


def test_a_copy_and_the_runner_know_where_they_are() -> None:
    model = tiny_keras("ForMaskedLM")
    copy = copy_to(model, "cpu:0")
    assert copy is not model
    assert device_of(copy) == device_of(model) == "cpu:0"
    assert_same(copy(inputs()), model(inputs()), 0)
    for device in (None, "auto", "cpu"):
        runner = KerasRunner(model, device)
        assert runner.device == "cpu:0"
        assert runner._selected_tokens.model is model, "no copy where the weights are there already"


def test_on_a_second_device() -> None:
    assert run(TWO).splitlines() == ["cpu:0 cpu:0 CPU:0 cpu:0", "cpu:1 cpu:1 CPU:1 cpu:0"]
