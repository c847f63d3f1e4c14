"""Leaving padding out changes no number: the packed path and the runner against padded batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import DistilBertConfig, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.pytorch import DistilBertModel, attention, modeling
from distilbert.models.pytorch.packing import FEW_SCORES, Packing, attend_packed
from distilbert.models.pytorch.runner import CudaRunner, PrepackedLinear, PytorchRunner, make_runner, prepack
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels, tiny_model

EXACT = {"rtol": 0.0, "atol": 1e-5}
LENGTHS = st.lists(st.integers(1, 23), min_size=1, max_size=7)


def ids_of(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(sum(lengths))
    return [rng.integers(1, 97, length).tolist() for length in lengths]


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {head: tiny_model(head) for head in HEAD_NAMES}


@pytest.fixture(scope="module")
def doubles() -> dict[str, Any]:
    """In fp32 each path may be 1e-5 from the truth, on either side of it; in float64 only a fault tells them apart."""
    return {head: tiny_model(head).double() for head in HEAD_NAMES}


@given(lengths=LENGTHS)
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_runner_equals_the_padded_model(doubles: dict[str, Any], head: str, lengths: list[int]) -> None:
    model = doubles[head]
    batch = Batch.of(ids_of(lengths))
    ids, mask = (torch.from_numpy(array) for array in batch.padded(0))
    if head == "ForMultipleChoice":
        ids, mask = ids[:, None], mask[:, None]
    with torch.no_grad():
        wanted = model(ids, mask)
    got = PytorchRunner(model)(batch)
    assert set(got) == set(wanted.keys())
    for name, array in got.items():
        padded = wanted[name]
        rows = padded[mask.bool()] if model.head_spec.per_token else padded
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, rows.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", [h for h in HEAD_NAMES if h not in ("ForSequenceClassification", "ForMultipleChoice")])
def test_only_the_rows_asked_for(models: dict[str, Any], head: str) -> None:
    runner = PytorchRunner(models[head])
    sequences = ids_of([5, 9, 2])
    whole = runner(Batch.of(sequences))
    some = runner(Batch.of(sequences, rows=[[3], [0, 8], []]))
    for name, array in some.items():
        np.testing.assert_allclose(array, whole[name][[3, 5, 13]], **EXACT)


def test_the_runner_checks_its_input(models: dict[str, Any]) -> None:
    runner = PytorchRunner(models["ForSequenceClassification"])
    with pytest.raises(InputError, match="Token ids run from 5 to 97; this model takes 0 to 96"):
        runner(Batch.of([[5, 97]]))
    with pytest.raises(InputError, match="24 tokens and the model knows 23"):
        runner(Batch.of([[5] * 24]))
    with pytest.raises(InputError, match="without tokens"):
        runner(Batch.of([[5], []]))
    assert runner.device.type == "cpu"


def test_prepacked_weights_at_a_size_that_uses_them() -> None:
    torch.manual_seed(0)
    model = DistilBertModel(DistilBertConfig(vocab_size=97, n_layers=2)).eval()
    fast = prepack(model)
    assert sum(isinstance(m, PrepackedLinear) for m in fast.modules()) == 12
    assert fast.embeddings.word_embeddings.weight is model.embeddings.word_embeddings.weight
    assert fast.config is model.config
    for lengths in ([1], [3, 3, 200], [512, 40]):
        batch = Batch.of(ids_of(lengths))
        ids, mask = (torch.from_numpy(array) for array in batch.padded(0))
        with torch.no_grad():
            wanted = model(ids, mask)[0][mask.bool()]
        np.testing.assert_allclose(PytorchRunner(model)(batch)["last_hidden_state"], wanted.numpy(), **EXACT)


@given(
    mask=st.integers(1, 5).flatmap(
        lambda batch: st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=batch, max_size=batch)
    )
)
@settings(deadline=None)
def test_packing_and_unpacking_are_inverse(mask: list[list[bool]]) -> None:
    attention_mask = torch.tensor(mask)
    packing = Packing.of_mask(attention_mask)
    states = torch.randn(len(mask), 6, 3)
    packed = packing.pack(states)
    assert packed.shape[0] == attention_mask.sum() == packing.offsets[-1]
    torch.testing.assert_close(packing.unpack(packed, len(mask), 6), states * attention_mask[..., None])
    positions = packing.position_ids().tolist()
    assert positions == [position for length in packing.lengths for position in range(length)]


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(deadline=None)
def test_packed_attention_stays_inside_each_sequence(lengths: list[int]) -> None:
    packing = Packing.of_lengths(lengths, torch.device("cpu"))
    q, k, v = torch.randn(3, sum(lengths), 3, 4).unbind(0)
    got = attend_packed(q, k, v, packing)
    assert got.shape == q.shape
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        scores = torch.einsum("snh,tnh->nst", q[part], k[part]) / 2.0
        torch.testing.assert_close(got[part], torch.einsum("nst,tnh->snh", scores.softmax(-1), v[part]))
        start += length


@pytest.mark.parametrize(
    "lengths", [[1, 200, 3, 180], [90] * 3 + [100] * 40, list(range(1, 150, 7)), [300, 1, 300], []]
)
def test_groups_of_neighbours_share_a_call_and_little_padding(lengths: list[int]) -> None:
    packing = Packing.of_lengths(lengths, torch.device("cpu"))
    assert sum(group.count for group in packing.groups) == len(lengths)
    assert [group.tokens for group in packing.groups] == [
        sum(lengths[start : start + group.count])
        for group, start in zip(
            packing.groups, np.cumsum([0] + [group.count for group in packing.groups]).tolist(), strict=False
        )
    ]
    start = 0
    for group in packing.groups:
        own = lengths[start : start + group.count]
        area = sum(length**2 for length in own)
        assert group.length == max(own)
        assert group.count * group.length**2 <= max(2 * area, FEW_SCORES, group.length**2)
        start += group.count


def test_gradients_through_groups_are_those_of_single_sequences() -> None:
    lengths = [2, 2, 7, 7, 90, 120, 30, 1]
    packing = Packing.of_lengths(lengths, torch.device("cpu"))
    assert 1 < len(packing.groups) < len(lengths)
    states = torch.randn(3, sum(lengths), 2, 4, dtype=torch.float64)
    weights = torch.randn(sum(lengths), 2, 4, dtype=torch.float64)
    gradients = []
    for alone in (False, True):
        inputs = [part.clone().requires_grad_() for part in states]
        if alone:
            parts = zip(*(part.split(lengths) for part in inputs), strict=True)
            singles = [Packing.of_lengths([length], torch.device("cpu")) for length in lengths]
            found = torch.cat([attend_packed(*part, one) for part, one in zip(parts, singles, strict=True)])
        else:
            found = attend_packed(*inputs, packing)
        (found * weights).sum().backward()
        gradients.append([part.grad for part in inputs])
    for grouped, single in zip(*gradients, strict=True):
        torch.testing.assert_close(grouped, single)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_flash_attention_through_its_plain_twin(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that runs on a GPU, with the kernel replaced by its twin: same results, zeros on padding, gradients."""
    monkeypatch.setattr(modeling, "require_flash", lambda device: None)
    inputs = tiny_inputs(head)
    mask = inputs["attention_mask"].bool()
    results = []
    for name in ("sdpa", "flash_attention_2"):
        model = tiny_model(head)
        model.config.attn_implementation = name
        output = model(**inputs, **tiny_labels(head), output_hidden_states=True)
        states = output.hidden_states[-1]
        if name != "sdpa":
            assert not states[~mask.flatten(0, -2)].any()
        states[mask.flatten(0, -2)].square().mean().backward()
        gradients = [p.grad for p in model.distilbert.parameters()] if head else [p.grad for p in model.parameters()]
        results.append([states[mask.flatten(0, -2)], *gradients])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


