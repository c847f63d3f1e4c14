"""The types of a task's parameters, which the command line checks before the model is asked anything."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ...core.errors import UsageError
from ...tasks.registry import task_spec

OTHER_ARGUMENTS = ("self", "inputs", "column", "on_error")  # of a call of a task
TENSORS = "return_tensors"  # a parameter whose answers cannot be written


def check_names(task: str, parameters: Mapping[str, Any]) -> None:
    """Check that no parameter is another argument of a call, or makes answers that cannot be written.

    Raises:
        UsageError: one does.
    """
    if parameters.get(TENSORS):
        raise UsageError(f"--param {TENSORS}: a file holds numbers and no tensors; leave it out.")
    for name in parameters:
        if name in OTHER_ARGUMENTS:
            names = ", ".join(parameter.name for parameter in task_spec(task).parameters)
            raise UsageError(f"--param {name}: this is no parameter of {task}; it has {names}.")


def check_types(task: str, parameters: Mapping[str, Any]) -> None:
    """Check that every parameter has a value of its type. Parameters that the task does not have pass.

    Raises:
        UsageError: a value has another type.
    """
    spec = task_spec(task)
    hints = get_type_hints(spec.parameters_class)
    described = {parameter.name: parameter for parameter in spec.parameters}
    for name, value in parameters.items():
        if name in described and not _fits(value, hints[name]):
            given = "null" if value is None else f"{value!r:.60} of type {type(value).__name__}"
            option = described[name].option or f"--param {name}"
            raise UsageError(f"{option}: {described[name].type.replace(' | Unset', '')} is expected, got {given}.")


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value that JSON can hold is of an annotated type; of types that are not known here, all are."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, dict)
    if isinstance(origin, type) and issubclass(list, origin):  # Sequence, Iterable, ...
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    return isinstance(value, hint) if isinstance(hint, type) else True
