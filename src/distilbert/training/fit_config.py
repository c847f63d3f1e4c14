"""The settings of ``fit``."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.examples import MULTI, REGRESSION, SINGLE
from .config_fields import REQUIRED, Settings, setting


@dataclass(frozen=True, kw_only=True)
class FitConfig(Settings):
    """The texts with their labels, the model whose vectors are used, and what is written."""

    data: list[str] = setting(REQUIRED, "Labelled texts: .csv, .tsv, .jsonl, .parquet, ...", in_memory=True)
    output: str = setting(REQUIRED, "Folder to write: a model like any other.")
    model: str = setting("", "Model whose vectors are used: a folder, or a name. Default: that of sentence-similarity.")
    eval_data: list[str] = setting(
        None, "Labelled texts to evaluate on. Default: a part of DATA.", factory=list, in_memory=True
    )
    eval_part: float = setting(0.2, "Part of DATA that is held out to measure, before all of it is used; 0 for none.")
    columns: dict[str, str] = setting(
        None, "Columns by their role, such as text=review,label=stars. Default: guessed from their names.", factory=dict
    )
    delimiter: str = setting("", "Separator of columns. Default: the one that the file's format or its header shows.")
    encoding: str = setting("", "Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    split: str = setting("train", "Split of a `datasets` name to learn from.")
    eval_split: str = setting("validation", "Split of a `datasets` name to evaluate on.")
    problem: str = setting("", "Kind of labels. Default: guessed from them.", choices=("", SINGLE, MULTI, REGRESSION))
    label_names: list[str] = setting(
        None, "Names for the labels, in the order of the sorted labels of the file.", factory=list
    )
    class_weights: str = setting(
        "none", "balanced weights each label by the inverse of its frequency.", choices=("none", "balanced")
    )
    contrastive: int = setting(
        0,
        "Steps in which the encoder is tuned first, so that texts of one label come together; for few examples. Needs "
        "PyTorch. 0 for none.",
    )
    baselines: bool = setting(True, "Measure what words alone are worth too: the most frequent label, and TF-IDF.")
    threads: int = setting(0, "CPU threads; 0 for one per core.")
    seed: int = setting(0, "Seed of what is held out, and of the choice of the strength.")
    overwrite: bool = setting(False, "Replace a model in OUTPUT.", free=True)

    def validate(self) -> None:
        """Check the values; the error names the field."""
        self._demand(bool(self.data), "data", "at least one file")
        self._demand(bool(self.output), "output", "a folder")
        self._demand(0 <= self.eval_part <= 0.5, "eval_part", "from 0 to 0.5")
        self._demand(self.threads >= 0, "threads", "0 or more")
        self._demand(self.contrastive >= 0, "contrastive", "0 or more")
        self._demand(self.seed >= 0, "seed", "0 or more")
