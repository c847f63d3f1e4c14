"""Loading, saving, devices, types, and changing the size of a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distilbert import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    ConfigError,
    DeviceError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
    InputError,
    UnknownArgumentError,
)
from distilbert.models.pytorch.device import pick_device
from distilbert.weights.checkpoint import open_checkpoint
from tests.tiny import HEAD_NAMES, model_class, tiny_inputs, tiny_model

EXACT = {"rtol": 0.0, "atol": 1e-6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("options", [{}, {"safe_serialization": False}, {"max_shard_size": 2000}])
def test_round_trip(head: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path, **options)
    back = model_class(head).from_pretrained(tmp_path)
    assert not back.training
    for a, b in zip(back(**tiny_inputs(head)).to_tuple(), model(**tiny_inputs(head)).to_tuple(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert back.config == model.config


def test_types(folder: Path) -> None:
    load = DistilBertForSequenceClassification.from_pretrained
    assert load(folder).dtype == torch.float32
    for dtype in (torch.bfloat16, "bfloat16", "torch.bfloat16"):
        assert load(folder, dtype=dtype).dtype == load(folder, torch_dtype=dtype).dtype == torch.bfloat16
    load(folder, dtype=torch.float16).save_pretrained(folder / "half")
    assert json.loads((folder / "half" / "config.json").read_text())["dtype"] == "float16"
    assert load(folder / "half", dtype="auto").dtype == torch.float16
    assert load(folder / "half").dtype == torch.float32
    load(folder, dtype="bfloat16").save_pretrained(folder / "bf16")
    reread = load(folder / "bf16", dtype="auto").classifier.weight
    torch.testing.assert_close(reread, load(folder).classifier.weight.bfloat16())
    for wrong in ("int8", "floaty", torch.int64):
        with pytest.raises(InputError, match="dtype must be a floating type"):
            load(folder, dtype=wrong)


def test_devices() -> None:
    assert pick_device(None) == pick_device(-1) == pick_device("cpu") == pick_device({"": "cpu"}) == torch.device("cpu")
    with pytest.raises(DeviceError, match="none that PyTorch knows"):
        pick_device("gpu")
    with pytest.raises(DeviceError, match="whole model on one device"):
        pick_device({"a": "cpu", "b": 0})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_devices_that_are_not_there(folder: Path) -> None:
    assert pick_device("auto").type in ("cpu", "mps")
    for device in (0, "cuda", "cuda:3"):
        with pytest.raises(DeviceError, match=r"sees 0 CUDA GPUs\. Use device='cpu'"):
            AutoModelForSequenceClassification.from_pretrained(folder, device_map=device)


def test_auto_picks_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert pick_device("auto") == torch.device("cuda", 1)
    assert pick_device(1) == pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="sees 2 CUDA GPUs"):
        pick_device(2)


def test_fields_can_be_overridden_and_typos_are_named(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, output_attentions=True, attn_implementation="eager", id2label={i: f"n{i}" for i in range(5)}
    )
    assert model.config.output_attentions
    assert model.config.attn_implementation == "eager"
    assert model.config.label2id["n4"] == 4
    with pytest.raises(UnknownArgumentError, match="Did you mean 'num_labels'"):
        AutoModelForSequenceClassification.from_pretrained(folder, num_label=3)
    with pytest.raises(UnknownArgumentError, match="DistilBertModel.from_config"):
        AutoModel.from_config(DistilBertConfig(), device="cpu")
    with pytest.raises(TypeError, match=r"AutoModel\.from_pretrained"):
        AutoModel()
    with pytest.raises(ConfigError, match=r"takes a distilbert\.DistilBertConfig, got a dict"):
        DistilBertModel({})  # type: ignore[arg-type]


def test_a_configuration_of_ones_own(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    config.dropout = 0.7
    assert (
        AutoModelForSequenceClassification.from_pretrained(folder, config=config).distilbert.embeddings.dropout.p == 0.7
    )
    fresh = AutoModelForSequenceClassification.from_config(config, dtype=torch.bfloat16, attn_implementation="eager")
    assert (fresh.dtype, fresh.attn_implementation) == (torch.bfloat16, "eager")
    assert AutoConfig.for_model("distilbert", n_layers=3).n_layers == 3


def test_an_open_checkpoint_is_neither_found_nor_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(folder)
    inputs = tiny_inputs("ForSequenceClassification")
    expected = DistilBertForSequenceClassification.from_pretrained(folder)(**inputs)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a checkpoint that is open was looked for again")

    monkeypatch.setattr("distilbert.core.hub.resolve", fail)
    monkeypatch.setattr("distilbert.weights.checkpoint.read_config_file", fail)
    model = DistilBertForSequenceClassification.from_checkpoint(checkpoint)
    assert model.config is checkpoint.config
    assert torch.equal(model(**inputs).logits, expected.logits)


def test_fresh_weights_follow_the_configuration() -> None:
    torch.manual_seed(0)
    model = DistilBertForMaskedLM(DistilBertConfig(vocab_size=997, n_layers=1, initializer_range=0.05))
    for name, parameter in model.named_parameters():
        if "LayerNorm.weight" in name or "layer_norm.weight" in name:
            assert (parameter == 1).all()
        elif name.endswith("bias"):
            assert not parameter.any()
        else:
            assert abs(parameter.std() - 0.05) < 0.003, name
    assert not model.get_input_embeddings().weight[0].any()


def test_pieces() -> None:
    model = tiny_model("ForMaskedLM")
    assert model.base_model is model.distilbert
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.get_position_embeddings().num_embeddings == 23
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())
    model.distilbert.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert tiny_model().get_output_embeddings() is None
    model.set_output_embeddings(nn.Linear(24, 97))
    assert model.vocab_projector.weight is not model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("size", "multiple", "result"), [(101, None, 101), (50, None, 50), (None, 64, 128), (100, 8, 104)]
)
def test_resizing_the_vocabulary(size: int | None, multiple: int | None, result: int, tmp_path: Path) -> None:
    model = tiny_model("ForMaskedLM")
    before = model.get_input_embeddings().weight.clone()
    bias = model.vocab_projector.bias.clone()
    model.resize_token_embeddings(size, pad_to_multiple_of=multiple)
    assert model.config.vocab_size == result
    rows = min(result, 97)
    torch.testing.assert_close(model.get_input_embeddings().weight[:rows], before[:rows])
    torch.testing.assert_close(model.vocab_projector.bias[:rows], bias[:rows])
    for new, old in ((model.get_input_embeddings().weight, before), (model.vocab_projector.bias, bias)):
        torch.testing.assert_close(new[97:], old.mean(0).expand(new[97:].shape))
    assert model.vocab_projector.weight is model.get_input_embeddings().weight
    ids = torch.tensor([[result - 1, 1, 2]])
    logits = model(ids).logits
    assert logits.shape == (1, 3, result)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(DistilBertForMaskedLM.from_pretrained(tmp_path)(ids).logits, logits, **EXACT)
    assert model.vocab_size == result
    with pytest.raises(InputError, match="at least one entry"):
        model.resize_token_embeddings(0)
    with pytest.raises(InputError, match=r"pad_to_multiple_of must be an integer, got 1\.3"):
        model.resize_token_embeddings(result, pad_to_multiple_of=1.3)  # type: ignore[arg-type]


def test_new_words_may_start_from_random_numbers() -> None:
    model = tiny_model("ForMaskedLM", tie_word_embeddings=False)
    projection = model.vocab_projector.weight.clone()
    model.resize_token_embeddings(99, mean_resizing=False)
    words = model.get_input_embeddings().weight
    assert not torch.equal(words[97], words[98])
    model.resize_token_embeddings(101)
    torch.testing.assert_close(model.vocab_projector.weight[:97], projection)
    torch.testing.assert_close(model.vocab_projector.weight[99], model.vocab_projector.weight[:99].mean(0))


@pytest.mark.parametrize("sinusoidal", [False, True])
@pytest.mark.parametrize("positions", [40, 12])
def test_resizing_positions(sinusoidal: bool, positions: int, tmp_path: Path) -> None:
    model = tiny_model(sinusoidal_pos_embds=sinusoidal)
    ids = torch.arange(1, 11)[None]
    before = model(ids)[0]
    model.resize_position_embeddings(positions)
    torch.testing.assert_close(model(ids)[0], before, **EXACT)
    assert model.get_position_embeddings().weight.requires_grad is not sinusoidal
    if positions == 40:
        assert model(torch.ones(1, 40, dtype=torch.long))[0].shape == (1, 40, 24)
    model.save_pretrained(tmp_path)
    back = DistilBertModel.from_pretrained(tmp_path)
    assert back.get_position_embeddings().weight.requires_grad is not sinusoidal
    torch.testing.assert_close(back(ids)[0], before, **EXACT)
    with pytest.raises(InputError, match="at least one position"):
        model.resize_position_embeddings(0)


def test_pruned_heads_survive_saving(tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification")
    model.prune_heads({0: [0, 2]})
    model.prune_heads({0: [2], 1: [1]})
    assert model.config.pruned_heads == {0: [0, 2], 1: [1]}
    assert model.distilbert.transformer.layer[0].attention.q_lin.weight.shape == (8, 24)
    model.save_pretrained(tmp_path)
    back = DistilBertForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(back(**tiny_inputs()).logits, model(**tiny_inputs()).logits, **EXACT)
    for wrong in ({0: [1]}, {5: [0]}, {1: [7]}):
        with pytest.raises(ConfigError, match="pruned_heads"):
            model.prune_heads(wrong)
    assert model.config.pruned_heads == {0: [0, 2], 1: [1]}


def test_saving_says_no_to_stray_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="private only make sense together with push_to_hub=True"):
        tiny_model().save_pretrained(tmp_path, private=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_loading_needs_little_more_memory_than_the_weights(tmp_path: Path) -> None:
    """Peak resident memory in a process of its own, over what the imports alone take: at most 1.2 times the weights."""
    config = DistilBertConfig(vocab_size=120_000, n_layers=2)
    model = DistilBertForMaskedLM(config)
    weights = 4 * model.num_parameters()
    assert weights > 400e6
    model.save_pretrained(tmp_path, max_shard_size="150MB")
    del model
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from distilbert import DistilBertForMaskedLM, DistilBertConfig\n"
        "def peak():\n"  # of this program alone; getrusage would report its parent's where that is higher
        "    return 1024 * int(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "DistilBertForMaskedLM(DistilBertConfig(vocab_size=9, n_layers=1)).num_parameters()\n"
        "before = peak()\n"
        "model = DistilBertForMaskedLM.from_pretrained(sys.argv[1])\n"
        "for parameter in model.parameters(): parameter.sum()\n"  # a mapped file takes memory once it is looked at
        "print(peak() - before)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert 0.8 * weights <= int(result.stdout) <= 1.2 * weights


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_resized_weights_are_trained_if_they_were(trained: bool, tie: bool) -> None:
    model = tiny_model("ForMaskedLM", tie_word_embeddings=tie).requires_grad_(trained)
    model.resize_token_embeddings(100)
    model.resize_position_embeddings(30)
    assert {parameter.requires_grad for parameter in model.parameters()} == {trained}
