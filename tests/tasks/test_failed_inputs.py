"""``on_error="null"``: an input that cannot be answered gives None in its place and is counted; order stays."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from distilbert.core.errors import InputError
from distilbert.models.pytorch.runner import CudaRunner
from distilbert.tasks.failed_inputs import FailedInputs

from .inputs import TASKS, close, inputs_for

BAD = ["", None, float("nan"), 3, b"bytes", {}, {"nothing": "x"}]


def mixed(name: str) -> tuple[list[Any], list[Any]]:
    """Good and bad inputs in turn, and the good ones alone."""
    good = inputs_for(name, len(BAD), seed=8)
    return [item for pair in zip(BAD, good, strict=True) for item in pair], good


def test_none_stands_in_the_place_of_a_bad_input(name: str, make_task: Any, caplog: pytest.LogCaptureFixture) -> None:
    model, params = TASKS[name]
    task = make_task(name, model, **params)
    inputs, good = mixed(name)
    expected = [answer for item in task(good) for answer in (None, item)]
    for answers in (task(inputs, on_error="null"), list(task(iter(inputs), on_error="null"))):
        assert [answer is None for answer in answers] == [answer is None for answer in expected]
        assert close(answers[1::2], expected[1::2])
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert f"{name}: 7 inputs have no answer (None). The first: inputs[0]" in caplog.text
    with pytest.raises(InputError, match=r"inputs\[0\]"):
        task(inputs)
    assert task("", on_error="null") is None
    assert task([""], on_error="null") == [None]
    assert task([], on_error="null") == []


def test_it_may_be_the_default_of_a_pipeline(make_task: Any) -> None:
    task = make_task("text-classification", "labels", on_error="null")
    assert task(["", "a"]) == [None, task(["a"])[0]]
    with pytest.raises(InputError, match="empty text"):
        task(["", "a"], on_error="raise")


def test_a_queueing_runner_gives_the_same(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("text-classification", "labels")
    monkeypatch.setattr(type(task), "first_chunk_size", 2)
    queued = type(task)(CudaRunner(task.model), task.tokenizer, on_error="null")
    answers = queued(["a", "", "b", "", "", "c"])
    assert [answer is None for answer in answers] == [False, True, False, True, True, False]
    assert close(answers[0::5], task(["a", "c"]))


def test_what_only_the_ids_or_the_model_show(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = make_task("fill-mask", "masked-lm", top_k=1, on_error="null")
    assert [answer is None for answer in fill(["a [MASK]", "no mask", "[MASK] b"])] == [False, True, False]
    assert [answer is None for answer in fill(["a [MASK]", "no mask"], joint=True)] == [False, True]

    task = make_task("text-classification", "labels", on_error="null")
    runner = task.runner
    unknown = task.tokenizer.encode_ids(["zebra"], None, False)[0][0]

    class Refusing:
        head, config = runner.head, runner.config

        def __call__(self, batch: Any) -> Any:
            if unknown in batch.input_ids:
                raise InputError("an id that this model does not take")
            return runner(batch)

    monkeypatch.setattr(task, "runner", Refusing())
    answers = task(["a film", "a zebra", "the end"])
    assert [answer is None for answer in answers] == [False, True, False]


def test_what_only_the_ids_show_stops_an_iterator_after_the_answers_before_it(make_task: Any) -> None:
    fill = make_task("fill-mask", "masked-lm", top_k=1)
    texts = ["a [MASK]", "the [MASK]", "[MASK] b", "no mask", "[MASK]"]
    answers = fill(iter(texts))
    assert [next(answers)[0]["sequence"] for _ in range(3)] == [answer[0]["sequence"] for answer in fill(texts[:3])]
    with pytest.raises(InputError, match=r"inputs\[3\] has no \[MASK\]"):
        next(answers)


def test_other_errors_are_not_hidden(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("text-classification", "labels", on_error="null")

    class Failing:
        head, config = task.runner.head, task.runner.config

        def __call__(self, batch: Any) -> Any:
            raise MemoryError

    monkeypatch.setattr(task, "runner", Failing())
    with pytest.raises(MemoryError):
        task(["a film"])


def test_the_value_is_checked(make_task: Any) -> None:
    task = make_task("text-classification", "labels")
    with pytest.raises(InputError, match="on_error must be one of 'raise', 'null', got 'nul'. Did you mean 'null'"):
        task("a", on_error="nul")
    with pytest.raises(InputError, match="on_error must be one of"):
        make_task("text-classification", "labels", on_error="skip")


def test_the_first_reason_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailedInputs("ner")
    failures.report()
    assert not caplog.records
    with failures.counted("inputs[4]"):
        raise InputError("the text is too odd.")
    with failures.counted("inputs[5]"):
        raise InputError("inputs[5] is odd, too.")
    with failures.counted("inputs[6]"):
        pass
    failures.report()
    assert caplog.messages == ["ner: 2 inputs have no answer (None). The first: inputs[4]: the text is too odd."]
