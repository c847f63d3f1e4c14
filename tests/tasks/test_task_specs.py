"""What is stated of each task: it is true of the class, of the README and of the other rooms that read it."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import InputError
from distilbert.core.schema import HEADS
from distilbert.data.examples import EVALUATED_TASKS, FINETUNE_TASKS
from distilbert.tasks import ALIASES, TASKS, TaskSpec, task_class, task_spec

from .inputs import TASKS as MODELS

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=list(TASKS.values()), ids=list(TASKS))
def spec(request: pytest.FixtureRequest) -> TaskSpec:
    found: TaskSpec = request.param
    return found


def test_a_task_is_found_by_name_and_alias(spec: TaskSpec) -> None:
    for name in (spec.name, *spec.aliases):
        assert task_spec(name) is spec
        assert task_class(name).spec is spec


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(InputError, match="There is no task 'fill-maks'. Did you mean 'fill-mask'.*Tasks are: text-cl"):
        task_spec("fill-maks")


def test_names_are_given_once() -> None:
    assert list(ALIASES) == ["sentiment-analysis", "ner"]
    assert not set(ALIASES) & set(TASKS)
    assert len(ALIASES) == sum(len(spec.aliases) for spec in TASKS.values())


def test_the_example_works(spec: TaskSpec, make_task: Any) -> None:
    task = make_task(spec.name, MODELS[spec.name][0])
    answer = task(spec.example.input, **spec.example.parameters)
    assert answer
    assert json.loads(json.dumps(answer)) == answer
    assert json.loads(json.dumps([spec.example.input, spec.example.parameters]))


def test_every_form_of_input_works_and_lacks_nothing(spec: TaskSpec, make_task: Any) -> None:
    task = make_task(spec.name, MODELS[spec.name][0])
    for form in spec.inputs:
        item = {column.name: ["a [MASK]", "b"] if column.is_list else "a [MASK]" for column in form.columns}
        assert task([item["text"] if form.names == ("text",) else item], **spec.example.parameters)
        for name in form.required if len(form.columns) > 1 else ():
            with pytest.raises(InputError, match=name):
                task([{key: value for key, value in item.items() if key != name}], **spec.example.parameters)
        optional = [name for name in form.names if name not in form.required]
        for name in optional:
            assert task([{key: value for key, value in item.items() if key != name}], **spec.example.parameters)
        if form.at_least_one_of:
            with pytest.raises(InputError):
                task([{key: value for key, value in item.items() if key not in form.at_least_one_of}])


def test_a_line_may_lack_only_what_comes_last() -> None:
    fewest = {name: [form.fewest_fields for form in spec.inputs] for name, spec in TASKS.items()}
    assert fewest == {
        "text-classification": [1],
        "token-classification": [1, 1],
        "question-answering": [2],
        "fill-mask": [1],
        "feature-extraction": [1],
        "zero-shot-classification": [1],
        "multiple-choice": [3],
        "sentence-similarity": [2, 2],
    }
    lists = {name: [form.list_column for form in spec.inputs] for name, spec in TASKS.items()}
    assert lists["multiple-choice"] == ["choices"]
    assert lists["sentence-similarity"] == ["", "sentences"]
    assert lists["text-classification"] == [""]


def test_parameters_and_options(spec: TaskSpec) -> None:
    assert [item.name for item in spec.parameters] == [item.name for item in fields(spec.parameters_class)]
    assert {item.name: item.option for item in spec.parameters if item.option} == spec.options
    assert set(spec.example.parameters) <= {item.name for item in spec.parameters}
    assert spec.parameters_class(**{item.name: item.default for item in spec.parameters}) == spec.parameters_class()


def test_head_and_labelled_data(spec: TaskSpec) -> None:
    assert spec.head in HEADS
    assert (spec.name in EVALUATED_TASKS) == (spec.labelled is not None)
    assert (spec.name in FINETUNE_TASKS) == (spec.labelled is not None and bool(spec.head))
    assert (spec.labelled is None) == (spec.metric is None) == (not spec.model_kind)
    assert spec.usage or spec.labelled is None
    if spec.labelled is None:
        with pytest.raises(ValueError, match="no metric"):
            spec.metric_for("regression")
        return
    assert spec.labelled.target in ("", *spec.labelled.roles)
    assert set(spec.labelled.required) | set(spec.labelled.at_least_one_of) <= set(spec.labelled.roles)
    names = [n for column in spec.labelled.columns for group in column.known_names for n in group]
    names += [name for pair in spec.labelled.text_pairs for name in pair]
    assert all(name == name.lower() for name in names)


def test_the_lines_of_a_card_use_a_model(spec: TaskSpec, make_task: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They also run with the parameters that they pass, and print an answer for each input."""
    asked: list[tuple[str, str]] = []

    def stand_in(name: str, model: str, **params: Any) -> Any:
        asked.append((task_spec(name).name, model))
        return make_task(name, MODELS[spec.name][0], **params)

    exec(spec.usage, {"pipeline": stand_in})
    assert asked == ([(spec.name, "path/to/this/folder")] if spec.usage else [])
    assert not spec.usage or spec.name == "token-classification" or capsys.readouterr().out.strip()


