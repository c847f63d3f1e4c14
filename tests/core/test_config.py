from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from distilbert import ConfigError, DistilBertConfig, ModelNotFoundError, UnknownArgumentError
from distilbert import UnsupportedArchitectureError as Unsupported
from distilbert.core.config import ALIASES, ALWAYS_WRITTEN, DEFAULTS

PAPER = {
    "vocab_size": 30522, "max_position_embeddings": 512, "sinusoidal_pos_embds": False, "n_layers": 6, "n_heads": 12,
    "dim": 768, "hidden_dim": 3072, "dropout": 0.1, "attention_dropout": 0.1, "activation": "gelu",
    "initializer_range": 0.02, "qa_dropout": 0.1, "seq_classif_dropout": 0.2, "pad_token_id": 0,
}  # fmt: skip


def test_defaults_are_those_of_the_paper() -> None:
    config = DistilBertConfig()
    assert {name: getattr(config, name) for name in PAPER} == PAPER
    assert (config.model_type, config.num_labels, config.problem_type) == ("distilbert", 2, None)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_fields_can_be_given_by_position_as_in_transformers() -> None:
    assert DistilBertConfig(97, 23).max_position_embeddings == 23


@pytest.mark.parametrize(("alias", "field"), [(a, f) for a, f in ALIASES.items() if f in ALWAYS_WRITTEN])
def test_aliases_read_and_write_the_field(alias: str, field: str) -> None:
    value: Any = {"activation": "relu", "dropout": 0.3, "attention_dropout": 0.3}.get(field, 24)
    config = DistilBertConfig(**{alias: value})
    assert getattr(config, field) == getattr(config, alias) == value
    setattr(config, alias, DEFAULTS[field])
    assert getattr(config, field) == DEFAULTS[field]
    assert alias not in config.to_dict()


def test_alias_and_field_that_disagree() -> None:
    with pytest.raises(ConfigError, match="'hidden_size' means the field 'dim'"):
        DistilBertConfig(dim=24, hidden_size=36, n_heads=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": 25, "n_heads": 3}, "dim must be a multiple of n_heads, got dim 25 and n_heads 3"),
        ({"n_layers": 0}, "n_layers must be a positive integer, got 0"),
        ({"vocab_size": "97"}, "vocab_size must be a positive integer, got '97'"),
        ({"dropout": 1.5}, "dropout must be a probability"),
        ({"activation": "glu"}, "activation must be one of gelu,"),
        ({"problem_type": "ranking"}, "problem_type must be one of regression,"),
        ({"pad_token_id": 97, "vocab_size": 97}, "pad_token_id 97 is outside the vocabulary of 97"),
        ({"num_labels": 0}, "num_labels must be a positive integer"),
        ({"id2label": {2: "a", 3: "b"}}, "id2label must number its labels 0 to 1"),
        ({"id2label": ["a"]}, "id2label must map integers to names"),
        ({"attn_implementation": "flash"}, "attn_implementation must be one of eager, sdpa, flash_attention_2"),
        ({"pruned_heads": {0: list(range(12))}}, r"pruned_heads\[0\]"),
        ({"initializer_range": -1}, "initializer_range"),
    ],
)
def test_validation_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistilBertConfig(**fields)


def test_unknown_arguments_name_the_nearest() -> None:
    with pytest.raises(UnknownArgumentError, match="'hiden_dim'.*Did you mean 'hidden_dim'"):
        DistilBertConfig(hiden_dim=40)
    config = DistilBertConfig()
    with pytest.raises(UnknownArgumentError, match="Did you mean 'n_layers'"):
        config.n_layer = 3
    with pytest.raises(AttributeError, match="no field 'n_layer'"):
        config.n_layer


def test_labels() -> None:
    config = DistilBertConfig.from_dict({"id2label": {"0": "bad", "1": "good", "2": "so-so"}})
    assert (config.num_labels, config.id2label[2], config.label2id["good"]) == (3, "so-so", 1)
    config.num_labels = 4
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2, "LABEL_3": 3}
    assert DistilBertConfig(label2id={"x": 0, "y": 1}).id2label == {0: "x", 1: "y"}
    assert DistilBertConfig.from_dict({"id2label": {"0": "a", "1": "b"}}, num_labels=3).id2label[2] == "LABEL_2"
    renamed = DistilBertConfig.from_dict({"id2label": {"0": "a"}, "label2id": {"a": 0}}, id2label={0: "x", 1: "y"})
    assert renamed.label2id == {"x": 0, "y": 1}


def test_old_files_keep_their_extra_keys(tmp_path: Path) -> None:
    old = PAPER | {
        "model_type": "distilbert", "tie_weights_": True, "output_past": True, "finetuning_task": "sst-2",
        "pruned_heads": {"1": [0, 2]}, "torch_dtype": "float16", "something_new": {"a": [1]},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(old))
    config = DistilBertConfig.from_pretrained(tmp_path)
    assert (config.finetuning_task, config.dtype, config.pruned_heads) == ("sst-2", "float16", {1: [0, 2]})
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    for key in ("tie_weights_", "output_past", "finetuning_task", "pruned_heads", "something_new"):
        assert written[key] == old[key]
    assert DistilBertConfig.from_pretrained(tmp_path / "again") == config


def test_attention_belongs_to_a_run_and_is_not_saved() -> None:
    assert "attn_implementation" not in DistilBertConfig(attn_implementation="eager").to_dict()


def test_transformers_reads_what_is_written(tmp_path: Path) -> None:
    config = DistilBertConfig(97, dim=24, n_heads=3, num_labels=5, problem_type="regression", seq_classif_dropout=0.5)
    config.save_pretrained(tmp_path)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    for name in [*ALWAYS_WRITTEN, "num_labels", "problem_type", "id2label"]:
        assert getattr(theirs, name) == getattr(config, name), name
    theirs.save_pretrained(tmp_path / "back")
    ours = DistilBertConfig.from_pretrained(tmp_path / "back")
    assert all(getattr(ours, name) == getattr(config, name) for name in [*ALWAYS_WRITTEN, "num_labels", "problem_type"])


@given(
    st.builds(
        DistilBertConfig,
        vocab_size=st.integers(1, 99),
        n_layers=st.integers(1, 30),
        dropout=st.floats(0, 1),
        num_labels=st.integers(1, 9),
        problem_type=st.sampled_from([None, "regression"]),
        output_attentions=st.booleans(),
        tie_word_embeddings=st.booleans(),
    )
)
def test_round_trip(config: DistilBertConfig) -> None:
    assert DistilBertConfig.from_dict(json.loads(config.to_json_string())) == config


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"There is no config\.json in"):
        DistilBertConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not valid JSON"):
        DistilBertConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="must hold a JSON object, got a list"):
        DistilBertConfig.from_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="'gpt2'"):
        DistilBertConfig.from_dict({"model_type": "gpt2"})


@pytest.mark.parametrize("stated", [{"id2label": {"2": "b", "1": "a"}}, {"label2id": {"a": 1, "b": 2}}])
def test_labels_that_count_from_1(stated: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="id2label counts from 1, and outputs count from 0: output 0 is 'a'"):
        config = DistilBertConfig(**stated)
    assert (config.id2label, config.label2id) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})
    config = DistilBertConfig(**stated, num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "a", 2: "b"}
    assert config.label2id == {"LABEL_0": 0, "a": 1, "b": 2}
