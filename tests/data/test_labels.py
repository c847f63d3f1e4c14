"""Labels of data sets and of models: their order, names, problem types, and what does not fit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert import DistilBertConfig
from distilbert.core.errors import DataError
from distilbert.data.examples import (
    MULTI,
    REGRESSION,
    SINGLE,
    Answer,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from distilbert.data.labels import (
    check_labels,
    class_counts,
    collect_labels,
    labels_of_config,
    tags_of,
    target_of,
)

TEXT, TAGS = "text-classification", "token-classification"


def rows(*labels: Any) -> list[Example]:
    return [TextExample(f"a.tsv:{number}", "text", None, label) for number, label in enumerate(labels, 2)]


def sentences(*tags: str) -> list[Example]:
    return [TaggedExample(f"a.conll:{n}", ("w",) * len(t.split()), tuple(t.split())) for n, t in enumerate(tags, 1)]


def fault(task: str, examples: Sequence[Example], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        collect_labels(task, examples, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("labels", "names", "problem"),
    [
        (["1", "0"], ("0", "1"), SINGLE),
        (["10", "9", "-1", "9"], ("-1", "9", "10"), SINGLE),
        (["10", "9", "x"], ("10", "9", "x"), SINGLE),
        (["b", None, "a"], ("a", "b"), SINGLE),
        (["true", "false"], ("false", "true"), SINGLE),
        (["nan", "inf"], ("inf", "nan"), SINGLE),
        (["1.5", "x"], ("1.5", "x"), SINGLE),
        (["5.000", "3"], ("score",), REGRESSION),
        ([1.0, 2.5], ("score",), REGRESSION),
        ([1.0, 2.0], ("1", "2"), SINGLE),
        (["1.0", "0.0", "10.0"], ("0", "1", "10"), SINGLE),
        (["1.0", "0"], ("0", "1"), SINGLE),
        (["1.0", "2.0-beta"], ("1.0", "2.0-beta"), SINGLE),
        (["1e-3", ".5", "-2."], ("score",), REGRESSION),
        ([("b", "a"), (), ("c",)], ("a", "b", "c"), MULTI),
    ],
)
def test_what_is_guessed(labels: list[Any], names: tuple[str, ...], problem: str) -> None:
    assert collect_labels(TEXT, rows(*labels)) == Labels(names, problem)


def test_a_problem_that_is_stated() -> None:
    assert collect_labels(TEXT, rows("b|a", "c; a", "b,"), problem=MULTI) == Labels(("a", "b", "c"), MULTI)
    assert collect_labels(TEXT, rows("3", "4"), problem=REGRESSION, names=["stars"]) == Labels(("stars",), REGRESSION)
    assert collect_labels(TEXT, rows(2.0, 0.5, 1.0), problem=SINGLE) == Labels(("0.5", "1", "2"), SINGLE)
    assert "a.tsv:3 has the label 'x', where a regression expects a number" in fault(
        TEXT, rows("1", "x"), problem=REGRESSION
    )
    assert "has the label '1e39', where a regression" in fault(TEXT, rows("1e39"), problem=REGRESSION)
    assert "a.tsv:2 has a list of labels, ['a', 'b'], where one is expected" in fault(
        TEXT, rows(("a", "b")), problem=SINGLE
    )
    assert "problem type is one of" in fault(TEXT, rows("a", "b"), problem="binary")
    assert "one output, and 2 names" in fault(TEXT, rows("1", "2"), problem=REGRESSION, names=["a", "b"])


def test_names_rename_the_sorted_labels() -> None:
    labels = collect_labels(TEXT, rows("1", "0"), names=["negative", "positive"])
    assert labels == Labels(("negative", "positive"), SINGLE, ("0", "1"))
    assert labels.index == {"negative": 0, "positive": 1, "0": 0, "1": 1}
    assert "3 names were given for 2 labels: '0', '1'." in fault(TEXT, rows("1", "0"), names=["a", "b", "c"])
    assert "a name of its own" in fault(TEXT, rows("1", "0"), names=["a", "a"])


def test_names_may_give_another_order() -> None:
    assert collect_labels(TEXT, rows("a", "b"), names=["b", "a"]) == Labels(("b", "a"), SINGLE)
    assert "No row has the label 'c', which was named." in fault(TEXT, rows("a", "b"), names=["a", "c", "b"])


def test_tags_are_sorted_by_kind() -> None:
    labels = collect_labels(TAGS, sentences("I-PER O B-LOC", "B-PER B-O O I-LOC", "MISC"))
    assert labels == Labels(("O", "B-LOC", "I-LOC", "MISC", "B-O", "B-PER", "I-PER"))
    assert collect_labels(TAGS, sentences("VERB NOUN")).names == ("NOUN", "VERB")
    assert collect_labels(TAGS, sentences("10 0 9")).names == ("0", "9", "10")
    assert collect_labels(TAGS, sentences("1 0"), names=["O", "X"]) == Labels(("O", "X"), "", ("0", "1"))


def test_labels_that_teach_nothing() -> None:
    assert "All rows have the same label, 'a'" in fault(TEXT, rows("a", "a"))
    assert "All rows have the same label, 'O'" in fault(TAGS, sentences("O O"))
    assert "No row has a label." in fault(TEXT, rows(None))
    assert "No row has a label." in fault(TEXT, rows(None), problem=REGRESSION)
    assert "No row has a label." in fault(TAGS, [TaggedExample("a:1", ("w",))])
    assert "The label 'b' has 1 row, and at least 2 are needed." in fault(TEXT, rows("a", "a", "b"), minimum=2)
    assert collect_labels(TEXT, rows("a", "a", "b", "b"), minimum=2).names == ("a", "b")


@pytest.mark.parametrize("task", ["question-answering", "multiple-choice", "fill-mask"])
def test_tasks_without_names(task: str) -> None:
    assert collect_labels(task, []) == labels_of_config(DistilBertConfig(), task) == Labels()
    assert "no names of labels" in fault(task, [], names=["a"])


def test_labels_of_a_model() -> None:
    config = DistilBertConfig(id2label={0: "no", 1: "yes"})
    assert labels_of_config(config, TEXT) == Labels(("no", "yes"), SINGLE, ("0", "1"))
    assert labels_of_config(config, TAGS) == Labels(("no", "yes"), "", ("0", "1"))
    stars = DistilBertConfig(id2label={n: str(n + 1) for n in range(3)})
    assert labels_of_config(stars, TEXT) == Labels(("1", "2", "3"), SINGLE)
    assert labels_of_config(DistilBertConfig(num_labels=1), TEXT) == Labels(("LABEL_0",), REGRESSION)
    several = DistilBertConfig(num_labels=3, problem_type=MULTI)
    assert labels_of_config(several, TEXT) == Labels(("LABEL_0", "LABEL_1", "LABEL_2"), MULTI, ("0", "1", "2"))


def test_labels_that_a_model_lacks() -> None:
    labels = Labels(("negative", "positive"), SINGLE, ("0", "1"))
    check_labels(rows("0", "positive", None), labels, "the data")
    with pytest.raises(DataError) as caught:
        check_labels(rows("0", "postive"), labels, "the evaluation data")
    assert str(caught.value) == (
        "a.tsv:3: the evaluation data has the label 'postive', which is not among the labels of the model: "
        "'negative', 'positive'. Did you mean 'positive'?"
    )
    with pytest.raises(DataError, match="a.conll:2: it has the tag 'B-X'"):
        check_labels(sentences("O", "O B-X"), Labels(("O", "B-Y")), "it")
    with pytest.raises(DataError, match="has the label 'c'"):
        check_labels(rows(("a", "c")), Labels(("a", "b"), MULTI), "it")
    with pytest.raises(DataError, match="a.tsv:2 has the label 'x', where a regression"):
        check_labels(rows("x"), Labels(("score",), REGRESSION), "it")
    with pytest.raises(DataError, match="'l0', .*, 'l19' and 130 more"):
        check_labels(rows("x"), Labels(tuple(f"l{n}" for n in range(150)), SINGLE), "it")
    others = [QuestionExample("a:1", "1", "q", "c", (Answer("c", 0),)), ChoiceExample("a:1", "c", "", ("a", "b"), 0)]
    check_labels(others, Labels(), "it")


def test_counts() -> None:
    two = Labels(("negative", "positive"), SINGLE, ("0", "1"))
    assert class_counts(rows("1", "positive", "0", None), two).tolist() == [1, 2]
    assert class_counts(rows(("a", "b"), ("b",), ()), Labels(("a", "b", "c"), MULTI)).tolist() == [1, 2, 0]
    assert class_counts(rows("1", 2.5, None), Labels(("score",), REGRESSION)).tolist() == [2]
    assert class_counts(sentences("O B-X", "O"), Labels(("O", "B-X"))).tolist() == [2, 1]


def target(label: Any, labels: Labels) -> np.ndarray | None:
    example = rows(label)[0]
    assert isinstance(example, TextExample)
    return target_of(example, labels)


def test_targets() -> None:
    several = Labels(("a", "b", "c"), MULTI)
    for label, labels, expected, kind in [
        ("1", Labels(("no", "yes"), SINGLE, ("0", "1")), 1, np.int64),
        (1.0, Labels(("no", "yes"), SINGLE, ("0", "1")), 1, np.int64),
        ("a;c", several, [1, 0, 1], np.float32),
        (("b",), several, [0, 1, 0], np.float32),
        ((), several, [0, 0, 0], np.float32),
        (" 2.5 ", Labels(("score",), REGRESSION), 2.5, np.float32),
        (3.0, Labels(("score",), REGRESSION), 3, np.float32),
    ]:
        numbers = target(label, labels)
        assert numbers is not None
        assert (numbers.tolist(), numbers.dtype) == (expected, kind)
    assert target(None, several) is None
    tagged = TaggedExample("a:1", ("a", "b"), ("B-X", "O"))
    numbers = tags_of(tagged, Labels(("O", "B-X")))
    assert numbers is not None
    assert (numbers.tolist(), numbers.dtype) == ([1, 0], np.int64)
    assert tags_of(TaggedExample("a:1", ("a",)), Labels(("O", "B-X"))) is None


@given(st.lists(st.sampled_from(["a", "b", "7", "10", "9", "-3"]), min_size=2).filter(lambda row: len(set(row)) > 1))
def test_the_order_of_rows_does_not_matter(labels: list[str]) -> None:
    collected = collect_labels(TEXT, rows(*labels))
    shuffled = random.Random(1).sample(labels, len(labels))
    assert collect_labels(TEXT, rows(*shuffled)) == collected
    assert set(collected.names) == set(labels)
    assert class_counts(rows(*labels), collected).tolist() == [labels.count(name) for name in collected.names]
    assert [int(target(label, collected)) for label in labels] == [collected.names.index(label) for label in labels]  # type: ignore[arg-type]
