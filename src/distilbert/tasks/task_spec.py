"""What a task is, as plain data: its names, inputs, labelled data, parameters, metric, and an example that works.

Each task's file states its own as ``SPEC = TaskSpec(...)``; the rest of the package reads it from the registry::

    from distilbert.tasks.registry import TASKS, task_class, task_spec

    spec = task_spec("ner")                   # by name or alias; the error names the nearest
    spec.name, spec.head, spec.question       # "token-classification", "ForTokenClassification", "which names ...?"
    [form.names for form in spec.inputs]      # [("text",)]: what an input looks like, the usual form first
    spec.labelled.roles                       # ("words", "tags"): columns of labelled data; labelled is None if none
    spec.metric_for(labels.problem)           # Metric("f1"): compares models of this task
    spec.parameters                           # names, types, defaults, and options of `distilbert run`
    task_class(spec.name)                     # the class that answers

A task with labelled data can be evaluated and quantized, and, if it has a head, fine-tuned; every task can be exported,
by its head. This file imports nothing but the standard library; the registry loads NumPy with the tasks, so help texts
do without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.schema import Head


@dataclass(frozen=True)
class InputColumn:
    """One argument of an input, and so one column of a table of inputs.

    Attributes:
        name: the key of the argument where an input is a dict.
        required: False: the argument may be left out, and its cells may be empty.
        is_list: it takes a list of texts; such a column is always the last.
        fewest: how many texts that list must have, where fewer make no sense.
        other_names: columns that are also taken for it, and other names that it may be given.
    """

    name: str
    required: bool = True
    is_list: bool = False
    fewest: int = 0
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputForm:
    """What an input looks like.

    Attributes:
        columns: in the order in which a tab separates them on a line.
        at_least_one_of: of these columns, none of them required, an input needs one or more.
    """

    columns: tuple[InputColumn, ...]
    at_least_one_of: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that every table must have."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def fewest_fields(self) -> int:
        """How many fields a line must have: only columns behind the last required one can be left out."""
        return max(number for number, column in enumerate(self.columns, 1) if column.required)

    @property
    def list_column(self) -> str:
        """Name of the column that takes a list of texts; empty where there is none."""
        return next((column.name for column in self.columns if column.is_list), "")


@dataclass(frozen=True)
class LabelledColumn:
    """One role that a column plays in labelled data.

    Attributes:
        role: its name, as in ``--columns role=column``.
        known_names: lower-case names of columns that play this role, in groups: the first group that a table has
            decides.
        required: a table must have such a column.
        may_join: several columns may play it together, as in ``label=A+B+C``.
    """

    role: str
    known_names: tuple[tuple[str, ...], ...] = ()
    required: bool = False
    may_join: bool = False


@dataclass(frozen=True)
class LabelledData:
    """The columns of data to train and evaluate on.

    Attributes:
        columns: the roles, in their order.
        target: the role of what is learned: labels, tags or answers; empty where the text itself is.
        text_pairs: lower-case names of two columns that are the roles ``text`` and ``text_pair`` together.
        at_least_one_of: of these roles, none of them required, a table needs one or more.
        has_label_names: what is learned is one of a few labels, whose names the configuration of a model lists.
        has_numbers: the target is always a number.
    """

    columns: tuple[LabelledColumn, ...]
    target: str = ""
    text_pairs: tuple[tuple[str, str], ...] = ()
    at_least_one_of: tuple[str, ...] = ()
    has_label_names: bool = False
    has_numbers: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of all roles."""
        return tuple(column.role for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Roles that a table must have, beside the target."""
        return tuple(column.role for column in self.columns if column.required)

    @property
    def joint_roles(self) -> tuple[str, ...]:
        """Roles that several columns may play together."""
        return tuple(column.role for column in self.columns if column.may_join)


@dataclass(frozen=True)
class Metric:
    """A measure of how good predictions are.

    Attributes:
        name: its key in the figures of an evaluation.
        title: its name for people.
        higher_is_better: False for errors and perplexities.
        in_percent: it runs from 0 to 100; otherwise from 0 to 1, where it is a share.
    """

    name: str
    title: str
    higher_is_better: bool = True
    in_percent: bool = False


@dataclass(frozen=True)
class Parameter:
    """A parameter of a task.

    Attributes:
        name: as :func:`~distilbert.pipeline` and the task itself take it.
        type: its annotation.
        default: its value where none is given.
        option: the option of ``distilbert run`` that sets it; empty: ``--param NAME=VALUE`` does.
        choices: the texts that it may be; empty: its type says all.
    """

    name: str
    type: str
    default: Any
    option: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExampleInput:
    """An input that works, and parameters that it needs."""

    input: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HubModel:
    """A model on the hub.

    Attributes:
        name: ``"user/model"``.
        revision: the commit that is downloaded, 40 hexadecimal digits; empty: the newest, where no commit is known.
    """

    name: str
    revision: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task.

    Attributes:
        name: its name.
        aliases: other names that stand for it.
        question: the question that it answers.
        head: name of the head that its model has, as in ``core.schema.HEADS``.
        inputs: the forms that an input can have, the usual one first.
        parameters_class: dataclass of its parameters.
        options: parameter -> option of ``distilbert run`` that sets it; ``--param`` sets the others.
        choices: parameter -> the texts that it may be.
        example: an input that works.
        labelled: the columns of labelled data; None: it cannot be evaluated, quantized or fine-tuned.
        metric: compares models of this task; None without labelled data.
        metrics_by_problem: what takes its place for a ``problem_type`` of the configuration.
        model_kind: what its models are called in headlines; empty without labelled data.
        usage: lines of Python for the card of a model, which load it with ``pipeline`` and use it.
        transformers_versions: for the card: which versions of transformers have this task; empty: all, None: none.
        hub_tag: tag of its models on the hub; empty: its name.
        takes_encoder: a model without a head answers too, in a way of its own.
        default_model: name of the installed model that answers where none is named; empty: there is none.
        hub_model: the family's well-known model, which answers where none is named and ``default_model`` is not
            installed; None: there is none.
    """

    name: str
    aliases: tuple[str, ...] = ()
    question: str
    head: str
    inputs: tuple[InputForm, ...]
    parameters_class: type[Any]
    options: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    example: ExampleInput
    labelled: LabelledData | None = None
    metric: Metric | None = None
    metrics_by_problem: Mapping[str, Metric] = field(default_factory=dict)
    model_kind: str = ""
    usage: str = ""
    transformers_versions: str | None = ""
    hub_tag: str = ""
    takes_encoder: bool = False
    default_model: str = ""
    hub_model: HubModel | None = None

    def accepts(self, head: Head) -> bool:
        """Say whether models with this head answer."""
        return head.name == self.head or (self.takes_encoder and not head.name)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, in their order."""
        return tuple(
            Parameter(
                item.name,
                str(item.type),
                item.default,
                self.options.get(item.name, ""),
                self.choices.get(item.name, ()),
            )
            for item in dataclasses.fields(self.parameters_class)
        )

    @property
    def has_label_names(self) -> bool:
        """Whether what its models learn is one of a few labels with names."""
        return self.labelled is not None and self.labelled.has_label_names

    @property
    def has_numbers(self) -> bool:
        """Whether the target of its labelled data is always a number."""
        return self.labelled is not None and self.labelled.has_numbers

    @property
    def has_problem_types(self) -> bool:
        """Whether its models differ in what their labels are: one of several, several at once, or a number."""
        return bool(self.metrics_by_problem)

    def metric_for(self, problem: str = "") -> Metric:
        """Return the metric that compares models of this task.

        Args:
            problem: the model's ``problem_type``; empty where its head has only one.

        Raises:
            ValueError: the task has no labelled data, and so no metric.
        """
        metric = self.metrics_by_problem.get(problem, self.metric)
        if metric is None:
            raise ValueError(f"The task {self.name} has no labelled data, and so no metric.")
        return metric


SENTENCE_ENCODER = HubModel("sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf")
TEXT = InputColumn("text", other_names=("inputs", "args", "sequences", "sequence", "sentence"))
TEXT_COLUMN_NAMES = (
    "text", "sentence", "review", "content", "comment", "tweet", "utterance", "message", "document", "body",
    "headline", "article", "query", "question", "phrase",
)  # fmt: skip
TEXT_PAIR_COLUMN_NAMES = (
    ("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "passage"),
    ("question", "sentence"), ("question1", "question2"), ("text1", "text2"), ("text_a", "text_b"),
    ("sentence_a", "sentence_b"), ("query", "passage"), ("query", "document"), ("claim", "evidence"),
)  # fmt: skip
