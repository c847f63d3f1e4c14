"""How a model makes itself known to transformers, without importing it.

``transformers.Trainer`` and ``peft`` call ``save_pretrained``, ``get_output_embeddings`` and other methods only on an
instance of ``transformers.PreTrainedModel``; of any other module they save bare weights, without ``config.json``. Our
models have these methods and not that base class. Python's ``isinstance`` asks for the type of an object and then for
its ``__class__``; so a model names there a type that is derived from both. Its type, its methods and what ``super()``
finds stay ours, and where transformers was not imported ``__class__`` is the type itself.
"""

from __future__ import annotations

import functools
import sys
from typing import Any


def class_for_transformers(cls: type) -> type:
    """Return ``cls``, or a stand-in for it that ``issubclass`` of ``transformers.PreTrainedModel`` holds for."""
    base = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", None)
    return cls if base is None or issubclass(cls, base) else _stand_in(cls, base)


@functools.cache
def _stand_in(cls: type, base: type) -> type:
    described = {
        name: vars(cls)[name] for name in ("__doc__", "__module__", "__qualname__", "head_spec") if name in vars(cls)
    }
    return _StandIn(cls.__name__, (_WithoutSubclassHook, cls, base), described | {"stands_for": cls})


class _StandIn(type):
    """Type of the stand-ins: calling one builds the class that it stands for, and it is equal to that class."""

    stands_for: type

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.stands_for(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.stands_for)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.stands_for)

    def __eq__(cls, other: object) -> bool:
        return cls is other or cls.stands_for is other

    def __hash__(cls) -> int:
        return hash(cls.stands_for)


class _WithoutSubclassHook:
    """Keeps transformers from preparing a stand-in as it prepares a model class of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None: ...