def test_what_is_learned(spec: TaskSpec) -> None:
    assert spec.has_label_names == (spec.name in ("text-classification", "token-classification"))
    assert spec.has_problem_types == (spec.name == "text-classification")
    assert spec.has_numbers == (spec.name == "sentence-similarity")
    if spec.labelled is not None:
        assert set(spec.labelled.joint_roles) <= {"label", "choices", "answers"} & set(spec.labelled.roles)


def test_metrics() -> None:
    classify = TASKS["text-classification"]
    problems = ("", "single_label_classification", "multi_label_classification", "regression")
    assert [classify.metric_for(problem).name for problem in problems] == [
        "accuracy", "accuracy", "f1_micro", "spearman",
    ]  # fmt: skip
    assert [name for name, spec in TASKS.items() if spec.metric and not spec.metric.higher_is_better] == ["fill-mask"]
    assert [name for name, spec in TASKS.items() if spec.metric and spec.metric.in_percent] == ["question-answering"]


def test_the_readme_asks_the_same_questions() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+\?) \| [^|]+ \|$", readme, re.MULTILINE))
    assert rows == {name: spec.question for name, spec in TASKS.items()}


def test_the_documentation_names_every_task_and_alias() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    for spec in TASKS.values():
        assert f"| `{spec.name}`{''.join(f' (`{alias}`)' for alias in spec.aliases)} |" in page


def test_the_documentation_lists_the_parameters_and_options_of_every_task() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    table = page[page.index("| task | parameter |") :].split("\n\n")[0]
    listed: dict[str, dict[str, str]] = {name: {} for name in TASKS}
    name = ""
    for task, parameters in re.findall(r"^\| (?:`([a-z-]+)`)? ?\| (`.+?) \|", table, re.MULTILINE):
        name = task or name
        for parameter, option in re.findall(r"`(\w+)`(?: \(`(--[a-z-]+)`\))?", parameters):
            listed[name][parameter] = option
    assert listed == {name: {item.name: item.option for item in spec.parameters} for name, spec in TASKS.items()}


def test_choices_are_those_that_the_task_takes(spec: TaskSpec) -> None:
    free = {"truncation", "padding", "delimiter", "targets", "candidate_labels", "hypothesis_template"}
    for parameter in spec.parameters:
        for choice in parameter.choices:
            spec.parameters_class(**{parameter.name: choice})
        if "str" in parameter.type.split(" | ") and parameter.name not in free | {"return_tensors"}:
            assert parameter.choices, parameter.name
            with pytest.raises(InputError, match=parameter.name):
                spec.parameters_class(**{parameter.name: "no such choice"})
