"""Everything that decides a training run, as data: one field a setting, in Python, in TOML and on the command line.

The defaults are those of DistilBERT's paper (arXiv 1910.01108, section 3) and of its training code.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints

from ..core.errors import ConfigError, reject_unknown
from ..core.extras import require
from ..core.files import write_text

TERMS = ("ce", "mlm", "cos", "mse", "hidden", "relation")


def setting(default: Any, help: str, *, choices: tuple[str, ...] = (), free: bool = False, factory: Any = None) -> Any:
    """Describe a field.

    Args:
        default: its default; ``dataclasses.MISSING`` for a field that must be given.
        help: what it means, with its unit.
        choices: the values that it takes; empty for any.
        free: it changes what is seen of a run, not its result, so a resumed run may differ in it.
        factory: makes the default instead.
    """
    metadata = {"help": help, "choices": choices, "free": free}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


REQUIRED = dataclasses.MISSING


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every training run has: data, batches, optimizer, precision, what is kept and shown."""

    data: list[str] = setting(REQUIRED, "Text: .txt, .jsonl, .parquet files, folders, or names of `datasets`.")
    output: str = setting(REQUIRED, "Folder of the run: model, checkpoints, metrics, report.", free=True)
    column: str = setting("text", "Column of the text in .jsonl, .parquet and `datasets`.")
    cache: str = setting("", "Folder of tokenized corpora. Default: OUTPUT/cache.", free=True)
    streaming: bool = setting(False, "Tokenize while training; for corpora that do not fit the disk.")
    held_out: float = setting(0.005, "Part of the text that is never trained on and that evaluations use.")
    max_held_out: int = setting(512, "At most so many held-out sequences.")
    sequence_length: int = setting(512, "Tokens a sequence; every sequence is full.")
    mask_probability: float = setting(0.15, "Part of the tokens that is selected for prediction.")
    mask_split: list[float] = setting(
        None,
        "Of the selected tokens: parts that become [MASK], become random, stay.",
        factory=lambda: [0.8, 0.1, 0.1],
    )
    mask_smoothing: float = setting(0.7, "Tokens are selected with weight count ** -smoothing.")
    epochs: float = setting(3.0, "Passes over the text; not with streaming.")
    max_steps: int = setting(0, "Steps; 0 for what the epochs make.")
    tokens_per_step: int = setting(128_000, "Tokens a step, over all processes; reached by accumulation.")
    micro_tokens: int = setting(4_096, "Tokens a forward pass; bounds the memory.")
    learning_rate: float = setting(5e-4, "Peak learning rate of AdamW.")
    betas: list[float] = setting(None, "Decay rates of AdamW's two means.", factory=lambda: [0.9, 0.98])
    epsilon: float = setting(1e-6, "AdamW's epsilon.")
    weight_decay: float = setting(0.0, "Decoupled weight decay, not on biases and LayerNorm.")
    warmup: float = setting(0.05, "Part of the steps in which the learning rate rises; then it falls linearly to 0.")
    clip: float = setting(5.0, "Largest norm of the gradient; 0 for no limit.")
    seed: int = setting(56, "Seed of initialisation, order, masks and dropout.")
    precision: str = setting(
        "auto",
        "bf16 computes matrix products in bfloat16; auto does so where the hardware has units for it.",
        choices=("auto", "fp32", "bf16"),
    )
    device: str = setting("auto", "cpu, or auto for a GPU if there is one.", choices=("auto", "cpu"))
    gradient_checkpointing: bool = setting(False, "Recompute blocks in the backward pass: less memory, more time.")
    fsdp: bool = setting(False, "Shard weights, gradients and optimizer over the processes.")
    chunk: int = setting(256, "Tokens whose scores over the vocabulary are held at once.")
    log_every: int = setting(10, "Steps between lines of progress.", free=True)
    evaluate_every: int = setting(500, "Steps between evaluations; there is always one at the end.")
    checkpoint_every: int = setting(500, "Steps between checkpoints; there is always one at the end.", free=True)
    keep: int = setting(2, "Newest checkpoints to keep, besides the best.", free=True)
    tensorboard: bool = setting(False, "Write events for TensorBoard into OUTPUT/tensorboard.", free=True)

    @property
    def sequences_per_step(self) -> int:
        """Sequences a step, over all processes."""
        return max(1, self.tokens_per_step // self.sequence_length)

    @property
    def sequences_per_pass(self) -> int:
        """Sequences a forward pass."""
        return max(1, self.micro_tokens // self.sequence_length)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = _converted(item.name, getattr(self, item.name), hints[item.name])
            numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
                raise ConfigError(f"{item.name} must be finite; got {value!r}.")
            choices = item.metadata["choices"]
            if choices and value not in choices:
                raise ConfigError(f"{item.name} must be one of {', '.join(choices)}; got {value!r}.")
            object.__setattr__(self, item.name, value)
        self.validate()

    def validate(self) -> None:
        """Check the values; the error names the field."""
        self._demand(bool(self.data), "data", "at least one file")
        self._demand(bool(self.output), "output", "a folder")
        for name in ("sequence_length", "tokens_per_step", "micro_tokens", "chunk", "keep", "max_held_out"):
            self._demand(getattr(self, name) >= 1, name, "at least 1")
        for name in ("log_every", "evaluate_every", "checkpoint_every"):
            self._demand(getattr(self, name) >= 1, name, "at least 1")
        self._demand(self.sequence_length >= 4, "sequence_length", "at least 4")
        self._demand(self.seed < 2**63, "seed", "below 2 ** 63")
        for name in ("max_steps", "weight_decay", "clip", "mask_smoothing", "seed"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        for name in ("learning_rate", "epsilon", "epochs"):
            self._demand(getattr(self, name) > 0, name, "more than 0")
        self._demand(0 < self.mask_probability < 1, "mask_probability", "between 0 and 1")
        self._demand(0 < self.held_out < 1, "held_out", "between 0 and 1")
        self._demand(0 <= self.warmup < 1, "warmup", "0 or more and less than 1")
        self._demand(
            len(self.mask_split) == 3 and min(self.mask_split) >= 0 and math.isclose(sum(self.mask_split), 1.0),
            "mask_split",
            "three parts that sum to 1",
        )
        self._demand(len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "betas", "two numbers below 1")
        self._demand(not self.streaming or self.max_steps > 0, "max_steps", "given with streaming, which has no end")

    def _demand(self, holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {wanted}; got {getattr(self, name)!r}.")

    # As a file ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Build from plain values, such as those of a TOML file.

        Raises:
            UnknownArgumentError: a name that is no setting.
            ConfigError: a value that cannot be.
        """
        reject_unknown(values, [item.name for item in dataclasses.fields(cls)], where or cls.__name__)
        missing = [f.name for f in dataclasses.fields(cls) if _is_required(f) and f.name not in values]
        if missing:
            raise ConfigError(f"{where or cls.__name__} needs {', '.join(missing)}.")
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Self:
        """Read a TOML file; ``changes`` win over it.

        Raises:
            ConfigError: there is no such file, or it is not TOML.
        """
        return cls.from_dict(read_toml(path) | changes, where=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write all settings as TOML, atomically; :meth:`load` reads them back."""
        write_text(Path(path), require("tomli_w", "train").dumps(self.to_dict()))

    def differences(self, other: TrainingConfig) -> list[str]:
        """Return a line for each setting that decides the result and is not the same in ``other``."""
        lines = []
        for item in dataclasses.fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name, None)
            if not item.metadata["free"] and mine != theirs:
                lines.append(f"{item.name}: {theirs!r} -> {mine!r}")
        return lines


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Training the masked-LM objective alone."""

    model: str = setting(REQUIRED, "DistilBERT or BERT to start from: a folder, or a name on the hub.")
    init: str = setting(
        "pretrained", "random takes only sizes and tokenizer from MODEL.", choices=("pretrained", "random")
    )
    freeze: str = setting(
        "none",
        "layers: train embeddings and head; encoder: train the head alone.",
        choices=("none", "layers", "encoder"),
    )


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TrainingConfig):
    """Distilling a teacher into a student (arXiv 1910.01108, section 3)."""

    teacher: str = setting(REQUIRED, "DistilBERT or BERT with a masked-LM head: a folder, or a name on the hub.")
    student: str = setting("", "Start from this model folder instead of the teacher's layers.")
    layers: str = setting(
        "half", "The teacher's layers that the student starts from: 0,2,4,7,9,11, or a count to spread evenly, or half."
    )
    init: str = setting("teacher", "random starts a student of that many layers afresh.", choices=("teacher", "random"))
    dim: int = setting(0, "Width of a random student; 0 for the teacher's.")
    n_heads: int = setting(0, "Attention heads of a random student; 0 for the teacher's.")
    hidden_dim: int = setting(0, "Feed-forward width of a random student; 0 for the teacher's, or 4 x dim.")
    terms: dict[str, float] = setting(
        None,
        f"Terms of the objective and their weights: {', '.join(TERMS)}.",
        factory=lambda: {"ce": 5.0, "mlm": 2.0, "cos": 1.0},
    )
    temperature: float = setting(2.0, "Temperature of the ce term.")
    ce_tokens: str = setting("all", "Tokens of the ce and mse terms.", choices=("all", "masked"))
    hidden_pairs: list[str] = setting(
        None, "Layers of the hidden term, STUDENT:TEACHER, embeddings are 0. Default: spread evenly.", factory=list
    )
    relation_layer: int = setting(-1, "The teacher's layer of the relation term, counted from 0; -1 is the last.")
    relation_heads: int = setting(0, "Relation heads; 0 for the teacher's attention heads.")

    def validate(self) -> None:
        """Check the values; the error names the field."""
        super().validate()
        self._demand(bool(self.terms), "terms", "at least one term")
        reject_unknown(self.terms, TERMS, "terms")
        self._demand(all(weight > 0 for weight in self.terms.values()), "terms", "weights above 0")
        self._demand(self.temperature > 0, "temperature", "more than 0")
        for name in ("dim", "n_heads", "hidden_dim", "relation_heads"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        sized = bool(self.dim or self.n_heads or self.hidden_dim)
        self._demand(not sized or self.init == "random", "init", "'random' where sizes are given")
        picked = sized or self.layers != "half" or self.init == "random"
        self._demand(not (self.student and picked), "student", "left out where layers, sizes or init say what it is")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration at {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is REQUIRED and item.default_factory is REQUIRED


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return ``value`` as the type of its field, where that loses nothing."""
    try:
        return _fitted(value, kind)
    except TypeError:
        wanted = getattr(kind, "__name__", "") if isinstance(kind, type) and not get_args(kind) else str(kind)
        raise ConfigError(f"{name} must be of type {wanted}; got {value!r}.") from None


def _fitted(value: Any, kind: Any) -> Any:
    origin = get_origin(kind) or kind
    if origin is list and isinstance(value, (list, tuple)):
        return [_fitted(entry, get_args(kind)[0]) for entry in value]
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _fitted(entry, get_args(kind)[1]) for key, entry in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError
    return value
