"""Models under torch.jit.trace, torch.onnx.export and nn.DataParallel, and their outputs as pytrees."""

from __future__ import annotations

import io
from typing import Any

import onnxruntime
import pytest
import torch
from torch.nn.parallel.scatter_gather import gather
from torch.utils import _pytree as pytree

from distilbert.core.outputs import ModelOutput
from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_labels, tiny_model

EXACT = {"rtol": 0.0, "atol": 1e-5}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]


@pytest.fixture(scope="module", params=HEAD_NAMES)
def head(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def arguments(head: str) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = tiny_inputs(head)
    return inputs["input_ids"], inputs["attention_mask"]


def other_size(head: str) -> tuple[torch.Tensor, ...]:
    return tuple(tensor[:2, ..., :5] for tensor in arguments(head))


def saved_and_loaded(traced: Any) -> Any:
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    return torch.jit.load(file)


def test_torchscript_returns_tuples(head: str) -> None:
    """TracerWarnings are errors here, so no size is recorded as a constant."""
    model = tiny_model(head, torchscript=True)
    plain = tiny_model(head)
    assert isinstance(model(*arguments(head)), tuple)
    assert isinstance(model(*arguments(head), return_dict=True), ModelOutput)
    traced = saved_and_loaded(torch.jit.trace(model, arguments(head)))
    for answer, expected in zip(traced(*other_size(head)), plain(*other_size(head)).to_tuple(), strict=True):
        torch.testing.assert_close(answer, expected, **EXACT)


def test_traced_dictionaries(head: str) -> None:
    model = tiny_model(head)
    traced = saved_and_loaded(torch.jit.trace(model, arguments(head), strict=False))
    answers, expected = traced(*other_size(head)), model(*other_size(head))
    assert list(answers) == list(expected)
    for name, answer in answers.items():
        torch.testing.assert_close(answer, expected[name], **EXACT)


def test_onnx_export_by_tracing(head: str) -> None:
    model = tiny_model(head)
    ids, mask = arguments(head)
    axes = {0: "batch", ids.dim() - 1: "sequence"}
    names = ["input_ids", "attention_mask"]
    file = io.BytesIO()
    torch.onnx.export(
        model, (ids, mask), file, dynamo=False, input_names=names, dynamic_axes=dict.fromkeys(names, axes)
    )
    session = onnxruntime.InferenceSession(file.getvalue())
    answers = session.run(None, {name: x.numpy() for name, x in zip(names, other_size(head), strict=True)})
    for answer, expected in zip(answers, model(*other_size(head)).to_tuple(), strict=True):
        torch.testing.assert_close(torch.from_numpy(answer), expected, rtol=1e-4, atol=1e-4)


def test_data_parallel_gathers_outputs(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gathering of nn.DataParallel, on two halves of a batch, with the copy between GPUs put on the CPU."""
    monkeypatch.setattr(
        "torch.nn.parallel.scatter_gather.Gather.apply",
        lambda device, dim, *parts: torch.cat([part[None] if part.dim() == 0 else part for part in parts], dim),
    )
    model = tiny_model(head)
    inputs = tiny_inputs(head) | tiny_labels(head)
    halves = [model(**{name: x[part] for name, x in inputs.items()}) for part in (slice(0, 2), slice(2, 4))]
    whole, gathered = model(**inputs), gather(halves, "cpu")
    assert type(gathered) is type(whole)
    assert list(gathered) == list(whole)
    for name in set(whole) - {"loss"}:
        torch.testing.assert_close(getattr(gathered, name), whole[name], **EXACT)
    if head:
        assert gathered.loss.tolist() == [half.loss.item() for half in halves]


def test_outputs_are_pytrees(head: str) -> None:
    output = tiny_model(head)(**tiny_inputs(head), **tiny_labels(head), output_hidden_states=True)
    doubled = pytree.tree_map(lambda x: x * 2, output)
    assert type(doubled) is type(output)
    torch.testing.assert_close(doubled.hidden_states[1], output.hidden_states[1] * 2)
    leaves, structure = pytree.tree_flatten(output)
    assert len(leaves) == len(output) - 1 + len(output.hidden_states)
    assert list(pytree.tree_unflatten(leaves, structure)) == list(output)
    nested = pytree.tree_map(lambda x: {"twice": x * 2}, output)
    assert list(nested) == list(output), "a leaf that becomes a dictionary is not taken for the fields"
