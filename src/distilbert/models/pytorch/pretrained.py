"""What all PyTorch models share: fresh weights, loading, saving, ties, resizing, gradient checkpointing."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.errors import InputError, UnknownArgumentError
from ...core.loading_arguments import BUILDING, CALLING
from ...core.model_checks import CALL_ARGUMENTS, check_config_type
from ...core.schema import tied
from ...core.transformers_types import KnownToTransformers
from ...weights.checkpoint import OPENING_ARGUMENTS, Checkpoint, open_checkpoint
from ..pretrained_mixin import PreTrainedMixin
from . import surgery
from .arrays import to_numpy, to_torch
from .attention import require_flash
from .device import pick_device, pick_dtype
from .gradient_checkpointing import GradientCheckpointing


def _tie_again(model: Any, _: Any) -> None:
    """Share tied weights again after ``load_state_dict(..., assign=True)``, which replaces each of them."""
    model.tie_weights()


class DistilBertPreTrainedModel(KnownToTransformers, PreTrainedMixin, nn.Module):
    """Base of the six PyTorch classes, and of classes with a head of their own.

    A class with another head builds ``self.distilbert = DistilBertModel(config)`` and its own modules, and calls
    :meth:`post_init` at the end of its constructor. It is saved and loaded like the six; what a folder has no weights
    for starts from what the constructor and :meth:`_init_weights` gave it. The encoder may have another name, and there
    may be several: each that is built with the configuration of the model starts from the encoder of a folder.

    Args:
        config: sizes and options. The model keeps this object, so changes made to it later are seen.
    """

    config: DistilBertConfig
    framework = "pt"
    is_encoder = False
    transformers_type = ("transformers.modeling_utils", "PreTrainedModel")
    supports_gradient_checkpointing = True
    # Trainer would otherwise count the labels of a whole accumulated step; our losses are means over one batch.
    accepts_loss_kwargs = False
    # What accelerate keeps on one device, and what FSDP wraps.
    _no_split_modules: ClassVar[list[str]] = ["TransformerBlock"]
    # What transformers asks a class before it chooses attention or a floating type for it.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = False
    _supports_attention_backend = False
    _keep_in_fp32_modules: ClassVar[list[str]] = []
    _keep_in_fp32_modules_strict: ClassVar[list[str]] = []
    _tied_weights_keys: ClassVar[dict[str, str] | None] = None
    _keys_to_ignore_on_load_missing: ClassVar[list[str] | None] = None
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str] | None] = None

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        # As register_load_state_dict_post_hook does, but under a key that does not count the models of the process:
        # hashes of equal models, as caches of datasets take them, are equal.
        self._load_state_dict_post_hooks[-1] = _tie_again
        check_config_type(config, type(self).__name__)
        self.config = config
        self.name_or_path = ""

    def post_init(self) -> None:
        """Draw fresh weights and tie those that are shared; called at the end of each constructor.

        Modules whose weights were loaded or resized keep them, such as an encoder from ``from_pretrained``.
        """
        for module in self.modules():
            if not getattr(module, "_keeps_weights", False):
                self._init_weights(module)
        positions = getattr(getattr(self.base_model, "embeddings", None), "position_embeddings", None)
        if self.config.sinusoidal_pos_embds and positions is not None:
            surgery.set_sinusoidal(positions)
        self.tie_weights()
        if self.config.extra.get("gradient_checkpointing"):
            self.gradient_checkpointing_enable()  # as files of transformers 4.10 and older ask for it

    def init_weights(self) -> None:
        """The older name of :meth:`post_init`."""
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Draw fresh weights for one module, not for those inside it; classes with other modules override this."""
        surgery.init_module(module, self.config)

    def _initialize_weights(self, module: nn.Module, is_custom_code: bool = False) -> None:
        """Draw fresh weights for one module, unless it has loaded ones, inside a model derived from transformers' base.

        transformers marks each weight that it has loaded.
        """
        weights = list(module.parameters(recurse=False))
        loaded = bool(weights) and all(getattr(weight, "_is_hf_initialized", False) for weight in weights)
        if not loaded and not getattr(module, "_keeps_weights", False):
            self._init_weights(module)

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
        *model_args: Any,
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
            *model_args: positional arguments, after the configuration, of the constructor of a class that has some of
                its own.
            config: use a copy of this configuration instead of the folder's.
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
            **overrides: fields of the configuration, such as ``num_labels=3``; arguments of the constructor of a class
                that has some of its own; and other arguments that are known from transformers, see
                :data:`distilbert.core.loading_arguments.LOADING`.

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
        own = list(inspect.signature(cls.__init__).parameters)[2:]  # without self and config
        model_arguments = {name: overrides.pop(name) for name in own if name in overrides}
        if model_args and not own:
            raise UnknownArgumentError(
                f"{where} takes one positional argument, the folder or name, but got also a "
                f"{type(model_args[0]).__name__}. "
                "Write the others with their names, such as config=."
            )
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
            model_args=model_args,
            model_arguments=model_arguments,
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
        model_args: Sequence[Any] = (),
        model_arguments: Mapping[str, Any] | None = None,
    ) -> Self:
        """Load a model from a folder that is open already; see :meth:`from_pretrained` for the other arguments.

        Args:
            checkpoint: the result of :func:`distilbert.weights.checkpoint.open_checkpoint`; the model keeps its config.
            model_args: positional arguments of the constructor of a class that has some of its own.
            model_arguments: named arguments of that constructor.
        """
        config = checkpoint.config
        device = pick_device(device_map)
        if "head_spec" in vars(cls):
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
        else:
            # A class of a user may compute with its weights while it is built, so they are real from the start.
            model = cls(config, *model_args, **(model_arguments or {}))
            shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
            matched = checkpoint.match_shapes(
                shapes,
                cls.__name__,
                encoders=model._encoder_prefixes(),
                shared={alias: original for original, *aliases in model._shared_names() for alias in aliases},
                ignore_mismatched_sizes=ignore_mismatched_sizes,
            )
            target = pick_dtype(dtype if dtype is not None else torch_dtype, config, matched.tensors)
            model.to(device=device, dtype=target)
            surgery.copy_tensors(model, {name: to_torch(x.read()) for name, x in matched.tensors.items()})
        surgery.mark_loaded(model, matched.tensors)
        model.tie_weights()
        model.name_or_path = str(checkpoint.path or "")
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        model.eval()
        return (model, matched.loading_info()) if output_loading_info else model  # type: ignore[return-value]

    def engine_weights(self) -> Any:
        """Return the weights as the engine reads them; see ``distilbert.engine.model_weights``."""
        from .engine_weights import EngineWeights

        return EngineWeights(self)

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
    def base_model(self) -> Any:
        """The encoder: ``distilbert``, or the only one that a class of a user has; without one, the model itself."""
        if self.is_encoder or hasattr(self, self.base_model_prefix):
            return super().base_model
        encoders = [module for module in self.modules() if getattr(module, "is_encoder", False)]
        return encoders[0] if len(encoders) == 1 else self

    def _encoder_prefixes(self) -> list[str]:
        """What stands before the names of the encoders that a folder has to have: ``distilbert``, and all others that
        were built with the configuration of this model.
        """
        return [
            path + "." if path else ""
            for path, module in self.named_modules()
            if getattr(module, "is_encoder", False) and (module.config is self.config or path == self.base_model_prefix)
        ]

    def _stacks(self) -> list[Any]:
        return [module for module in self.modules() if hasattr(module, "gradient_checkpointing")]

    def _shared_names(self) -> list[list[str]]:
        """The names of each parameter, in the order of a file."""
        names: dict[int, list[str]] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        return list(names.values())

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the weights."""
        return next(self.parameters()).dtype

    @property
    def vocab_size(self) -> int:
        """Number of word pieces, that of the configuration."""
        return self.config.vocab_size

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return False

    @staticmethod
    def _require_implementation(name: str) -> None:
        if name == "flash_attention_2":
            require_flash()

    def _check_call(self, unknown: Mapping[str, Any]) -> None:
        """Check the arguments of a call that ``forward`` does not name.

        Raises:
            InputError: it asks for something that DistilBERT does not have.
            UnknownArgumentError: an argument is not known from transformers either; the message names the nearest.
        """
        if unknown:
            named = inspect.signature(type(self).forward).parameters
            CALLING.check(unknown, f"{type(self).__name__}.forward", [n for n in CALL_ARGUMENTS if n in named])

    def _returns_dict(self, return_dict: bool | None) -> bool:
        """Whether a call returns an output object rather than a tuple: its argument, else the configuration."""
        return self.config.use_return_dict if return_dict is None else return_dict

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        """Replace the word embeddings."""
        self._encoder().embeddings.word_embeddings = embeddings
        self._set_vocabulary_size(embeddings.num_embeddings)

    def tie_weights(self) -> None:
        """Let the projection to the vocabulary share the word embeddings, if the configuration says so."""
        projector = self.get_output_embeddings()
        if projector is not None and self.config.tie_word_embeddings:
            projector.weight = self.get_input_embeddings().weight

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights by name, as in PyTorch; a file that holds a shared tensor under one of its names is complete."""
        state = dict(state_dict)
        for names in self._shared_names() if strict else ():
            present = [name for name in names if name in state]
            if present:
                state.update((name, state[present[0]]) for name in names if name not in state)
        return super().load_state_dict(state, strict, assign)

    @property
    def _keys_to_ignore_on_save(self) -> list[str] | None:
        """Names that are not saved since they share another tensor; Trainer ties these again after loading."""
        return list(tied(self.config, self.head_spec)) or None

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of weights, shared ones once; ``exclude_embeddings`` leaves out tables of embeddings."""
        tables = (module for module in self.modules() if isinstance(module, nn.Embedding))
        embeddings = {id(table.weight) for table in tables} if exclude_embeddings else set()
        chosen = (p for p in self.parameters() if id(p) not in embeddings and (p.requires_grad or not only_trainable))
        return sum(p.numel() for p in chosen)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Change the size of the vocabulary; new rows start from the mean of the old ones. See :mod:`.surgery`."""
        return surgery.resize_token_embeddings(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Change the longest sequence; learned positions are kept, sinusoidal ones computed. See :mod:`.surgery`."""
        surgery.resize_position_embeddings(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, Collection[int]]) -> None:
        """Remove attention heads, ``{layer: [heads]}``, numbered as before any pruning. See :mod:`.surgery`."""
        surgery.prune_heads(self, heads_to_prune)

    # Training -------------------------------------------------------------------------------------------------------

    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether blocks are recomputed in the backward pass; the newer name of ``is_gradient_checkpointing``."""
        return self.is_gradient_checkpointing

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Recompute blocks in the backward pass instead of keeping their activations.

        Args:
            gradient_checkpointing_kwargs: arguments of ``torch.utils.checkpoint.checkpoint``; not reentrant by default.
            every_n_layers: recompute each n-th block alone.
            offload: keep the inputs of these blocks in the memory of the host until then.

        Raises:
            InputError: ``every_n_layers`` is not at least 1.
        """
        if every_n_layers < 1:
            raise InputError(f"every_n_layers must be at least 1, got {every_n_layers}.")
        checkpointing = GradientCheckpointing(dict(gradient_checkpointing_kwargs or {}), every_n_layers, offload)
        for stack in self._stacks():
            stack.gradient_checkpointing, stack.checkpointing = True, checkpointing

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """The newer name of :meth:`gradient_checkpointing_enable`."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)

    def activation_checkpointing_disable(self) -> None:
        """The newer name of :meth:`gradient_checkpointing_disable`."""
        self.gradient_checkpointing_disable()

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the output of frozen word embeddings, which reentrant checkpointing and adapters need."""
        self.disable_input_require_grads()
        hook = self.get_input_embeddings().register_forward_hook(lambda _, __, output: output.requires_grad_(True))
        self._require_grads_hook = hook

    def disable_input_require_grads(self) -> None:
        """Undo :meth:`enable_input_require_grads`."""
        hook = self.__dict__.pop("_require_grads_hook", None)
        if hook is not None:
            hook.remove()

    def estimate_tokens(self, input_dict: Mapping[str, Any]) -> int:
        """Return the number of tokens in a batch, padding included; 0 if it has no ``input_ids``."""
        tokens = input_dict.get(self.main_input_name)
        return 0 if tokens is None else int(tokens.numel())

    def floating_point_ops(self, input_dict: Mapping[str, Any], exclude_embeddings: bool = True) -> int:
        """Estimate the floating-point operations of a forward and a backward pass: 6 for each token and weight.

        Args:
            input_dict: the batch.
            exclude_embeddings: leave the embeddings out, which look up and do not compute.
        """
        return 6 * self.estimate_tokens(input_dict) * self.num_parameters(exclude_embeddings=exclude_embeddings)

    @classmethod
    def is_custom_code(cls) -> bool:
        """True: the class is not one of transformers, which therefore does not rename its weights by model type."""
        return True

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of all weights, shared ones once, and of the buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """A small batch of ids (3, 5) that any model takes which knows seven word pieces."""
        ids = torch.tensor([[6, 5, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]], device=self.device)
        return {"input_ids": ids % self.config.vocab_size}

    # Masks ----------------------------------------------------------------------------------------------------------

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: tuple[int, ...] | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return a mask that is added to attention scores: 0 where a key is seen, the lowest number elsewhere.

        Args:
            attention_mask: (B, S), or (B, S, S) with a row for each query.
            input_shape: without effect, since the mask has the shape of the input.
            device: without effect, since the mask stays where it is.
            dtype: floating type of the result, that of the model by default.

        Returns:
            (B, 1, 1, S) or (B, 1, S, S).

        Raises:
            InputError: the mask has another number of dimensions.
        """
        if attention_mask.dim() not in (2, 3):
            raise InputError(f"attention_mask must have two or three dimensions, got {tuple(attention_mask.shape)}.")
        dtype = self.dtype if dtype is None else dtype
        seen = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None]
        return (1.0 - seen.to(dtype)) * torch.finfo(dtype).min

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Tensor | list[None]:
        """Bring a head mask to the shape that multiplies attention maps.

        Args:
            head_mask: (N,) or (n_layers, N), a factor for each head; None for no mask.
            num_hidden_layers: number of layers.
            is_attention_chunked: add a dimension at the end.

        Returns:
            (n_layers, 1, N, 1, 1), or a list of None for each layer.
        """
        if head_mask is None:
            return [None] * num_hidden_layers
        factors = head_mask.to(self.dtype).expand(num_hidden_layers, head_mask.shape[-1])[:, None, :, None, None]
        return factors[..., None] if is_attention_chunked else factors


PreTrainedModel = DistilBertPreTrainedModel  # the name of the base in transformers; there is one here
