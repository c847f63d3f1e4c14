"""What holds for every task: shapes of input and result, order, laziness, JSON, parameters."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest

from distilbert.core.errors import InputError, UnknownArgumentError
from distilbert.models.pytorch.runner import CudaRunner, PytorchRunner

from .inputs import TASKS, close, inputs_for


def test_batch_equals_single(name: str, task: Any) -> None:
    inputs = inputs_for(name, 30)
    together = task(inputs, batch_tokens=512)
    alone = [task([item])[0] for item in inputs]
    for i, (a, b) in enumerate(zip(together, alone, strict=True)):
        assert close(a, b), (i, a, b)


def test_answers_are_json_ready_and_a_single_input_gives_a_single_answer(name: str, task: Any) -> None:
    for item in inputs_for(name, 5, seed=1):
        answer = task(item)
        assert json.loads(json.dumps(answer)) == answer
        if name == "text-classification" and isinstance(item, str):
            assert isinstance(answer, list)
            answer = answer[0]  # as in transformers
        assert close(answer, task([item])[0])


def test_thousand_mixed_inputs_keep_their_order(name: str, task: Any) -> None:
    few = inputs_for(name, 40, seed=2)
    answers = [task([item])[0] for item in few]
    order = [i * 7 % 40 for i in range(1000)] if name == "text-classification" else [i * 7 % 40 for i in range(120)]
    for i, answer in zip(order, task(few[i] for i in order), strict=True):
        assert close(answer, answers[i])


def test_empty_list_gives_empty_list(task: Any) -> None:
    assert task([]) == []
    assert list(task(iter([]))) == []


def test_iterator_is_read_in_growing_windows(name: str, task: Any) -> None:
    items = inputs_for(name, 20, seed=3)
    consumed = 0

    def source() -> Iterator[Any]:
        nonlocal consumed
        for item in items:
            consumed += 1
            yield item

    answers = task(source())
    assert consumed == 0
    seen = []
    for _ in range(8):
        next(answers)
        seen.append(consumed)
    assert seen == [1, 3, 3, 7, 7, 7, 7, 15]


def test_batch_size_bounds_what_is_read_of_an_iterator(name: str, task: Any) -> None:
    items = inputs_for(name, 9, seed=3)
    read: list[Any] = []

    def source() -> Iterator[Any]:
        for item in items:
            read.append(item)
            yield item

    assert [len(read) for _ in task(source(), batch_size=1)] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    read.clear()
    assert [len(read) for _ in task(source(), batch_size=2)] == [1, 3, 3, 5, 5, 7, 7, 9, 9]


def test_what_was_read_before_an_error_is_answered(name: str, task: Any) -> None:
    items = inputs_for(name, 6, seed=3)
    expected = task(items)

    def source() -> Iterator[Any]:
        yield from items
        raise OSError("the source is gone")

    for inputs, error in ((source(), OSError), (iter([*items, None, *items]), InputError)):
        answers = task(inputs)
        assert [close(next(answers), each) for each in expected] == [True] * 6
        with pytest.raises(error, match=r"the source is gone|inputs\[6\]"):
            next(answers)


def test_a_list_with_a_bad_input_costs_no_computing(name: str, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unused:
        head, config = task.runner.head, task.runner.config

        def __call__(self, batch: Any) -> Any:
            raise AssertionError

    monkeypatch.setattr(task, "runner", Unused())
    with pytest.raises(InputError, match=r"inputs\[6\]"):
        task([*inputs_for(name, 6), None])


DICTS = {
    "text-classification": {"text": "a film", "text_pair": "the sea"},
    "token-classification": {"words": ["John", "in", "Paris"]},
    "question-answering": {"question": "Who?", "context": "John made a film."},
    "multiple-choice": {"context": "rain", "choices": ["a film", "the sea"]},
    "sentence-similarity": {"text": "a film", "text_pair": "the sea"},
}


@pytest.mark.parametrize("name", list(DICTS))
def test_any_mapping_is_a_dict(name: str, task: Any) -> None:
    """Such as a row of ``datasets`` that is formatted when it is read."""
    item: Any = DICTS[name]
    assert task(UserDict(item)) == task(item)
    assert task([UserDict(item), item]) == task([item, item])


def test_dataset_with_indices_only(name: str, task: Any) -> None:
    items = inputs_for(name, 3, seed=4)

    class Dataset:
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> Any:
            return items[index]

    assert [close(a, b) for a, b in zip(task(Dataset()), task(items), strict=True)] == [True] * 3
    assert len(task(Dataset())) == 3
    assert not hasattr(task(iter(items)), "__len__")


@pytest.mark.parametrize("bad", [None, "", 3, 2.5, b"bytes", {}, {"nothing": "x"}, [], ["a"], ("a",), [None]])
def test_bad_input_is_named(name: str, task: Any, bad: Any) -> None:
    good = inputs_for(name, 2, seed=5)
    with pytest.raises(InputError, match=r"inputs\[2\]"):
        task([*good, bad, *good])
    with pytest.raises(InputError, match=r"inputs\[2\]"):
        list(task(iter([*good, bad])))
    if bad != [] and not isinstance(bad, list):
        with pytest.raises(InputError):
            task(bad)


def test_lazy_answers_before_a_bad_input_arrive(name: str, task: Any) -> None:
    answers = task(iter([*inputs_for(name, 1), None]))
    next(answers)
    with pytest.raises(InputError, match=r"inputs\[1\]"):
        next(answers)


def test_unknown_argument_is_named(name: str, task: Any, make_task: Any) -> None:
    item = inputs_for(name, 1)[0]
    with pytest.raises(UnknownArgumentError, match=rf"{name}.*'stridee'"):
        task(item, stridee=3)
    with pytest.raises(UnknownArgumentError, match="'stridee'"):
        make_task(name, TASKS[name][0], stridee=3)


def test_batch_options_are_checked(name: str, task: Any) -> None:
    item = inputs_for(name, 1)[0]
    for options in ({"batch_tokens": 0}, {"batch_size": -1}, {"batch_tokens": 2.5}, {"batch_size": True}):
        with pytest.raises(InputError, match=next(iter(options))):
            task(item, **options)


def test_pure_python_tokenizer_gives_the_same(name: str, task: Any, make_task: Any) -> None:
    model, params = TASKS[name]
    slow = make_task(name, model, use_fast=False, **params)
    assert not slow.tokenizer.is_fast
    items = inputs_for(name, 10, seed=6)
    assert close(slow(items), task(items))


def test_a_runner_that_queues_gives_the_same_answers(name: str, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner of a GPU, on the CPU: windows are encoded while others compute, and batches are cut otherwise."""
    monkeypatch.setattr(type(task), "first_chunk_size", 3)
    model = task.model if task.spec.head else task.model.base_model
    inputs = inputs_for(name, 30, seed=4)
    params = TASKS[name][1]
    plain = type(task)(PytorchRunner(model), task.tokenizer, **params)(inputs)
    queued = type(task)(CudaRunner(model), task.tokenizer, **params)
    assert queued.batch_tokens > task.batch_tokens
    for answers in (queued(inputs), list(queued(iter(inputs)))):
        for i, (a, b) in enumerate(zip(plain, answers, strict=True)):
            assert close(a, b), (i, a, b)


