"""A BERT loads as the DistilBERT that computes the same, or says why it cannot."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from distilbert import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    ConfigError,
    DistilBertConfig,
    InputError,
    UnsupportedArchitectureError,
    WeightsMismatchError,
    convert,
)
from distilbert.core.schema import HEADS, PREFIX, tensor_shapes
from distilbert.weights.bert import bert_name, distilbert_name
from tests.tiny import tiny_inputs

INPUTS = tiny_inputs()
REAL = INPUTS["attention_mask"].bool()


def save_bert(folder: Path, architecture: str = "BertModel", **changes: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=97, hidden_size=24, num_attention_heads=3, num_hidden_layers=3, intermediate_size=40,
        max_position_embeddings=23, initializer_range=0.3, **({"num_labels": 5} | changes),
    )  # fmt: skip
    model = getattr(transformers, architecture)(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("architecture", "head"),
    [
        ("BertModel", ""),
        ("BertForMaskedLM", "ForMaskedLM"),
        ("BertForTokenClassification", "ForTokenClassification"),
        ("BertForQuestionAnswering", "ForQuestionAnswering"),
    ],
)
def test_names_are_translated_both_ways(tmp_path: Path, architecture: str, head: str) -> None:
    bert = {name.removeprefix("bert.") for name in save_bert(tmp_path, architecture, num_labels=2).state_dict()}
    config = AutoConfig.from_pretrained(tmp_path)
    distilbert = {name.removeprefix(PREFIX) for name in tensor_shapes(config, HEADS[head])}
    for name in distilbert:
        other = bert_name(name)
        assert other in bert, name
        assert distilbert_name(other) == name
    translated = {distilbert_name(name) for name in bert}
    assert translated - {None} == distilbert
    without = {name for name in bert if distilbert_name(name) is None}
    assert all(name.startswith(("pooler.", "embeddings.token_type_embeddings.")) for name in without)


@pytest.mark.parametrize(
    "name", ["", "pooler.dense.weight", "encoder.layer.0.weight", "transformer.layer.x.ffn.lin1.bias"]
)
def test_names_without_a_counterpart(name: str) -> None:
    assert distilbert_name(name) is None
    assert bert_name(name) is None


def test_hidden_states_are_equal(tmp_path: Path) -> None:
    bert = save_bert(tmp_path)
    twin = AutoModel.from_pretrained(tmp_path)
    ours = twin(**INPUTS, output_hidden_states=True).hidden_states
    theirs = bert(**INPUTS, output_hidden_states=True).hidden_states
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a[REAL], b[REAL], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForPreTraining"])
def test_the_masked_lm_head_is_converted(tmp_path: Path, architecture: str) -> None:
    bert = save_bert(tmp_path, architecture)
    theirs = bert(**INPUTS)
    logits = theirs.logits if architecture == "BertForMaskedLM" else theirs.prediction_logits
    ours = AutoModelForMaskedLM.from_pretrained(tmp_path)(**INPUTS).logits
    torch.testing.assert_close(ours[REAL], logits[REAL], rtol=0, atol=2e-5)


def test_the_tagging_head_is_converted(tmp_path: Path) -> None:
    bert = save_bert(tmp_path, "BertForTokenClassification")
    ours = AutoModelForTokenClassification.from_pretrained(tmp_path)(**INPUTS).logits
    torch.testing.assert_close(ours[REAL], bert(**INPUTS).logits[REAL], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "auto", "reason"),
    [
        ("BertForSequenceClassification", AutoModelForSequenceClassification, "tanh pooler"),
        ("BertForQuestionAnswering", AutoModelForQuestionAnswering, "segment 1"),
    ],
)
def test_heads_that_compute_something_else(
    tmp_path: Path, architecture: str, auto: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bert = save_bert(tmp_path, architecture)
    changes = {"num_labels": 2} if "Question" in architecture else {}
    with pytest.raises(UnsupportedArchitectureError, match=f"{reason}.*--head none"):
        auto.from_pretrained(tmp_path, **changes)
    encoder = AutoModel.from_pretrained(tmp_path)
    theirs = bert.bert(**INPUTS).last_hidden_state
    torch.testing.assert_close(encoder(**INPUTS).last_hidden_state[REAL], theirs[REAL], rtol=0, atol=1e-5)
    with caplog.at_level(logging.WARNING, "distilbert"):
        other = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert "classifier" in caplog.text
    assert not other.classifier.bias.any(), "a classifier for whole texts is not taken for one of tokens"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
    ],
)
def test_berts_without_a_twin(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    save_bert(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UnsupportedArchitectureError, match=message):
        AutoModel.from_pretrained(tmp_path)


def test_another_architecture(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(UnsupportedArchitectureError, match="holds a 'roberta' model"):
        AutoConfig.from_pretrained(tmp_path)
    save_bert(tmp_path / "bert")
    with pytest.raises(UnsupportedArchitectureError, match="AutoConfig"):
        DistilBertConfig.from_pretrained(tmp_path / "bert")


def test_a_tensor_without_a_place(tmp_path: Path) -> None:
    bert = save_bert(tmp_path)
    torch.save(bert.state_dict() | {"encoder.layer.0.extra.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsMismatchError, match=r"no place for \(1\):\n  encoder\.layer\.0\.extra\.weight"):
        AutoModel.from_pretrained(tmp_path)


def test_a_missing_tensor_is_named_as_in_the_file(tmp_path: Path) -> None:
    bert = save_bert(tmp_path, "BertForMaskedLM")
    kept = {name: tensor for name, tensor in bert.state_dict().items() if "layer.1.attention.self.query" not in name}
    torch.save(kept, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsMismatchError, match="in the file: bert.encoder.layer.1.attention.self.query.bias"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)


def test_a_bert_without_the_embedding_of_its_segments(tmp_path: Path) -> None:
    bert = save_bert(tmp_path)
    kept = {name: tensor for name, tensor in bert.state_dict().items() if "token_type" not in name}
    torch.save(kept, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsMismatchError, match=r"embeddings\.token_type_embeddings\.weight is missing"):
        AutoModel.from_pretrained(tmp_path)


def test_convert_writes_what_loading_sees(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", "BertForMaskedLM")
    done = convert(tmp_path / "bert", tmp_path / "distil")
    assert (done.architecture, done.n_layers, done.tokenizer) == ("DistilBertForMaskedLM", 3, False)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "distil")
    ours = AutoModelForMaskedLM.from_pretrained(tmp_path / "bert")
    assert done.parameters == ours.num_parameters()
    torch.testing.assert_close(theirs(**INPUTS).logits[REAL], ours(**INPUTS).logits[REAL], rtol=0, atol=1e-5)


def test_convert_keeps_layers_drops_heads_and_changes_types(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", "BertForMaskedLM")
    done = convert(
        tmp_path / "bert", tmp_path / "small", layers=[0, 2], head="none", dtype="bfloat16", to="pytorch_model.bin"
    )
    assert (done.architecture, done.files) == ("DistilBertModel", ["config.json", "pytorch_model.bin"])
    small = AutoModel.from_pretrained(tmp_path / "small", dtype="auto")
    assert small.dtype == torch.bfloat16
    whole = AutoModel.from_pretrained(tmp_path / "bert")
    assert small.config.n_layers == len(small.transformer.layer) == 2
    torch.testing.assert_close(
        small.transformer.layer[1].ffn.lin1.weight, whole.transformer.layer[2].ffn.lin1.weight.bfloat16()
    )


def test_convert_refuses(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", "BertForSequenceClassification")
    with pytest.raises(UnsupportedArchitectureError, match="tanh pooler"):
        convert(tmp_path / "bert", tmp_path / "out")
    assert convert(tmp_path / "bert", tmp_path / "out", head="none").architecture == "DistilBertModel"
    with pytest.raises(InputError, match="already holds a model"):
        convert(tmp_path / "bert", tmp_path / "out", head="none")
    convert(tmp_path / "bert", tmp_path / "out", head="none", overwrite=True)
    for wrong in ({"to": "onnx"}, {"dtype": "int8"}, {"head": "mlm"}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
            convert(tmp_path / "bert", tmp_path / "x", **wrong)
    with pytest.raises(ConfigError, match="layers must name"):
        convert(tmp_path / "bert", tmp_path / "x", head="none", layers=[5])
    assert not (tmp_path / "x").exists()


def test_the_options_of_a_bert_are_those_of_its_twin(tmp_path: Path) -> None:
    save_bert(tmp_path, "BertForTokenClassification")
    path = tmp_path / "config.json"
    options = {"output_hidden_states": True, "return_dict": False, "classifier_dropout": 0.5, "depth_of_sea": [7]}
    path.write_text(json.dumps(json.loads(path.read_text()) | options | {"pruned_heads": {"1": [0]}}))
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.output_hidden_states, config.return_dict, config.depth_of_sea) == (True, False, [7])
    assert (config.seq_classif_dropout, config.dropout, config.pruned_heads) == (0.5, 0.1, {1: [0]})
    assert not {"type_vocab_size", "layer_norm_eps", "hidden_size", "classifier_dropout"} & config.to_dict().keys()


def test_a_pruned_bert_loads_as_a_pruned_twin(tmp_path: Path) -> None:
    whole = save_bert(tmp_path)
    twin = AutoModel.from_pretrained(tmp_path)
    twin.prune_heads({1: [0]})
    kept = slice(8, None)  # of 3 heads of 8 channels
    attention = whole.encoder.layer[1].attention
    for lin in (attention.self.query, attention.self.key, attention.self.value):
        lin.weight.data, lin.bias.data = lin.weight.data[kept].clone(), lin.bias.data[kept].clone()
    attention.output.dense.weight.data = attention.output.dense.weight.data[:, kept].clone()
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pruned_heads": {"1": [0]}}))
    pruned = AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(pruned(**INPUTS)[0], twin(**INPUTS)[0])
