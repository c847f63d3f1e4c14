"""Estimators on texts: in pipelines, grid searches, pickles and other processes, and what they refuse."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from distilbert import DistilBertClassifier, DistilBertTagger, DistilBertVectorizer, pipeline
from distilbert.core.errors import InputError, ModelNotFoundError
from distilbert.data.examples import SINGLE
from distilbert.training.estimators.model_files import FILES, StoredModel
from tests.behaviour.make_models import make

TEXTS = [text for number in range(12) for text in (f"a fine film {number}", f"two hours of noise {number}")]
LABELS = ["good", "bad"] * 12
WORDS = ("Mary was here", "John saw the film", "it was Mary", "the film John")
SENTENCES = [words.split() for words in WORDS * 4]
TAGS = [["B-PER", "O", "O"], ["B-PER", "O", "O", "O"], ["O", "O", "B-PER"], ["O", "O", "B-PER"]] * 4


STEP = {"max_steps": 1}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("models"), "encoder"))


def test_vectors_are_those_of_the_model(model: str) -> None:
    task = pipeline("feature-extraction", model, pooling="mean", normalize=True, precision="fp32")
    vectors = DistilBertVectorizer(model, precision="fp32").transform(TEXTS[:5])
    np.testing.assert_allclose(vectors, np.array(task(TEXTS[:5])), atol=1e-5)
    assert vectors.dtype == np.float32
    for texts in (
        pd.Series(TEXTS[:5]),
        np.array(TEXTS[:5]),
        pd.DataFrame({"a": TEXTS[:5]}),
        np.array(TEXTS[:5])[:, None],
    ):
        np.testing.assert_array_equal(DistilBertVectorizer(model, precision="fp32").fit_transform(texts), vectors)
    assert DistilBertVectorizer(model).transform([]).shape == (0, vectors.shape[1])
    assert DistilBertVectorizer(model).get_feature_names_out()[[0, -1]].tolist() == ["distilbert0", "distilbert23"]


def test_in_pipelines(model: str) -> None:
    chain = make_pipeline(DistilBertVectorizer(model), LogisticRegression(C=100))
    assert chain.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1
    frame = pd.DataFrame({"text": TEXTS, "length": [len(text) for text in TEXTS]})
    columns = ColumnTransformer([("text", DistilBertVectorizer(model), "text")], remainder="passthrough")
    assert make_pipeline(columns, LogisticRegression(C=100, max_iter=1000)).fit(frame, LABELS).score(frame, LABELS) == 1


def test_grid_search_over_a_pipeline(model: str) -> None:
    chain = make_pipeline(DistilBertVectorizer(model), LogisticRegression())
    search = GridSearchCV(
        chain, {"logisticregression__C": [0.1, 100.0], "distilbertvectorizer__pooling": ["mean", "cls"]}, cv=2
    ).fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 4
    search = GridSearchCV(DistilBertClassifier(model), {"C": [0.1, 100.0]}, cv=2).fit(TEXTS, LABELS)
    assert search.predict(TEXTS[:2]).tolist() == ["good", "bad"]
    assert search.best_params_["C"] == search.best_estimator_.C_


def test_joblib_in_two_processes(model: str) -> None:
    scores = cross_val_score(DistilBertClassifier(model, C=100.0, threads=1), TEXTS, LABELS, cv=2, n_jobs=2)
    assert scores.tolist() == [1, 1]


def test_the_classifier(model: str) -> None:
    classifier = DistilBertClassifier(model).fit(TEXTS, LABELS)
    assert classifier.classes_.tolist() == ["bad", "good"]
    assert classifier.C_ in (1.0, 3.0, 10.0, 30.0, 100.0)
    assert classifier.score(TEXTS, LABELS) == 1
    probabilities = classifier.predict_proba(TEXTS[:3])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(TEXTS[:3])), probabilities, rtol=1e-5)
    assert classifier.predict([]).tolist() == []
    numbers = DistilBertClassifier(model, C=10.0, class_weight="balanced").fit(TEXTS, [7, 3] * 12)
    assert numbers.predict(TEXTS[:2]).tolist() == [7, 3]
    assert DistilBertClassifier(model).fit(TEXTS[:2], LABELS[:2]).C_ == 10, "one text a label: nothing to validate on"


@pytest.mark.parametrize("kind", [DistilBertVectorizer, DistilBertClassifier, DistilBertTagger])
def test_parameters_clone_and_pickle(kind: Any, model: str, tmp_path: Path) -> None:
    estimator = kind(model, threads=1)
    assert estimator.get_params()["model"] == model
    assert clone(estimator).get_params() == estimator.get_params()
    assert "threads=1" in repr(estimator)
    if kind is DistilBertTagger:
        X: Sequence[Any] = SENTENCES
        y: Any = TAGS
    else:
        X, y = TEXTS, LABELS
    estimator.fit(X, y)
    ask = estimator.transform if kind is DistilBertVectorizer else estimator.predict
    expected = np.array(ask(X), dtype=object)
    restored = pickle.loads(pickle.dumps(estimator))
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    for other in (restored, joblib.load(tmp_path / "estimator.joblib")):
        ask = other.transform if kind is DistilBertVectorizer else other.predict
        assert np.array(ask(X), dtype=object).tolist() == expected.tolist()
    assert (tmp_path / "estimator.joblib").stat().st_size < 50_000, "the model is not in it"


def test_the_tagger(model: str) -> None:
    tagger = DistilBertTagger(model, C=100.0)
    assert tagger.fit(SENTENCES, TAGS).predict(SENTENCES[:2]) == TAGS[:2]
    assert tagger.score(SENTENCES, TAGS) == 1
    assert tagger.classes_.tolist() == ["B-PER", "O"]
    long = ["film"] * 300 + ["Mary"]
    assert len(tagger.predict([long])[0]) == 301, "read in windows"
    assert len(tagger.predict([["Mary", "\u200b"]])[0]) == 2, "a word of which no token is left"
    plain = DistilBertTagger(model).fit(SENTENCES, [["x" if tag == "O" else "y" for tag in tags] for tags in TAGS])
    assert 0.5 < plain.score(SENTENCES, [["x"] * len(words) for words in SENTENCES]) < 0.9
    search = GridSearchCV(DistilBertTagger(model), {"C": [0.01, 100.0]}, cv=2).fit(SENTENCES, TAGS)
    assert search.best_params_ == {"C": 100.0}


class AnswersAs(DistilBertTagger):
    """A tagger whose answers are given."""

    answers: Any = ()

    def predict(self, X: Any) -> list[list[Any]]:
        return list(self.answers)


def test_the_score_of_entities_is_that_of_an_evaluation() -> None:
    tagger = AnswersAs()
    tagger.classes_ = np.array(["B-PER", "L-PER", "O", "U-LOC", "U-PER"])
    tagger.answers = [["B-PER", "L-PER", "U-LOC"]]
    assert tagger.score([["a", "b", "c"]], [["U-PER", "U-PER", "U-LOC"]]) == 2 * 1 / (2 + 3)


@pytest.mark.parametrize("method", ["fit", "finetune"])
def test_tags_may_be_numbers(model: str, method: str) -> None:
    numbers = [[{"O": 0, "B-PER": 10}[tag] for tag in tags] for tags in TAGS]
    tagger = DistilBertTagger(model, method=method, C=100.0, finetune_options=STEP).fit(SENTENCES, numbers)
    assert tagger.classes_.tolist() == [0, 10]
    predicted = tagger.predict(SENTENCES)
    assert {tag for tags in predicted for tag in tags} <= {0, 10}
    assert predicted == numbers or method == "finetune"
    assert tagger.score(SENTENCES, predicted) == 1
    assert tagger.predict([["\u200b", "\u200b"]])[0][0] in (0, 10)


def test_fine_tuning(model: str, tmp_path: Path) -> None:
    options = {"epochs": 8.0, "learning_rate": 3e-3, "batch_size": 8}
    classifier = DistilBertClassifier(model, method="finetune", finetune_options=options).fit(TEXTS, LABELS)
    probabilities = classifier.predict_proba(TEXTS)
    assert probabilities.shape == (24, 2)
    assert classifier.score(TEXTS, LABELS) > 0.8
    restored = pickle.loads(pickle.dumps(classifier))
    folder = classifier.model_.folder
    del classifier
    assert not folder.exists(), "the trained model goes with its estimator"
    np.testing.assert_allclose(restored.predict_proba(TEXTS), probabilities, atol=1e-6)
    tagger = DistilBertTagger(model, method="finetune", finetune_options=options | {"epochs": 40.0}).fit(
        SENTENCES, TAGS
    )
    tags = tagger.predict(SENTENCES)
    assert [len(each) for each in tags] == [len(words) for words in SENTENCES]
    assert tagger.score(SENTENCES, TAGS) > 0.5


@pytest.mark.parametrize(("names", "given"), [(LABELS, "bad"), ([2.0, 1.0] * 12, 1)])
def test_evaluation_data_has_the_labels_of_y(model: str, names: list[Any], given: Any) -> None:
    """Whatever they are; 1 is not the second label."""
    rows = [{"text": "two hours of noise", "label": given}, {"text": "a fine film", "label": names[0]}]
    options = {"eval_data": rows, "select": "best", "learning_rate": 3e-3, "batch_size": 8, "baselines": False}
    classifier = DistilBertClassifier(model, method="finetune", finetune_options=options).fit(TEXTS, names)
    assert classifier.predict(["two hours of noise 3", "a fine film 3"]).tolist() == [names[1], names[0]]


def test_many_labels_keep_their_order(model: str) -> None:
    names = np.arange(12)[::-1].repeat(2)
    texts = [f"film {number}" for number in range(24)]
    classifier = DistilBertClassifier(model, method="finetune", finetune_options=STEP).fit(texts, names)
    assert list(classifier._classify.config.id2label.values()) == [str(number) for number in range(12)]
    assert classifier.predict_proba(texts).shape == (24, 12)


def test_a_fine_tuned_model_is_kept_without_its_run_and_pickled_as_a_whole(model: str) -> None:
    classifier = DistilBertClassifier(model, method="finetune", finetune_options=STEP).fit(TEXTS, LABELS)
    assert {path.name for path in classifier.model_.folder.iterdir()} <= set(FILES)
    restored = pickle.loads(pickle.dumps(classifier))
    assert len(pickle.dumps(restored)) == len(pickle.dumps(classifier))
    (restored.model_.folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors is gone, so this estimator cannot be saved"):
        pickle.dumps(restored)


def test_a_forked_child_leaves_the_model_where_it_is() -> None:
    stored = [StoredModel()]
    child = os.fork()
    if not child:
        stored.clear()
        os._exit(0)
    os.waitpid(child, 0)
    folder = stored[0].folder
    assert folder.is_dir()
    stored.clear()
    assert not folder.exists()


def test_a_folder_that_was_trained_anew_is_another_model(tmp_path: Path) -> None:
    folder = str(make(tmp_path, "encoder"))
    tagger = DistilBertTagger(folder)
    vectors, words = DistilBertVectorizer(folder).transform(TEXTS[:2]), [*tagger._word_vectors(SENTENCES[:1])]
    weights = load_file(Path(folder, "model.safetensors"))
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, Path(folder, "model.safetensors"))
    assert not np.allclose(DistilBertVectorizer(folder).transform(TEXTS[:2]), vectors, atol=1e-3)
    assert not np.allclose([*tagger._word_vectors(SENTENCES[:1])], words, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (
                lambda model, name=name, value=value: DistilBertClassifier(
                    model, method="finetune", finetune_options={name: value}
                ).fit(TEXTS, LABELS),
                f"finetune_options must not have {name}: DistilBertClassifier decides .*{name}.* by itself",
            )
            for name, value in (("problem", SINGLE), ("label_names", ["a", "b"]), ("output", "x"), ("train_data", []))
        ),
        (lambda model: DistilBertVectorizer(model).transform("one"), "X is one text: give a list of texts"),
        (lambda model: DistilBertVectorizer(model).transform(["a", ""]), r"X\[1\] is an empty text"),
        (lambda model: DistilBertVectorizer(model).fit([3]), r"X\[0\] must be a str, got 3"),
        (lambda model: DistilBertVectorizer(model).fit(pd.DataFrame({"a": ["x"], "b": ["y"]})), "of 2 columns: give"),
        (lambda model: DistilBertClassifier(model).fit(TEXTS, LABELS[1:]), "24 texts and 23 labels: one for each"),
        (lambda model: DistilBertClassifier(model).fit(TEXTS, ["a"] * 24), "y has one class only"),
        (lambda model: DistilBertClassifier(model).fit(TEXTS, None), "the target y is None"),
        (lambda model: DistilBertClassifier(model).fit(TEXTS, np.eye(24)), "y must be a column of labels"),
        (lambda model: DistilBertClassifier(model, method="x").fit(TEXTS, LABELS), "method must be"),
        (lambda model: DistilBertTagger(model).fit(["a b"], [["O"]]), r"X\[0\] must be a list of words, got 'a b'"),
        (
            lambda model: DistilBertTagger(model).fit([["a", "b"]], [["O"]]),
            r"X\[0\] has 2 words, and y\[0\] has 1 tags",
        ),
        (lambda model: DistilBertTagger(model).fit([["a"]], [["O"]]), "y has one class only"),
        (lambda model: DistilBertTagger(model).fit([[]], [[]]), r"X\[0\] has no words"),
    ],
)
def test_refusals(call: Any, message: str, model: str) -> None:
    with pytest.raises(InputError, match=message):
        call(model)


@pytest.mark.parametrize("kind", [DistilBertClassifier, DistilBertTagger])
def test_nothing_learned_yet(kind: Any, model: str) -> None:
    for method in ("fit", "finetune"):
        with pytest.raises(NotFittedError, match="is not fitted yet: call fit"):
            kind(model, method=method).predict([["a"]])


def test_no_framework_is_loaded(model: str) -> None:
    code = (
        "import sys\nfrom distilbert import DistilBertClassifier\n"
        f"classifier = DistilBertClassifier({model!r}, C=1.0).fit(['a fine film', 'noise'], [1, 0])\n"
        "print(classifier.predict(['noise']), *{'torch', 'accelerate', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[0]\n"
