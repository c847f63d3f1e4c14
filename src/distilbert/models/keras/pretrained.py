"""What all Keras models share: fresh weights, loading, saving, ties, resizing, gradient checkpointing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np

from ...core.config import DistilBertConfig
from ...core.loading_arguments import BUILDING
from ...core.model_checks import refuse_flash_attention
from ...core.schema import tensor_shapes, tied
from ...weights.checkpoint import OPENING_ARGUMENTS, Checkpoint, open_checkpoint
from ...weights.file_names import plain_names
from ...weights.match import match, normalize
from ...weights.tensors import copied_when_read
from ..array_weights import ArrayWeights, check_only_known_weights
from . import surgery
from .arrays import find_variable, read_variable, to_numpy, write_variable
from .device import pick_device, pick_dtype
from .snapshot import ModelSnapshot
from .trainable_model import TrainableModel

# What to do with a model whose weights are not those of a checkpoint.
OTHER_WEIGHTS = "Save the model with model.save('model.keras') or model.save_weights(...) instead."


class TFDistilBertPreTrainedModel(TrainableModel):
    """Base of the six Keras classes.

    Args:
        config: sizes and options. The model keeps this object, so changes made to it later are seen.
        name: of the model, in Keras's terms.
        dtype: a type such as ``"bfloat16"``, or a policy such as ``"mixed_bfloat16"``; Keras's current one if None.
        trainable: whether any weight is trained.
    """

    framework = "tf"

    def build(self, input_shape: Any = None) -> None:
        """Make the weights; a constructor does so."""
        shape = (None, None, self.config.dim) if self.head_spec.per_token else (None, self.config.dim)
        for layer in self.layers:
            if layer is not self.base_model and not layer._build_shapes_dict:
                layer.build(shape)

    def build_in_name_scope(self) -> None:
        """Make the weights where there are none yet, as transformers' TensorFlow classes call it."""
        if not self.built:
            self.build()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the encoder's output, (B, S, D), for :meth:`summary`."""
        return (None, None, self.config.dim)

    def post_init(self) -> None:
        """Make fresh weights; called at the end of each constructor."""
        refuse_flash_attention(self.attn_implementation)
        self.build((None, None))
        padding = self.config.pad_token_id
        if padding is not None and self.base_model is self:
            table = self.get_input_embeddings().embeddings
            rows = to_numpy(table.value).copy()
            rows[padding] = 0
            table.assign(rows)

    # Loading and saving ---------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return what a ``.keras`` file or a copy needs to build the model again."""
        config = self.config.to_dict() | {"attn_implementation": self.config.attn_implementation}
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        return {"config": config, "name": self.name, "dtype": dtype, "trainable": self.trainable}

    @classmethod
    def from_config(
        cls,
        config: DistilBertConfig | Mapping[str, Any],
        custom_objects: Any = None,
        *,
        dtype: Any = None,
        torch_dtype: Any = None,
        attn_implementation: str | None = None,
        **others: Any,
    ) -> Self:
        """Build a model with fresh weights.

        Args:
            config: sizes and options; or the result of :meth:`get_config`, which Keras passes here.
            custom_objects: passed by Keras and not needed.
            dtype: a floating type or a policy, as in :meth:`from_pretrained`.
            torch_dtype: the older name of ``dtype``.
            attn_implementation: ``"eager"`` or ``"sdpa"``.
            **others: other arguments that are known from transformers, see
                :data:`distilbert.core.loading_arguments.BUILDING`.
        """
        if isinstance(config, Mapping):
            return cls(**dict(config) | {"config": cls.config_class.from_dict(config["config"])})
        BUILDING.check(others, f"{cls.__name__}.from_config")
        model = cls(config, dtype=pick_dtype(dtype if dtype is not None else torch_dtype, config))
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        config: DistilBertConfig | str | os.PathLike[str] | None = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        device_map: Any = None,
        attn_implementation: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        state_dict: Mapping[str, Any] | None = None,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        from_tf: bool = False,
        from_flax: bool = False,
        variant: str | None = None,
        key_mapping: Mapping[str, str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        use_auth_token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        **overrides: Any,
    ) -> Self:
        """Load a model. A BERT is loaded as its DistilBERT twin.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub; None with ``config`` and ``state_dict``.
            config: use a copy of this configuration instead of the folder's.
            dtype: a floating type such as ``"bfloat16"``, a policy such as ``"mixed_bfloat16"``, or ``"auto"`` for the
                type of the file; Keras's current policy (float32) if None.
            torch_dtype: the older name of ``dtype``.
            device_map: where the weights are kept, as :func:`.device.pick_device` takes it; Keras's default if None.
            attn_implementation: ``"eager"`` or ``"sdpa"`` (the default).
            ignore_mismatched_sizes: start heads and embeddings of another shape afresh instead of raising.
            output_loading_info: return a pair: the model, and a dictionary with ``missing_keys``, ``unexpected_keys``
                and ``mismatched_keys``.
            state_dict: tensors or arrays by name to load instead of those of a file.
            use_safetensors: True allows only safetensors, False only the other formats.
            from_pt: read safetensors and ``.bin`` before the other formats, which is the default.
            from_tf: read ``tf_model.h5`` before the other formats.
            from_flax: read ``flax_model.msgpack`` before the other formats.
            variant: read files such as ``model.fp16.safetensors`` for ``"fp16"``.
            key_mapping: regular expressions and their replacements for the names in the file.
            cache_dir: where downloads are kept.
            revision: branch, tag or commit on the hub.
            token: access token for the hub.
            use_auth_token: the older name of ``token``.
            local_files_only: never open a connection.
            force_download: fetch again what is in the cache.
            subfolder: folder inside the model's folder.
            **overrides: fields of the configuration, such as ``num_labels=3``; and other arguments that are known from
                transformers, see :data:`distilbert.core.loading_arguments.LOADING`.

        Raises:
            ModelNotFoundError: there is no such model, or no weights in it.
            WeightsError: a file is truncated or corrupt.
            WeightsMismatchError: tensors are missing, left over or of another shape.
            UnsupportedArchitectureError: it is another kind of model.
            UnknownArgumentError: an argument that is neither listed here nor a field of the configuration.
            DeviceError: this machine does not have the device or the attention implementation.
        """
        given = locals()
        opening = {name: given[name] for name in OPENING_ARGUMENTS}
        where = f"{cls.__name__}.from_pretrained"
        return cls.from_checkpoint(
            open_checkpoint(
                pretrained_model_name_or_path,
                config=config,
                overrides=overrides,
                config_class=cls.config_class,
                where=where,
                **opening,
            ),
            dtype=dtype,
            torch_dtype=torch_dtype,
            device_map=device_map,
            attn_implementation=attn_implementation,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            output_loading_info=output_loading_info,
        )

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        dtype: Any = None,
        torch_dtype: Any = None,
        device_map: Any = None,
        attn_implementation: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
    ) -> Self:
        """Load a model from a folder that is open already; see :meth:`from_pretrained` for the other arguments.

        Args:
            checkpoint: the result of :func:`distilbert.weights.checkpoint.open_checkpoint`; the model keeps its config.
        """
        config = checkpoint.config
        place = contextlib.nullcontext() if device_map is None else keras.device(pick_device(device_map))
        matched = checkpoint.match(cls.head_spec, ignore_mismatched_sizes=ignore_mismatched_sizes)
        policy = pick_dtype(dtype if dtype is not None else torch_dtype, config, matched.tensors)
        with place:
            model = cls(config, dtype=policy)
            for name, tensor in matched.tensors.items():
                write_variable(model, name, tensor.read())
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return (model, matched.loading_info()) if output_loading_info else model  # type: ignore[return-value]

    def get_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by their names in a checkpoint, without those that are tied to another.

        Raises:
            InputError: a class that a user wrote has other weights.
        """
        shared = tied(self.config, self.head_spec)
        names = [name for name in tensor_shapes(self.config, self.head_spec) if name not in shared]
        weights = {variable.path: variable for variable in self.weights}
        check_only_known_weights(self, weights, names, find_variable, OTHER_WEIGHTS)
        return {name: read_variable(self, name) for name in names}

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put arrays by their names in a checkpoint in place of the weights.

        Raises:
            WeightsMismatchError: some are missing, left over or of another shape; nothing has been changed.
        """
        tensors = normalize(
            plain_names({name: copied_when_read(array) for name, array in arrays.items()}, "set_arrays").tensors
        )
        matched = match(tensors, self.config, self.head_spec, where="set_arrays")
        for name, tensor in matched.tensors.items():
            write_variable(self, name, tensor.read())

    def engine_weights(self) -> ArrayWeights:
        """Return the weights as the engine reads them; see ``distilbert.engine.model_weights``."""
        return ArrayWeights(self, read_variable, lambda: ModelSnapshot(self, copied=True))

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Any] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> None:
        """Write ``config.json`` and the weights into a folder that every framework of this package loads.

        Args:
            save_directory: created if needed.
            is_main_process: False writes nothing; for the other processes of a run.
            state_dict: tensors or arrays by their names in a checkpoint, to write instead of the model's own.
            max_shard_size: bytes, or text such as ``"200MB"``; more than that is split into shards.
            safe_serialization: safetensors; False writes ``pytorch_model.bin``, which needs PyTorch.
            variant: goes into the names of the files: ``model.fp16.safetensors`` for ``"fp16"``.
            push_to_hub: upload the folder afterwards.
            **options: those of :func:`distilbert.core.hub.push`, for the upload; and other arguments that are known
                from transformers, see :data:`distilbert.core.loading_arguments.SAVING`.
        """
        self._write_folder(
            save_directory,
            self.get_arrays() if state_dict is None else {},
            self.dtype,
            state_dict=state_dict,
            is_main_process=is_main_process,
            max_shard_size=max_shard_size,
            safe_serialization=safe_serialization,
            variant=variant,
            push_to_hub=push_to_hub,
            options=options,
        )

    # Parts ----------------------------------------------------------------------------------------------------------

    def __dir__(self) -> list[str]:
        # Keras saves what it finds by name, and would find the encoder a second time, or itself without end.
        return [name for name in super().__dir__() if name != "base_model"]

    def get_lm_head(self) -> keras.layers.Layer | None:
        """Return the projection of masked language modelling, or None where there is none."""
        head: keras.layers.Layer | None = self.get_output_embeddings()
        return head

    def get_bias(self) -> dict[str, Any] | None:
        """Return the bias (V,) of masked language modelling by its name, or None where there is none."""
        head = self.get_lm_head()
        return None if head is None else {"vocab_projector.bias": head.bias.value}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of weights, shared ones once; ``exclude_embeddings`` leaves out tables of embeddings."""
        tables = (self.get_input_embeddings(), self.get_position_embeddings())
        embeddings = {id(v) for table in tables for v in table.weights} if exclude_embeddings else set()
        weights = self.trainable_weights if only_trainable else self.weights
        return sum(int(np.prod(v.shape)) for v in weights if id(v) not in embeddings)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> keras.layers.Embedding:
        """Change the size of the vocabulary; new rows start from the mean of the old ones. See :mod:`.surgery`."""
        return surgery.resize_token_embeddings(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Change the longest sequence; learned positions are kept, sinusoidal ones computed. See :mod:`.surgery`."""
        surgery.resize_position_embeddings(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, list[int]]) -> None:
        """Remove attention heads, ``{layer: [heads]}``, numbered as before any pruning. See :mod:`.surgery`."""
        surgery.prune_heads(self, heads_to_prune)


TFPreTrainedModel = TFDistilBertPreTrainedModel  # the name of the base in transformers; there is one here
