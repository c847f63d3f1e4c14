"""What all Flax models share: a configuration that ``jit`` compares, loading, saving, plain parameters, resizing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ...core.config import DistilBertConfig, call_options
from ...core.errors import InputError
from ...core.loading_arguments import BUILDING
from ...core.model_checks import check_config_type
from ...core.schema import tensor_shapes, tied
from ...weights.checkpoint import OPENING_ARGUMENTS, Checkpoint, open_checkpoint
from ..array_weights import ArrayWeights, check_only_known_weights
from ..pretrained_mixin import PreTrainedMixin
from . import surgery
from .arrays import (
    Tree,
    all_weights,
    drop_values,
    fill_missing,
    find_variable,
    get_tree,
    has_values,
    read_variable,
    set_tree,
    tree_leaves,
    unflatten,
    write_variable,
)
from .device import pick_device, pick_dtype, pick_param_dtype
from .functional import PureModule, cast_floating
from .layer_factory import WEIGHT_TYPES, LayerFactory
from .snapshot import ModelSnapshot

# What to do with a model whose weights are not those of a checkpoint.
OTHER_WEIGHTS = "Save nnx.state(model) instead, for example with Orbax."


class StaticConfig:
    """A configuration, together with what it held when Flax read the module.

    Two are equal if they hold the same object and it held the same. Comparing by content alone would let ``jit`` hand
    one model the configuration of another.
    """

    def __init__(self, config: DistilBertConfig) -> None:
        self.config = config
        self.options = call_options(config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StaticConfig) and self.config is other.config and self.options == other.options

    def __hash__(self) -> int:
        return hash((id(self.config), self.options))


class ConfiguredModule(nnx.Module):
    """A module with a configuration; a change to the configuration makes ``jit`` trace again."""

    @property
    def config(self) -> DistilBertConfig:
        """Sizes and options; the object that the model was built with."""
        return self._static_config.config

    @config.setter
    def config(self, config: DistilBertConfig) -> None:
        self._static_config = StaticConfig(config)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)  # Flax would store the value as an attribute of its own
        else:
            super().__setattr__(name, value)

    def _refresh(self) -> None:
        object.__setattr__(self, "_static_config", StaticConfig(self.config))

    # Flax reads a module's attributes through these three, depending on the transformation.
    def _graph_node_flatten(self) -> Any:
        self._refresh()
        return super()._graph_node_flatten()

    def _pytree__flatten(self) -> Any:
        self._refresh()
        return super()._pytree__flatten()

    def _pytree__flatten_with_paths(self) -> Any:
        self._refresh()
        return super()._pytree__flatten_with_paths()


class FlaxDistilBertPreTrainedModel(PreTrainedMixin, ConfiguredModule):
    """Base of the six Flax classes.

    Args:
        config: sizes and options. The model keeps this object, so changes made to it later are seen. ``nnx.clone``
            shares it, as all that is no variable; ``copy.deepcopy`` copies it.
        rngs: random numbers for fresh weights and for dropout.
        seed: makes them where ``rngs`` is not given.
        dtype: type to compute in.
        param_dtype: type of the weights; None for fp32, or for ``dtype`` if that is wider.
        input_shape: of the dummy inputs in transformers; here the shapes of weights need none.
        _do_init: False makes a model without weights: each call needs ``params``, and :meth:`init_weights` draws them.

    A new model is in evaluation mode: :meth:`train` switches dropout on.
    """

    framework = "flax"

    def _prepare(
        self,
        config: DistilBertConfig,
        rngs: nnx.Rngs | None,
        seed: int,
        dtype: Any,
        param_dtype: Any,
        input_shape: tuple[int, ...],
        do_init: bool,
    ) -> LayerFactory:
        """Check and keep the arguments of a constructor; return the factory of its layers."""
        check_config_type(config, type(self).__name__)
        self.config = config
        self.dtype = pick_dtype(dtype, config)
        self.param_dtype = pick_param_dtype(param_dtype, dtype, config)
        self.seed, self.input_shape = seed, tuple(input_shape)
        rngs = nnx.Rngs(seed) if rngs is None else rngs
        return LayerFactory(config, rngs, self.dtype, self.param_dtype, shapes_only=not do_init)

    # Loading and saving ---------------------------------------------------------------------------------------------

    @classmethod
    def from_config(
        cls,
        config: DistilBertConfig,
        *,
        dtype: Any = None,
        torch_dtype: Any = None,
        param_dtype: Any = None,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        attn_implementation: str | None = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
        **others: Any,
    ) -> Self:
        """Build a model with fresh weights.

        Args:
            config: sizes and options.
            dtype: type to compute in, fp32 by default.
            torch_dtype: the older name of ``dtype``.
            param_dtype: type of the weights; None for fp32, or for ``dtype`` if that is wider.
            rngs: random numbers for the weights and for dropout.
            seed: seed of the random numbers where ``rngs`` is not given.
            attn_implementation: ``"eager"`` or ``"sdpa"``.
            input_shape: as in the constructor, without effect.
            _do_init: False makes a model without weights, as in the constructor.
            **others: other arguments that are known from transformers, see
                :data:`distilbert.core.loading_arguments.BUILDING`.
        """
        BUILDING.check(others, f"{cls.__name__}.from_config", ("param_dtype", "rngs", "seed"))
        dtype = dtype if dtype is not None else torch_dtype
        options = {"input_shape": input_shape, "_do_init": _do_init}
        model = cls(config, rngs=rngs, seed=seed, dtype=dtype, param_dtype=param_dtype, **options)  # type: ignore[call-arg]
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
        dtype: Any = None,
        torch_dtype: Any = None,
        param_dtype: Any = None,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
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
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
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
            config: use a copy of this configuration instead of the folder's.
            dtype: type to compute in: ``jnp.float32`` (the default), another floating type, its name, or ``"auto"`` for
                that of the file.
            torch_dtype: the older name of ``dtype``.
            param_dtype: type of the weights; None for fp32, for ``dtype`` if that is wider, or with ``dtype="auto"``
                for that of the file.
            rngs: random numbers for dropout, and for a head that the folder lacks.
            seed: makes them where ``rngs`` is not given.
            device_map: where the weights are kept, as :func:`.device.pick_device` takes it; JAX's default if None.
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
            input_shape: as in the constructor, without effect.
            _do_init: False returns a model without weights, and its weights as a tree: ``(model, params)``.
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
        loaded: Any = cls.from_checkpoint(
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
            param_dtype=param_dtype,
            rngs=rngs,
            seed=seed,
            device_map=device_map,
            attn_implementation=attn_implementation,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            output_loading_info=output_loading_info,
        )
        if _do_init:
            return loaded  # type: ignore[no-any-return]
        model, *info = loaded if output_loading_info else (loaded,)
        params = model.params
        drop_values(model)
        return (model, params, *info)  # type: ignore[return-value]

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        dtype: Any = None,
        torch_dtype: Any = None,
        param_dtype: Any = None,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
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
        device = None if device_map is None else pick_device(device_map)
        matched = checkpoint.match(cls.head_spec, ignore_mismatched_sizes=ignore_mismatched_sizes)
        dtype = dtype if dtype is not None else torch_dtype
        computed = pick_dtype(dtype, config, matched.tensors)
        stored = pick_param_dtype(param_dtype, dtype, config, matched.tensors)
        rngs = nnx.Rngs(seed) if rngs is None else rngs
        model = surgery.model_without_weights(cls, config, rngs, dtype=computed, param_dtype=stored)
        for name, tensor in matched.tensors.items():
            write_variable(model, name, tensor.read())
        for name in matched.fresh:
            variable, _ = find_variable(model, name)
            variable.set_value(surgery.fresh_weight(name, variable.get_value().shape, stored, config, rngs))
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        if device is not None:
            nnx.update(model, jax.device_put(nnx.state(model), device))
        if not has_values(model):  # a class that a user wrote has layers of its own
            fill_missing(model, cls(config, rngs=rngs, dtype=computed, param_dtype=stored))  # type: ignore[call-arg]
        model.eval()
        return (model, matched.loading_info()) if output_loading_info else model  # type: ignore[return-value]

    def engine_weights(self) -> ArrayWeights:
        """Return the weights as the engine reads them; see ``distilbert.engine.model_weights``."""
        return ArrayWeights(self, read_variable, lambda: ModelSnapshot(self))

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> None:
        """Write ``config.json`` and the weights into a folder that PyTorch's classes and transformers load, too.

        Args:
            save_directory: created if needed.
            is_main_process: False writes nothing; for the other processes of a run.
            state_dict: tensors or arrays by their names in a checkpoint, to write instead of the model's own.
            params: weights to write instead of the model's own, as :attr:`params`, in the types that they have.
            max_shard_size: bytes, or text such as ``"200MB"``; more than that is split into shards.
            safe_serialization: safetensors; False writes ``pytorch_model.bin``, for which PyTorch has to be there.
            variant: goes into the names of the files: ``model.fp16.safetensors`` for ``"fp16"``.
            push_to_hub: upload the folder afterwards.
            **options: those of :func:`distilbert.core.hub.push`, for the upload; and other arguments that are known
                from transformers, see :data:`distilbert.core.loading_arguments.SAVING`.
        """
        model, dtype = self, str(self.param_dtype)
        if params is not None:
            model = nnx.clone(self)
            set_tree(model, params, keep_types=True)
            types = {str(leaf.dtype) for _, leaf in tree_leaves(params)}
            dtype = types.pop() if len(types) == 1 else dtype
        elif state_dict is None:
            self._require_params()
        self._write_folder(
            save_directory,
            model._get_arrays() if state_dict is None else {},
            dtype,
            state_dict=state_dict,
            is_main_process=is_main_process,
            max_shard_size=max_shard_size,
            safe_serialization=safe_serialization,
            variant=variant,
            push_to_hub=push_to_hub,
            options=options,
        )

    def _get_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by their names in a checkpoint.

        Raises:
            InputError: a class that a user wrote has other weights.
        """
        names = list(tensor_shapes(self.config, self.head_spec))
        if not hasattr(self.get_output_embeddings(), "kernel"):  # it reads the word embeddings
            names = [name for name in names if name not in tied(self.config, self.head_spec)]
        check_only_known_weights(self, all_weights(self), names, find_variable, OTHER_WEIGHTS)
        return {name: read_variable(self, name) for name in names}

    # Parts ----------------------------------------------------------------------------------------------------------

    @property
    def params(self) -> Tree:
        """The weights as a plain tree: nested dictionaries of arrays, under the names of the attributes.

        It can be set, and is then checked as strictly as a file: the same names, the same shapes.

        Raises:
            InputError: the model was made with ``_do_init=False`` and has none.
        """
        self._require_params()
        return get_tree(self)

    @params.setter
    def params(self, tree: Mapping[str, Any]) -> None:
        self._require_params()
        set_tree(self, tree)

    @property
    def has_params(self) -> bool:
        """False for a model that was made with ``_do_init=False``."""
        return has_values(self)

    @property
    def params_shape_tree(self) -> Tree:
        """Shapes and types of the weights, as a tree of ``jax.ShapeDtypeStruct``."""
        return jax.tree.map(lambda weight: jax.ShapeDtypeStruct(weight.shape, weight.dtype), get_tree(self))

    @property
    def required_params(self) -> set[tuple[str, ...]]:
        """Paths of all weights in :attr:`params`."""
        return {path for path, _ in tree_leaves(get_tree(self))}

    @property
    def key(self) -> jax.Array:
        """The key that ``seed`` means, for :meth:`init_weights`."""
        return jax.random.PRNGKey(self.seed)

    @property
    def module(self) -> PureModule:
        """The model as two pure functions, ``init`` and ``apply``."""
        return PureModule(self)

    def init_weights(
        self, rng: Any, input_shape: tuple[int, ...] | None = None, params: Mapping[str, Any] | None = None
    ) -> Tree:
        """Return fresh weights as a tree like :attr:`params`; the model is not changed.

        Args:
            rng: a key of JAX.
            input_shape: taken because transformers needs it; the sizes here come from the configuration.
            params: weights to keep; only those that are missing from this tree are drawn.
        """
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        fresh = get_tree(type(self)(self.config, rngs=nnx.Rngs(rng), **options))  # type: ignore[call-arg]
        return fresh if params is None else unflatten(dict(tree_leaves(fresh)) | dict(tree_leaves(params)))

    def to_bf16(self, params: Mapping[str, Any], mask: Mapping[str, Any] | None = None) -> Tree:
        """Return ``params`` in bfloat16; ``mask`` as in :func:`.functional.cast_floating`. The model is not changed."""
        return cast_floating(params, jnp.bfloat16, mask)

    def to_fp16(self, params: Mapping[str, Any], mask: Mapping[str, Any] | None = None) -> Tree:
        """Return ``params`` in float16, as :meth:`to_bf16` does in bfloat16."""
        return cast_floating(params, jnp.float16, mask)

    def to_fp32(self, params: Mapping[str, Any], mask: Mapping[str, Any] | None = None) -> Tree:
        """Return ``params`` in float32, as :meth:`to_bf16` does in bfloat16."""
        return cast_floating(params, jnp.float32, mask)

    def enable_gradient_checkpointing(self) -> None:
        """Do what :meth:`gradient_checkpointing_enable` does, under its name in transformers' Flax classes."""
        self.gradient_checkpointing_enable()

    def _require_params(self) -> None:
        if not self.has_params:
            raise InputError(
                f"This {type(self).__name__} was made with _do_init=False and holds no params: keep the tree that "
                "init_weights() or from_pretrained() returned, and pass it as model(..., params=params)."
            )

    def set_input_embeddings(self, embeddings: nnx.Embed) -> None:
        """Replace the word embeddings."""
        self.base_model.embeddings.word_embeddings = embeddings
        self._set_vocabulary_size(embeddings.num_embeddings)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of weights, shared ones once; ``exclude_embeddings`` leaves out tables of embeddings."""
        kinds = nnx.Param if only_trainable else WEIGHT_TYPES

        def count(module: nnx.Module) -> int:
            weights = (variable for _, variable in nnx.iter_graph(module) if isinstance(variable, kinds))
            return sum(int(np.prod(variable.get_value().shape)) for variable in weights)

        tables = (self.get_input_embeddings(), self.get_position_embeddings()) if exclude_embeddings else ()
        return count(self) - sum(map(count, tables))

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nnx.Embed:
        """Change the size of the vocabulary; new rows start from the mean of the old ones. See :mod:`.surgery`."""
        return surgery.resize_token_embeddings(self, new_num_tokens, pad_to_multiple_of, mean_resizing)

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Change the longest sequence; learned positions are kept, sinusoidal ones computed. See :mod:`.surgery`."""
        surgery.resize_position_embeddings(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, list[int]]) -> None:
        """Remove attention heads, ``{layer: [heads]}``, numbered as before any pruning. See :mod:`.surgery`."""
        surgery.prune_heads(self, heads_to_prune)


FlaxPreTrainedModel = FlaxDistilBertPreTrainedModel  # the name of the base in transformers; there is one here
