"""The frameworks that a model can run in: their rooms, their class names and the libraries that they need."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from ..core.extras import require
from ..core.runner_protocol import Runner


@dataclass(frozen=True)
class Framework:
    """One of the rooms ``models/pytorch``, ``models/keras`` and ``models/flax``.

    Attributes:
        prefix: what the names of its classes begin with, before ``DistilBert``.
        room: name of the package under ``models/``.
        libraries: names of the modules that it imports.
        extra: the extra of this package that installs them.
        runner: name of the class or function in its ``runner.py`` that returns the runner of a model.
    """

    prefix: str
    room: str
    libraries: tuple[str, ...]
    extra: str
    runner: str

    def module(self, name: str = "") -> Any:
        """Import the room, or a module in it.

        Raises:
            MissingExtraError: the framework is not installed.
        """
        for library in self.libraries:
            require(library, self.extra)
        return importlib.import_module(".".join(filter(None, ("distilbert.models", self.room, name))))

    def model_class(self, head: str) -> Any:
        """Return the model class with a head such as ``"ForMaskedLM"``; ``""`` or ``"Model"`` is the bare encoder."""
        return getattr(self.module(), f"{self.prefix}DistilBert{head or 'Model'}")

    def run(self, model: Any, device: Any = None) -> Runner:
        """Return the runner of a model, on ``device`` if one is given."""
        make_runner = getattr(self.module("runner"), self.runner)
        runner: Runner = make_runner(model) if device is None else make_runner(model, device)
        return runner


FRAMEWORKS = {
    "pt": Framework("", "pytorch", ("torch",), "torch", "make_runner"),
    "tf": Framework("TF", "keras", ("keras", "tensorflow"), "keras", "KerasRunner"),
    "flax": Framework("Flax", "flax", ("jax", "flax"), "flax", "FlaxRunner"),
}


def framework_of(model: object) -> Framework:
    """Return the framework of a model of this package.

    Raises:
        InputError: it is another object.
    """
    for each in type(model).__mro__:
        for framework in FRAMEWORKS.values():
            if each.__module__.startswith(f"distilbert.models.{framework.room}."):
                return framework
    raise InputError(f"model must be one of this package's models, got a {type(model).__module__} model.")
