"""What all PyTorch models share: fresh weights, loading, saving, ties, resizing, gradient checkpointing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError, reject_unknown
from ...core.schema import tied
from ..checkpoint import HUB_ARGUMENTS, Checkpoint, open_checkpoint
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
        **unknown: Any,
    ) -> Self:
        """Build a model with fresh weights.

        Args:
            config: sizes and options.
            dtype: floating type of the weights, fp32 by default.
            torch_dtype: the older name of ``dtype``.
            attn_implementation: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``.
            **unknown: anything else is an error that names the nearest argument.
        """
        reject_unknown(unknown, ("dtype", "torch_dtype", "attn_implementation"), f"{cls.__name__}.from_config")
        model = cls(config).to(pick_dtype(dtype if dtype is not None else torch_dtype, config))
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model

    _from_config = from_config

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: DistilBertConfig | str | os.PathLike[str] | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
        attn_implementation: str | None = None,
        ignore_mismatched_sizes: bool = False,
        use_safetensors: bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        **overrides: Any,
    ) -> Self:
        """Load a model, in evaluation mode. A BERT is loaded as its DistilBERT twin.

        Weights are read one tensor at a time, so loading needs hardly more memory than the weights.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            config: use this configuration instead of the folder's.
            dtype: ``torch.float32`` (the default), another floating type, its name, or ``"auto"`` for that of the file.
            torch_dtype: the older name of ``dtype``.
            device_map: ``"auto"`` for the GPU if there is one; a device, its name or number; None for the CPU.
            attn_implementation: ``"eager"``, ``"sdpa"`` (the default) or ``"flash_attention_2"``.
            ignore_mismatched_sizes: start head tensors of another shape afresh instead of raising.
            use_safetensors: True or False to allow only safetensors or only ``.bin``.
            cache_dir: where downloads are kept.
            revision: branch, tag or commit on the hub.
            token: access token for the hub.
            local_files_only: never open a connection.
            force_download: fetch again what is in the cache.
            subfolder: folder inside the model's folder.
            **overrides: fields of the configuration, such as ``num_labels=3``.

        Raises:
            ModelNotFoundError: there is no such model, or no weights in it.
            WeightsError: a file is truncated or corrupt.
            WeightsMismatchError: tensors are missing, left over or of another shape.
            UnsupportedArchitectureError: it is another kind of model.
            UnknownArgumentError: an argument that is neither listed here nor a field of the configuration.
            DeviceError: this machine does not have the device or the attention implementation.
        """
        given = locals()
        hub_arguments = {name: given[name] for name in HUB_ARGUMENTS}
        return cls.from_checkpoint(
            open_checkpoint(pretrained_model_name_or_path, config=config, overrides=overrides, **hub_arguments),
            dtype=dtype,
            torch_dtype=torch_dtype,
            device_map=device_map,
            attn_implementation=attn_implementation,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            use_safetensors=use_safetensors,
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
        use_safetensors: bool | None = None,
    ) -> Self:
        """Load a model from a folder that is open already; see :meth:`from_pretrained` for the other arguments.

        Args:
            checkpoint: the result of :func:`distilbert.models.checkpoint.open_checkpoint`; the model keeps its config.
        """
        config = checkpoint.config
        device = pick_device(device_map)
        matched = checkpoint.match(
            cls.head_spec, ignore_mismatched_sizes=ignore_mismatched_sizes, use_safetensors=use_safetensors
        )
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
        return model.eval()

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        **hub_arguments: Any,
    ) -> None:
        """Write ``config.json`` and the weights into a folder that this package and transformers load.

        Args:
            save_directory: created if needed.
            state_dict: tensors to write instead of the model's own.
            max_shard_size: bytes, or text such as ``"200MB"``; more than that is split into shards.
            safe_serialization: safetensors; False writes ``pytorch_model.bin``.
            push_to_hub: upload the folder afterwards.
            **hub_arguments: those of :func:`distilbert.core.hub.push`, for the upload.
        """
        state = dict(self.state_dict() if state_dict is None else state_dict)
        for alias in tied(self.config, self.head_spec):
            state.pop(alias, None)
        arrays = {name: to_numpy(tensor) for name, tensor in state.items()}
        self._write_folder(
            save_directory,
            arrays,
            str(self.dtype).removeprefix("torch."),
            max_shard_size=max_shard_size,
            safe_serialization=safe_serialization,
            push_to_hub=push_to_hub,
            hub_arguments=hub_arguments,
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
