"""A configuration, which can change, as a static attribute of a module, which ``jit`` needs to compare."""

from __future__ import annotations

from typing import Any

from flax import nnx

from ...core.config import DistilBertConfig

TRACED = ("output_attentions", "output_hidden_states", "return_dict", "problem_type", "attn_implementation")


class Settings:
    """A configuration and what its fields that decide about a trace said when the module was looked at.

    Two are equal if they hold the same object and those fields said the same. Comparing by content alone would let
    ``jit`` hand one model the configuration of another.
    """

    def __init__(self, config: DistilBertConfig) -> None:
        self.config = config
        self.seen = tuple(getattr(config, name) for name in TRACED)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.config is other.config and self.seen == other.seen

    def __hash__(self) -> int:
        return hash((id(self.config), self.seen))


class WithSettings(nnx.Module):
    """A module with a configuration; a change to the configuration makes ``jit`` trace again."""

    @property
    def config(self) -> DistilBertConfig:
        """Sizes and options; the object that the model was built with."""
        return self._settings.config

    @config.setter
    def config(self, config: DistilBertConfig) -> None:
        self._settings = Settings(config)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)  # Flax would take what a property is given for an attribute
        else:
            super().__setattr__(name, value)

    def _refresh(self) -> None:
        object.__setattr__(self, "_settings", Settings(self.config))

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
