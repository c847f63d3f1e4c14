"""``Task``: from texts to answers. The input decides the shape of the result, and order is always kept."""

from __future__ import annotations

import importlib.util
import os
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from ..core.companions import copy_companions, remove_companions, sentence_files
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.runner_protocol import AsynchronousRunner, Runner
from ..core.schema import HEADS
from ..models.frameworks import FRAMEWORKS
from .answer_columns import column_names, columns_of_arguments, example_input, to_columns, to_rows, with_columns
from .batching import EncodedInput, Outputs, default_batch_tokens, run_encoded
from .checks import check_choice, check_count
from .columns import Column, to_inputs
from .failed_inputs import ON_ERROR, FailedInputs, counted_if
from .foreign_tokenizers import to_task_tokenizer
from .pipeline_arguments import task_parameters
from .pipeline_base import Pipeline, is_single, iterate, read_chunk, sized
from .pipeline_steps import PipelineSteps
from .runner_options import RunnerOptions, runner_of
from .sentence_modules import SentenceModules, read_sentence_modules
from .task_spec import TaskSpec
from .task_tokenizer import TaskTokenizer

LEAST_TOKENS = 5  # a question and its context, with three special tokens
ParamsT = TypeVar("ParamsT")


class ParsedInput(NamedTuple):
    """An input that was checked.

    Attributes:
        place: what messages call it.
        item: what :meth:`Task.parse` returned; None where it has no answer.
    """

    place: str
    item: Any


