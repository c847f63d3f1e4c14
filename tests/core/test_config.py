from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from distilbert import (
    AutoConfig,
    ConfigError,
    DistilBertConfig,
    ModelNotFoundError,
    PreTrainedConfig,
    PretrainedConfig,
    UnknownArgumentError,
)
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


@pytest.mark.parametrize("number", [{}, {"num_labels": 3}])
@pytest.mark.parametrize("kept", [("id2label",), ("label2id",), ("id2label", "label2id")])
def test_new_names_of_labels_replace_those_of_the_file(kept: tuple[str, ...], number: dict[str, int]) -> None:
    file = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}, "num_labels": 2}
    new = {"id2label": {0: "x", 1: "y", 2: "z"}, "label2id": {"x": 0, "y": 1, "z": 2}}
    config = DistilBertConfig.from_dict(file, **{name: new[name] for name in kept}, **number)
    assert {"id2label": config.id2label, "label2id": config.label2id} == new
    same = DistilBertConfig.from_dict(file, num_labels=2)
    assert (same.id2label, same.label2id) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"num_labels": 2, "label2id": {"a": 0, "b": 1, "c": 2}}, "num_labels is 2, but label2id names 3 labels"),
        ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels is 3, but id2label names 2 labels"),
        ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}}, "label2id must be the inverse of id2label"),
        ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0}}, "label2id must be the inverse of id2label"),
        ({"label2id": {"a": 0, "b": 0}}, "label2id must give each label a number of its own"),
    ],
)
def test_labels_that_contradict_each_other(labels: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistilBertConfig(**labels)
    with pytest.raises(ConfigError, match=message):
        DistilBertConfig.from_dict({"model_type": "distilbert", "id2label": {"0": "x"}}, **labels)


def test_files_of_transformers_may_contradict_themselves(tmp_path: Path) -> None:
    names = {0: "a", 1: "b", 2: "c"}
    theirs = transformers.DistilBertConfig(id2label=names, label2id={"LABEL_0": 0})
    theirs.save_pretrained(tmp_path)
    for config in (DistilBertConfig.from_pretrained(tmp_path), DistilBertConfig(**theirs.to_dict())):
        assert (config.id2label, config.label2id) == (names, {"LABEL_0": 0})


def test_names_of_labels_are_numbered_with_integers() -> None:
    config = DistilBertConfig()
    config.id2label, config.label2id = {"0": "bad", "1": "good"}, {"bad": "0", "good": "1"}
    assert (config.id2label, config.label2id) == ({0: "bad", 1: "good"}, {"bad": 0, "good": 1})


def test_integers_of_numpy_and_pytorch() -> None:
    for number in (np.int64(1), torch.tensor(1)):
        config = DistilBertConfig(n_layers=number, num_labels=number, pad_token_id=number, pruned_heads={0: [number]})
        config.n_layers = config.num_labels = number
        assert (config.n_layers, config.num_labels, config.pruned_heads) == (1, 1, {0: [1]})
        assert json.loads(config.to_json_string())["pad_token_id"] == 1
        named = DistilBertConfig(id2label={0: "a", number: "b"}, label2id={"a": 0, "b": number})
        assert json.loads(named.to_json_string())["label2id"] == {"a": 0, "b": 1}
    for heads in (np.array([2, 1]), torch.tensor([2, 1]), range(1, 3)):
        assert DistilBertConfig(pruned_heads={0: heads, -6: [1, 0]}).pruned_heads == {0: [0, 1, 2]}
    with pytest.raises(ConfigError, match="num_labels must be a positive integer"):
        DistilBertConfig(num_labels=np.float32(2.0))


def test_old_files_keep_their_extra_keys(tmp_path: Path) -> None:
    old = PAPER | {
        "model_type": "distilbert", "tie_weights_": True, "output_past": True, "finetuning_task": "sst-2",
        "pruned_heads": {"1": [0, 2]}, "torch_dtype": "float16", "something_new": {"a": [1]},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(old))
    config = DistilBertConfig.from_pretrained(tmp_path)
    assert (config.finetuning_task, config.dtype_name, config.pruned_heads) == ("sst-2", "float16", {1: [0, 2]})
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    for key in ("tie_weights_", "output_past", "finetuning_task", "pruned_heads", "something_new"):
        assert written[key] == old[key]
    assert DistilBertConfig.from_pretrained(tmp_path / "again") == config


def test_attention_belongs_to_a_run_and_is_not_saved() -> None:
    assert "attn_implementation" not in DistilBertConfig(attn_implementation="eager").to_dict()


def test_the_attention_in_use() -> None:
    assert DistilBertConfig()._attn_implementation == "sdpa"
    config = DistilBertConfig(attn_implementation="eager")
    assert config._attn_implementation == "eager"
    config._attn_implementation = "sdpa"
    assert config.attn_implementation == "sdpa"


def test_the_constructor_takes_what_to_dict_returns() -> None:
    config = DistilBertConfig(97, dim=24, n_heads=3, num_labels=5, dtype="float16", pruned_heads={1: [0]})
    config.depth_of_sea = [1, {"a": None}]
    again = DistilBertConfig(**config.to_dict())
    assert again == config
    assert again.depth_of_sea == [1, {"a": None}]
    assert again.to_dict() == config.to_dict()
    for name in ("id2label", "label2id", "output_hidden_states", "return_dict", "problem_type", "is_decoder", "dtype"):
        assert name in config.to_dict()
    assert DistilBertConfig(**transformers.DistilBertConfig(num_labels=5).to_dict()).num_labels == 5
    assert transformers.DistilBertConfig(**config.to_dict()).depth_of_sea == [1, {"a": None}]


def test_fields_of_ones_own(tmp_path: Path) -> None:
    config = DistilBertConfig(temperature_of_day=3)
    config.update({"dropout": 0.4, "classifier_dropout": 0.3})
    config.weather = {"rain": True}
    config._private = 1
    config.save_pretrained(tmp_path)
    again = DistilBertConfig.from_pretrained(tmp_path)
    assert (again.temperature_of_day, again.dropout, again.classifier_dropout) == (3, 0.4, 0.3)
    assert again.weather == {"rain": True}
    assert DistilBertConfig.from_pretrained(tmp_path, weather="dry").weather == "dry"
    del again.weather
    assert not hasattr(again, "weather")
    config.weather = object()
    with pytest.raises(ConfigError, match="The field 'weather' of the configuration cannot be written as JSON"):
        config.save_pretrained(tmp_path)
    assert DistilBertConfig.from_pretrained(tmp_path).weather == {"rain": True}


def test_an_update_that_cannot_work_changes_nothing() -> None:
    config = DistilBertConfig()
    with pytest.raises(ConfigError, match="n_layers"):
        config.update({"dropout": 0.5, "n_layers": 0})
    with pytest.raises(UnknownArgumentError, match="Did you mean 'n_layers'"):
        config.update({"dropout": 0.5, "num_layers": 3})
    assert config == DistilBertConfig()
    config.update_from_string("n_layers=3,dropout=0,sinusoidal_pos_embds=True,activation=relu")
    assert (config.n_layers, config.dropout, config.sinusoidal_pos_embds, config.activation) == (3, 0, True, "relu")
    for text in ("n_layers=x", "n_layers=0.5", "depth=3", "sinusoidal_pos_embds=1"):
        with pytest.raises(ConfigError):
            config.update_from_string(text)


class Deeper(DistilBertConfig):
    """A configuration as users of transformers write them."""

    model_type = "deeper"
    depth: int = 3

    def __init__(self, colour: str = "red", **others: Any) -> None:
        self.colour = colour
        super().__init__(**others)


def test_a_subclass_with_fields_and_arguments(tmp_path: Path) -> None:
    Deeper(colour="blue", depth=5, dim=24, n_heads=3, num_labels=4).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["model_type"], written["colour"], written["depth"]) == ("deeper", "blue", 5)
    config = Deeper.from_pretrained(tmp_path, depth=6)
    assert (config.colour, config.depth, config.dim, config.num_labels) == ("blue", 6, 24, 4)
    assert Deeper(**config.to_dict()) == config
    assert (Deeper().depth, Deeper.from_dict({}).colour) == (3, "red")
    with pytest.raises(UnknownArgumentError, match="Did you mean 'colour'"):
        Deeper(color="red")
    with pytest.raises(Unsupported, match="'deeper'"):
        DistilBertConfig.from_pretrained(tmp_path)


