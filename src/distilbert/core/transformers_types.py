"""How a model, a tokenizer and a configuration make themselves known to transformers, without importing it.

``transformers.Trainer`` and ``peft`` ask ``isinstance`` before they call ``save_pretrained`` on a model, pad with a
tokenizer or read a configuration. Our classes have these methods and not those base classes. Python's ``isinstance``
asks for the type of an object and then for its ``__class__``; so our objects name there a type that is derived from
both. Their type, their methods and what ``super()`` finds stay ours, and where transformers was not imported
``__class__`` is the type itself.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, ClassVar


class KnownToTransformers:
    """Base of classes whose instances are, where transformers was imported, instances of one of its classes too."""

    transformers_type: ClassVar[tuple[str, str]]  # its module, and its name

    @property
    def __class__(self) -> type:
        """The type; where transformers was imported, a stand-in for it that is derived from its class too."""
        own: type = class_for_transformers(type(self))
        return own

    @__class__.setter
    def __class__(self, cls: type) -> None:
        object.__dict__["__class__"].__set__(self, cls)

    def __dir__(self) -> list[str]:
        foreign = {*dir(class_for_transformers(type(self)))} - {*dir(type(self))}
        return [name for name in super().__dir__() if name not in foreign]

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        if type(self).__reduce__ is not object.__reduce__:  # a class of a user's own that says how it is pickled
            return reduced
        # pickle checks that an object built by object.__new__ has that type as its __class__.
        return (_new_instance, (type(self),), *reduced[2:])


def class_for_transformers(cls: Any) -> Any:
    """Return ``cls``, or a stand-in for it that ``issubclass`` of its class of transformers holds for."""
    module, name = cls.transformers_type
    base = getattr(sys.modules.get(module), name, None)
    return cls if base is None or issubclass(cls, base) else _stand_in(cls, base)


def _new_instance(cls: Any) -> Any:
    return cls.__new__(cls)


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
    """Keeps transformers from preparing a stand-in as it prepares a class of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None: ...
