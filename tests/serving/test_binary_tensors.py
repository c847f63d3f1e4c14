"""Tensors as bytes behind the JSON: written out by hand, and every way in which they can be wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from distilbert.core.errors import RequestError
from distilbert.serving.binary_tensors import choose_outputs, read_body, write_body

DATA = b"\x03\x00\x00\x00abc\x02\x00\x00\x00\xc3\xa9"  # "abc" and "é"


def tensor(size: Any = 13) -> dict[str, Any]:
    return {"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": size}}


def body(*tensors: Any, data: bytes = DATA) -> tuple[bytes, bytes]:
    head = orjson.dumps({"inputs": list(tensors)})
    return head + data, b"%d" % len(head)


def test_texts_are_read() -> None:
    (read,) = read_body(*body(tensor()))["inputs"]
    assert read["data"] == ["abc", "é"]


def test_json_alone_is_as_it_was() -> None:
    assert read_body(b'{"inputs": [{"data": ["a"]}]}', None) == {"inputs": [{"data": ["a"]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (body(tensor(99)), "13 bytes are left"),
        (body(tensor("3")), "binary_data_size of a tensor is '3'"),
        (body(tensor(7)), "6 bytes behind the JSON belong to no tensor"),
        (body(tensor(5), data=DATA[:5]), "end in the middle of a text"),
        (body(tensor(5), data=b"\x01\x00\x00\x00\xff"), "not in UTF-8"),
        ((b"{}", b"3"), "a number of bytes up to 2"),
        ((b"{}", b"-1"), "a number of bytes up to 2"),
        ((b"[]", b"2"), "must be a JSON object"),
    ],
)
def test_wrong_bytes_are_refused(content: tuple[bytes, bytes], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_body(*content)


OUTPUTS = [
    {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["abc", "é"]},
    {"name": "score", "shape": [2], "datatype": "FP32", "data": [0.5, 1.0]},
]


def test_outputs_are_chosen_and_written() -> None:
    asked = {"outputs": [{"name": "score"}, {"name": "label", "parameters": {"binary_data": True}}]}
    outputs, binary = choose_outputs(OUTPUTS, asked)
    assert [output["name"] for output in outputs] == ["score", "label"]
    content, end = write_body({"outputs": outputs}, binary)
    assert content[end:] == DATA
    score, label = orjson.loads(content[:end])["outputs"]
    assert score["data"] == [0.5, 1.0]
    assert label["parameters"] == {"binary_data_size": len(DATA)}
    assert "data" not in label


def test_all_outputs_as_bytes() -> None:
    outputs, binary = choose_outputs(OUTPUTS, {"parameters": {"binary_data_output": True}})
    content, end = write_body({"outputs": outputs}, binary)
    assert content[end:] == DATA + b"\x00\x00\x00\x3f\x00\x00\x80\x3f"
    assert choose_outputs(OUTPUTS, {}) == (OUTPUTS, set())


@pytest.mark.parametrize("asked", ["label", "", {"name": "label"}, {}, 1, False])
def test_outputs_that_are_no_list(asked: Any) -> None:
    with pytest.raises(RequestError, match="outputs must be a list"):
        choose_outputs(OUTPUTS, {"outputs": asked})
    assert choose_outputs(OUTPUTS, {"outputs": []}) == choose_outputs(OUTPUTS, {"outputs": None}) == (OUTPUTS, set())


def test_an_output_that_is_not_there() -> None:
    with pytest.raises(RequestError, match="There is no output 'logits'; the outputs are label, score"):
        choose_outputs(OUTPUTS, {"outputs": [{"name": "logits"}]})
