"""Settings of distillation and pretraining, and those that every training run has.

The defaults are those of DistilBERT's paper (arXiv 1910.01108, section 3) and of its training code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..core.errors import reject_unknown
from .config_fields import REQUIRED, Settings, setting

VOCABULARY_TERMS = ("ce", "mlm", "mse")
TEXT_TERMS = ("pooled", "similarity")  # between vectors of whole texts
TERMS = ("ce", "mlm", "cos", "mse", "hidden", "relation", *TEXT_TERMS)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """Settings of every training run: optimizer, precision, checkpoints and records."""

    output: str = setting(REQUIRED, "Folder to write: model, checkpoints, metrics, report.", free=True)
    epochs: float = setting(3.0, "Passes over the data; not with streaming.")
    max_steps: int = setting(0, "Number of steps; 0: as many as the epochs take.")
    micro_tokens: int = setting(4_096, "Tokens per forward pass; bounds the memory.")
    learning_rate: float = setting(5e-4, "Peak learning rate of AdamW.")
    betas: list[float] = setting(None, "Decay rates of AdamW's two moving averages.", factory=lambda: [0.9, 0.98])
    epsilon: float = setting(1e-6, "AdamW's epsilon.")
    weight_decay: float = setting(0.0, "Decoupled weight decay, not on biases and LayerNorm.")
    layer_decay: float = setting(1.0, "Learning rate of a block as a fraction of that of the next higher block.")
    warmup: float = setting(0.05, "Fraction of the steps in which the learning rate rises; then it falls to 0.")
    clip: float = setting(5.0, "Largest norm of the gradient; 0 for no limit.")
    seed: int = setting(56, "Seed of initialisation, order, masks and dropout.")
    precision: str = setting(
        "auto",
        "bf16 computes matrix products in bfloat16; auto does so if that is faster on this machine.",
        choices=("auto", "fp32", "bf16"),
    )
    device: str = setting("auto", "cpu, or auto for a GPU if there is one.", choices=("auto", "cpu"))
    threads: int = setting(
        0, "CPU threads; 0 for one per core. With another number, sums may differ in their last bit.", free=True
    )
    gradient_checkpointing: bool = setting(False, "Recompute blocks in the backward pass: less memory, more time.")
    fsdp: bool = setting(False, "Shard weights, gradients and optimizer over the processes.")
    log_every: int = setting(10, "Steps between training records; their losses are means over these steps.", free=True)
    evaluate_every: int = setting(500, "Steps between evaluations; there is always one at the end.")
    checkpoint_every: int = setting(500, "Steps between checkpoints; there is always one at the end.", free=True)
    checkpoint_minutes: float = setting(
        30.0, "Minutes after which a checkpoint is written in any case; 0 for never.", free=True
    )
    keep: int = setting(2, "Number of newest checkpoints to keep, besides the best.", free=True)
    tensorboard: bool = setting(False, "Write events for TensorBoard into OUTPUT/tensorboard.", free=True)

    def validate(self) -> None:
        """Check the values; the error names the field."""
        self._demand(bool(self.output), "output", "a folder")
        for name in ("micro_tokens", "keep", "log_every"):
            self._demand(getattr(self, name) >= 1, name, "at least 1")
        self._demand(self.seed < 2**63, "seed", "below 2 ** 63")
        for name in ("max_steps", "weight_decay", "clip", "seed", "evaluate_every", "checkpoint_every", "threads"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        self._demand(self.checkpoint_minutes >= 0, "checkpoint_minutes", "0 or more")
        for name in ("learning_rate", "epsilon", "epochs"):
            self._demand(getattr(self, name) > 0, name, "more than 0")
        self._demand(0 < self.layer_decay <= 1, "layer_decay", "more than 0 and at most 1")
        self._demand(0 <= self.warmup < 1, "warmup", "0 or more and less than 1")
        self._demand(len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "betas", "two numbers below 1")


@dataclass(frozen=True, kw_only=True)
class TextConfig(TrainingConfig):
    """Settings of training on plain text: sources, sequences, masks."""

    data: list[str] = setting(REQUIRED, "Text: .txt, .jsonl and .parquet files, folders, or names of `datasets`.")
    column: str = setting("text", "Column of the text in .jsonl, .parquet and `datasets`.")
    encoding: str = setting("", "Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    cache: str = setting("", "Folder for tokenized corpora. Default: OUTPUT/cache.", free=True)
    streaming: bool = setting(False, "Tokenize while training, for corpora whose tokens do not fit on the disk.")
    held_out: float = setting(0.005, "Fraction of the text that is held out for evaluation; not with streaming.")
    max_held_out: int = setting(512, "Largest number of held-out sequences; with streaming, their number.")
    sequence_length: int = setting(512, "Tokens per sequence; there is no padding.")
    mask_probability: float = setting(0.15, "Fraction of the tokens that is selected for prediction.")
    mask_split: list[float] = setting(
        None,
        "Fractions of the selected tokens that become [MASK], become a random token, and stay.",
        factory=lambda: [0.8, 0.1, 0.1],
    )
    mask_smoothing: float = setting(0.7, "Tokens are selected with weight count ** -smoothing.")
    tokens_per_step: int = setting(128_000, "Tokens per step, over all processes and forward passes.")
    chunk: int = setting(256, "Tokens whose scores over the vocabulary are in memory at once.")

    @property
    def sequences_per_step(self) -> int:
        """Sequences of a step, over all processes."""
        return max(1, self.tokens_per_step // self.sequence_length)

    @property
    def sequences_per_pass(self) -> int:
        """Sequences of a forward pass."""
        return max(1, self.micro_tokens // self.sequence_length)

    def validate(self) -> None:
        """Check the values; the error names the field."""
        super().validate()
        self._demand(bool(self.data), "data", "at least one file")
        for name in ("tokens_per_step", "chunk", "max_held_out", "evaluate_every", "checkpoint_every"):
            self._demand(getattr(self, name) >= 1, name, "at least 1")
        self._demand(self.sequence_length >= 4, "sequence_length", "at least 4")
        self._demand(self.mask_smoothing >= 0, "mask_smoothing", "0 or more")
        self._demand(0 < self.mask_probability < 1, "mask_probability", "between 0 and 1")
        self._demand(0 < self.held_out < 1, "held_out", "between 0 and 1")
        self._demand(
            len(self.mask_split) == 3 and min(self.mask_split) >= 0 and math.isclose(sum(self.mask_split), 1.0),
            "mask_split",
            "three parts that sum to 1",
        )
        self._demand(not self.streaming or self.max_steps > 0, "max_steps", "given with streaming, which has no end")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TextConfig):
    """Settings of training with the masked-LM objective alone."""

    model: str = setting(REQUIRED, "DistilBERT or BERT to start from: a folder, or a name on the hub.")
    init: str = setting(
        "pretrained", "random takes only the sizes and the tokenizer from MODEL.", choices=("pretrained", "random")
    )
    freeze: str = setting(
        "none",
        "layers: train embeddings and head; encoder: train the head alone.",
        choices=("none", "layers", "encoder"),
    )


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TextConfig):
    """Settings of distilling a teacher into a student (arXiv 1910.01108, section 3)."""

    teacher: str = setting(
        REQUIRED,
        "DistilBERT or BERT, with a masked-LM head for terms over the vocabulary: a folder, or a name on the hub.",
    )
    student: str = setting("", "Start from this model folder instead of the teacher's layers.")
    layers: str = setting(
        "half", "Layers of the teacher to start from: numbers such as 0,2,4, a count to spread evenly, or half."
    )
    init: str = setting(
        "teacher", "random initialises a student with as many layers at random.", choices=("teacher", "random")
    )
    dim: int = setting(0, "Width of a random student; 0 for the teacher's.")
    n_heads: int = setting(0, "Attention heads of a random student; 0 for the teacher's.")
    hidden_dim: int = setting(0, "Feed-forward width of a random student; 0 for the teacher's, or 4 x dim.")
    terms: dict[str, float] = setting(
        None,
        f"Terms of the loss and their weights: {', '.join(TERMS)}.",
        factory=lambda: {"ce": 5.0, "mlm": 2.0, "cos": 1.0},
    )
    temperature: float = setting(2.0, "Temperature of the ce term.")
    ce_tokens: str = setting("all", "Tokens of the ce and mse terms.", choices=("all", "masked"))
    hidden_pairs: list[str] = setting(
        None,
        "Pairs of layers STUDENT:TEACHER of the hidden term, embeddings are 0. Default: spread evenly.",
        factory=list,
    )
    sequences: str = setting(
        "packed",
        "packed: all text in a row, cut into equal lengths. sentences: sentences and passages of mixed length, for "
        "terms that compare no scores over the vocabulary. pairs: as sentences, half of them two in one sequence.",
        choices=("packed", "sentences", "pairs"),
    )
    pooling: str = setting(
        "mean",
        "Vector of a text, for pooled and similarity: the mean of its tokens' vectors, or that of [CLS].",
        choices=("mean", "cls"),
    )
    relation_layer: int = setting(-1, "The teacher's layer of the relation term, counted from 0; -1 is the last.")
    relation_heads: int = setting(0, "Relation heads; 0 for the teacher's attention heads.")

    @property
    def compares_vocabulary(self) -> bool:
        """Whether a term compares scores over the vocabulary, for which both models need a masked-LM head."""
        return any(name in self.terms for name in VOCABULARY_TERMS)

    @property
    def reads_passages(self) -> bool:
        """Whether texts are passages of mixed length, alone or in pairs, and not all text in a row."""
        return self.sequences != "packed"

    def validate(self) -> None:
        """Check the values; the error names the field."""
        super().validate()
        self._demand(bool(self.terms), "terms", "at least one term")
        reject_unknown(self.terms, TERMS, "terms")
        self._demand(all(weight > 0 for weight in self.terms.values()), "terms", "weights above 0")
        self._demand(self.temperature > 0, "temperature", "more than 0")
        self._demand(
            self.sequences != "pairs" or self.sequence_length >= 11, "sequence_length", "at least 11 for pairs"
        )
        by_passages = self.reads_passages
        for name in ("micro_tokens", "tokens_per_step"):
            self._demand(
                by_passages or "similarity" not in self.terms or getattr(self, name) >= 2 * self.sequence_length,
                name,
                f"at least {2 * self.sequence_length}, two sequences, for the term similarity",
            )
        self._demand(not (by_passages and self.compares_vocabulary), "sequences", "'packed' for ce, mlm and mse")
        self._demand(not (by_passages and self.streaming), "sequences", "'packed' with streaming")
        for name in ("dim", "n_heads", "hidden_dim", "relation_heads"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
        sized = bool(self.dim or self.n_heads or self.hidden_dim)
        self._demand(not sized or self.init == "random", "init", "'random' where sizes are given")
        picked = sized or self.layers != "half" or self.init == "random"
        self._demand(not (self.student and picked), "student", "left out where layers, sizes or init say what it is")
