"""The part of a model class that needs no framework: its encoder, its attention, its folder, the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.hub import push, push_saved
from ..core.loading_arguments import SAVING, upload_arguments
from ..core.model_checks import refuse_flash_attention
from ..core.schema import HEADS, Head, tied
from ..weights.folder import save_tensors, supersede_earlier_weights
from ..weights.match import without_aliases
from ..weights.tensors import as_array

# The arguments of push_to_hub that are those of save_pretrained.
SAVING_ONLY = ("state_dict", "max_shard_size", "safe_serialization", "variant")


class PreTrainedMixin:
    """What the base classes of the three frameworks share."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"
    main_input_name = "input_ids"
    head_spec: ClassVar[Head] = HEADS[""]
    config: Any

    # Saving ---------------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write the model into a folder; each framework says how."""
        raise NotImplementedError

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload configuration and weights to the hub.

        Args:
            repo_id: name on the hub.
            **options: those of :func:`distilbert.core.hub.push` and of :meth:`save_pretrained`.
        """
        options = SAVING.check(options, f"{type(self).__name__}.push_to_hub")
        upload = upload_arguments(options)
        how_to_save = {name: value for name, value in options.items() if name in SAVING_ONLY}
        return push_saved(lambda folder: self.save_pretrained(folder, **how_to_save), repo_id, **upload)

    def _write_folder(
        self,
        save_directory: str | os.PathLike[str],
        arrays: Mapping[str, np.ndarray],
        dtype: str,
        *,
        state_dict: Mapping[str, Any] | None,
        is_main_process: bool,
        max_shard_size: int | str,
        safe_serialization: bool,
        variant: str | None,
        push_to_hub: bool,
        options: dict[str, Any],
    ) -> None:
        """Write weights, by their names in a checkpoint, and ``config.json``; upload the folder if asked to.

        Args:
            save_directory: the folder.
            arrays: the weights; a tensor that is tied to another may be among them, and is left out.
            dtype: name of their type.
            state_dict: tensors to write instead of ``arrays``.
            is_main_process: as the other arguments, of ``save_pretrained``.
            options: the arguments that ``save_pretrained`` does not name.

        Raises:
            ConfigError: the configuration cannot be written; nothing has been written then.
            WeightsMismatchError: a tensor differs from the one that it is tied to; nothing has been written then.
        """
        options = SAVING.check(options, f"{type(self).__name__}.save_pretrained")
        upload = upload_arguments(options)
        if upload.keys() - {"token"} and not push_to_hub:
            raise InputError(f"{', '.join(upload)} only make sense together with push_to_hub=True.")
        if not is_main_process or not options.get("save_config", True):
            return
        if state_dict is not None:
            arrays = {str(name): as_array(tensor) for name, tensor in state_dict.items()}
            dtype = next((array.dtype.name for array in arrays.values() if "float" in array.dtype.name), dtype)
        shared = tied(self.config, self.head_spec)
        arrays = without_aliases(arrays, shared, where=type(self).__name__, read=np.asarray)
        own = "head_spec" not in vars(type(self))  # a class that a user wrote
        # fully_shard puts a class with this prefix in front of the model's.
        name = type(self).__name__.removeprefix("FSDP")
        self.config.architectures = [name if own else self.head_spec.architecture]
        self.config.dtype = dtype
        self.config.validate()
        self.config.to_json_string()  # what cannot be written is an error before the weights of a folder are replaced
        save_tensors(
            Path(save_directory), arrays, max_shard_size=max_shard_size, safe=safe_serialization, variant=variant
        )
        self.config.save_pretrained(save_directory)
        supersede_earlier_weights(Path(save_directory), safe_serialization, variant)
        if push_to_hub:
            push(save_directory, upload.pop("repo_id", Path(save_directory).name), **upload)

    # Parts ----------------------------------------------------------------------------------------------------------

    @property
    def base_model(self) -> Any:
        """The encoder: ``distilbert`` of a model with a head, else the model itself."""
        return getattr(self, self.base_model_prefix, self)

    def _encoder(self) -> Any:
        """The encoder, for methods that read or change its parts.

        Raises:
            InputError: a class that a user wrote has several, or none.
        """
        encoder = self.base_model
        if not hasattr(encoder, "embeddings") or not hasattr(encoder, "transformer"):
            raise InputError(
                f"{type(self).__name__} has several encoders, or none, and none of them is called "
                f"{self.base_model_prefix!r}: call this method of the encoder that you mean."
            )
        return encoder

    def _stacks(self) -> list[Any]:
        """The stacks of blocks that recompute activations together."""
        return [self._encoder().transformer]

    @property
    def attn_implementation(self) -> str:
        """The attention implementation that runs."""
        return self.config.attn_implementation or "sdpa"

    @staticmethod
    def _require_implementation(name: str) -> None:
        """Raise DeviceError if an attention implementation cannot run; PyTorch, which has one more, overrides this."""
        refuse_flash_attention(name)

    def set_attn_implementation(self, name: str) -> None:
        """Choose ``"eager"``, ``"sdpa"`` or, in PyTorch, ``"flash_attention_2"``.

        In Keras, functions that were traced before keep the implementation that they had.

        Raises:
            ConfigError: another name.
            DeviceError: FlashAttention on a machine without CUDA, or in another framework than PyTorch.
        """
        previous, self.config.attn_implementation = self.config.attn_implementation, name
        try:
            self.config.validate()
            self._require_implementation(name)
        except Exception:
            self.config.attn_implementation = previous
            raise

    @classmethod
    def can_generate(cls) -> bool:
        """False: an encoder does not generate text."""
        return False

    def get_input_embeddings(self) -> Any:
        """Return the word embeddings."""
        return self._encoder().embeddings.word_embeddings

    def get_position_embeddings(self) -> Any:
        """Return the position embeddings."""
        return self._encoder().embeddings.position_embeddings

    def get_output_embeddings(self) -> Any:
        """Return the projection of masked language modelling, or None where there is none."""
        return getattr(self, "vocab_projector", None)

    def _set_vocabulary_size(self, size: int) -> None:
        """Say in the configuration how many word embeddings there are; an id of padding beyond them is dropped."""
        self.config.vocab_size = size
        if self.config.pad_token_id is not None and self.config.pad_token_id >= size:
            self.config.pad_token_id = None

    # Training -------------------------------------------------------------------------------------------------------

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are recomputed in the backward pass."""
        return any(stack.gradient_checkpointing for stack in self._stacks())

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each block in the backward pass instead of keeping its activations.

        As with :meth:`gradient_checkpointing_disable`, functions that Keras or JAX traced before keep what they had.
        """
        for stack in self._stacks():
            stack.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations, the default."""
        for stack in self._stacks():
            stack.gradient_checkpointing = False
