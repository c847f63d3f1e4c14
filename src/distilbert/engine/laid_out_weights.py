"""Where laid-out weights lie: in memory, in a file that is being written, or in one that is mapped.

The encoder and the heads ask a store for each piece by name, and say how it is computed from the checkpoint. A mapped
file computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.errors import WeightsError
from .operations import BF16, FP32, INT8, UINT8, Operations, Product, Quantizer
from .packed_file import PackedFile, PackedFileWriter
from .products import PLAIN, LinearMap

TYPES = {dtype.name: dtype for dtype in (FP32, BF16, INT8, UINT8)}


class WeightStore(Protocol):
    """Keeps laid-out weights by name."""

    def array(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a name, which ``compute`` computes if it is not kept."""

    def linear(self, name: str, compute: Callable[[], LinearMap]) -> LinearMap:
        """Return the linear map of a name, which ``compute`` computes if it is not kept."""


class MemoryStore:
    """Keeps nothing: everything is computed, and lies in the memory of this process."""

    def array(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """See :class:`WeightStore`."""
        return compute()

    def linear(self, name: str, compute: Callable[[], LinearMap]) -> LinearMap:
        """See :class:`WeightStore`."""
        return compute()


class WritingStore:
    """Computes everything, writes it into a file, and returns what lies there.

    Args:
        writer: of the file.
    """

    def __init__(self, writer: PackedFileWriter) -> None:
        self._writer, self._count = writer, 0
        self._names: dict[str, Any] = {}

    def array(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """See :class:`WeightStore`."""
        self._names[name], array = self._add(compute())
        return array

    def linear(self, name: str, compute: Callable[[], LinearMap]) -> LinearMap:
        """See :class:`WeightStore`."""
        linear = compute()
        product, quantizer = linear.product, linear.quantizer
        entry: dict[str, Any] = {
            "groups": product.groups,
            "outputs": product.outputs,
            "depth": product.depth,
            "dtype": product.dtype.name,
            "activation": product.activation,
            "result_dtype": product.result_dtype.name,
            "result_scale": float(product.result_scale),
            "result_zero_point": product.result_zero_point,
            "operations": linear.operations.name,
        }
        entry["weight"], weight = self._add(product.weight)
        entry["bias"], bias = self._add(product.bias)
        factor = None
        if product.factor is not None:
            entry["factor"], factor = self._add(product.factor)
        if quantizer is not None:
            entry["quantizer"], quantizer_factor = self._add(quantizer.factor)
            entry["zero_point"] = quantizer.zero_point
            quantizer = Quantizer(quantizer_factor, quantizer.zero_point)
        self._names[name] = entry
        return LinearMap(replace(product, weight=weight, bias=bias, factor=factor), quantizer, linear.operations)

    def finish(self, content: dict[str, Any]) -> int:
        """Give the file its name; ``content`` says what it belongs to. Return its size."""
        return self._writer.finish({"names": self._names, **content})

    def _add(self, array: np.ndarray) -> tuple[int, np.ndarray]:
        self._count += 1
        return self._count - 1, self._writer.add(array)


class MappedStore:
    """Returns what lies in a file that is mapped, and computes nothing.

    Args:
        path: of the file.
        operations: what computes with the weights.

    Raises:
        WeightsError: the file is damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, operations: Operations) -> None:
        self._file, self._operations, self._path = PackedFile(path), operations, path
        self.content = self._file.content

    def array(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """See :class:`WeightStore`.

        Raises:
            WeightsError: it is not in the file.
        """
        return self._array(self._entry(name))

    def linear(self, name: str, compute: Callable[[], LinearMap]) -> LinearMap:
        """See :class:`WeightStore`.

        Raises:
            WeightsError: it is not in the file, or no linear map that the operations compute.
        """
        entry = self._entry(name)
        numbers = {"groups": int, "outputs": int, "depth": int, "result_scale": float, "result_zero_point": int}
        try:
            for field, kind in numbers.items():
                if type(entry[field]) is not kind or (kind is int and entry[field] < 0):
                    raise TypeError(f"{field} is {entry[field]!r:.40}")
            operations = {self._operations.name: self._operations, PLAIN.name: PLAIN}[entry["operations"]]
            product = Product(
                weight=self._array(entry["weight"]),
                groups=entry["groups"],
                outputs=entry["outputs"],
                depth=entry["depth"],
                dtype=TYPES[entry["dtype"]],
                factor=self._array(entry["factor"]) if "factor" in entry else None,
                bias=self._array(entry["bias"]),
                activation=entry["activation"],
                result_dtype=TYPES[entry["result_dtype"]],
                result_scale=entry["result_scale"],
                result_zero_point=entry["result_zero_point"],
            )
            quantizer = None
            if "quantizer" in entry:
                quantizer = Quantizer(self._array(entry["quantizer"]), entry["zero_point"])
        except (KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{self._path} is damaged: {name}: {type(error).__name__}: {error}") from None
        return LinearMap(product, quantizer, operations)

    def _entry(self, name: str) -> Any:
        names = self.content.get("names")
        if not isinstance(names, dict) or name not in names:
            raise WeightsError(f"{self._path} holds no {name}.")
        return names[name]

    def _array(self, index: Any) -> np.ndarray:
        if type(index) is not int or not 0 <= index < len(self._file.arrays):
            raise WeightsError(f"{self._path} holds no array {index!r:.40}.")
        return self._file.arrays[index]
