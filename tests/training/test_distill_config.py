"""Settings: the same in Python and in a file, with errors that name the field."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distilbert
from distilbert.core.errors import ConfigError, InputError, UnknownArgumentError
from distilbert.training.config_fields import REQUIRED, read_toml
from distilbert.training.distill_config import TERMS, DistillConfig, PretrainConfig, TextConfig

CLASSES = (DistillConfig, PretrainConfig)
NEEDED: dict[type, dict[str, Any]] = {
    DistillConfig: {"data": ["a.txt"], "output": "out", "teacher": "t"},
    PretrainConfig: {"data": ["a.txt"], "output": "out", "model": "m"},
}


def distill(**changes: Any) -> DistillConfig:
    return DistillConfig(**{**NEEDED[DistillConfig], **changes})


def test_the_defaults_are_those_of_the_paper() -> None:
    """The settings of the paper and of its training code."""
    config = distill()
    assert config.terms == {"ce": 5.0, "mlm": 2.0, "cos": 1.0}
    assert (config.temperature, config.layers, config.ce_tokens) == (2.0, "half", "all")
    assert (config.mask_probability, config.mask_split, config.mask_smoothing) == (0.15, [0.8, 0.1, 0.1], 0.7)
    assert (config.learning_rate, config.betas, config.epsilon, config.weight_decay) == (5e-4, [0.9, 0.98], 1e-6, 0.0)
    assert (config.warmup, config.clip, config.epochs) == (0.05, 5.0, 3.0)


def test_sequences_of_a_step_and_of_a_pass() -> None:
    config = distill(sequence_length=100, tokens_per_step=1099, micro_tokens=50)
    assert (config.sequences_per_step, config.sequences_per_pass) == (10, 1)


texts = st.text(max_size=20)
numbers = st.floats(1e-30, 1e30)


@given(
    data=st.lists(texts, min_size=1, max_size=3),
    teacher=texts,
    column=texts,
    learning_rate=numbers,
    steps=st.integers(0, 2**62),
    terms=st.dictionaries(st.sampled_from(TERMS), numbers, min_size=1),
    pairs=st.lists(texts, max_size=2),
    flag=st.booleans(),
)
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[str],
    teacher: str,
    column: str,
    learning_rate: float,
    steps: int,
    terms: dict[str, float],
    pairs: list[str],
    flag: bool,
) -> None:
    file = tmp_path_factory.getbasetemp() / "config.toml"
    config = distill(
        data=data, teacher=teacher, column=column, learning_rate=learning_rate, max_steps=steps, terms=terms,
        hidden_pairs=pairs, tensorboard=flag,
    )  # fmt: skip
    config.save(file)
    assert DistillConfig.load(file) == config


@pytest.mark.parametrize("kind", CLASSES)
def test_changes_win_over_the_file(tmp_path: Path, kind: type[TextConfig]) -> None:
    file = tmp_path / "c.toml"
    kind(**NEEDED[kind], seed=3, clip=1).save(file)
    assert set(read_toml(file)) == {field.name for field in dataclasses.fields(kind)}
    loaded = kind.load(file, seed=4)
    assert (loaded.seed, loaded.clip) == (4, 1.0)


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    with pytest.raises(ConfigError, match=r"There is no configuration at .*c\.toml"):
        DistillConfig.load(file)
    for content in (b"seed = ", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"c\.toml is not valid TOML"):
            DistillConfig.load(file)
    file.write_text("seed = 1\n")
    with pytest.raises(ConfigError, match=r"c\.toml needs output, data, teacher\."):
        DistillConfig.load(file)
    file.write_text("learning_rat = 1.0\n")
    with pytest.raises(UnknownArgumentError, match=r"c\.toml got an unknown .*'learning_rat'.*mean 'learning_rate'"):
        DistillConfig.load(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 0) for name in ("tokens_per_step", "micro_tokens", "chunk", "keep", "max_held_out", "log_every")],
        *[(name, 0) for name in ("evaluate_every", "checkpoint_every", "learning_rate", "epsilon", "epochs")],
        *[(name, -1) for name in ("max_steps", "weight_decay", "clip", "mask_smoothing", "seed", "dim", "n_heads")],
        *[(name, float("inf")) for name in ("learning_rate", "epochs", "clip", "temperature", "weight_decay")],
        *[(name, float("nan")) for name in ("learning_rate", "held_out")],
        *[(name, value) for name in ("mask_probability", "held_out") for value in (0, 1)],
        *[(name, "none such") for name in ("precision", "device", "init", "ce_tokens")],
        *[("mask_split", value) for value in ([1.0], [0.5, 0.6, -0.1], [0.5, 0.5, 0.1], [0.5, float("nan"), 0.5])],
        *[("betas", value) for value in ([0.9], [0.9, 1.0], [0.9, "x"])],
        *[("terms", value) for value in ({}, {"ce": 0}, {"mlm": -1}, {"ce": float("inf")}, {"cf": 1}, ["ce"])],
        ("data", []), ("data", [1]), ("output", ""), ("output", None), ("sequence_length", 3),
        ("warmup", 1), ("warmup", -0.1), ("seed", 2**63), ("seed", 1.5), ("seed", True), ("streaming", 1),
        ("streaming", "yes"), ("temperature", 0), ("relation_heads", -1), ("hidden_dim", -1), ("hidden_pairs", [1]),
    ],
)  # fmt: skip
def test_errors_name_the_field(name: str, value: Any) -> None:
    with pytest.raises((ConfigError, UnknownArgumentError), match=f"^{name} ") as caught:
        distill(**{name: value})
    if value != {"cf": 1}:
        assert str(caught.value).replace(".0", "").endswith(f"; got {value!r}.".replace(".0", ""))


def test_settings_that_do_not_fit_each_other() -> None:
    with pytest.raises(ConfigError, match="max_steps must be given with streaming"):
        distill(streaming=True)
    assert distill(streaming=True, max_steps=1).streaming
    for size in ("dim", "n_heads", "hidden_dim"):
        with pytest.raises(ConfigError, match="init must be 'random' where sizes are given"):
            distill(**{size: 8})
    with pytest.raises(ConfigError, match="sequences must be 'packed' for ce, mlm and mse; got 'sentences'"):
        distill(sequences="sentences")
    with pytest.raises(ConfigError, match="sequences must be 'packed' with streaming"):
        distill(sequences="sentences", terms={"pooled": 1}, streaming=True, max_steps=1)
    for more in ({"layers": "2"}, {"init": "random"}, {"init": "random", "dim": 8}):
        with pytest.raises(ConfigError, match="student must be left out"):
            distill(student="s", **more)
    with pytest.raises(
        UnknownArgumentError, match=r"terms got an unknown argument 'realtion'.*Did you mean 'relation'"
    ):
        distill(terms={"realtion": 1})


def test_values_become_the_type_of_their_field() -> None:
    config = distill(clip=5, betas=(0, 0.5), terms={"ce": 5}, data=("a", "b"))
    for value, expected in ((config.clip, 5.0), (config.betas, [0.0, 0.5]), (config.terms, {"ce": 5.0})):
        assert (value, repr(value)) == (expected, repr(expected))
    assert config.data == ["a", "b"]


def other(field: dataclasses.Field[Any], value: Any) -> Any:
    """Another allowed value of the field."""
    special = {
        "mask_split": [0.5, 0.25, 0.25], "betas": [0.5, 0.5], "terms": {"mlm": 1.0}, "hidden_pairs": ["1:1"],
        "held_out": 0.25, "mask_probability": 0.25, "warmup": 0.25, "dim": 0, "n_heads": 0, "hidden_dim": 0,
        "student": "", "sequences": "packed", "data": ["b.txt"], "relation_layer": 1, "max_steps": 7,
        "layer_decay": 0.5,
    }  # fmt: skip
    if field.name in special:
        return special[field.name]
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != value)
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value}x"


@pytest.mark.parametrize("kind", CLASSES)
def test_differences_are_those_that_decide_the_result(kind: type[TextConfig]) -> None:
    first = kind(**NEEDED[kind], max_steps=3)
    free = set()
    for field in dataclasses.fields(kind):
        before = getattr(first, field.name)
        after = other(field, before)
        if after == before:
            continue  # needs other fields to change as well
        lines = dataclasses.replace(first, **{field.name: after}).differences(first)
        if lines:
            assert lines == [f"{field.name}: {before!r} -> {after!r}"]
        else:
            free.add(field.name)
    assert free == {
        "output",
        "cache",
        "log_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep",
        "tensorboard",
        "threads",
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_says_what_it_is_and_takes_its_choices(kind: type[TextConfig]) -> None:
    for field in dataclasses.fields(kind):
        assert len(field.metadata["help"]) > 12, field.name
        assert field.metadata["help"].endswith("."), field.name
        choices = field.metadata["choices"]
        assert not choices or field.default in choices
        for choice in choices:
            others = {"terms": {"pooled": 1.0}} if choice in ("sentences", "pairs") else {}
            assert getattr(kind(**NEEDED[kind], **others, **{field.name: choice}), field.name) == choice
    required = {field.name for field in dataclasses.fields(kind) if field.default is REQUIRED is field.default_factory}
    assert required == set(NEEDED[kind])


def test_paths_that_earlier_documentation_named() -> None:
    code = """
from distilbert.training.finetuning.config import FinetuneConfig
from distilbert.training.finetuning.run import finetune
from distilbert.training.config import DistillConfig, PretrainConfig
from distilbert.training.distill import distill, pretrain
from distilbert.training.evaluation.config import EvaluateConfig
from distilbert.training.evaluation.evaluate import evaluate
import distilbert
for name in "DistillConfig PretrainConfig distill pretrain FinetuneConfig finetune EvaluateConfig evaluate".split():
    assert globals()[name] is getattr(distilbert, name), name
try:
    from distilbert.training.distill import nothing
except ImportError:
    print("refused")
"""
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "refused\n"


@pytest.mark.parametrize("function", ["distill", "pretrain", "finetune", "evaluate", "fit", "shrink"])
def test_settings_of_another_kind(function: str) -> None:
    with pytest.raises(InputError, match=rf"^{function} takes a \w+Config, got a dict\. \w+Config\(name="):
        getattr(distilbert, function)({"task": "text-classification"})
