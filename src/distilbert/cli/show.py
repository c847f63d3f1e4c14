"""Views for people: what a terminal shows instead of JSON. Text from files is shown without its control characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .sinks import Answered

LONGEST = 300
BARS = 20


def clean(text: str, longest: int = LONGEST) -> str:
    """Return text on one line, without characters that would steer the terminal, and cut if it is long."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else " " for c in text)


class TerminalSink:
    """Prints each answer below its input.

    Args:
        task: the name of the task, or ``"ranking"``.
        console: where to print; standard output unless given.
    """

    def __init__(self, task: str, console: Console | None = None) -> None:
        self._task = task
        self._console = console or Console(highlight=False, markup=False, emoji=False)

    def write(self, answered: list[Answered], refused: list[int]) -> None:
        """Print a window."""
        if self._task == "ranking":
            self._console.print(ranking([(one.answer["score"], one.answer["sentence"]) for one in answered]))
            return
        for one in answered:
            self._print(one)

    def _print(self, one: Answered) -> None:
        item, answer = one.item, one.answer
        if self._task == "sentence-similarity" and isinstance(item, Mapping) and "sentences" in item:
            self._console.print(Text(clean(item["source_sentence"]), style="bold"))
            self._console.print(ranking(sorted(zip(answer, item["sentences"], strict=True), reverse=True)))
            return
        self._console.print(Text(clean(headline(item)), style="dim"))
        view: Callable[[Any], Iterator[str]] = VIEWS.get(self._task, plain)
        for line in view(answer):
            self._console.print(Text("  " + clean(line)))


def ranking(scored: Sequence[tuple[float, str]]) -> Table:
    """A table of sentences with their scores, in the order given."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("sentence", overflow="fold")
    for score, sentence in scored:
        table.add_row(f"{score:.4f}", Text(clean(sentence)))
    return table


def headline(item: Any) -> str:
    """The input in one line."""
    if isinstance(item, Mapping):
        return "  |  ".join(str(value) for value in item.values())
    return str(item)


def labels(answer: Any) -> Iterator[str]:
    """Labels with scores and bars: of text classification and zero-shot classification."""
    if isinstance(answer, Mapping) and "labels" in answer:
        answer = [{"label": x, "score": y} for x, y in zip(answer["labels"], answer["scores"], strict=True)]
    answers = [answer] if isinstance(answer, Mapping) else answer
    width = max((len(str(one["label"])) for one in answers), default=0)
    for one in answers:
        bar = "█" * round(BARS * one["score"]) if 0 <= one["score"] <= 1 else ""
        yield f"{one['label']:<{width}}  {one['score']:.4f}  {bar}".rstrip()


def entities(answer: Any) -> Iterator[str]:
    """Entities with their places."""
    if not answer:
        yield "(none)"
    for one in answer:
        label = one.get("entity_group") or one.get("entity")
        yield f"{label:<8}  {one['score']:.4f}  {one['start']}-{one['end']}  {one['word']}"


def spans(answer: Any) -> Iterator[str]:
    """Answers to a question."""
    for one in [answer] if isinstance(answer, Mapping) else answer:
        yield f"{one['score']:.4f}  {one['answer'] or '(no answer)'}"


def fills(answer: Any) -> Iterator[str]:
    """Words for a mask; of several masks, one block each."""
    for one in answer:
        if isinstance(one, list):
            yield from fills(one)
        else:
            yield f"{one['score']:.4f}  {one.get('token_str', '')}  {one['sequence']}"


def choices(answer: Any) -> Iterator[str]:
    """The choice that was made."""
    yield f"{answer['index']}  {answer['scores'][answer['index']]:.4f}  {answer['answer']}"


def vectors(answer: Any) -> Iterator[str]:
    """The size of what was computed, and its first numbers."""
    sizes, inner = [], answer
    while isinstance(inner, list) and inner:
        sizes.append(len(inner))
        first, inner = inner, inner[0]
    numbers = ", ".join(f"{x:.4f}" for x in first[:6]) if sizes else ""
    yield f"{' x '.join(map(str, sizes))} numbers: {numbers}, ..."


def plain(answer: Any) -> Iterator[str]:
    """Anything else."""
    yield f"{answer:.4f}" if isinstance(answer, float) else str(answer)


VIEWS: dict[str, Callable[[Any], Iterator[str]]] = {
    "text-classification": labels,
    "zero-shot-classification": labels,
    "token-classification": entities,
    "question-answering": spans,
    "fill-mask": fills,
    "multiple-choice": choices,
    "feature-extraction": vectors,
}
