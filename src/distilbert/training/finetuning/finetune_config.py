"""Settings of fine-tuning; the defaults are those that BERT is usually fine-tuned with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ...core.config_checks import CLASSIFIER_POOLINGS
from ...data.examples import FINETUNE_TASKS, MULTI, REGRESSION, SINGLE
from ..config_fields import REQUIRED, setting
from ..distill_config import TrainingConfig


def _with_default(name: str, default: Any) -> Any:
    """Return a setting of :class:`TrainingConfig` with another default, or with a function that returns it."""
    field = next(field for field in dataclasses.fields(TrainingConfig) if field.name == name)
    factory = default if callable(default) else None
    return setting(
        None if factory else default,
        field.metadata["help"],
        choices=field.metadata["choices"],
        free=field.metadata["free"],
        factory=factory,
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingConfig):
    """Fine-tuning a model on labelled data (arXiv 1810.04805, section 4), from a teacher too if there is one."""

    task: str = setting(REQUIRED, "Task of the model.", choices=FINETUNE_TASKS)
    model: str = setting(REQUIRED, "DistilBERT or BERT to start from: a folder, or the name of a model.")
    train_data: list[str] = setting(
        REQUIRED,
        "Labelled files: .csv, .tsv, .jsonl, .parquet, .conll, SQuAD's .json, or names of `datasets`.",
        in_memory=True,
    )
    eval_data: list[str] = setting(None, "Labelled files to evaluate on.", factory=list, in_memory=True)
    unlabelled_data: list[str] = setting(
        None,
        "Further data of the same kind. Only the teacher's scores of them are learned; for fill-mask their words, too.",
        factory=list,
        in_memory=True,
    )
    columns: dict[str, str] = setting(
        None, "Columns by their role, such as text=review,label=stars. Default: guessed from their names.", factory=dict
    )
    delimiter: str = setting("", "Separator of columns. Default: the one that the file's format or its header shows.")
    encoding: str = setting("", "Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    split: str = setting("train", "Split of a `datasets` name to train on.")
    eval_split: str = setting("validation", "Split of a `datasets` name to evaluate on.")
    problem: str = setting(
        "", "Kind of text-classification. Default: guessed from the labels.", choices=("", SINGLE, MULTI, REGRESSION)
    )
    label_names: list[str] = setting(
        None, "Names for the labels, in the order of the sorted labels of the file.", factory=list
    )
    layers: str = setting("", "Blocks of the model to start from: numbers such as 0,2,4, or a count to spread evenly.")
    fresh_head: bool = setting(False, "Initialise the head at random, whatever head the model has.")
    new_head: str = setting(
        "auto",
        "How a new head of text-classification starts: as the linear model that `fit` would find, or at random. "
        "auto: linear for a model without any head, such as one of sentences.",
        choices=("auto", "linear", "random"),
    )
    pooling: str = setting(
        "",
        "What a head of text-classification reads: cls, the first token, or mean, all tokens, which transformers' "
        "DistilBERT does not know. Default: as the model's configuration says, else cls.",
        choices=("", *CLASSIFIER_POOLINGS),
    )
    baselines: bool = setting(
        True, "Measure on EVAL_DATA, for text-classification, what words and frozen vectors alone are worth.", free=True
    )
    freeze: str = setting("none", "Not trained: embeddings; embeddings and a number of blocks, such as 2; or encoder.")
    max_length: int = setting(0, "Longest sequence in tokens. Default: the model's; 384 for question-answering.")
    stride: int = setting(128, "Tokens that two windows of a long text share; a quarter of max_length at most.")
    long_texts: str = setting(
        "window", "Texts longer than max_length are read in windows, or cut.", choices=("window", "cut")
    )
    class_weights: str = setting(
        "none", "balanced weights each label by the inverse of its frequency.", choices=("none", "balanced")
    )
    teacher: str = setting("", "Model for the same task whose scores are learned as well.")
    temperature: float = setting(2.0, "Temperature of the teacher's and the student's scores.")
    teacher_weight: float = setting(0.5, "Weight of the teacher in the loss, up to 1; the labels have the rest.")
    batch_size: int = setting(32, "Examples per step, over all processes.")
    patience: int = setting(0, "Stop after this many evaluations without a better one; 0 for never.")
    select: str = setting("last", "Which checkpoint becomes the model.", choices=("last", "best"))
    seeds: int = setting(1, "Number of runs with consecutive seeds; the run with the median becomes the model.")
    learning_rates: list[float] = setting(None, "Learning rates to try; the best becomes the model.", factory=list)
    trials: int = setting(0, "Number of runs whose settings Optuna chooses; the best becomes the model. 0 for none.")
    search: list[str] = setting(
        None,
        "What --trials may choose: fields with LOW:HIGH or A|B, such as learning_rate=1e-5:1e-3. Default: the learning "
        "rate and the warm-up around their settings.",
        factory=list,
    )
    epochs: float = _with_default("epochs", 3.0)
    learning_rate: float = _with_default("learning_rate", 5e-5)
    betas: list[float] = _with_default("betas", lambda: [0.9, 0.999])
    epsilon: float = _with_default("epsilon", 1e-8)
    warmup: float = _with_default("warmup", 0.1)
    clip: float = _with_default("clip", 1.0)
    seed: int = _with_default("seed", 42)
    evaluate_every: int = setting(0, "Steps between evaluations; 0 for once an epoch.")
    checkpoint_every: int = setting(0, "Steps between checkpoints; 0 for once an epoch.", free=True)
    keep: int = _with_default("keep", 1)

    def validate(self) -> None:
        """Check the values; the error names the field."""
        from ...tasks.registry import task_spec  # loads NumPy, which the command's help can do without

        super().validate()
        self._demand(bool(self.train_data), "train_data", "at least one file")
        self._demand(bool(self.model), "model", "a folder or a name")
        for name in ("batch_size", "seeds"):
            self._demand(getattr(self, name) >= 1, name, "at least 1")
        for name in ("patience", "stride"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        self._demand(self.max_length == 0 or self.max_length >= 8, "max_length", "0 or at least 8")
        self._demand(self.temperature > 0, "temperature", "more than 0")
        self._demand(0 < self.teacher_weight <= 1, "teacher_weight", "more than 0 and at most 1")
        self._demand(
            self.freeze in ("none", "embeddings", "encoder") or self.freeze.isdecimal(),
            "freeze",
            "none, embeddings, a number of blocks, or encoder",
        )
        spec = task_spec(self.task)
        self._demand(
            not self.problem or spec.has_problem_types, "problem", "left out for tasks other than text-classification"
        )
        self._demand(
            self.new_head != "linear" or self.task == "text-classification",
            "new_head",
            "left out for tasks other than text-classification",
        )
        self._demand(
            not self.pooling or self.task == "text-classification",
            "pooling",
            "left out for tasks other than text-classification",
        )
        self._demand(
            self.class_weights == "none" or (spec.has_label_names and self.problem != REGRESSION),
            "class_weights",
            "none where there are no classes",
        )
        self._demand(bool(self.teacher) or not self.unlabelled_data, "teacher", "given with unlabelled_data")
        for name in ("patience", "learning_rates"):
            self._demand(bool(self.eval_data) or not getattr(self, name), name, "left out where eval_data is not given")
        self._demand(bool(self.eval_data) or self.select == "last", "select", "last where eval_data is not given")
        self._demand(bool(self.eval_data) or self.seeds == 1, "seeds", "1 where eval_data is not given")
        self._demand(all(rate > 0 for rate in self.learning_rates), "learning_rates", "above 0")
        self._demand(
            len({f"{rate:g}" for rate in self.learning_rates}) == len(self.learning_rates),
            "learning_rates",
            "different in their first six digits, by which their folders are named",
        )
        self._demand(self.trials >= 0, "trials", "0 or more")
        self._demand(bool(self.eval_data) or not self.trials, "trials", "0 where eval_data is not given")
        self._demand(
            not self.trials or (self.seeds == 1 and not self.learning_rates),
            "trials",
            "0 where seeds or learning_rates ask for several runs",
        )
        self._demand(bool(self.trials) or not self.search, "search", "left out where trials is 0")