def test_a_window_is_queued_before_the_last_one_is_waited_for(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("text-classification", "labels")
    runner = CudaRunner(task.model)
    monkeypatch.setattr(type(task), "first_chunk_size", 2)
    events: list[str] = []
    submit = runner.submit

    def watched(batch: Any) -> Any:
        events.append(f"queued {len(batch.lengths)}")
        wait = submit(batch)
        return lambda: events.append(f"fetched {len(batch.lengths)}") or wait()

    monkeypatch.setattr(runner, "submit", watched)
    queued = type(task)(runner, task.tokenizer)
    assert len(queued(["word " * count for count in range(1, 7)])) == 6
    assert events == ["queued 2", "queued 4", "fetched 2", "fetched 4"]
    events.clear()
    assert len(list(queued(iter(["a word", "a film", "a sea"])))) == 3
    assert events == ["queued 1", "fetched 1", "queued 2", "fetched 2"], "a stream is not read ahead"


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_tokenizer_or_a_model_for_nothing_but_special_tokens_is_refused(
    task: Any, name: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = inputs_for(name, 1)
    before = task.tokenizer.model_max_length
    task.tokenizer.model_max_length = length
    with pytest.raises(InputError, match=f"model_max_length is {length}; .* needs at least 5 tokens"):
        task(example)
    task.tokenizer.model_max_length = before
    monkeypatch.setattr(type(task), "max_tokens", length)
    with pytest.raises(InputError, match=f"max_position_embeddings is {length}; .* needs at least 5 tokens"):
        task(example)
