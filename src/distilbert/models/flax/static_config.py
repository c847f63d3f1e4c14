"""The configuration as a static attribute of a module: ``jit`` compares it, though its fields can change."""

from __future__ import annotations

from typing import Any

from flax import nnx

from ...core.config import DistilBertConfig

# The fields that decide what a call computes, and so what ``jit`` traces.
TRACED_FIELDS = ("output_attentions", "output_hidden_states", "return_dict", "problem_type", "attn_implementation")


class StaticConfig:
    """A configuration, together with the values of ``TRACED_FIELDS`` when Flax read the module.

    Two are equal if they hold the same object and had the same values. Comparing by content alone would let ``jit``
    hand one model the configuration of another.
    """

    def __init__(self, config: DistilBertConfig) -> None:
        self.config = config
        self.traced_values = tuple(getattr(config, name) for name in TRACED_FIELDS)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StaticConfig)
            and self.config is other.config
            and self.traced_values == other.traced_values
        )

    def __hash__(self) -> int:
        return hash((id(self.config), self.traced_values))


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
