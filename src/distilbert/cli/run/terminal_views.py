"""What a terminal shows instead of JSON: a view of each task's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...data.row_answers import AnsweredRow
from ..text_output import clean, plain_console

BAR_WIDTH = 20  # of a score of 1, in characters


class TerminalWriter:
    """Prints each answer below its input.

    Args:
        task: the name of the task.
        console: where to print; default: standard output.
    """

    def __init__(self, task: str, console: Console | None = None) -> None:
        self._task = task
        self._console = console or plain_console()

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Print a window."""
        for row in answered:
            self._print(row.item, row.answer)

    def _print(self, item: Any, answer: Any) -> None:
        if answer is not None and isinstance(item, Mapping) and "sentences" in item:  # one sentence against several
            self._console.print(Text(clean(item["source_sentence"]), style="bold"))
            self._console.print(score_table(sorted(zip(answer, item["sentences"], strict=True), reverse=True)))
            return
        self._console.print(Text(clean(headline(item)), style="dim"))
        if answer is None:
            self._console.print("  (no answer)")
            return
        for line in VIEWS[self._task](answer):
            self._console.print(Text("  " + clean(line)))


class RankingWriter:
    """Prints ranked sentences as a table of scores."""

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Print a ranking."""
        plain_console().print(score_table([(row.answer["score"], row.answer["sentence"]) for row in answered]))


def score_table(scored: Sequence[tuple[float, str]]) -> Table:
    """Return a table of sentences with their scores, in the order given."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("sentence", overflow="fold")
    for score, sentence in scored:
        table.add_row(f"{score:.4f}", Text(clean(sentence)))
    return table


def headline(item: Any) -> str:
    """Return the input in one line; a row that gives no input is an empty one."""
    if item is None:
        return ""
    if isinstance(item, Mapping):
        return "  |  ".join(str(value) for value in item.values())
    return str(item)


def labels(answer: Any) -> Iterator[str]:
    """Yield labels with scores and bars: of text classification and zero-shot classification."""
    if isinstance(answer, Mapping) and "labels" in answer:
        answer = [{"label": x, "score": y} for x, y in zip(answer["labels"], answer["scores"], strict=True)]
    answers = [answer] if isinstance(answer, Mapping) else answer
    width = max((len(str(scored["label"])) for scored in answers), default=0)
    for scored in answers:
        bar = "█" * round(BAR_WIDTH * scored["score"]) if 0 <= scored["score"] <= 1 else ""
        yield f"{scored['label']:<{width}}  {scored['score']:.4f}  {bar}".rstrip()


def entities(answer: Any) -> Iterator[str]:
    """Yield entities with their places."""
    if not answer:
        yield "(none)"
    for entity in answer:
        label = entity.get("entity_group") or entity.get("entity")
        yield f"{label:<8}  {entity['score']:.4f}  {entity['start']}-{entity['end']}  {entity['word']}"


def spans(answer: Any) -> Iterator[str]:
    """Yield answers to a question."""
    for span in [answer] if isinstance(answer, Mapping) else answer:
        yield f"{span['score']:.4f}  {span['answer'] or '(no answer)'}"


def fills(answer: Any) -> Iterator[str]:
    """Yield words for a mask; for several masks, the words of one after the other."""
    for fill in answer:
        if isinstance(fill, list):
            yield from fills(fill)
        else:
            yield f"{fill['score']:.4f}  {fill.get('token_str', '')}  {fill['sequence']}"


def choices(answer: Any) -> Iterator[str]:
    """Yield the choice that the model took."""
    yield f"{answer['index']}  {answer['scores'][answer['index']]:.4f}  {answer['answer']}"


def vectors(answer: Any) -> Iterator[str]:
    """Yield the shape of the vectors, and their first numbers."""
    sizes, inner = [], answer
    while isinstance(inner, list) and inner:
        sizes.append(len(inner))
        first, inner = inner, inner[0]
    numbers = ", ".join(f"{x:.4f}" for x in first[:6]) if sizes else ""
    yield f"{' x '.join(map(str, sizes))} numbers: {numbers}, ..."


def similarity(answer: Any) -> Iterator[str]:
    """Yield the similarity of two sentences; those of one with several others are a table."""
    yield f"{answer:.4f}" if isinstance(answer, float) else str(answer)


VIEWS: dict[str, Callable[[Any], Iterator[str]]] = {
    "text-classification": labels,
    "zero-shot-classification": labels,
    "token-classification": entities,
    "question-answering": spans,
    "fill-mask": fills,
    "multiple-choice": choices,
    "feature-extraction": vectors,
    "sentence-similarity": similarity,
}
