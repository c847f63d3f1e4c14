"""Outputs of models are ordered dictionaries, and stay in step with their attributes whatever is done to them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from distilbert.core.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
)


def example() -> SequenceClassifierOutput:
    return SequenceClassifierOutput(loss=0.5, logits=[1, 2], attentions=("map",))


def assert_in_step(output: ModelOutput) -> None:
    """The dictionary, the attributes, the tuple and C code that reads the dictionary directly say the same."""
    names = [field.name for field in dataclasses.fields(output)]
    assert {name: getattr(output, name) for name in names if getattr(output, name) is not None} == {
        name: output[name] for name in names if name in output
    }
    assert [name for name in output if name in names] == [name for name in names if name in output]
    assert output.to_tuple() == tuple(output.values()) == output[:]
    assert dict(output) == {**output} == dict(output.items())


def test_an_output_is_a_dictionary() -> None:
    output = example()
    assert isinstance(output, dict)
    assert isinstance(output, OrderedDict)
    assert isinstance(output, Mapping)
    assert list(output) == ["loss", "logits", "attentions"]
    assert output.keys() & {"loss", "start_logits"} == {"loss"}
    assert_in_step(output)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda output: output.pop("loss"), ["logits", "attentions"]),
        (lambda output: output.pop("hidden_states", None), ["loss", "logits", "attentions"]),
        (lambda output: output.popitem(), ["loss", "logits"]),
        (lambda output: output.popitem(last=False), ["logits", "attentions"]),
        (lambda output: output.update(hidden_states=("states",)), ["loss", "logits", "hidden_states", "attentions"]),
        (lambda output: output.update({"logits": [3]}), ["loss", "logits", "attentions"]),
        (lambda output: output.setdefault("hidden_states", ()), ["loss", "logits", "hidden_states", "attentions"]),
        (lambda output: output.__delitem__("attentions"), ["loss", "logits"]),
        (lambda output: setattr(output, "loss", None), ["logits", "attentions"]),
        (lambda output: setattr(output, "hidden_states", ()), ["loss", "logits", "hidden_states", "attentions"]),
        (lambda output: output.__setitem__("logits", None), ["loss", "attentions"]),
        (lambda output: output.update(own=7), ["loss", "logits", "attentions", "own"]),
        (lambda output: (output.update(own=7), output.pop("own")), ["loss", "logits", "attentions"]),
        (lambda output: (output.update(own=7), output.update(hidden_states=())),
         ["loss", "logits", "hidden_states", "attentions", "own"]),
        (lambda output: output.clear(), []),
    ],
)  # fmt: skip
def test_changes_reach_dictionary_and_attributes(change: Callable[[Any], Any], names: list[str]) -> None:
    output = example()
    change(output)
    assert list(output) == names
    assert_in_step(output)


def test_popped_values_are_returned() -> None:
    output = example()
    assert output.pop("logits") == [1, 2]
    assert output.logits is None
    assert output.pop("logits", "default") == "default"
    with pytest.raises(KeyError, match="has no 'logits'"):
        output.pop("logits")
    output["own"] = 7
    assert output.own == output["own"] == output[-1] == 7


@pytest.mark.parametrize("source", [dict, lambda pairs: iter(pairs), list, tuple, lambda pairs: (p for p in pairs)])
def test_built_like_a_dictionary(source: Callable[[list[tuple[str, Any]]], Any]) -> None:
    output = SequenceClassifierOutput(source([("loss", 0.5), ("logits", [1, 2])]))
    assert (output.loss, output.logits) == (0.5, [1, 2])
    assert list(output) == ["loss", "logits"]
    assert_in_step(output)
    states = BaseModelOutput(source([("last_hidden_state", "states")]))
    assert states.last_hidden_state == states[0] == "states"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o)), OrderedDict.copy]
)
def test_copies_are_whole(copied: Callable[[Any], Any]) -> None:
    output = example()
    output["own"] = 7
    twin = copied(output)
    assert type(twin) is SequenceClassifierOutput
    assert dict(twin) == dict(output)
    assert twin.own == 7
    assert_in_step(twin)
    twin.loss = 1.5
    assert output.loss == 0.5


def test_merging_and_replacing() -> None:
    merged = example() | {"loss": 2.0}
    assert merged.loss == 2.0
    assert_in_step(merged)
    assert_in_step(dataclasses.replace(example(), logits=[9]))
    assert dataclasses.replace(example(), logits=[9]).logits == [9]


@pytest.mark.parametrize(
    ("output", "name", "advice"),
    [
        (BaseModelOutput([0]), "pooler_output", r"no pooler: take the first token, last_hidden_state\[:, 0\]"),
        (BaseModelOutput([0]), "past_key_values", "keeps no keys and values"),
        (BaseModelOutput([0]), "cross_attentions", "no decoder"),
        (BaseModelOutput([0]), "logits", "last_hidden_state"),
        (MaskedLMOutput(logits=[0]), "prediction_logits", "use logits"),
        (MaskedLMOutput(logits=[0]), "seq_relationship_logits", "next sentence"),
        (SequenceClassifierOutput(logits=[0]), "last_hidden_state", "output_hidden_states=True"),
        (SequenceClassifierOutput(logits=[0]), "pooler_output", "no pooler"),
        (QuestionAnsweringModelOutput(start_logits=[0]), "logits", "start_logits and end_logits"),
    ],
)
def test_outputs_of_bert_are_refused_with_what_to_use(output: ModelOutput, name: str, advice: str) -> None:
    assert not hasattr(output, name)
    assert getattr(output, name, None) is None
    assert name not in output
    assert output.get(name) is None
    with pytest.raises(AttributeError, match=f"{type(output).__name__} has no '{name}'.*{advice}"):
        getattr(output, name)
    with pytest.raises(KeyError, match=advice):
        output[name]


def test_positions_that_are_not_there_say_what_is() -> None:
    with pytest.raises(IndexError, match="has no value 1; it has last_hidden_state"):
        BaseModelOutput([0])[1]


@pytest.mark.parametrize(
    ("name", "advice"),
    [("loss", "labels"), ("hidden_states", "output_hidden_states=True"), ("attentions", "output_attentions=True")],
)
def test_fields_that_were_not_asked_for_are_none_and_say_how_to_ask(name: str, advice: str) -> None:
    output = SequenceClassifierOutput(logits=[1])
    assert getattr(output, name) is None
    with pytest.raises(KeyError, match=advice):
        output[name]