def test_the_type_of_the_weights_is_a_type_where_pytorch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DistilBertConfig(torch_dtype="float16")
    assert config.dtype is config.torch_dtype is torch.float16
    assert (config.dtype_name, config.to_dict()["dtype"]) == ("float16", "float16")
    config.torch_dtype = torch.bfloat16
    assert config.dtype_name == "bfloat16"
    monkeypatch.delitem(sys.modules, "torch")
    assert config.dtype == config.torch_dtype == "bfloat16"
    assert DistilBertConfig(dtype="float32", torch_dtype="float16").dtype == "float32"
    assert DistilBertConfig(torch_dtype="float16", dtype="float32").dtype == "float32"


def test_what_other_libraries_read() -> None:
    config = DistilBertConfig()
    for name in ("is_decoder", "is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder", "torchscript"):
        assert getattr(config, name) is False
        setattr(config, name, True)
        assert getattr(DistilBertConfig(**config.to_dict()), name) is True
    for name in ("bos_token_id", "eos_token_id", "sep_token_id", "prefix", "tokenizer_class", "finetuning_task"):
        assert getattr(config, name) is None
    assert (config.chunk_size_feed_forward, config.keys_to_ignore_at_inference) == (0, [])
    assert config.attribute_map["hidden_size"] == "dim"
    assert config.get_text_config() is config.get_text_config(decoder=True) is config
    assert not hasattr(config, "use_cache")
    config.use_cache = False
    assert config.to_dict()["use_cache"] is False