class OnCuda(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cuda = True


def test_flash_picks_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA in half precision: the flash-attn package if installed, else PyTorch's kernel."""
    calls: list[tuple[str, Any, Any]] = []

    def kernel(name: str) -> Any:
        return lambda *arguments, **options: calls.append((name, arguments, options)) or arguments[0]

    monkeypatch.setattr(attention, "_has_flash", lambda device: True)
    monkeypatch.setattr(attention, "_flash_attn_package", lambda: None)
    monkeypatch.setattr(attention, "attend_varlen", kernel("PyTorch"))
    packing = Packing.of_lengths([2, 3], torch.device("cpu"))
    q = torch.randn(5, 3, 8, dtype=torch.bfloat16).as_subclass(OnCuda)
    for dropout in (0.0, 0.1):
        attention.attend_flash(q, q, q, packing, dropout)
        name, arguments, options = calls.pop()
        assert (name, arguments[5:], options) == ("PyTorch", (3, 3), {"dropout_p": dropout})
        assert arguments[3] is arguments[4] is packing.offsets
    monkeypatch.setattr(attention, "_flash_attn_package", lambda: kernel("flash-attn"))
    attention.attend_flash(q, q, q, packing, 0.1)
    assert calls.pop()[0] == "flash-attn"


@pytest.mark.parametrize(
    ("dtype", "head_dim", "device_can"),
    [(torch.float32, 8, True), (torch.float16, 4, True), (torch.float16, 264, True), (torch.bfloat16, 8, False)],
)
def test_what_flash_cannot_take_goes_to_the_twin(
    dtype: torch.dtype, head_dim: int, device_can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_has_flash", lambda device: device_can)
    assert not attention.flash_takes(torch.empty(5, 3, head_dim, dtype=dtype).as_subclass(OnCuda))
    assert not attention.flash_takes(torch.empty(5, 3, 8, dtype=torch.float16)), "on the CPU"


def test_the_varlen_operation_has_gradients_and_dropout() -> None:
    """Shapes only, on the meta device: what PyTorch's operation takes, and that autograd goes through it."""
    q, k, v = (torch.empty(5, 3, 8, dtype=torch.float16, device="meta", requires_grad=True) for _ in range(3))
    offsets = torch.empty(3, dtype=torch.int32, device="meta")
    context = attention.attend_varlen(q, k, v, offsets, offsets, 3, 3, dropout_p=0.1)
    assert context.shape == q.shape
    context.sum().backward()
    assert all(x.grad is not None and x.grad.shape == q.shape for x in (q, k, v))


@pytest.mark.parametrize("rows", [None, [[1], [0, 2], []]])
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_runner_for_a_gpu_computes_the_same(head: str, rows: list[list[int]] | None) -> None:
    """One copy there, one back, positions counted on the host: on the CPU the same to the bit."""
    model = tiny_model(head)
    plain, queued = PytorchRunner(model), CudaRunner(model)
    batches = [Batch.of([[1, 2, 3], [4, 5, 6, 7], [8]], rows), Batch.of([[9] * 23])]
    waiting = [queued.submit(batch) for batch in batches]
    for batch, wait in zip(batches, waiting, strict=True):
        expected, got = plain(batch), wait()
        assert got.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(got[name], array)


def test_the_device_picks_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    assert type(make_runner(model)) is PytorchRunner
    monkeypatch.setattr(type(model), "device", torch.device("cuda:0"))
    assert type(make_runner(model)) is CudaRunner
