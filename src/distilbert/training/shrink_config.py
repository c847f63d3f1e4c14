"""The settings of ``shrink``."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.examples import FINETUNE_TASKS
from .config_fields import REQUIRED, Settings, setting

MASKED_TASK = "fill-mask"
SHRUNK_TASKS = tuple(task for task in FINETUNE_TASKS if task != MASKED_TASK)


@dataclass(frozen=True, kw_only=True)
class ShrinkConfig(Settings):
    """The model to shrink, the data, how much faster and how much worse it may become."""

    model: str = setting(REQUIRED, "Fine-tuned model to shrink: a folder, or a name. It becomes the teacher.")
    data: list[str] = setting(REQUIRED, "Labelled examples to train on, as `finetune` takes them.", in_memory=True)
    metric_data: list[str] = setting(
        REQUIRED, "Labelled examples that the drop is measured on, at least 50; no training sees them.", in_memory=True
    )
    output: str = setting(REQUIRED, "Folder to write: a model like any other.", free=True)
    target_speedup: float = setting(2.0, "Times as many examples a second as the model, by the engine on this machine.")
    max_drop: float = setting(1.0, "Points of the main metric that it may lose.", free=True)
    unlabelled_data: list[str] = setting(
        None, "Further examples, of which the model's answers are learned.", factory=list, in_memory=True
    )
    layers: str = setting(
        "", "Blocks to keep: numbers such as 0,2,4, or a count of the lowest ones. Default: as the speed allows."
    )
    hidden_dim: int = setting(
        0,
        "Feed-forward columns to keep in each layer, the most important; then target_speedup decides nothing. "
        "0: as the speed allows.",
    )
    prune_heads: bool = setting(False, "Also remove attention heads. transformers does not load such a model any more.")
    vocabulary: int = setting(
        0, "Entries of the vocabulary to keep, the most frequent in the data: a smaller file. 0 for all."
    )
    task: str = setting("", "Task. Default: what the model was made for.", choices=("", *SHRUNK_TASKS))
    columns: dict[str, str] = setting(
        None, "Columns by their role, such as text=review,label=stars. Default: guessed from their names.", factory=dict
    )
    delimiter: str = setting("", "Separator of columns. Default: the one that the file's format or its header shows.")
    encoding: str = setting("", "Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    epochs: float = setting(3.0, "Passes over the data to learn from the model's answers; 0 to cut alone.")
    max_steps: int = setting(0, "Number of steps; 0: as many as the epochs take.")
    batch_size: int = setting(32, "Examples per step.")
    learning_rate: float = setting(2e-4, "Peak learning rate of AdamW.")
    teacher_weight: float = setting(
        0.9, "Weight of the model's answers in the loss, up to 1; the labels have the rest."
    )
    temperature: float = setting(2.0, "Temperature of the scores of both.")
    max_length: int = setting(0, "Longest sequence in tokens. Default: the model's; 384 for question-answering.")
    checkpoint_minutes: float = setting(10.0, "Minutes after which a checkpoint is written in any case.", free=True)
    threads: int = setting(0, "CPU threads; 0 for one per core.", free=True)
    seed: int = setting(42, "Seed of the order, of dropout, and of what is measured.")

    def validate(self) -> None:
        """Check the values; the error names the field."""
        self._demand(bool(self.model), "model", "a folder or a name")
        self._demand(bool(self.output), "output", "a folder")
        for name in ("data", "metric_data"):
            self._demand(bool(getattr(self, name)), name, "at least one file")
        self._demand(1 <= self.target_speedup <= 1000, "target_speedup", "at least 1")
        self._demand(0 <= self.max_drop <= 100, "max_drop", "points of the metric, from 0 to 100")
        for name in ("vocabulary", "hidden_dim", "max_steps", "max_length", "threads", "seed", "checkpoint_minutes"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        self._demand(self.batch_size >= 1, "batch_size", "at least 1")
        self._demand(self.epochs >= 0, "epochs", "0 or more")
        self._demand(self.epochs > 0 or not self.max_steps, "max_steps", "left out where epochs is 0")
        for name in ("learning_rate", "temperature"):
            self._demand(getattr(self, name) > 0, name, "more than 0")
        self._demand(0 < self.teacher_weight <= 1, "teacher_weight", "more than 0 and at most 1")
        self._demand(
            self.target_speedup > 1 or bool(self.layers) or self.hidden_dim > 0 or self.vocabulary > 0,
            "target_speedup",
            "more than 1, unless layers, hidden_dim or vocabulary say what is to become smaller",
        )
        self._demand(not (self.hidden_dim and self.prune_heads), "prune_heads", "left out where hidden_dim is stated")
