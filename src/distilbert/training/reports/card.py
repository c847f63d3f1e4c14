"""The model card: ``README.md`` beside the weights, with the front matter that the hub reads.

It says what ``summary.json`` and ``config.toml`` say, and nothing else.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.errors import DataError, InputError
from ...core.files import write_text
from .figures import comparison, count, duration, encodable, finite, judged, listed, number, result, whole
from .run_record import Record, RunRecord, part, read_summary

MOST_LABELS = 20
KINDS = {
    "fill-mask": "Masked language model",
    "text-classification": "Text classifier",
    "token-classification": "Token classifier",
    "question-answering": "Question answering",
    "multiple-choice": "Multiple choice",
}
CODE = {
    "fill-mask": """fill = pipeline("fill-mask", model="path/to/this/folder")
for answer in fill(f"The capital of France is {fill.tokenizer.mask_token}."):
    print(f"{answer['score']:.3f}  {answer['sequence']}")""",
    "text-classification": """classify = pipeline("text-classification", model="path/to/this/folder")
for text in ["The first text.", "The second text."]:
    print(classify(text))""",
    "token-classification": """tag = pipeline("ner", model="path/to/this/folder", aggregation_strategy="first")
for entity in tag("Ada Lovelace was born in London."):
    print(f"{entity['score']:.3f}  {entity['entity_group']}  {entity['word']}")""",
    "question-answering": """ask = pipeline("question-answering", model="path/to/this/folder")
print(ask(question="Where was Ada Lovelace born?", context="Ada Lovelace was born in London."))""",
    "multiple-choice": """choose = pipeline("multiple-choice", model="path/to/this/folder")
print(choose({"context": "She opened the umbrella because", "choices": ["it rained.", "it was Monday."]}))""",
}
MARK = "# Written by distilbert. Without this line, the next run leaves the file alone."


def write_card(folder: Path, *, base: str, license: str | None = None) -> Path:
    """Write ``README.md`` into the folder of a run, unless somebody else wrote the one that is there.

    Args:
        folder: holds ``summary.json`` and, as a rule, ``config.toml``.
        base: the model that the run started from, or its teacher: a name on the hub, or a folder, of which the card
            tells the last part only; empty for none.
        license: an identifier as the hub lists them, such as ``"mit"`` or ``"apache-2.0"``; None: the card has none.

    Returns:
        The path of the card; a file that is not ours stays as it is.

    Raises:
        DataError: ``summary.json`` is missing, or one of the two files cannot be read.
        InputError: ``license`` is no identifier.
    """
    path = folder / "README.md"
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license.lower()):
        raise InputError(f"license must be an identifier such as 'mit' or 'apache-2.0', got {license!r}.")
    if not path.exists() or is_ours(path):
        config = folder / "config.toml"
        text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
        run = RunRecord(read_summary(folder), text, [], [])
        write_text(path, card(run, base=base, license=license.lower() if license else None))
    return path


def is_ours(path: Path) -> bool:
    """Return whether a card was written by :func:`write_card` and not taken over since."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(4096).splitlines()


def card(run: RunRecord, *, base: str, license: str | None) -> str:
    """Return the card as Markdown."""
    summary = run.summary
    distilled = "teacher" in run.models
    task = str(summary.get("task") or "fill-mask")
    sections = [
        _front_matter(base, license, distilled, task),
        f"# {prose(summary.get('title') or KINDS[task])}",
        _what_it_is(run, base, distilled),
        "## How to use it\n\n" + _uses(task),
        "## How it was trained\n\n" + "\n\n".join(_training(run)),
        "## Held-out figures\n\n" + _figures(run),
        "## Limits\n\n" + _limits(run, distilled),
    ]
    return "\n\n".join(sections) + "\n"


