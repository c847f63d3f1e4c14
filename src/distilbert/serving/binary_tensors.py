"""The extension of the Open Inference Protocol that sends tensors as bytes behind the JSON, as Triton's clients do.

The header ``Inference-Header-Content-Length`` says where the JSON ends. A tensor says how many of the bytes are its
own. A text in them is its length, in four bytes, little end first, and its UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from .body_fields import invalid
from .http_exchange import parse_json, to_json

LENGTH_HEADER = b"inference-header-content-length"
SIZE = "binary_data_size"


def read_body(body: bytes, header: bytes | None) -> dict[str, Any]:
    """Return the object of a request, in which each tensor has its ``data``.

    Args:
        body: JSON, and the bytes of tensors behind it.
        header: the value of ``LENGTH_HEADER``; None: the body is JSON alone.

    Raises:
        RequestError: it is not as the header and the tensors say.
    """
    end = len(body)
    if header is not None:
        end = int(header) if header.isdigit() and len(header) < 12 else -1
        if not 0 <= end <= len(body):
            raise invalid(
                f"Inference-Header-Content-Length must be a number of bytes up to {len(body)}, the length of the body."
            )
    value = parse_json(body[:end])
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.")
    rest = memoryview(body)[end:]
    for tensor in value["inputs"] if isinstance(value.get("inputs"), list) else ():
        size = _parameters(tensor).get(SIZE)
        if size is None:
            continue
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise invalid(f"{SIZE} of a tensor is {size!r:.40}, and {len(rest)} bytes are left.")
        if tensor.get("datatype") == "BYTES":
            tensor["data"] = _read_texts(rest[:size])
        rest = rest[size:]
    if rest:
        raise invalid(f"{len(rest)} bytes behind the JSON belong to no tensor.")
    return value


def _read_texts(data: memoryview) -> list[str]:
    texts = []
    while data:
        length = int.from_bytes(data[:4], "little")
        if len(data) < 4 + length:
            raise invalid("The bytes of a tensor end in the middle of a text.")
        try:
            texts.append(bytes(data[4 : 4 + length]).decode())
        except UnicodeDecodeError:
            raise invalid("A text of a tensor is not in UTF-8.") from None
        data = data[4 + length :]
    return texts


def choose_outputs(outputs: list[dict[str, Any]], body: dict[str, Any]) -> tuple[list[dict[str, Any]], set[str]]:
    """Return the outputs that a request asks for, and the names of those that it wants as bytes.

    Raises:
        RequestError: it asks for one that there is not, or not with a list.
    """
    all_binary = _parameters(body).get("binary_data_output") is True
    asked = body.get("outputs")
    names = [output["name"] for output in outputs]
    if asked is None or asked == []:
        return outputs, set(names) if all_binary else set()
    if not isinstance(asked, list):
        raise invalid(f"outputs must be a list of objects with the name of an output, got {asked!r:.60}.")
    chosen: list[dict[str, Any]] = []
    binary: set[str] = set()
    for entry in asked:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in names:
            raise invalid(f"There is no output {name!r:.60}; the outputs are {', '.join(names)}.")
        chosen.append(outputs[names.index(name)])
        if _parameters(entry).get("binary_data", all_binary) is True:
            binary.add(name)
    return chosen, binary


def write_body(answer: dict[str, Any], binary: set[str]) -> tuple[bytes, int | None]:
    """Return the body of an answer, and where its JSON ends; None: it is JSON alone.

    Args:
        answer: with its ``outputs``.
        binary: names of those that are written as bytes.
    """
    if not binary:
        return to_json(answer), None
    outputs, chunks = [], []
    for output in answer["outputs"]:
        if output["name"] in binary:
            data = output["data"]
            chunk = _texts(data) if output["datatype"] == "BYTES" else np.asarray(data, "<f4").tobytes()
            chunks.append(chunk)
            output = {key: value for key, value in output.items() if key != "data"}
            output["parameters"] = {SIZE: len(chunk)}
        outputs.append(output)
    head = to_json(answer | {"outputs": outputs})
    return b"".join([head, *chunks]), len(head)


def _texts(texts: Iterable[str]) -> bytes:
    return b"".join(struct.pack("<I", len(encoded)) + encoded for encoded in (text.encode() for text in texts))


def _parameters(value: Any) -> dict[str, Any]:
    parameters = value.get("parameters") if isinstance(value, dict) else None
    return parameters if isinstance(parameters, dict) else {}
