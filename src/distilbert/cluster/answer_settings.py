"""What the answers of a sharded run depend on, besides the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ..data.row_stream import ReadingRules
from ..data.row_windows import LARGEST_WINDOW
from ..data.task_inputs import TaskInputs
from ..tasks.registry import task_spec

SHARD_FORMATS = ("jsonl", "jsonl.gz", "csv", "tsv", "parquet")


@dataclass(frozen=True)
class AnswerSettings:
    """How rows are read, answered and written. Every worker gets the same.

    Attributes:
        task: name of the task.
        loading: arguments of :func:`distilbert.pipeline` besides the task and the number of threads.
        parameters: of the task, by name.
        column: which columns are the arguments of the task, as ``--column`` has it; None: those of their names.
        format: of the input files; empty: what their names tell.
        delimiter: between columns; empty for the usual one.
        encoding: of text; empty for UTF-8.
        keep_input: write each answer joined to its row.
        on_error: what a row without an answer gets: ``"null"``, ``"skip"`` or ``"stop"``.
        shard_format: of the output, one of ``SHARD_FORMATS``.
        largest_window: most rows that are answered together.
        model_content: hash of the files of the model; empty if it is not known.
    """

    task: str
    loading: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    column: str | None = None
    format: str = ""
    delimiter: str = ""
    encoding: str = ""
    keep_input: bool = False
    on_error: str = "null"
    shard_format: str = "jsonl"
    largest_window: int = LARGEST_WINDOW
    model_content: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what :meth:`as_dict` returned."""
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes, as JSON has them."""
        return asdict(self)

    @property
    def reading_rules(self) -> ReadingRules:
        """How files are read: as ``distilbert run`` reads a single one."""
        return ReadingRules(
            delimiter=self.delimiter,
            encoding=self.encoding,
            named_columns=False,
            json_array=True,
            class_names=False,
            keep_invalid=True,
            may_be_empty=True,
        )

    def make_inputs(self) -> TaskInputs:
        """Return what makes inputs of rows."""
        return TaskInputs(task_spec(self.task), self.column)

    def load(self, threads: int | None = None) -> Any:
        """Load the model.

        Args:
            threads: to compute with; None for all cores.
        """
        from ..tasks.loading import pipeline

        options = {name: value for name, value in self.loading.items() if value is not None and name != "threads"}
        return pipeline(self.task, options.pop("model"), threads=threads, **options)
