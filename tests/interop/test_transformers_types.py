"""Objects of this package where transformers asks ``isinstance``, and configurations of one library in the other."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")
import torch  # noqa: E402
from torch import nn  # noqa: E402

from distilbert import (  # noqa: E402
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
)
from tests.interop.tiny_data import SIZES, write_vocabulary  # noqa: E402

IDS = torch.tensor([[1, 5, 9, 2]])


def tokenizers(folder: Path) -> list[Any]:
    fast = write_vocabulary(folder)
    fast.save_pretrained(folder)
    return [fast, DistilBertTokenizer.from_pretrained(folder)]


class Numbered(DistilBertConfig):
    """Says how it is pickled."""

    def __reduce__(self) -> Any:
        return functools.partial(Numbered, n_layers=self.n_layers), ()


def test_they_are_instances_of_both(tmp_path: Path) -> None:
    fast, slow = tokenizers(tmp_path)
    config = DistilBertConfig(**SIZES)
    for each, own, base in (
        (fast, DistilBertTokenizerFast, transformers.PreTrainedTokenizerBase),
        (slow, DistilBertTokenizer, transformers.PreTrainedTokenizerBase),
        (config, DistilBertConfig, transformers.PreTrainedConfig),
        (DistilBertModel(config), DistilBertModel, transformers.PreTrainedModel),
    ):
        assert isinstance(each, own)
        assert isinstance(each, base)
        assert type(each) is own
        assert each.__class__ == own
        for other in (pickle.loads(pickle.dumps(each)), copy.deepcopy(each), copy.copy(each)):
            assert type(other) is own
        assert all(hasattr(each, name) for name in dir(each)), "what the base alone has is not listed"
    assert pickle.loads(pickle.dumps(config)) == config
    assert pickle.loads(pickle.dumps(Numbered(n_layers=4))).n_layers == 4
    assert pickle.loads(pickle.dumps(fast))("a song")["input_ids"] == slow("a song")["input_ids"]
    assert not isinstance(fast, transformers.PreTrainedConfig)


def test_our_configuration_in_models_of_transformers(tmp_path: Path) -> None:
    config = DistilBertConfig(**SIZES, num_labels=3)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    assert type(model) is transformers.DistilBertForSequenceClassification
    assert model.config is config
    model.eval().save_pretrained(tmp_path)
    assert not [name for name in json.loads((tmp_path / "config.json").read_text()) if name.startswith("_")]
    expected = model(IDS).logits
    ours = DistilBertForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(ours(IDS).logits, expected)
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, config=ours.config)
    torch.testing.assert_close(again(IDS).logits, expected)


def test_a_configuration_of_transformers_in_our_models(tmp_path: Path) -> None:
    theirs = transformers.DistilBertConfig(**SIZES, num_labels=3)
    with pytest.raises(ValueError, match=r"takes a distilbert\.DistilBertConfig, got a transformers\..*DistilBertC"):
        DistilBertForSequenceClassification(theirs)
    with pytest.raises(ValueError, match=r"DistilBertConfig\.from_dict\(config\.to_dict\(\)\)"):
        DistilBertForSequenceClassification.from_config(theirs)
    converted = DistilBertConfig.from_dict(theirs.to_dict())
    model = DistilBertForSequenceClassification(converted)
    assert model(IDS).logits.shape == (1, 3)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"from_pretrained takes a distilbert\.DistilBertConfig, got a transformers\."):
        DistilBertForSequenceClassification.from_pretrained(tmp_path, config=theirs)


class Scorer(transformers.PreTrainedModel):  # type: ignore[misc]
    config_class = DistilBertConfig
    base_model_prefix = "distilbert"
    _supports_sdpa = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.score = nn.Linear(config.dim, 1)
        self.post_init()

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return self.score(self.distilbert(input_ids, attention_mask).last_hidden_state[:, 0])


class OwnScorer(DistilBertPreTrainedModel):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.score = nn.Linear(config.dim, 1)
        self.post_init()

    forward = Scorer.forward


@pytest.mark.parametrize("model_class", [Scorer, OwnScorer])
def test_a_head_of_a_users_own(model_class: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = model_class(DistilBertConfig(**SIZES)).eval()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [model_class.__name__]
    torch.manual_seed(1)
    loaded = model_class.from_pretrained(tmp_path)
    for name, weight in loaded.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name], rtol=0, atol=0, msg=name)
    torch.testing.assert_close(loaded.eval()(IDS), model(IDS), rtol=0, atol=0)
    encoder = tmp_path / "encoder"
    model.distilbert.save_pretrained(encoder)
    headed = model_class.from_pretrained(encoder)
    torch.testing.assert_close(
        headed.distilbert.embeddings.word_embeddings.weight, model.distilbert.embeddings.word_embeddings.weight
    )
