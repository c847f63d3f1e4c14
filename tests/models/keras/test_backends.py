"""Keras on JAX, and what importing this room loads; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

JAX = """
import sys, tempfile
import keras
import numpy as np
from distilbert.core.runner_protocol import Batch
from distilbert.models.keras.runner import KerasRunner
from distilbert.models.pytorch.runner import PytorchRunner
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import inputs, keras_class, labels, twin_of, eager
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels
assert keras.backend.backend() == "jax"
assert not {"tensorflow", "flax"} & set(sys.modules)
for head in HEAD_NAMES:
    model = eager(head, dropout=0.0, attention_dropout=0.0, qa_dropout=0.0, seq_classif_dropout=0.0)
    twin = twin_of(model)
    wanted = model(**tiny_inputs(head), **tiny_labels(head), output_hidden_states=True, output_attentions=True)
    given = inputs(head) | labels(head)
    assert_same(twin(given, output_hidden_states=True, output_attentions=True), wanted)
    twin.set_attn_implementation("sdpa")
    assert_same(twin(given), model(**tiny_inputs(head), **tiny_labels(head)))
    assert_same(twin.predict(given, batch_size=2, verbose=0), model(**tiny_inputs(head)))
    batch = Batch.of([[1, 2, 3, 4], [5, 6], [7, 8, 9, 10, 11, 12, 13]])
    for name, array in KerasRunner(twin)(batch).items():
        assert_close(array, PytorchRunner(model)(batch)[name], name)
own = twin.get_arrays()
twin.set_arrays(changed := {name: array.copy() for name, array in own.items()})
for array in changed.values():
    array += 1
for name, array in twin.get_arrays().items():
    np.testing.assert_array_equal(array, own[name], err_msg="the arrays stay the caller's")
twin.compile(optimizer=keras.optimizers.Adam(1e-2))
history = twin.fit(given, epochs=4, verbose=0).history["loss"]
assert history[-1] < history[0], history
with tempfile.TemporaryDirectory() as folder:
    twin.save_pretrained(folder)
    assert_same(keras_class(head).from_pretrained(folder)(given), twin(given))
histories = []
for checkpointing in (False, True):
    keras.utils.set_random_seed(0)  # the same dropout, too
    twin = twin_of(model := eager("ForSequenceClassification"))
    twin.prune_heads({0: [1]})
    model.prune_heads({0: [1]})
    given = inputs() | labels("ForSequenceClassification")
    assert_same(twin(given), model(**tiny_inputs(), **tiny_labels("ForSequenceClassification")))
    if checkpointing:
        twin.gradient_checkpointing_enable()
    twin.compile(optimizer=keras.optimizers.SGD(1e-2))
    histories.append(twin.fit(given, epochs=4, verbose=0).history["loss"])
assert_close(*map(np.asarray, histories))
twin.config.return_dict = False
assert np.isfinite(twin.fit(given, validation_data=(given,), verbose=0).history["val_loss"]).all()
assert np.isfinite(twin.test_on_batch(given))
print("done")
"""


def run(code: str, **environment: str) -> str:
    root = Path(__file__).parents[3]
    values = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(root)} | environment
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=values, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_on_jax() -> None:
    assert run(JAX, KERAS_BACKEND="jax").strip() == "done"


def test_importing_the_room_loads_no_other_framework() -> None:
    script = (
        "import sys, keras, tensorflow\n"
        "before = set(sys.modules)\n"  # Keras itself looks for JAX
        "import distilbert.models.keras\n"
        "print(*{'torch', 'jax', 'flax', 'transformers'} & (set(sys.modules) - before), 'torch' in sys.modules)"
    )
    assert run(script).strip() == "False"
