"""Feature extraction: vectors of tokens without padding, and vectors of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distilbert.core.errors import InputError


def test_features_have_no_padding(make_task: Any) -> None:
    task = make_task("feature-extraction", "encoder")
    short, long = task(["a", "the big sea in france"])
    assert [len(short[0]), len(long[0])] == [3, 7]
    array = task("a", return_tensors="np")
    assert array.dtype == np.float32
    assert np.allclose(array, short, atol=1e-6)
    assert np.allclose(task("a", pooling="mean"), array[0].mean(axis=0), atol=1e-6)
    assert np.allclose(task("a", pooling="cls"), array[0, 0], atol=1e-6)
    assert np.linalg.norm(task("a", pooling="cls", normalize=True)) == pytest.approx(1)
    assert np.allclose(np.linalg.norm(task("a", normalize=True)[0], axis=-1), 1)


def test_features_ignore_a_head(make_task: Any) -> None:
    assert make_task("feature-extraction", "entities")("a sea")[0][0]


def test_tensors_of_the_kind_that_is_asked_for(make_task: Any) -> None:
    task = make_task("feature-extraction", "encoder")
    lists, tensor = task("a film"), task("a film", return_tensors="pt")
    assert isinstance(tensor, torch.Tensor)
    assert tensor.shape == (1, 4, task.config.dim)
    assert tensor[0].numpy().tolist() == lists[0]
    assert torch.equal(task("a film", return_tensors=True), tensor), "True means the framework of the model"
    assert isinstance(task("a film", return_tensors="np", pooling="mean"), np.ndarray)
    assert [tensor.shape[1] for tensor in task(["a", "a film"], return_tensors="pt")] == [3, 4]
    assert task("a film", return_tensors=None) == lists
    with pytest.raises(InputError, match="return_tensors='torch' is not known: expected 'pt'"):
        task("a film", return_tensors="torch")
