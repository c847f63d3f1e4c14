"""Keras models used as code for transformers' TensorFlow classes uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import keras
import numpy as np
import pytest
import tensorflow as tf

from distilbert import DistilBertTokenizerFast, InputError, TFDistilBertMainLayer
from distilbert.core.schema import HEADS
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import fresh_keras, inputs, keras_class, labels, tiny_keras
from tests.tiny import HEAD_NAMES, LENGTH, tiny_config

NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0}
CLASSIFIER = "ForSequenceClassification"


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_inputs_in_a_list(head: str) -> None:
    model = tiny_keras(head)
    ids, mask = inputs(head).values()
    wanted = model(ids, mask)
    for given in ([ids, mask], (ids, mask), (tf.constant(ids), tf.constant(mask), None), [ids, mask, None, None]):
        assert_same(model(given), wanted)
    assert_same(model([ids]), model(ids))
    assert_same(model.predict([ids, mask], verbose=0), wanted)
    embedded = model.get_input_embeddings()(ids)
    assert_close(model([None, mask, None, embedded])[0], wanted[0])
    assert_same(model(list(ids)), model(ids))  # the rows of one input, as before
    assert_same(model(ids.tolist()), model(ids))
    with pytest.raises(InputError, match="arguments, 20 were given by position"):
        model([ids] * 20)


@pytest.mark.parametrize("head", HEAD_NAMES[1:])
def test_training_on_lists(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    targets: Any = list(labels(head).values())
    targets = targets if len(targets) > 1 else targets[0]
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    wanted = float(model(inputs(head) | labels(head)).loss)
    lists = list(inputs(head).values())
    assert model.fit(lists, targets, batch_size=4, verbose=0).history["loss"][0] == pytest.approx(wanted, abs=1e-4)
    assert model.evaluate(lists, targets, verbose=0) == pytest.approx(wanted, abs=1e-4)
    pairs = tf.data.Dataset.from_tensor_slices((tuple(lists), tuple(targets) if isinstance(targets, list) else targets))
    assert model.evaluate(pairs.batch(4), verbose=0) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("head", HEAD_NAMES[1:])
def test_weights_of_samples(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    given, targets = inputs(head), labels(head)
    weights = np.array([2.0, 0.0, 1.0, 0.5], np.float32)
    output = model(given)
    if head == "ForQuestionAnswering":
        each = model.hf_compute_loss(targets, (output.start_logits, output.end_logits)).numpy()
    else:
        each = model.hf_compute_loss(targets["labels"], output.logits).numpy()
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)

    def weighted(sample_weight: Any, together: bool) -> float:
        if together:
            return float(model.evaluate(given | targets, sample_weight=sample_weight, batch_size=4, verbose=0))
        y = list(targets.values())
        y = y if len(y) > 1 else y[0]
        return float(model.evaluate(given, y, sample_weight=sample_weight, batch_size=4, verbose=0))

    plain = float(model(given | targets).loss)
    if head in (CLASSIFIER, "ForMultipleChoice"):
        wanted = float((each * weights).mean())
        assert each.mean() == pytest.approx(plain, abs=1e-5)
    elif head == "ForQuestionAnswering":
        wanted = None  # positions outside the window are left out, of starts and ends apart
    else:
        assert each.shape == (1,)
        assert each[0] == pytest.approx(plain, abs=1e-5)
        rows = [float(model(_row(given | targets, row)).loss) for row in range(4)]
        counts = (targets["labels"] != -100).sum(-1)
        wanted = float((np.array(rows) * counts * weights).sum() / counts.sum())
    for together in (True, False):
        assert weighted(np.ones(4), together) == pytest.approx(plain, abs=1e-4)
        assert weighted(2 * np.ones(4), together) == pytest.approx(2 * plain, abs=1e-4)
        if wanted is not None:
            assert weighted(weights, together) == pytest.approx(wanted, abs=1e-4)
    if head == "ForTokenClassification":
        assert weighted(np.repeat(weights[:, None], LENGTH, 1), False) == pytest.approx(wanted, abs=1e-4)
        with pytest.raises(InputError, match=r"sample_weight of shape \(4, 3\) does not go with labels of shape"):
            weighted(np.ones((4, 3)), False)


def _row(arrays: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    return {name: array[row : row + 1] for name, array in arrays.items()}


@pytest.mark.parametrize("head", [CLASSIFIER, "ForTokenClassification"])
def test_weights_of_classes(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    given, target = inputs(head), labels(head)["labels"]
    table = np.array([0.5, 3.0, 1.0, 1.0, 0.0], np.float32)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    per_label = np.where(target == -100, 0, table[np.clip(target, 0, 4)])
    wanted = model.evaluate(given, target, sample_weight=per_label, verbose=0)
    class_weight = {0: 0.5, 1: 3.0, 4: 0.0}
    plain = model.fit(given, target, verbose=0).history["loss"][0]
    for arguments in ((given, target), (given | {"labels": target},)):
        history = model.fit(*arguments, class_weight=class_weight, verbose=0).history
        assert history["loss"][0] == pytest.approx(wanted, abs=1e-4)
    assert model.train_on_batch(given, target, class_weight=class_weight) == pytest.approx(wanted, abs=1e-4)
    assert model.fit(given, target, verbose=0).history["loss"][0] == pytest.approx(plain, abs=1e-4), "and not later"
    with pytest.raises(InputError, match=r"class_weight has weights for \[5\]; the classes are 0 to 4"):
        model.fit(given, target, class_weight={5: 1.0}, verbose=0)


@pytest.mark.parametrize(
    ("head", "changes"),
    [("ForQuestionAnswering", {}), ("ForMultipleChoice", {}), (CLASSIFIER, {"num_labels": 1})],
)
def test_class_weights_need_classes(head: str, changes: dict[str, Any]) -> None:
    model = fresh_keras(head, **changes)
    model.compile("sgd")
    with pytest.raises(InputError, match=r"class_weight needs labels that name one class each.*use sample_weight"):
        model.fit(inputs(head) | labels(head), class_weight={0: 2.0}, verbose=0)


def test_metrics_of_two_labels() -> None:
    head = "ForQuestionAnswering"
    model = fresh_keras(head)
    model.compile("sgd", metrics=[keras.metrics.SparseCategoricalAccuracy(name="hits")], run_eagerly=True)
    targets = {name: np.clip(array, 0, LENGTH - 1) for name, array in labels(head).items()}
    result = model.evaluate(inputs(head) | targets, verbose=0, return_dict=True)
    output = model(inputs(head))
    for side, name in (("start", "hits"), ("end", "hits_1")):
        hits = (output[f"{side}_logits"].numpy().argmax(-1) == targets[f"{side}_positions"]).mean()
        measured = [value for key, value in result.items() if key.endswith("hits") or key == name]
        assert any(value == pytest.approx(hits) for value in measured), (side, result)


def test_losses_under_their_names_in_transformers() -> None:
    model = tiny_keras("ForQuestionAnswering")
    output = model(inputs())
    positions = {"start_position": np.array([1, 2, 3, 4]), "end_position": np.array([2, 3, 4, 5])}
    each = model.hf_compute_loss(positions, (output.start_logits, output.end_logits))
    own = model(inputs(), start_positions=positions["start_position"], end_positions=positions["end_position"])
    assert each.shape == (4,)
    assert_close(tf.reduce_mean(each), own.loss)
    regression = tiny_keras(CLASSIFIER, num_labels=1)
    values = np.array([0.5, 1.0, -1.0, 2.0], np.float32)
    logits = regression(inputs()).logits
    assert_close(regression.hf_compute_loss(values, logits), (logits.numpy()[:, 0] - values) ** 2)


@pytest.mark.parametrize("head", HEAD_NAMES[1:])
def test_training_with_the_loss_under_its_name_in_transformers(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    targets: Any = list(labels(head).values())
    targets = targets if len(targets) > 1 else targets[0]
    wanted = float(model(inputs(head) | labels(head)).loss)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=model.hf_compute_loss, metrics=["accuracy"])
    measured = model.fit(inputs(head), targets, batch_size=4, verbose=0).history
    assert measured["loss"][0] == pytest.approx(wanted, abs=1e-4)
    rows = tf.data.Dataset.from_tensor_slices((inputs(head), tuple(targets) if isinstance(targets, list) else targets))
    assert model.fit(rows.batch(3), verbose=0).history["loss"][0] > 0
    assert model.evaluate(rows.batch(4), verbose=0)[0] == pytest.approx(wanted, abs=1e-4)


def _dataset(lengths: list[int], label: str | None) -> datasets.Dataset:
    columns: dict[str, Any] = {
        "input_ids": [list(range(1, length + 1)) for length in lengths],
        "attention_mask": [[1] * length for length in lengths],
        "text": ["unused"] * len(lengths),
    }
    if label is not None:
        columns[label] = [index % 5 for index in range(len(lengths))]
    return datasets.Dataset.from_dict(columns)


@pytest.fixture
def tokenizer(tmp_path: Path) -> DistilBertTokenizerFast:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]))
    return DistilBertTokenizerFast.from_pretrained(tmp_path)


@pytest.mark.parametrize("label", ["labels", "label", "label_ids"])
def test_datasets_become_batches(label: str, tokenizer: DistilBertTokenizerFast) -> None:
    model = fresh_keras(CLASSIFIER)
    rows = model.prepare_tf_dataset(_dataset([3, 5, 4, 6, 2], label), batch_size=2, shuffle=False, tokenizer=tokenizer)
    batches = list(rows.as_numpy_iterator())
    assert [set(batch[0]) for batch in batches] == [{"input_ids", "attention_mask"}] * 3
    assert [batch[0]["input_ids"].shape for batch in batches] == [(2, 5), (2, 6), (1, 2)]
    assert [batch[1].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert batches[0][0]["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.fit(rows, verbose=0).history["loss"][0])
    shuffled = model.prepare_tf_dataset(_dataset([4] * 5, label), batch_size=2)
    assert [len(batch[1]) for batch in shuffled.as_numpy_iterator()] == [2, 2], (
        "a last batch that is smaller is left out"
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_labels_of_tokens_are_padded(side: str, tokenizer: DistilBertTokenizerFast) -> None:
    rows = {"input_ids": [[5, 6], [7, 8, 9]], "attention_mask": [[1, 1], [1, 1, 1]], "labels": [[1, 2], [3, 4, 0]]}
    tokenizer.padding_side = side
    options = {"batch_size": 2, "shuffle": False, "tokenizer": tokenizer}
    dataset = datasets.Dataset.from_dict(rows)
    ((batch, labels),) = fresh_keras("ForTokenClassification").prepare_tf_dataset(dataset, **options)
    assert labels.numpy()[0].tolist() == ([1, 2, -100] if side == "right" else [-100, 1, 2])
    assert labels.numpy()[1].tolist() == [3, 4, 0]
    assert batch["input_ids"].shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"rows of labels have different shapes: \(2,\), \(3,\)"):
        next(iter(fresh_keras(CLASSIFIER).prepare_tf_dataset(dataset, **options)))


def test_datasets_without_labels_and_mistakes() -> None:
    encoder = fresh_keras()
    batches = encoder.prepare_tf_dataset(_dataset([4, 4, 4], None), batch_size=2, shuffle=False)
    assert [batch["input_ids"].shape for batch in batches] == [(2, 4), (1, 4)]
    with pytest.raises(InputError, match="takes a datasets.Dataset"):
        encoder.prepare_tf_dataset({"input_ids": [[1]]})
    with pytest.raises(InputError, match="No column is input_ids: there are text"):
        encoder.prepare_tf_dataset(_dataset([4], None).select_columns(["text"]))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with NumPy 2.4
def test_the_encoder_as_a_layer_of_another_model(tmp_path: Path) -> None:
    ids, mask = (keras.Input((None,), dtype="int32", name=name) for name in ("ids", "mask"))
    encoder = TFDistilBertMainLayer(tiny_config(), name="distilbert")
    assert isinstance(encoder, keras.layers.Layer)
    for states in (
        encoder(ids, attention_mask=mask)[0],
        encoder([ids, mask])[0],
        encoder({"input_ids": ids, "attention_mask": mask}).last_hidden_state,
    ):
        assert states.shape == (None, None, 24)
    model = keras.Model([ids, mask], keras.layers.Dense(2)(states[:, 0]))
    before = model(list(inputs().values()))
    model.save(tmp_path / "own.keras")
    assert_close(keras.models.load_model(tmp_path / "own.keras")(list(inputs().values())), before)

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.distilbert, self.classifier = encoder, keras.layers.Dense(2)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.classifier(self.distilbert(inputs, training=training)[0][:, 0])

    own = Own()
    own.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = own.fit(inputs(), np.array([0, 1, 0, 1]), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_dummies_signatures_and_summaries(head: str) -> None:
    model = fresh_keras(head)
    output = model(model.dummy_inputs)
    assert all(tensor.dtype == tf.int32 for tensor in model.dummy_inputs.values())
    assert {name: spec.dtype for name, spec in model.input_signature.items()} == dict.fromkeys(
        ("input_ids", "attention_mask"), tf.int32
    )
    assert not model.can_generate()
    assert (model.framework, model.main_input_name) == ("tf", "input_ids")
    served = model.serving_output(model(model.dummy_inputs, output_hidden_states=True))
    assert served["hidden_states"].shape[0] == 3
    assert_close(served[next(iter(output))], output[0])
    lines: list[str] = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "?" not in "\n".join(lines)
    assert "(None, None, 24)" in "\n".join(lines)
    assert (model.get_lm_head() is None) == (model.get_bias() is None) == (head != "ForMaskedLM")
    if head == "ForMaskedLM":
        bias = model.get_bias()["vocab_projector.bias"]
        assert isinstance(bias, tf.Variable)
        bias.assign_add(tf.ones_like(bias))
        assert_close(model(model.dummy_inputs)[0], output[0].numpy() + 1)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_layers_by_themselves(head: str) -> None:
    model = fresh_keras(head)
    ids = inputs()["input_ids"]
    states = model.base_model.embeddings(ids)
    assert_close(states, model.base_model(ids, output_hidden_states=True).hidden_states[0])
    assert keras_class(head).head_spec is HEADS[head]
