"""Weights under the names that wrappers, training loops and older libraries give them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from distilbert import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    UnsupportedArchitectureError,
    WeightsMismatchError,
)
from distilbert.core.schema import HEADS
from tests.tiny import HEAD_NAMES, model_class, tiny_model

Rename = Callable[[str], str]
WRAPPED: dict[str, Rename] = {
    "module.": lambda name: f"module.{name}",
    "model.": lambda name: f"model.{name}",
    "student.net.": lambda name: f"student.net.{name}",
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "module._orig_mod.": lambda name: f"module._orig_mod.{name}",
}


def rename(folder: Path, new_name: Rename, **others: Any) -> None:
    """Rename the tensors of a folder, and add others."""
    path = folder / "model.safetensors"
    arrays = {new_name(name): array for name, array in load_file(path).items()}
    save_file(arrays | {name: np.asarray(array) for name, array in others.items()}, path)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "distilbert"]


def assert_loads(folder: Path, model: torch.nn.Module, head: str) -> None:
    again = model_class(head).from_pretrained(folder).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("prefix", WRAPPED)
def test_a_uniform_prefix_is_left_out_and_said_once(
    head: str, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path)
    rename(tmp_path, WRAPPED[prefix])
    assert_loads(tmp_path, model, head)
    base = "distilbert." if head else ""
    assert messages(caplog) == [f"{tmp_path}: names in the file begin with {prefix + base!r}, which is left out."]


def test_another_name_for_the_encoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("ForSequenceClassification")
    for name in ("bert", "encoder", "model.backbone", "transformer"):
        model.save_pretrained(tmp_path)
        rename(tmp_path, lambda old, name=name: old.replace("distilbert.", f"{name}."))
        assert_loads(tmp_path, model, "ForSequenceClassification")
    assert "begin with 'encoder.'" in messages(caplog)[0]


def test_wrappers_inside_of_names(tmp_path: Path) -> None:
    model = tiny_model("ForTokenClassification")
    model.save_pretrained(tmp_path)

    def fsdp(name: str) -> str:
        name = name.replace("transformer.layer.0.", "transformer.layer.0._fsdp_wrapped_module.")
        return f"_fsdp_wrapped_module.{name.replace('.attention.', '.attention._checkpoint_wrapped_module.')}"

    rename(tmp_path, fsdp)
    assert_loads(tmp_path, model, "ForTokenClassification")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_checkpoints_of_training_loops(key: str, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model("ForMaskedLM")
    model.config.save_pretrained(tmp_path)
    state = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({key: state, "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}, tmp_path / "pytorch_model.bin")
    assert_loads(tmp_path, model, "ForMaskedLM")
    assert f"holds a training checkpoint; its {key!r} is read" in messages(caplog)[0]


LEFTOVERS = {
    "loss_fct.weight": np.ones(5, np.float32), "criterion.weight": np.ones(5, np.float32),
    "loss.pos_weight": np.ones(5, np.float32), "loss_fn.ce.weight": np.ones(5, np.float32),
    "n_averaged": np.array(3), "fit_denses.0.weight": np.ones((2, 24), np.float32), "fit_dense.bias": np.ones(2),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_left_is_ignored_with_a_warning(
    prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("ForSequenceClassification")
    buffers = {"distilbert.embeddings.position_ids": np.arange(23)[None], "embeddings.token_type_ids": np.zeros(3)}
    for name, array in LEFTOVERS.items():
        model.save_pretrained(tmp_path)
        rename(tmp_path, lambda old: prefix + old, **{prefix + name: array}, **buffers)
        caplog.clear()
        assert_loads(tmp_path, model, "ForSequenceClassification")
        assert f"{tmp_path} holds {prefix}{name}, left over from training; ignored." in messages(caplog)


def test_other_leftovers_are_errors_that_name_the_file(tmp_path: Path) -> None:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    rename(tmp_path, lambda name: f"module.{name}", **{"module.crf.transitions": np.ones((5, 5))})
    with pytest.raises(WeightsMismatchError, match=r"left over \(1\):\n  .*\(in the file: module\.crf\.transitions\)"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_errors_name_missing_and_misshapen_tensors_as_in_the_file(tmp_path: Path) -> None:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    rename(tmp_path, lambda name: f"module.{name}" if "layer.1.ffn.lin2" not in name else "module.distilbert.x")
    with pytest.raises(WeightsMismatchError) as caught:
        AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    message = str(caught.value)
    for expected in (
        "(in the file: module.distilbert.transformer.layer.1.ffn.lin2.weight)",
        "needed is (3, 24) (in the file: module.classifier.weight)",
        "(in the file: module.distilbert.x)",
    ):
        assert expected in message


def test_two_encoders_in_a_file(tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification")
    model.save_pretrained(tmp_path)
    own = load_file(tmp_path / "model.safetensors")
    both = {f"{who}.{name}": array for who in ("student", "teacher") for name, array in own.items()}
    save_file(both, tmp_path / "model.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"2 encoders, under 'student\.distilbert\.', 'teacher\.distilbert"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    save_file(own | {f"teacher.{name}": array for name, array in own.items()}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"left over(.|\n)*teacher\.distilbert"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_a_tensor_twice(tmp_path: Path) -> None:
    model = tiny_model("")
    model.config.save_pretrained(tmp_path)
    state = dict(model.state_dict())
    state["_orig_mod.embeddings.LayerNorm.weight"] = state["embeddings.LayerNorm.weight"].clone()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsMismatchError, match=r"twice, as embeddings\..* and as _orig_mod\."):
        AutoModel.from_pretrained(tmp_path)


def save_old_bert(folder: Path, architecture: str, prefix: str = "", **tensors: torch.Tensor) -> Any:
    """Write a BERT as Google's and TinyBERT's tools did: a config without model_type, a pickle of tensors."""
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=97, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=23, num_labels=5,
    )  # fmt: skip
    bert = getattr(transformers, architecture)(config).eval()
    folder.mkdir(exist_ok=True)
    names = (
        "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
        "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size",
        "vocab_size",
    )  # fmt: skip
    values = {name: getattr(config, name) for name in names}
    others = {"cell": {}, "emb_size": 312, "structure": [], "pre_trained": "", "id2label": config.id2label}
    (folder / "config.json").write_text(json.dumps(values | others))
    state = {prefix + name: tensor for name, tensor in bert.state_dict().items()}
    torch.save(state | tensors, folder / "pytorch_model.bin")
    return bert


def test_a_bert_without_model_type(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bert = save_old_bert(
        tmp_path, "BertModel", **{"fit_denses.0.weight": torch.ones(2, 24), "fit_denses.0.bias": torch.ones(2)}
    )
    assert AutoConfig.from_pretrained(tmp_path).n_layers == 2
    ids = torch.tensor([[2, 5, 7, 9, 3]])
    expected = bert(ids).last_hidden_state
    torch.testing.assert_close(AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state, expected, rtol=0, atol=1e-5)
    assert any("fit_denses.0.weight, fit_denses.0.bias, left over" in message for message in messages(caplog))


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_heads_of_a_bert_without_model_type(prefix: str, tmp_path: Path) -> None:
    ids = torch.tensor([[2, 5, 7, 9, 3]])
    for architecture, auto in (
        ("BertForMaskedLM", AutoModelForMaskedLM),
        ("BertForTokenClassification", AutoModelForTokenClassification),
    ):
        bert = save_old_bert(tmp_path / architecture, architecture, prefix)
        ours = auto.from_pretrained(tmp_path / architecture)
        torch.testing.assert_close(ours(ids).logits, bert(ids).logits, rtol=0, atol=1e-5)
    save_old_bert(tmp_path / "glue", "BertForSequenceClassification", prefix)
    with pytest.raises(UnsupportedArchitectureError, match="BertForSequenceClassification cannot be converted"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "glue")
    assert AutoModel.from_pretrained(tmp_path / "glue").config.n_layers == 2


def test_a_bert_with_a_prefix_names_the_file(tmp_path: Path) -> None:
    bert = save_old_bert(tmp_path, "BertForMaskedLM", "module.")
    state = {f"module.{name}": x for name, x in bert.state_dict().items() if "layer.1.attention.self.query" not in name}
    torch.save(state | {"module.bert.strange": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsMismatchError, match=r"no place for \(1\):\n  module\.bert\.strange"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        WeightsMismatchError, match=r"in the file: module\.bert\.encoder\.layer\.1\.attention\.self\.query\.bias"
    ):
        AutoModelForMaskedLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("assign", [False, True])
def test_our_own_files_go_into_load_state_dict(head: str, assign: bool, tmp_path: Path) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path)
    state = {name: torch.from_numpy(array) for name, array in load_file(tmp_path / "model.safetensors").items()}
    other = tiny_model(head, seed=9)
    result = other.load_state_dict(state, assign=assign)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    if HEADS[head].name == "ForMaskedLM":
        assert other.vocab_projector.weight is other.get_input_embeddings().weight
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})


def test_a_plain_file_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for head in HEAD_NAMES:
        tiny_model(head).save_pretrained(tmp_path)
        with caplog.at_level(logging.INFO):
            model_class(head).from_pretrained(tmp_path)
    assert not messages(caplog)