def prose(value: Any) -> str:
    """Return text so that Markdown and HTML show it as it is."""
    text = " ".join(encodable(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


def fenced(text: str, language: str = "") -> str:
    """Return text as a block of code, whatever backticks are in it."""
    text = encodable(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def hub_name(base: str) -> str | None:
    """Return ``base`` if it is a name that the hub could have, not a folder here."""
    named = re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", base)
    return base if named and not Path(base).exists() else None


def _front_matter(base: str, license: str | None, distilled: bool, task: str) -> str:
    # The folder loads in transformers as it is: with this name, the hub shows how, counts downloads and runs it.
    lines = ["---", MARK, "library_name: transformers", f"pipeline_tag: {task}"]
    if license:
        lines.append(f"license: {json.dumps(license)}")
    if hub_name(base):
        lines.append(f"base_model: {json.dumps(base)}")
    tag = "masked-lm" if task == "fill-mask" else task
    tags = ["distilbert", tag, *(["knowledge-distillation"] if distilled else [])]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---"])


def _what_it_is(run: RunRecord, base: str, distilled: bool) -> str:
    name = prose(hub_name(base) or Path(base).name)
    task = str(run.summary.get("task") or "")
    what = f"A DistilBERT {'masked language model' if not task else f'model for {task}'}"
    if distilled and not task:
        kind = f"{what}, distilled from {name or 'a teacher'}."
    elif distilled:
        kind = f"{what}, {'trained from ' + name + ' and ' if name else ''}taught by a larger model for the same task."
    else:
        kind = f"{what}{', trained from ' + name if name else ''}."
    labels = part(run.summary, "data").get("labels")
    if isinstance(labels, list) and labels:
        shown = [f"`{prose(label)}`" for label in labels[:MOST_LABELS]]
        kind += f" It knows {len(labels)} labels: {', '.join(shown)}{', ...' if len(labels) > MOST_LABELS else ''}."
    result_ = result(run.models, where="on the machine that trained it", **judged(run.summary))
    return f"{kind} {prose(result_)}"


def _uses(task: str) -> str:
    if task == "multiple-choice":  # which transformers has no pipeline for
        return _use("distilbert", task)
    text = _use("distilbert", task) + "\n\nThe same with transformers"
    text += " (up to version 4.57):\n\n" if task == "question-answering" else ":\n\n"
    return text + _use("transformers", task)


def _use(library: str, task: str) -> str:
    code = f"""
from {library} import pipeline

{CODE[task]}
"""
    return fenced(code.strip(), "python")


def _training(run: RunRecord) -> Iterator[str]:
    summary, data = run.summary, part(run.summary, "data")
    settings = _settings(run.config)
    amounts = [
        f"{whole(summary['steps'])} steps" if finite(summary.get("steps")) is not None else "",
        f"{count(summary['tokens'])} tokens" if finite(summary.get("tokens")) is not None else "",
        duration(summary["seconds"]) if finite(summary.get("seconds")) is not None else "",
    ]
    if any(amounts):
        best = summary.get("best_step")
        kept = f" The best evaluation was at step {whole(best)}." if finite(best) is not None else ""
        yield f"Training took {listed([amount for amount in amounts if amount])}.{kept}"
    sources = data.get("sources")
    if isinstance(sources, list) and sources:
        held = [
            f"{count(data['tokens'])} tokens" if finite(data.get("tokens")) is not None else "",
            f"{whole(data['sequences'])} sequences" if finite(data.get("sequences")) is not None else "",
            f"{whole(data['sequence_length'])} tokens a sequence"
            if finite(data.get("sequence_length")) is not None
            else "",
        ]
        amount = ", ".join(text for text in held if text)
        if finite(data.get("examples")) is not None:
            amount = f"{whole(data['examples'])} labelled examples"
        kind = "Data" if "examples" in data else "Text"
        yield f"{kind}: {', '.join(map(prose, sources))}{f' ({amount})' if amount else ''}."
    yield from _objective(settings)
    if summary.get("command"):
        yield "Command:\n\n" + fenced(str(summary["command"]), "sh")
    if run.config:
        yield "All settings (`config.toml`):\n\n" + fenced(run.config, "toml")


def _objective(settings: Record) -> Iterator[str]:
    terms = part(settings, "terms")
    if terms:
        weights = listed([f"`{name}` with weight {number(weight)}" for name, weight in terms.items()])
        heat = settings.get("temperature")
        heated = f", at temperature {number(heat)}" if "ce" in terms and finite(heat) is not None else ""
        yield f"Objective: the sum of {weights}{heated}."
    rate, seed = finite(settings.get("learning_rate")), settings.get("seed")
    said = [
        f"peak learning rate {number(rate)}" if rate is not None else "",
        f"{whole(settings['tokens_per_step'])} tokens a step" if "tokens_per_step" in settings else "",
        f"seed {seed}" if isinstance(seed, int) else "",
    ]
    if any(said):
        text = ", ".join(part for part in said if part)
        yield text[0].upper() + text[1:] + "."


def _settings(config: str) -> Record:
    try:
        return tomllib.loads(config)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"config.toml is not valid TOML: {error}") from None


def _figures(run: RunRecord) -> str:
    table = comparison(run.models, str(run.summary.get("task", "")))
    if not table.rows:
        return "Nothing was measured."
    header = [prose(name) for name in table.header]
    lines = [header, ["---", *("---:" for _ in header[1:])], *([prose(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _limits(run: RunRecord, distilled: bool) -> str:
    held_out = part(run.summary, "data").get("held_out_sequences")
    machine = part(run.summary, "machine")
    of = f" on {whole(held_out)} held-out sequences" if finite(held_out) is not None else ""
    data = part(run.summary, "data")
    if data.get("evaluation_examples"):
        of = f" on {whole(data['evaluation_examples'])} labelled examples"
    cpu = f" Speeds are of one machine ({prose(machine['cpu'])})." if machine.get("cpu") else ""
    heritage = " What the teacher gets wrong, its student may have learned." if distilled else ""
    elsewhere = "other data" if "labels" in data else "downstream tasks and on text of other kinds"
    return (
        f"The table above is all that was measured{of}, in one run.{cpu} Not measured: results on {elsewhere}, and "
        f"social biases in what the model predicts.{heritage}"
    )