def test_the_base_class_of_transformers_is_the_one_class() -> None:
    assert PretrainedConfig is PreTrainedConfig is DistilBertConfig
    assert PretrainedConfig(num_labels=3).label2id == transformers.PretrainedConfig(num_labels=3).label2id


def test_where_a_configuration_comes_from(tmp_path: Path) -> None:
    assert DistilBertConfig().name_or_path == DistilBertConfig()._name_or_path == ""
    DistilBertConfig(_name_or_path="secret/place").save_pretrained(tmp_path)
    assert "secret" not in (tmp_path / "config.json").read_text()
    config = DistilBertConfig.from_pretrained(tmp_path)
    assert config.name_or_path == config._name_or_path == str(tmp_path)


def test_files_of_a_configuration(tmp_path: Path) -> None:
    config = DistilBertConfig(dim=24, n_heads=3)
    config.to_json_file(tmp_path / "a.json")
    config.to_json_file(tmp_path / "b.json", use_diff=False)
    for name in ("a.json", "b.json"):
        assert DistilBertConfig.from_json_file(tmp_path / name) == config
    assert json.loads((tmp_path / "a.json").read_text()) == config.to_diff_dict()
    assert json.loads((tmp_path / "b.json").read_text()).keys() == config.to_dict().keys()
    config.save_pretrained(tmp_path)
    content, rest = DistilBertConfig.get_config_dict(tmp_path, trust_remote_code=True, cache_dir=None, dim=48)
    assert (content["dim"], rest) == (24, {"dim": 48})


