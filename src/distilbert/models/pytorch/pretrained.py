"""What all PyTorch models share: fresh weights, loading, saving, ties, resizing, gradient checkpointing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import nn

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.loading_arguments import BUILDING
from ...core.schema import tied
from ..checkpoint import OPENING_ARGUMENTS, Checkpoint, open_checkpoint
from ..pretrained_mixin import PreTrainedMixin
from . import surgery
from .arrays import to_numpy, to_torch
from .attention import require_flash
from .device import pick_device, pick_dtype


class DistilBertPreTrainedModel(PreTrainedMixin, nn.Module):
    """Base of the six PyTorch classes.

    Args:
        config: sizes and options. The model keeps this object, so changes made to it later are seen.
    """

    config: DistilBertConfig

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        if not isinstance(config, DistilBertConfig):
            raise ConfigError(f"{type(self).__name__} takes a DistilBertConfig, got a {type(config).__name__}.")
        self.config = config

    def post_init(self) -> None:
        """Draw fresh weights and tie those that are shared; called at the end of each constructor."""
        for module in self.modules():
            surgery.init_module(module, self.config)
        if self.config.sinusoidal_pos_embds:
            surgery.set_sinusoidal(self.base_model.embeddings.position_embeddings)
        self.tie_weights()

    # Loading and saving ---------------------------------------------------------------------------------------------

    @classmethod
    def from_config(
        cls,
        config: DistilBertConfig,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        attn_implementation: str | None = None,
        **others: Any,
    ) -> Self:
        """Build a model with fresh weights.

        Args:
            config: sizes and options.
            dtype: floating type of the weights, fp32 by default.
            torch_dtype: the older name of ``dtype``.
            attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``.
            **others: other arguments that are known from transformers, see
                :data:`distilbert.core.loading_arguments.BUILDING`.
        """
        BUILDING.check(others, f"{cls.__name__}.from_config")
        model = cls(config).to(pick_dtype(dtype if dtype is not None else torch_dtype, config))
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model

    _from_config = from_config

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        config: DistilBertConfig | str | os.PathLike[str] | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
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
        """Load a model, in evaluation mode. A BERT is loaded as its DistilBERT twin.

        Weights are read one tensor at a time, so loading needs hardly more memory than the weights.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub; None with ``config`` and ``state_dict``.
            config: use this configuration instead of the folder's.
            dtype: ``torch.float32`` (the default), another floating type, its name, or ``"auto"`` for that of the file.
            torch_dtype: the older name of ``dtype``.
            device_map: ``"auto"`` for the GPU if there is one; a device, its name or number; None for the CPU.
            attn_implementation: ``"eager"``, ``"sdpa"`` (the default) or ``"flash_attention_2"``.
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
            open_checkpoint(pretrained_model_name_or_path, config=config, overrides=overrides, where=where, **opening),
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
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
        attn_implementation: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
    ) -> Self:
        """Load a model from a folder that is open already; see :meth:`from_pretrained` for the other arguments.

        Args:
            checkpoint: the result of :func:`distilbert.models.checkpoint.open_checkpoint`; the model keeps its config.
        """
        config = checkpoint.config
        device = pick_device(device_map)
        matched = checkpoint.match(cls.head_spec, ignore_mismatched_sizes=ignore_mismatched_sizes)
        target = pick_dtype(dtype if dtype is not None else torch_dtype, config, matched.tensors)
        with surgery.without_weights():
            model = cls(config)
        for name, tensor in matched.tensors.items():
            surgery.set_parameter(model, name, to_torch(tensor.read()).to(device=device, dtype=target))
        for name in matched.fresh:
            empty = torch.empty(model.get_parameter(name).shape, device=device, dtype=target)
            surgery.set_parameter(model, name, surgery.fresh_weight(name, empty, config))
        if config.sinusoidal_pos_embds:
            model.base_model.embeddings.position_embeddings.weight.requires_grad_(False)
        model.tie_weights()
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        model.eval()
        return (model, matched.loading_info()) if output_loading_info else model  # type: ignore[return-value]

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
        """Write ``config.json`` and the weights into a folder that this package and transformers load.

        Args:
            save_directory: created if needed.
            is_main_process: False writes nothing; for the other processes of a run.
            state_dict: tensors to write instead of the model's own.
            max_shard_size: bytes, or text such as ``"200MB"``; more than that is split into shards.
            safe_serialization: safetensors; False writes ``pytorch_model.bin``.
            variant: goes into the names of the files: ``model.fp16.safetensors`` for ``"fp16"``.
            push_to_hub: upload the folder afterwards.
            **options: those of :func:`distilbert.core.hub.push`, for the upload; and other arguments that are known
                from transformers, see :data:`distilbert.core.loading_arguments.SAVING`.
        """
        arrays = {} if state_dict is not None else {n: to_numpy(tensor) for n, tensor in self.state_dict().items()}
        self._write_folder(
            save_directory,
            arrays,
            str(self.dtype).removeprefix("torch."),
            state_dict=state_dict,
            is_main_process=is_main_process,
            max_shard_size=max_shard_size,
            safe_serialization=safe_serialization,
            variant=variant,
            push_to_hub=push_to_hub,
            options=options,
        )

    # Parts ----------------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the weights."""
        return next(self.parameters()).dtype

    @staticmethod
    def _require_implementation(name: str) -> None:
        if name == "flash_attention_2":
            require_flash()

    def _returns_dict(self, return_dict: bool | None) -> bool:
        """Whether a call returns an output object rather than a tuple: its argument, else the configuration."""
        return self.config.use_return_dict if return_dict is None else return_dict

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        """Replace the word embeddings."""
        self.base_model.embeddings.word_embeddings = embeddings
        self.config.vocab_size = embeddings.num_embeddings

    def tie_weights(self) -> None:
        """Let the masked-LM projection share the word embeddings, if the configuration says so."""
        for alias, original in tied(self.config, self.head_spec).items():
            surgery.set_parameter(self, alias, self.get_parameter(original))

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of weights, shared ones once."""
        embeddings = {id(p) for p in self.base_model.embeddings.parameters()} if exclude_embeddings else set()
        chosen = (p for p in self.parameters() if id(p) not in embeddings and (p.requires_grad or not only_trainable))
        return sum(p.numel() for p in chosen)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None
    ) -> nn.Embedding:
        """Change the size of the vocabulary; new rows start from random numbers. See :mod:`.surgery`."""
        return surgery.resize_token_embeddings(self, new_num_tokens, pad_to_multiple_of)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Change the longest sequence; learned positions are kept, sinusoidal ones computed. See :mod:`.surgery`."""
        surgery.resize_position_embeddings(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, list[int]]) -> None:
        """Remove attention heads, ``{layer: [heads]}``, numbered as before any pruning. See :mod:`.surgery`."""
        surgery.prune_heads(self, heads_to_prune)
