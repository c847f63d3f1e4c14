"""A model that is cut computes what the whole one computes without the parts that are gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.models.pytorch import DistilBertForSequenceClassification
from distilbert.training.shrinking.importance import Importance
from distilbert.training.shrinking.smaller_model import LEAST_SHARE, Shape, all_parts, choose_shape, cut, first_parts
from distilbert.training.shrinking.time_model import Size, TimeModel, fit_time_model
from tests.tiny import tiny_inputs, tiny_model

HEAD = "ForSequenceClassification"
TIMES = TimeModel(base=1.0, layer=2.0, head=0.25, column=0.025, last_head=0.1)


def importance_of(layers: int = 6, heads: int = 4, columns: int = 160, seed: int = 0) -> Importance:
    draw = np.random.default_rng(seed)
    return Importance([draw.random(heads) for _ in range(layers)], [draw.random(columns) for _ in range(layers)])


def test_parts_that_are_gone_count_as_zero() -> None:
    model, inputs = tiny_model(HEAD, n_layers=3), tiny_inputs(HEAD)
    heads = (np.array([0, 2]), np.array([1]))
    columns = (np.array([1, 5, 39]), np.array([0, 7, 8]))
    smaller = cut(model, Shape((0, 2), heads, columns)).eval()
    assert smaller.config.pruned_heads == {0: [1], 1: [0, 2]}
    assert (smaller.config.n_layers, smaller.config.hidden_dim) == (2, 3)
    emptied = cut(model, all_parts(model.config, (0, 2))).eval()
    with torch.no_grad():
        for block, kept, of_ffn in zip(emptied.distilbert.transformer.layer, heads, columns, strict=True):
            block.attention.out_lin.weight.unflatten(1, (3, 8))[:, [n for n in range(3) if n not in kept]] = 0
            block.ffn.lin2.weight[:, [n for n in range(40) if n not in of_ffn]] = 0
        torch.testing.assert_close(smaller(**inputs).logits, emptied(**inputs).logits, rtol=1e-4, atol=1e-5)


def test_a_model_with_pruned_heads_is_cut_further() -> None:
    model, inputs = tiny_model(HEAD), tiny_inputs(HEAD)
    model.prune_heads({1: [0]})
    smaller = cut(model, Shape((0, 1), (np.arange(3), np.array([1])), (np.arange(40),) * 2)).eval()
    assert smaller.config.pruned_heads == {1: [0, 1]}
    model.prune_heads({1: [1]})
    torch.testing.assert_close(smaller(**inputs).logits, model(**inputs).logits)


def test_the_folder_loads_here_and_in_transformers(tmp_path: Path) -> None:
    model, inputs = tiny_model(HEAD, n_layers=3), tiny_inputs(HEAD)
    smaller = cut(model, first_parts(model.config, 2, 3, 16)).eval()
    smaller.save_pretrained(tmp_path)
    for library in (DistilBertForSequenceClassification, transformers.DistilBertForSequenceClassification):
        loaded = library.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(loaded(**inputs).logits, smaller(**inputs).logits, rtol=1e-4, atol=1e-5)


def whole(layers: int = 6, reads_all: bool = True) -> Size:
    return Size.of([4] * layers, 160, reads_all)


@given(
    costs=st.tuples(*[st.floats(0.01, 5)] * 5),
    noise=st.lists(st.floats(-0.01, 0.01), min_size=6, max_size=6),
    reads_all=st.booleans(),
)
def test_costs_are_found_again(costs: tuple[float, ...], noise: list[float], reads_all: bool) -> None:
    real = TimeModel(costs[0], costs[1], costs[2] / 12, costs[3] / 1000, costs[4] / 12)
    measured = [(6, 12, 1536), (6, 6, 1536), (6, 12, 768), (3, 12, 1536), (1, 12, 1536), (1, 1, 384)]
    sizes = [Size.of([heads] * layers, columns, reads_all) for layers, heads, columns in measured]
    fitted = fit_time_model({size: real.seconds(size) * (1 + part) for size, part in zip(sizes, noise, strict=True)})
    assert min(fitted.base, fitted.layer, fitted.head, fitted.column, fitted.last_head) >= 0
    for size in [*sizes, Size.of([12] * 4, 1024, reads_all), Size.of([10, 8], 1000, reads_all)]:
        assert fitted.seconds(size) == pytest.approx(real.seconds(size), rel=0.1)


@given(speedup=st.floats(1.01, 5), with_fewer_heads=st.booleans(), reads_all=st.booleans(), seed=st.integers(0, 9))
def test_a_shape_is_fast_enough_and_keeps_what_matters(
    speedup: float, with_fewer_heads: bool, reads_all: bool, seed: int
) -> None:
    importance = importance_of(seed=seed)
    allowed = TIMES.seconds(whole(reads_all=reads_all)) / speedup
    shape = choose_shape(importance, TIMES, allowed, reads_all=reads_all, with_fewer_heads=with_fewer_heads)
    assert TIMES.seconds(shape.size(reads_all)) <= allowed + 1e-9
    assert shape.layers == tuple(range(len(shape.layers)))
    assert all(len(columns) == len(shape.columns[0]) for columns in shape.columns)
    assert all(len(heads) for heads in shape.heads)
    if not with_fewer_heads:
        assert all(len(heads) == 4 for heads in shape.heads)
    for layer, columns in zip(shape.layers, shape.columns, strict=True):
        others = np.delete(importance.columns[layer], columns)
        assert not len(others) or importance.columns[layer][columns].min() >= others.max()


def test_blocks_are_dropped_rather_than_made_very_thin() -> None:
    shape = choose_shape(importance_of(), TIMES, TIMES.seconds(whole()) / 3, reads_all=True)
    blocks = TIMES.seconds(shape.size(True)) - TIMES.base
    same_depth = TIMES.seconds(whole(len(shape.layers))) - TIMES.base
    assert len(shape.layers) < 6
    assert blocks / same_depth >= LEAST_SHARE


def test_a_last_block_that_computes_one_token_costs_little() -> None:
    """So half of the blocks are more than twice as fast."""
    all_tokens, one_token = (
        choose_shape(importance_of(), TIMES, TIMES.seconds(whole(reads_all=reads)) / 2.4, reads_all=reads)
        for reads in (True, False)
    )
    assert len(one_token.columns[0]) >= len(all_tokens.columns[0])
    assert Size.of([4, 4], 160, False) == Size(1, 4, 160, 4)
    assert Size.of([4, 4], 160, True) == Size(2, 8, 320, 0)


def test_stated_layers_are_kept_and_what_cannot_be_is_refused() -> None:
    seconds = TIMES.seconds(whole())
    shape = choose_shape(importance_of(), TIMES, seconds / 2, reads_all=True, layers=[0, 2, 4, 5])
    assert shape.layers == (0, 2, 4, 5)
    with pytest.raises(InputError, match=r"With 6 of 6 layers, however thin.*Ask for a smaller speedup"):
        choose_shape(importance_of(), TIMES, seconds / 4, reads_all=True, layers=range(6))