@pytest.mark.parametrize(
    "values",
    [
        {"label2id": 3}, {"label2id": ["a"]}, {"label2id": {"a": []}}, {"id2label": 3}, {"id2label": {"x": "a"}},
        {"id2label": {"1e999": "a"}}, {"id2label": {"9" * 5000: "a"}}, {"id2label": []}, {"architectures": 3},
        {"architectures": "DistilBertModel"}, {"architectures": [3]}, {"architectures": {}},
        {"pruned_heads": 3}, {"pruned_heads": [0]}, {"pruned_heads": {"x": [0]}}, {"pruned_heads": {"0": 3}},
        {"pruned_heads": {"0": ["x"]}}, {"pruned_heads": {"0": [[]]}}, {"pruned_heads": {"99": [0]}},
        {"pad_token_id": "0"}, {"pad_token_id": 1.5}, {"pad_token_id": []}, {"pad_token_id": -1},
        {"pad_token_id": True},
        {"dtype": 3.5}, {"dtype": {}}, {"dtype": "x" * 100}, {"activation": []}, {"problem_type": {}},
        {"attn_implementation": []}, {"initializer_range": "x"}, {"initializer_range": 1e400}, {"dropout": "x"},
        {"dropout": float("nan")}, {"sinusoidal_pos_embds": "yes"}, {"tie_word_embeddings": []}, {"return_dict": 7},
        {"num_labels": "3"}, {"num_labels": 10**8}, {"n_layers": 1_000_000}, {"vocab_size": 10**12}, {"dim": 10**9},
        {"hidden_dim": 10**9}, {"n_heads": 0}, {"max_position_embeddings": 10**15}, {"model_type": []},
        {"model_type": None}, {"id2label": {str(i): "x" * 1000 for i in range(2, 100)}}, {"hidden_size": [768]},
        {"vocab_size": 1.0}, {"n_layers": True}, {"model_type": {}},
    ],
)  # fmt: skip
def test_hostile_values_are_refused_in_a_short_message(values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(values))
    for read in (DistilBertConfig.from_pretrained, AutoConfig.from_pretrained):
        with pytest.raises((ConfigError, Unsupported)) as caught:
            read(tmp_path)
        assert len(str(caught.value)) < 400


def test_keys_that_are_names_of_methods_do_no_harm(tmp_path: Path) -> None:
    values = {
        "to_dict": 1,
        "validate": 2,
        "extra": {"a": 1},
        "__class__": 3,
        "__dict__": 4,
        "from_dict": 5,
        "_assign": 6,
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = DistilBertConfig.from_pretrained(tmp_path)
    assert config.n_layers == 6
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()).items() >= values.items()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' + "[" * 500 + "]" * 500 + "}", "\xff"])
def test_files_that_are_too_deep_or_no_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"config\.json is not valid JSON"):
        DistilBertConfig.from_pretrained(tmp_path)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="no regular file"):
        DistilBertConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="no regular file"):
        DistilBertConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(ConfigError, match="larger than 64 MB"):
        DistilBertConfig.from_pretrained(tmp_path)


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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": "24"}, "dim must be a positive integer, got '24'."),
        ({"id2label": ["a"]}, "id2label must map integers to names, got ['a']."),
        ({"activation": "swish9"}, "activation must be one of gelu,"),
        ({"architectures": "Model"}, "architectures must be a list of names, got 'Model'."),
    ],
)
def test_an_error_about_a_file_names_it(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(values))
    for read in (DistilBertConfig.from_pretrained, AutoConfig.from_pretrained):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path)
        assert str(caught.value).startswith(f"{file}: {message}")
    with pytest.raises(ConfigError) as caught:
        DistilBertConfig.from_json_file(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_an_error_about_an_argument_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for arguments in ({"dim": "24"}, {"hidden_size": "24"}):
        with pytest.raises(ConfigError, match=r"^dim must be a positive integer"):
            AutoConfig.from_pretrained(tmp_path, **arguments)