class Task(PipelineSteps, Pipeline, Generic[ParamsT]):
    """A model, its tokenizer and default parameters, ready to answer.

    A concrete task has a ``spec`` and three methods: :meth:`parse` checks one input, :meth:`encode` turns inputs into
    sequences of ids, :meth:`decode` turns arrays into one answer.

    Args:
        model: a model of one of the frameworks, any PyTorch module that computes one (of transformers, with adapters of
            PEFT, compiled, quantized), or a :class:`~distilbert.core.runner_protocol.Runner`.
        tokenizer: turns texts into ids and ids into texts; one of this package or of transformers.
        feature_extractor: no effect: it is for sound and images, and known from transformers. So are
            ``image_processor``, ``processor`` and ``modelcard``.
        image_processor: no effect.
        processor: no effect.
        modelcard: no effect.
        framework: no effect: the model decides it.
        task: name of the task, or nothing.
        device: where to run; None: where the model is.
        binary_output: no effect: answers are plain Python.
        runner: see :func:`~distilbert.pipeline`; so are ``precision`` and ``threads``.
        precision: see ``runner``.
        threads: see ``runner``.
        batch_tokens: most tokens of a batch, counted as sequences x longest sequence; None: what suits the device.
        batch_size: most sequences in a batch, and most inputs that are read of an iterator at a time; None: only
            ``batch_tokens`` counts.
        on_error: what an input that cannot be answered does, such as an empty text: ``"raise"`` stops with its error,
            ``"null"`` gives None in its place; the number of these is logged at the end.
        **params: default parameters of the task.

    Attributes:
        runner: computes the model's outputs.
        model: the model behind the runner; the runner itself where there is none.
        tokenizer: as given, or as a tokenizer of this package.

    Raises:
        InputError: the model has another head than this task needs, or a parameter cannot work.
        UnknownArgumentError: a parameter that the task does not have.
    """

    spec: ClassVar[TaskSpec]
    chunk_size: ClassVar[int] = 1024  # inputs that are tokenized and answered together
    first_chunk_size: ClassVar[int] = 64  # of a list: small, so that an asynchronous runner begins early

    # The value of the parameter ``pooling`` that stands for what the model's folder says; tasks without one have none.
    pooling_of_folder: ClassVar[str | None] = ""

    model_folder: Path | None = None  # that the model was read from

    @cached_property
    def sentence_modules(self) -> SentenceModules | None:
        """What the model's folder says about vectors; None if it is not of sentence-transformers.

        Raises:
            InputError: it asks for something that is not known here.
        """
        return None if self.model_folder is None else read_sentence_modules(self.model_folder)

    @property
    def compares_vectors(self) -> bool:
        """Whether the model has no head, so that a task made for a head compares the vectors of texts instead."""
        return self.spec.takes_encoder and not self.runner.head.name

    def modules_in_use(self, params: ParamsT) -> SentenceModules | None:
        """Return :attr:`sentence_modules` if the parameters leave pooling to the model's folder, else None."""
        pooling = getattr(params, "pooling", "no parameter")
        return self.sentence_modules if pooling == self.pooling_of_folder else None

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        feature_extractor: Any = None,
        image_processor: Any = None,
        processor: Any = None,
        modelcard: Any = None,
        framework: str | None = None,
        task: str = "",
        device: Any = None,
        binary_output: bool = False,
        *,
        runner: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        on_error: str = "raise",
        **params: Any,
    ) -> None:
        if task not in ("", None, self.spec.name, *self.spec.aliases):
            raise InputError(f"{type(self).__name__} answers {self.task!r}; task={task!r} is another.")
        if tokenizer is None:
            raise InputError("A loaded model does not know its tokenizer: pass tokenizer=.")
        options = RunnerOptions(runner, precision, threads, FRAMEWORKS["pt"])
        self.runner: Runner = runner_of(model, options, self.spec.head, device)
        if not self.spec.accepts(self.runner.head):
            raise InputError(
                f"The task {self.task!r} needs a {HEADS[self.spec.head].architecture}, "
                f"this model is a {self.runner.head.architecture}."
            )
        self.tokenizer: TaskTokenizer = to_task_tokenizer(tokenizer)
        self._check_lengths()
        self.feature_extractor, self.image_processor = feature_extractor, image_processor
        self.processor, self.modelcard, self.binary_output = processor, modelcard, binary_output
        check_count(batch_tokens, "batch_tokens", optional=True)
        check_count(batch_size, "batch_size", optional=True)
        self.batch_tokens = batch_tokens or default_batch_tokens(self.runner)
        self.batch_size = batch_size
        check_choice(on_error, ON_ERROR, "on_error")
        self.on_error = on_error
        self.params: ParamsT = self.spec.parameters_class(**self._own_parameters(params))
        self.check(self.params)

    def __call__(
        self,
        inputs: Any,
        *,
        column: Column | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        on_error: str | None = None,
        **params: Any,
    ) -> Any:
        """Answer.

        Args:
            inputs: one input gives one answer. A list gives a list, and so does a column: a Series, an array, a
                ``Column`` of a dataset, a ``datasets.Dataset``. An iterator, or another iterable, gives a lazy
                iterator; it reads 1, 2, 4, ... inputs at a time, up to ``chunk_size``, or up to ``batch_size`` where
                there is one: 1 for a source that waits for an answer before it gives its next input. Where it raises
                an error, or an input is wrong, the inputs before it are answered first.
            column: ``inputs`` is a table, and this is the name of the column to read, or a list of names for one dict a
                row; a dict gives them by argument, such as ``{"question": "q", "context": "passage"}``.
            batch_tokens: replaces the task's own for this call.
            batch_size: replaces the task's own for this call.
            on_error: replaces the task's own for this call.
            **params: parameters of the task that replace the defaults for this call.

        Raises:
            InputError: an input or a parameter cannot be used; the message names it.
            UnknownArgumentError: a parameter that the task does not have.
        """
        inputs = to_inputs(inputs, column)
        check_choice(on_error or "raise", ON_ERROR, "on_error")
        failures = FailedInputs(self.task) if (on_error or self.on_error) == "null" else None
        if self._replaces_steps():
            return self._call_in_steps(inputs, params, failures)
        params = self._own_parameters(params)
        check_count(batch_tokens, "batch_tokens", optional=True)
        check_count(batch_size, "batch_size", optional=True)
        merged: ParamsT = replace(self.params, **params)  # type: ignore[type-var]
        self._check_lengths()
        self.check(merged)
        budget = (batch_tokens or self.batch_tokens, batch_size or self.batch_size)
        if isinstance(inputs, list):
            queues = isinstance(self.runner, AsynchronousRunner)
            first = self.first_chunk_size if queues else self.chunk_size
            return list(self._answers(inputs, merged, budget, failures, (first, self.chunk_size), ahead=int(queues)))
        if is_single(inputs):
            parsed = self._parse(inputs, "The input", merged, failures)
            (answer,) = self._start_chunk([parsed], merged, budget, failures, retry=failures is not None)
            if failures is not None:
                failures.report()
            return None if failures is not None and failures.count else self.single_answer(inputs, answer, params)
        largest = min(self.chunk_size, budget[1] or self.chunk_size)
        return sized(self._answers(iterate(inputs), merged, budget, failures, (1, largest)), inputs)

    def frame(self, table: Any, column: Column | None = None, **options: Any) -> Any:
        """Answer the rows of a table, and return the table with the answers as further columns.

        The columns have the names that ``distilbert run --keep-input`` gives: the keys of an answer, such as ``label``
        and ``score``; ``score`` for a number; ``result`` for a list. A name that the table has already gets the prefix
        ``result_``.

        Args:
            table: a DataFrame of pandas or polars, an Arrow table, a ``datasets.Dataset``, rows as a list of dicts, or
                a dict of columns.
            column: as in a call; None: the columns that have the names of the task's arguments, such as ``text``.
            **options: as in a call: parameters of the task, ``on_error``, ``batch_tokens``, ``batch_size``. With
                ``on_error="null"`` a row without an answer has missing values in these columns.

        Returns:
            A new table of the same kind, with the same rows in the same order. The index of pandas is kept. In the
            other libraries a column has one type: where fill-mask fills one mask here and several there, the answer to
            one is a list of one list.

        Raises:
            InputError: as in a call, or ``table`` is not a table.
        """
        if isinstance(table, list) and not table:
            return self([], **options)
        names = column_names(table)
        if column is None:
            column = columns_of_arguments(names, self.spec.inputs)
        answers = self(to_rows(table, column, self.spec.inputs), **options)
        example: Any = None
        if all(answer is None for answer in answers):
            example = self([example_input(self.spec, column)], **{**self.spec.example.parameters, **options})[0]
        return with_columns(table, to_columns(answers, example, names))

    def single_answer(self, inputs: Any, answer: Any, params: Mapping[str, Any]) -> Any:
        """Return what a call with one input gives; ``params`` are those of the call."""
        return answer

    def _call_in_steps(self, inputs: Any, params: Mapping[str, Any], failures: FailedInputs | None) -> Any:
        """Answer one input at a time, in the steps of a class of a user's own."""

        def answer_each(items: Iterable[Any]) -> Iterator[Any]:
            for index, item in enumerate(items):
                if failures is None:
                    yield self._answer_in_steps(item, params)
                    continue
                answer = None
                with failures.counted(f"inputs[{index}]"):
                    answer = self._answer_in_steps(item, params)
                yield answer
            if failures is not None:
                failures.report()

        if is_single(inputs):
            (answer,) = answer_each([inputs])
            failed = failures is not None and failures.count
            return None if failed else self.single_answer(inputs, answer, params)
        answers = answer_each(iterate(inputs))
        return list(answers) if isinstance(inputs, list) else sized(answers, inputs)

    def _answers(
        self,
        inputs: Iterable[Any],
        params: ParamsT,
        budget: tuple[int, int | None],
        failures: FailedInputs | None,
        sizes: tuple[int, int],
        ahead: int = 0,
    ) -> Iterator[Any]:
        """Answer as many inputs at a time as the first of ``sizes`` says, then twice as many, up to the second.

        The next ``ahead`` chunks are started before the answers of a chunk are waited for. An error in a list is raised
        at once, since its answers come together. Before one in anything else, the inputs before it are answered.
        """
        size, largest = sizes
        raise_at_once = failures is None and isinstance(inputs, list)
        parsed = (self._parse(item, f"inputs[{index}]", params, failures) for index, item in enumerate(inputs))
        started: deque[Iterator[Any]] = deque()
        error: Exception | None = None
        while error is None:
            chunk, error = read_chunk(parsed, size)
            if error is not None and raise_at_once:
                raise error
            if not chunk:
                break
            started.append(self._start_chunk(chunk, params, budget, failures, retry=not raise_at_once))
            if len(started) > ahead:
                yield from started.popleft()
            size = min(2 * size, largest)
        for answers in started:
            yield from answers
        if failures is not None:
            failures.report()
        if error is not None:
            raise error

    def _parse(self, item: Any, place: str, params: ParamsT, failures: FailedInputs | None) -> ParsedInput:
        """Check an input; with ``failures``, one that cannot be answered is counted."""
        parsed = None
        with counted_if(failures, place):
            parsed = self.parse(item, place, params)
        return ParsedInput(place, parsed)

    def _start_chunk(
        self,
        chunk: list[ParsedInput],
        params: ParamsT,
        budget: tuple[int, int | None],
        failures: FailedInputs | None,
        retry: bool,
    ) -> Iterator[Any]:
        """Start to answer inputs; the returned iterator gives the answers, None for an input without one.

        With ``retry``, whatever stops the whole chunk, such as a text that the tokenizer or the model refuses, has the
        chunk answered again, one input at a time.
        """
        items = [each.item for each in chunk if each.item is not None]
        finish: Callable[[], list[Any]] | None = None
        try:
            finish = self.start(items, params, budget) if items else list
        except InputError:
            if not retry:
                raise

        def answers() -> Iterator[Any]:
            results: Iterator[Any] | None = None
            try:
                results = None if finish is None else iter(finish())
            except InputError:
                if not retry:
                    raise
            for place, item in chunk:
                answer = None
                if item is not None and results is not None:
                    answer = next(results)
                elif item is not None:
                    with counted_if(failures, place):
                        answer = self.answer([item], params, budget)[0]
                yield answer

        return answers()

    def answer(self, items: list[Any], params: ParamsT, budget: tuple[int, int | None]) -> list[Any]:
        """Answer checked inputs, in order; ``budget`` is batch_tokens and batch_size."""
        return self.start(items, params, budget)()

    def start(self, items: list[Any], params: ParamsT, budget: tuple[int, int | None]) -> Callable[[], list[Any]]:
        """Encode checked inputs and hand the first batches to the runner; the returned function gives the answers."""
        encoded = self.encode(items, params)
        finished = run_encoded(encoded, self.runner, *budget)

        def finish() -> list[Any]:
            answers: list[Any] = [None] * len(encoded)
            for index, outputs in finished:
                answers[index] = self.decode(encoded[index], outputs, params)
            return answers

        return finish

    def check(self, params: ParamsT) -> None:
        """Check that the parameters fit this model; their own class checks whether the values exist."""

    @abstractmethod
    def parse(self, item: Any, where: str, params: ParamsT) -> Any:
        """Check one input and return it in the form that :meth:`encode` takes; ``where`` names it in messages."""

    @abstractmethod
    def encode(self, items: list[Any], params: ParamsT) -> list[EncodedInput]:
        """Turn checked inputs into sequences of ids."""

    @abstractmethod
    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: ParamsT) -> Any:
        """Turn the outputs of one input, one dict per sequence, into its JSON-ready answer."""

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], safe_serialization: bool = True, **options: Any
    ) -> None:
        """Write model and tokenizer into a folder that :func:`~distilbert.pipeline` loads.

        The modules of sentence-transformers of the folder that the model was read from come along. Those of another
        model that is in ``save_directory`` are removed.

        Args:
            save_directory: the folder; it is created if needed.
            safe_serialization: False writes ``pytorch_model.bin`` instead of safetensors, of a PyTorch model.
            **options: further arguments of the model's ``save_pretrained``.

        Raises:
            InputError: there is no model that could be saved, as behind an exported folder.
        """
        if not hasattr(self.model, "save_pretrained"):
            raise InputError(
                f"A {type(self.runner).__name__} has no model to save. Copy the folder that it runs, or save the model "
                "that it was exported from."
            )
        folder = Path(save_directory)
        modules = {} if self.model_folder is None else sentence_files(self.model_folder)
        earlier = sentence_files(folder)
        super().save_pretrained(save_directory, safe_serialization, **options)
        copy_companions(modules, folder)
        remove_companions(folder, earlier.keys() - modules.keys())
        quantization = getattr(self.runner, "quantization", None)
        if quantization is not None:
            quantization.save(folder)

    @property
    def model(self) -> Any:
        """The model, or the runner where there is none behind it.

        Where the engine has read a folder by itself, this loads the model in PyTorch. Changes that are made to it count
        from then on.
        """
        behind = getattr(self.runner, "model", None)
        return self.runner if behind is None else behind

    @property
    def framework(self) -> str:
        """``"pt"``, ``"tf"`` or ``"flax"``; ``"np"`` of a runner without a framework."""
        if not getattr(self.runner, "is_loaded", True):
            return "pt"
        return super().framework

    @property
    def device(self) -> Any:
        """Where the model runs: a device of its framework, or ``"cpu"`` without one; None if that is not known."""
        device = getattr(self.runner, "device", None)
        if device == "cpu" and importlib.util.find_spec("torch") is not None:
            return FRAMEWORKS["pt"].module("device").pick_device("cpu")
        return device

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.spec.name

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.runner.config

    @property
    def max_tokens(self) -> int:
        """Longest sequence that the model takes, in tokens."""
        return self.config.max_position_embeddings

    def _check_lengths(self) -> None:
        """Check that a text or a pair of texts has room beside the special tokens."""
        for name, length in (
            ("The model's max_position_embeddings", self.max_tokens),
            ("The tokenizer's model_max_length", self.tokenizer.model_max_length),
        ):
            if length < LEAST_TOKENS:
                raise InputError(
                    f"{name} is {length}; {self.task} needs at least {LEAST_TOKENS} tokens, because [CLS] and [SEP] "
                    "take up to three."
                )

    def _own_parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the task among the arguments of a call."""
        defaults = {field.name: field.default for field in fields(self.spec.parameters_class)}
        return task_parameters(given, defaults, f"The task {self.task!r}")
