"""Learning rates and decay by parameter; precision by measurement."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilbert.training import processes
from distilbert.training.distill_config import DistillConfig
from distilbert.training.optimizer import learning_rate, make_optimizer
from distilbert.training.processes import agree_on_precision, make_accelerator
from tests.tiny import tiny_model


def config(tmp_path: Path, **changes: object) -> DistillConfig:
    return DistillConfig.from_dict({"teacher": "t", "data": ["d"], "output": str(tmp_path), "device": "cpu", **changes})


def test_a_block_learns_at_a_part_of_the_rate_of_the_one_above(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"student": tiny_model("ForSequenceClassification", n_layers=3)})
    optimizer = make_optimizer(model, config(tmp_path, layer_decay=0.5, weight_decay=0.1))
    scales, decays = {}, {}
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            scales[names[parameter]], decays[names[parameter]] = group["scale"], group["weight_decay"]
    assert set(scales) == set(names.values())
    for name, scale in scales.items():
        if ".embeddings." in name:
            assert scale == 0.5**4
        elif ".layer." in name:
            assert scale == 0.5 ** (3 - int(name.split(".layer.")[1][0]))
        else:
            assert scale == 1.0
        assert decays[name] == (0.1 if model.get_parameter(name).dim() > 1 else 0.0)


def test_without_decay_there_are_two_groups_of_one_rate(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"student": tiny_model("ForMaskedLM")})
    groups = make_optimizer(model, config(tmp_path)).param_groups
    assert [group["scale"] for group in groups] == [1.0, 1.0]


def test_the_rate_rises_and_falls(tmp_path: Path) -> None:
    settings = config(tmp_path, learning_rate=1.0, warmup=0.25)
    rates = [learning_rate(step, 8, settings) for step in range(8)]
    assert rates == [0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]


@pytest.mark.parametrize(("faster", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_precision_is_what_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool, chosen: str
) -> None:
    monkeypatch.setattr("distilbert.training.processes.bf16_is_faster", lambda device: faster)
    accelerator = make_accelerator(config(tmp_path))
    assert agree_on_precision("auto", accelerator) == chosen
    assert agree_on_precision("fp32", accelerator) == "fp32"
    assert agree_on_precision("bf16", accelerator) == "bf16"


def test_bf16_is_not_faster_where_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    processes.bf16_is_faster.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    try:
        assert not processes.bf16_is_faster("cpu")
        assert not processes.bf16_is_faster("mps")
    finally:
        processes.bf16_is_faster.cache_clear()
    assert processes.bf16_is_faster("cpu") in (True, False)
