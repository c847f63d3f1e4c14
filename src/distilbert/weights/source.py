"""Which of a folder's weights are read, as the arguments of ``from_pretrained`` say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from .folder import FORMATS, H5, MSGPACK, SAFETENSORS, TORCH, open_tensors
from .tensors import Tensors, as_array, copied_when_read


@dataclass(frozen=True)
class WeightSource:
    """Where the weights of a model come from.

    Attributes:
        use_safetensors: True allows safetensors only, False the other formats only, None all of them.
        from_pt: read safetensors and ``.bin`` before the other formats, which is the default.
        from_tf: read ``tf_model.h5`` before the other formats.
        from_flax: read ``flax_model.msgpack`` before the other formats.
        variant: read files such as ``model.fp16.safetensors`` for ``"fp16"``.
        state_dict: tensors or arrays by name, instead of those of a file.
        key_mapping: regular expressions and their replacements for the names in the file.
    """

    use_safetensors: bool | None = None
    from_pt: bool = False
    from_tf: bool = False
    from_flax: bool = False
    variant: str | None = None
    state_dict: Mapping[str, Any] | None = None
    key_mapping: Mapping[str, str] | None = None

    def formats(self) -> list[str]:
        """Return the formats that may be read, by the names of their files; the first that exists is read."""
        allowed = [
            name for name in FORMATS if self.use_safetensors is None or self.use_safetensors == (name == SAFETENSORS)
        ]
        chosen = (self.from_pt, (SAFETENSORS, TORCH)), (self.from_tf, (H5,)), (self.from_flax, (MSGPACK,))
        first = [name for asked, names in chosen if asked for name in names]
        return sorted(allowed, key=lambda name: name not in first)

    def open(self, folder: Path | None) -> Tensors:
        """Return the tensors by their names in the file.

        Args:
            folder: of the model; it may be None if there is a ``state_dict``.

        Raises:
            InputError: ``state_dict`` is no mapping, or there is none and no folder.
        """
        if self.state_dict is not None:
            if not isinstance(self.state_dict, Mapping):
                raise InputError(f"state_dict must map names to tensors, got a {type(self.state_dict).__name__}.")
            tensors = {str(name): copied_when_read(as_array(tensor)) for name, tensor in self.state_dict.items()}
        elif folder is None:
            raise InputError("Give the folder or name of a model; it may be None only if state_dict= is given.")
        else:
            tensors = open_tensors(folder, self.formats(), variant=self.variant)
        return {self._renamed(name): tensor for name, tensor in tensors.items()}

    def _renamed(self, name: str) -> str:
        for pattern, replacement in (self.key_mapping or {}).items():
            name, count = re.subn(pattern, replacement, name)
            if count:
                break
        return name
