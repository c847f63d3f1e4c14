"""The frameworks that run the model: where their classes are, what they are called, and what has to be installed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from ..core.extras import require
from ..core.runner_protocol import Runner


@dataclass(frozen=True)
class Framework:
    """One room under ``models/``.

    Attributes:
        prefix: what stands before ``DistilBert`` in the names of its classes.
        room: name of the package under ``models/``.
        libraries: what has to be installed.
        extra: the extra that installs it.
        runner: name of the class or function in the room's ``runner.py`` that puts a model behind a runner.
    """

    prefix: str
    room: str
    libraries: tuple[str, ...]
    extra: str
    runner: str

    def module(self, name: str = "") -> Any:
        """Import the room, or a file of it.

        Raises:
            MissingExtraError: the framework is not installed.
        """
        for library in self.libraries:
            require(library, self.extra)
        return importlib.import_module(".".join(filter(None, ("distilbert.models", self.room, name))))

    def model_class(self, head: str) -> Any:
        """Return the class with a head, such as ``"ForMaskedLM"``; ``"Model"`` or nothing is the bare encoder."""
        return getattr(self.module(), f"{self.prefix}DistilBert{head or 'Model'}")

    def run(self, model: Any, device: Any = None) -> Runner:
        """Put a model of this framework behind a runner, on ``device`` if one is named."""
        runner = getattr(self.module("runner"), self.runner)
        built: Runner = runner(model) if device is None else runner(model, device)
        return built


FRAMEWORKS = {
    "pt": Framework("", "pytorch", ("torch",), "torch", "make_runner"),
    "tf": Framework("TF", "keras", ("keras", "tensorflow"), "keras", "KerasRunner"),
    "flax": Framework("Flax", "flax", ("jax", "flax"), "flax", "FlaxRunner"),
}


def framework_of(model: object) -> Framework:
    """Return the framework of one of this package's models.

    Raises:
        InputError: it is none of them.
    """
    for each in type(model).__mro__:
        for framework in FRAMEWORKS.values():
            if each.__module__.startswith(f"distilbert.models.{framework.room}."):
                return framework
    raise InputError(f"model must be one of this package's models, got a {type(model).__module__} model.")
