"""Configurations and models of a user's own behind the Auto classes."""

from __future__ import annotations

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
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    TFAutoModel,
    UnsupportedArchitectureError,
)
from distilbert.models import auto
from tests.tiny import SIZES, tiny_config, tiny_inputs


class MyConfig(DistilBertConfig):
    model_type = "mydistil"

    def __init__(self, width: int = 5, **others: Any) -> None:
        super().__init__(**others)
        self.width = width


class MyModel(DistilBertPreTrainedModel):
    config_class = MyConfig

    def __init__(self, config: MyConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.score = nn.Linear(config.dim, config.width)
        self.post_init()

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return self.score(self.distilbert(input_ids, attention_mask).last_hidden_state)


class OtherModel(MyModel):
    pass


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_config_classes", {})
    monkeypatch.setattr(auto, "_model_classes", {})


def test_they_are_made_and_loaded(tmp_path: Path) -> None:
    config = MyConfig(**SIZES, width=7)
    MyModel(config).eval().save_pretrained(tmp_path / "mine")
    DistilBertForSequenceClassification(tiny_config()).save_pretrained(tmp_path / "plain")
    with pytest.raises(UnsupportedArchitectureError, match="mydistil"):
        AutoConfig.from_pretrained(tmp_path / "mine")
    AutoConfig.register("mydistil", MyConfig)
    AutoModel.register(MyConfig, MyModel)

    read = AutoConfig.from_pretrained(tmp_path / "mine", local_files_only=True)
    assert type(read) is MyConfig
    assert read.width == 7
    assert type(AutoConfig.for_model("mydistil", width=3)) is MyConfig
    loaded = AutoModel.from_pretrained(tmp_path / "mine")
    assert type(loaded) is MyModel
    assert loaded(**tiny_inputs()).shape[-1] == 7
    for given in (config, tmp_path / "mine"):
        again = AutoModel.from_pretrained(tmp_path / "mine", config=given)
        torch.testing.assert_close(again(**tiny_inputs()), loaded(**tiny_inputs()))
    assert type(AutoModel.from_config(config)) is MyModel
    assert type(AutoModel.from_pretrained(tmp_path / "plain")) is DistilBertModel
    assert type(AutoConfig.from_pretrained(tmp_path / "plain")) is DistilBertConfig
    assert type(AutoModel.from_config(tiny_config())) is DistilBertModel
    state = loaded.state_dict()
    assert type(AutoModel.from_pretrained(None, config=config, state_dict=state)) is MyModel
    AutoModel.register(MyConfig, OtherModel, exist_ok=True)
    assert type(AutoModel.from_config(config)) is OtherModel


def test_messages() -> None:
    with pytest.raises(ConfigError, match=r"Register the configuration first: AutoConfig.register\('mydistil', MyCo"):
        AutoModel.register(MyConfig, MyModel)
    with pytest.raises(ConfigError, match="takes a class derived from DistilBertConfig"):
        AutoConfig.register("mydistil", dict)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="model_type is 'mydistil', and it was registered as 'other'"):
        AutoConfig.register("other", MyConfig)
    with pytest.raises(ConfigError, match="'distilbert' has a configuration already"):
        AutoConfig.register("distilbert", DistilBertConfig)
    AutoConfig.register("mydistil", MyConfig)
    AutoConfig.register("mydistil", MyConfig, exist_ok=True)
    with pytest.raises(ConfigError, match="'mydistil' has a configuration already"):
        AutoConfig.register("mydistil", MyConfig)
    with pytest.raises(ConfigError, match="takes a subclass of DistilBertPreTrainedModel"):
        AutoModel.register(MyConfig, nn.Linear)
    with pytest.raises(ConfigError, match="config_class is DistilBertConfig, and it was registered for MyConfig"):
        AutoModelForSequenceClassification.register(MyConfig, DistilBertForSequenceClassification)
    with pytest.raises(ConfigError, match="TFAutoModel registers no classes"):
        TFAutoModel.register(MyConfig, MyModel)
    AutoModel.register(MyConfig, MyModel)
    with pytest.raises(ConfigError, match="AutoModel has a class for MyConfig; exist_ok=True replaces it"):
        AutoModel.register(MyConfig, MyModel)
