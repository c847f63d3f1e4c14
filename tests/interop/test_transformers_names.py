"""Names that code imports from transformers: those that are here, and what is said about the others."""

from __future__ import annotations

import importlib

import pytest

import distilbert
from distilbert.core.errors import ForeignNameError
from distilbert.core.transformers_names import INSTEAD, STAYING


def test_names_that_stay_in_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    for name in STAYING:
        assert hasattr(transformers, name)
        with pytest.raises(ForeignNameError, match=rf"{name} stays in transformers: from transformers import {name};"):
            getattr(distilbert, name)


def test_the_text_reaches_who_imports_a_name() -> None:
    with pytest.raises(ImportError, match="Trainer stays in transformers: from transformers import Trainer; it takes"):
        from distilbert import Trainer  # noqa: F401
    with pytest.raises(ImportError, match=r'logging\.getLogger\("distilbert"\)\.setLevel\(logging\.ERROR\)'):
        from distilbert import logging  # noqa: F401
    with pytest.raises(ImportError, match="DistilBertTokenizerFast makes the same ids"):
        from distilbert import BertTokenizerFast  # noqa: F401
    with pytest.raises(ImportError, match=r"TFDistilBertForMaskedLM.from_pretrained loads a BERT"):
        from distilbert import TFBertForMaskedLM  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'Unheard'"):
        from distilbert import Unheard  # noqa: F401


def test_other_names() -> None:
    known = {*distilbert.__all__}
    assert not known & {*STAYING, *INSTEAD}
    with pytest.raises(AttributeError, match=r"no attribute 'DistilBertTokeniser'. Did you mean 'DistilBertTokenizer'"):
        distilbert.DistilBertTokeniser
    assert not hasattr(distilbert, "unheard_of")
    assert not hasattr(distilbert, "__wrapped__")
    assert importlib.import_module("distilbert.tasks")


def test_bases_under_their_names_in_transformers() -> None:
    for prefix in ("", "TF", "Flax"):
        assert getattr(distilbert, f"{prefix}PreTrainedModel") is getattr(
            distilbert, f"{prefix}DistilBertPreTrainedModel"
        )
    assert issubclass(distilbert.DistilBertTokenizer, distilbert.PreTrainedTokenizer)
    assert issubclass(distilbert.DistilBertTokenizerFast, distilbert.PreTrainedTokenizerFast)
    for tokenizer in (distilbert.DistilBertTokenizer, distilbert.DistilBertTokenizerFast):
        assert issubclass(tokenizer, distilbert.PreTrainedTokenizerBase)


@pytest.mark.parametrize("prefix", ["", "TF", "Flax"])
def test_the_model_of_pretraining(prefix: str) -> None:
    from tests.tiny import tiny_config

    auto = getattr(distilbert, f"{prefix}AutoModelForPreTraining")
    model = auto.from_config(tiny_config())
    assert type(model) is getattr(distilbert, f"{prefix}DistilBertForMaskedLM")
