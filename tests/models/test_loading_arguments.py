"""The arguments that code for transformers passes when it loads and saves models, in all three frameworks."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from distilbert import (
    AutoConfig,
    ConfigError,
    DistilBertConfig,
    InputError,
    ModelNotFoundError,
    UnknownArgumentError,
    WeightsMismatchError,
)
from distilbert.core.loading_arguments import BUILDING, CONFIG_LOADING, CONFIG_SAVING, LOADING, SAVING
from distilbert.models import auto
from distilbert.models.conversion import convert
from distilbert.models.frameworks import FRAMEWORKS
from tests.tiny import tiny_config, tiny_model

PREFIXES = {"pt": "", "tf": "TF", "flax": "Flax"}
pytestmark = pytest.mark.parametrize("framework", list(FRAMEWORKS))


def auto_class(framework: str, head: str = "ForSequenceClassification") -> Any:
    return getattr(auto, f"{PREFIXES[framework]}AutoModel{head}")


def model_class(framework: str, head: str = "ForSequenceClassification") -> Any:
    return FRAMEWORKS[framework].model_class(head)


def arrays(model: Any, folder: Path) -> dict[str, np.ndarray]:
    """The weights of a model of any framework, by their names in a checkpoint."""
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def assert_same(model: Any, expected: Any, folder: Path) -> None:
    ours, theirs = arrays(model, folder / "ours"), arrays(expected, folder / "theirs")
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_arguments_that_are_taken_are_in_the_signature(framework: str) -> None:
    base = model_class(framework)
    for function, table in ((base.from_pretrained, LOADING), (base.from_config, BUILDING)):
        named = inspect.signature(function).parameters.keys()
        assert set(table.names("taken")) <= named
        assert not named & {*table.names("no effect"), *table.names("refused")}


def test_every_argument_without_effect(framework: str, folder: Path) -> None:
    for table, function in (
        (LOADING, lambda **options: auto_class(framework).from_pretrained(folder, **options)),
        (CONFIG_LOADING, lambda **options: AutoConfig.from_pretrained(folder, **options)),
        (CONFIG_LOADING, lambda **options: DistilBertConfig.from_pretrained(folder, **options)),
        (BUILDING, lambda **options: auto_class(framework).from_config(tiny_model("").config, **options)),
    ):
        for value in (True, False, None):
            function(**dict.fromkeys(table.names("no effect"), value))
        function(**dict.fromkeys(table.names("refused")))
        for name in table.names("refused"):
            with pytest.raises(InputError, match=rf"from_(pretrained|config) does not take {name}=True: "):
                function(**{name: True})


def test_what_the_example_scripts_pass(framework: str, folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "cache_dir": None, "revision": "main", "token": None, "use_auth_token": None, "trust_remote_code": False,
    }  # fmt: skip
    config = AutoConfig.from_pretrained(folder, num_labels=5, finetuning_task="sst2", **options)
    assert (config.num_labels, config.finetuning_task) == (5, "sst2")
    others = {"from_tf": False, "low_cpu_mem_usage": False, "torch_dtype": None, "quantization_config": None}
    model = auto_class(framework).from_pretrained(
        folder, config=config, ignore_mismatched_sizes=False, **others, **options
    )
    assert_same(model, tiny_model("ForSequenceClassification"), tmp_path)
    fresh = auto_class(framework).from_config(config, trust_remote_code=False)
    assert fresh.config.num_labels == 5


def test_unknown_arguments_name_the_nearest_and_the_class_that_was_called(framework: str, folder: Path) -> None:
    name = f"{PREFIXES[framework]}DistilBertForSequenceClassification"
    for options, nearest in (({"num_label": 3}, "num_labels"), ({"trust_remote_cod": 1}, "trust_remote_code")):
        with pytest.raises(UnknownArgumentError, match=rf"^{name}\.from_pretrained got .*Did you mean '{nearest}'"):
            auto_class(framework).from_pretrained(folder, **options)
        with pytest.raises(UnknownArgumentError, match=rf"^{name}\.from_pretrained got .*Did you mean '{nearest}'"):
            auto_class(framework).from_pretrained(folder, config=AutoConfig.from_pretrained(folder), **options)
    model = model_class(framework).from_pretrained(folder)
    with pytest.raises(UnknownArgumentError, match=rf"^{name}\.save_pretrained got .*Did you mean 'max_shard_size'"):
        model.save_pretrained(folder, max_shard_sizes=1)


def test_fields_beside_a_configuration_change_a_copy_of_it(framework: str, folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder, attn_implementation="eager")
    model = auto_class(framework).from_pretrained(folder, config=config, dropout=0.7)
    assert (model.config.dropout, config.dropout, model.attn_implementation) == (0.7, 0.1, "eager")


def test_loading_info(framework: str, folder: Path) -> None:
    model, info = auto_class(framework).from_pretrained(folder, output_loading_info=True)
    assert isinstance(model, model_class(framework))
    assert not any(info.values())
    _, info = auto_class(framework, "ForTokenClassification").from_pretrained(folder, output_loading_info=True)
    assert info["unexpected_keys"] == {"pre_classifier.weight", "pre_classifier.bias"}
    _, info = auto_class(framework, "ForQuestionAnswering").from_pretrained(
        folder, num_labels=2, output_loading_info=True
    )
    assert info["missing_keys"] == {"qa_outputs.weight", "qa_outputs.bias"}
    _, info = auto_class(framework).from_pretrained(
        folder, num_labels=3, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert info["mismatched_keys"] == {("classifier.weight", (5, 24), (3, 24)), ("classifier.bias", (5,), (3,))}
    assert (info["missing_keys"], info["error_msgs"]) == (set(), [])


def test_embeddings_of_another_size_start_afresh_if_asked_to(framework: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatchError, match=r"word_embeddings(.|\n)*ignore_mismatched_sizes"):
        auto_class(framework, "").from_pretrained(folder, vocab_size=31)
    model = auto_class(framework, "").from_pretrained(folder, vocab_size=31, ignore_mismatched_sizes=True)
    table = arrays(model, tmp_path / "again")["embeddings.word_embeddings.weight"]
    assert table.shape == (31, 24)
    assert not table[0].any(), "the row of the padding"
    assert 0 < table[1:].std() < 0.05


def test_a_state_dict_in_the_place_of_a_file(framework: str, folder: Path, tmp_path: Path) -> None:
    other = tiny_model("ForSequenceClassification", seed=7)
    state = dict(other.state_dict())
    assert_same(auto_class(framework).from_pretrained(folder, state_dict=state), other, tmp_path)
    half = {name: tensor.bfloat16() for name, tensor in state.items()}
    alone = model_class(framework).from_pretrained(None, config=other.config, state_dict=half)
    np.testing.assert_array_equal(
        arrays(alone, tmp_path / "half")["classifier.weight"], half["classifier.weight"].float().numpy()
    )
    with pytest.raises(InputError, match="None needs both config= and state_dict="):
        model_class(framework).from_pretrained(None, config=other.config)


def test_variants(framework: str, folder: Path, tmp_path: Path) -> None:
    model = model_class(framework).from_pretrained(folder)
    for size, names in (
        ("5GB", ["model.fp16.safetensors"]),
        (9_000, ["model.fp16-00001-of-", "model.safetensors.index.fp16.json"]),
    ):
        target = tmp_path / str(size)
        model.save_pretrained(target, variant="fp16", max_shard_size=size)
        written = [path.name for path in target.iterdir()]
        for name in names:
            assert any(file.startswith(name) for file in written)
        assert "model.safetensors" not in written
        assert_same(model_class(framework).from_pretrained(target, variant="fp16"), model, tmp_path)
        theirs = transformers.DistilBertForSequenceClassification.from_pretrained(target, variant="fp16")
        assert torch.equal(theirs.classifier.bias, tiny_model("ForSequenceClassification").classifier.bias)
        with pytest.raises(ModelNotFoundError, match="There are no weights"):
            model_class(framework).from_pretrained(target)
    with pytest.raises(ModelNotFoundError, match=r"model\.fp16\.safetensors"):
        model_class(framework).from_pretrained(folder, variant="fp16")


def test_what_an_earlier_model_left(
    framework: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_class(framework).from_pretrained(folder)
    (tmp_path / "quantization.safetensors").write_bytes(b"of other weights")
    model.save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "quantization.safetensors").exists(), "it belongs to the weights without a variant"
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "quantization.safetensors").exists()
    assert not caplog.records
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert "model.safetensors is older than what was saved now and is read first" in caplog.text


def test_the_format_to_read_first(framework: str, folder: Path, tmp_path: Path) -> None:
    for number, (to, option) in enumerate((("tf_model.h5", "from_tf"), ("flax_model.msgpack", "from_flax")), start=2):
        other = tiny_model("ForSequenceClassification", seed=number)
        other.save_pretrained(tmp_path / to)
        convert(tmp_path / to, tmp_path / f"{to}.folder", to=to)
        (folder / to).write_bytes((tmp_path / f"{to}.folder" / to).read_bytes())
        assert_same(model_class(framework).from_pretrained(folder, **{option: True}), other, tmp_path)
    expected = tiny_model("ForSequenceClassification")
    for options in ({}, {"from_pt": True}, {"use_safetensors": True}, {"from_tf": False}):
        assert_same(model_class(framework).from_pretrained(folder, **options), expected, tmp_path)


def test_renamed_tensors(framework: str, folder: Path, tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification")
    renamed = {name.replace("classifier.", "head."): tensor for name, tensor in model.state_dict().items()}
    mapping = {r"^pre_head\.": "pre_classifier.", r"^head\.": "classifier."}
    loaded = model_class(framework).from_pretrained(folder, state_dict=renamed, key_mapping=mapping)
    assert_same(loaded, model, tmp_path)


def test_what_training_scripts_pass_to_save(framework: str, folder: Path, tmp_path: Path) -> None:
    model = model_class(framework).from_pretrained(folder)
    model.save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()
    other = tiny_model("ForSequenceClassification", seed=3)
    model.save_pretrained(
        tmp_path / "state",
        is_main_process=True,
        save_function=torch.save,
        state_dict=dict(other.state_dict()),
        safe_serialization=True,
        max_shard_size="1GB",
        push_to_hub=False,
        variant=None,
        token=None,
        commit_message=None,
        save_peft_format=True,
    )
    assert json.loads((tmp_path / "state" / "config.json").read_text())["n_layers"] == 2
    assert_same(model_class(framework).from_pretrained(tmp_path / "state"), other, tmp_path)
    with pytest.raises(InputError, match="only make sense together with push_to_hub=True"):
        model.save_pretrained(tmp_path / "x", commit_message="x")
    for name in SAVING.names("refused"):
        with pytest.raises(InputError, match=f"save_pretrained does not take {name}=True"):
            model.save_pretrained(tmp_path / "x", **{name: True})
    model.config.save_pretrained(tmp_path / "config", **dict.fromkeys(CONFIG_SAVING.names("no effect"), True))


def test_a_state_dict_with_the_tied_projection(framework: str, tmp_path: Path) -> None:
    model = tiny_model("ForMaskedLM")
    model.save_pretrained(tmp_path / "model")
    same = model_class(framework, "ForMaskedLM").from_pretrained(tmp_path / "model")
    state = dict(model.state_dict())
    assert "vocab_projector.weight" in state
    same.save_pretrained(tmp_path / "saved", state_dict=state)
    assert "vocab_projector.weight" not in load_file(tmp_path / "saved" / "model.safetensors")
    del state["distilbert.embeddings.word_embeddings.weight"]  # the other of the two is kept by some savers
    same.save_pretrained(tmp_path / "saved", state_dict=state)
    assert_same(model_class(framework, "ForMaskedLM").from_pretrained(tmp_path / "saved"), model, tmp_path)


def test_a_configuration_is_copied(framework: str, folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder, attn_implementation="eager")
    config.name_or_path = "mine"
    first, second = (model_class(framework).from_pretrained(folder, config=config) for _ in range(2))
    first.prune_heads({0: [1]})
    first.resize_token_embeddings(99)
    for other in (config, second.config):
        assert (other.pruned_heads, other.vocab_size, other.attn_implementation) == ({}, 97, "eager")
    assert config.name_or_path == "mine"


def test_the_arrays_of_a_state_dict_stay_the_callers(framework: str, tmp_path: Path) -> None:
    source = tiny_model("ForSequenceClassification")
    expected = {name: tensor.numpy().copy() for name, tensor in source.state_dict().items()}
    model = model_class(framework).from_pretrained(None, config=source.config, state_dict=source.state_dict())
    for tensor in source.state_dict().values():
        tensor += 1
    for name, array in arrays(model, tmp_path).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_save_that_fails_leaves_the_folder(framework: str, folder: Path, tmp_path: Path) -> None:
    model = model_class(framework).from_pretrained(folder)
    model.resize_token_embeddings(99)
    model.config.best_score = np.float32(0.5)
    with pytest.raises(ConfigError, match="'best_score' of the configuration cannot be written as JSON"):
        model.save_pretrained(folder)
    del model.config.best_score
    with pytest.raises(InputError, match="max_shard_size must be bytes or text such as '200MB'"):
        model.save_pretrained(folder, max_shard_size=1e9)
    assert_same(model_class(framework).from_pretrained(folder), tiny_model("ForSequenceClassification"), tmp_path)


def test_new_sizes(framework: str, folder: Path, tmp_path: Path) -> None:
    model = model_class(framework).from_pretrained(folder, pad_token_id=96)
    model.resize_token_embeddings(np.int64(50))
    model.resize_position_embeddings(np.int64(30))
    assert model.config.pad_token_id is None, "it would be outside of the vocabulary"
    model.save_pretrained(tmp_path / "new", max_shard_size=np.int64(10**9))
    assert_same(model_class(framework).from_pretrained(tmp_path / "new"), model, tmp_path)
    with pytest.raises(InputError, match=r"new_num_position_embeddings must be an integer, got 30\.5"):
        model.resize_position_embeddings(30.5)


def test_the_type_of_a_state_dict_is_that_of_its_weights(framework: str, folder: Path, tmp_path: Path) -> None:
    state = {name: tensor.bfloat16() for name, tensor in tiny_model("ForSequenceClassification").state_dict().items()}
    positions = {"distilbert.embeddings.position_ids": torch.arange(23)[None]}
    model_class(framework).from_pretrained(folder).save_pretrained(tmp_path, state_dict=positions | state)
    assert DistilBertConfig.from_pretrained(tmp_path).dtype_name == "bfloat16"


def test_return_unused_kwargs(framework: str, folder: Path) -> None:
    for reader in (AutoConfig, DistilBertConfig):
        config, unused = reader.from_pretrained(
            folder, return_unused_kwargs=True, trust_remote_code=True, dropout=0.4, colour="red"
        )
        assert (config.dropout, unused) == (0.4, {"colour": "red"})


def test_nothing_is_logged_for_arguments_without_effect(
    framework: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        auto_class(framework).from_pretrained(folder, trust_remote_code=True, low_cpu_mem_usage=True)
    assert not [record for record in caplog.records if record.name == "distilbert"]


@pytest.mark.parametrize("head", ["", "ForMaskedLM", "ForSequenceClassification"])
def test_the_number_of_weights(framework: str, head: str) -> None:
    config = tiny_config(head)
    model = model_class(framework, head).from_config(config)
    theirs = getattr(transformers, f"DistilBert{head or 'Model'}")(
        transformers.DistilBertConfig(**config.to_diff_dict())
    )
    assert model.num_parameters() == theirs.num_parameters()
    assert model.num_parameters(exclude_embeddings=True) == theirs.num_parameters(exclude_embeddings=True)
