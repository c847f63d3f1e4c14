"""The model card: ``README.md`` beside the weights, with the front matter that the hub reads.

It says what ``summary.json`` and ``config.toml`` say, and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ...core.errors import DataError, InputError
from ...core.files import write_text
from ...tasks.registry import task_spec
from ...weights.folder import QUANTIZATION
from .finished_run import FinishedRun, JsonObject, nested, read_config, read_summary
from .models_summary import ModelsTable, headline, metric_name, models_table
from .number_format import count, duration, finite, listed, number, whole
from .rendering import render_markdown

MOST_LABELS = 20
HUB_METRICS = {  # our name of a metric: the hub's
    "accuracy": "accuracy", "f1": "f1", "f1_macro": "f1", "f1_micro": "f1", "matthews": "matthews_correlation",
    "pearson": "pearsonr", "spearman": "spearmanr", "mse": "mse", "precision": "precision", "recall": "recall",
    "exact_match": "exact_match", "perplexity": "perplexity",
}  # fmt: skip
MARK = "# Written by distilbert. Without this line, the next run leaves the file alone."


def write_card(
    folder: Path, *, base: str, license: str | None = None, language: str | Sequence[str] | None = None
) -> Path:
    """Write ``README.md`` into the folder of a run, unless somebody else wrote the one that is there.

    Args:
        folder: holds ``summary.json`` and, as a rule, ``config.toml``.
        base: the model that the run started from, or its teacher: a name on the hub, or a folder, of which the card
            tells only the last part; empty for none.
        license: an identifier as the hub lists them, such as ``"mit"`` or ``"apache-2.0"``; None: the card has none.
        language: ISO 639-1 codes of the languages of the training text, such as ``"en"``; None: the card has none.

    Returns:
        The path of the card; a file that is not ours stays as it is.

    Raises:
        DataError: ``summary.json`` is missing, or one of the two files cannot be read.
        InputError: ``license`` is not an identifier.
        MissingExtraError: jinja2 is not installed.
    """
    path = folder / "README.md"
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license.lower()):
        raise InputError(f"license must be an identifier such as 'mit' or 'apache-2.0', got {license!r}.")
    if not path.exists() or is_ours(path):
        run = FinishedRun(read_summary(folder), read_config(folder), [], [])
        write_text(path, model_card(run, base=base, license=license.lower() if license else None, language=language))
    return path


def is_ours(path: Path) -> bool:
    """Return whether :func:`write_card` wrote a card and nobody has taken it over since."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(4096).splitlines()


def model_card(
    run: FinishedRun, *, base: str, license: str | None = None, language: str | Sequence[str] | None = None
) -> str:
    """Return the card as Markdown; the arguments are those of :func:`write_card`."""
    summary, data = run.summary, nested(run.summary, "data")
    task, distilled = task_spec(run.model_task), "teacher" in run.models
    labels = data.get("labels")
    settings = _settings(run.config)
    return render_markdown(
        "model_card.md.j2",
        mark=MARK,
        front_matter=front_matter(run, base=base, license=license, language=language),
        title=summary.get("title") or task.model_kind,
        task=run.task,
        usage=task.usage,
        transformers_versions=task.transformers_versions,
        base=hub_name(base) or Path(base).name,
        distilled=distilled,
        labels=labels if isinstance(labels, list) else [],
        most_labels=MOST_LABELS,
        headline=headline(run, where="on the machine that trained it"),
        training=_training_text(summary),
        data=_data_text(data),
        objective=_objective_text(settings),
        settings=_settings_text(settings),
        command=run.command,
        config=run.config,
        table=models_table(run.models, run.task),
        evaluated=_evaluated_text(data),
        cpu=nested(summary, "machine").get("cpu"),
        labelled="labels" in data,
    )


def front_matter(
    run: FinishedRun, *, base: str, license: str | None = None, language: str | Sequence[str] | None = None
) -> str:
    """Return what the hub reads of a card, as YAML; the arguments are those of :func:`write_card`."""
    task, distilled = task_spec(run.model_task), "teacher" in run.models
    data = nested(run.summary, "data")
    sources = data.get("sources")
    results = _results(run, data)
    card = ModelCardData(
        # The folder loads in transformers as it is: with this name, the hub shows how, counts downloads and runs it.
        library_name="transformers",
        pipeline_tag=task.name,
        license=license,
        language=language if language is None or isinstance(language, str) else list(language),
        base_model=hub_name(base),
        datasets=[name for source in sources if (name := _hub_data_set(source))] if isinstance(sources, list) else None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        tags=["distilbert", task.hub_tag or task.name, *(["knowledge-distillation"] if distilled else [])],
        model_name=str(run.summary.get("title") or task.model_kind) if results else None,
        eval_results=results or None,
        ignore_metadata_errors=True,
    )
    for name in ("datasets", "metrics"):
        if not getattr(card, name):
            setattr(card, name, None)
    return card.to_yaml()


def _results(run: FinishedRun, data: JsonObject) -> list[EvalResult]:
    """Return the metrics of the model on the data that it was evaluated on."""
    model = run.models.get("student") or run.models.get("model") or {}
    sources = data.get("evaluation_sources")
    if isinstance(sources, list) and sources:
        name = listed([_hub_data_set(source) or Path(str(source)).name for source in sources])
    else:
        name = "held-out text"
    return [
        EvalResult(
            task_type=run.model_task,
            dataset_type=_hub_data_set(name) or re.sub(r"[^\w.-]+", "-", name),
            dataset_name=name,
            metric_type=metric,
            metric_name="Held-out perplexity" if key == "perplexity" and not run.task else metric_name(key, run.task),
            metric_value=round(float(model[key]), 6),
        )
        for key, metric in HUB_METRICS.items()
        if finite(model.get(key)) is not None
    ]


def hub_name(base: str) -> str | None:
    """Return ``base`` if it may be the name of a model on the hub, and is not a folder on this machine."""
    valid = re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", base)
    return base if valid and not Path(base).exists() else None


def _hub_data_set(source: Any) -> str | None:
    """Return the name of a data set on the hub without its configuration; None for a file or a folder."""
    name = str(source).partition(":")[0]
    return hub_name(name) if not Path(name).suffix and " " not in name else None


def _training_text(summary: JsonObject) -> str:
    amounts = [
        f"{whole(summary['steps'])} steps" if finite(summary.get("steps")) is not None else "",
        f"{count(summary['tokens'])} tokens" if finite(summary.get("tokens")) is not None else "",
        duration(summary["seconds"]) if finite(summary.get("seconds")) is not None else "",
    ]
    if not any(amounts):
        return ""
    step = summary.get("best_step")
    best = f" The best evaluation was at step {whole(step)}." if finite(step) is not None else ""
    return f"Training took {listed([amount for amount in amounts if amount])}.{best}"


def _data_text(data: JsonObject) -> dict[str, Any] | None:
    """Return the sources of the training data, what to call them, and how much they hold."""
    sources = data.get("sources")
    if not isinstance(sources, list) or not sources:
        return None
    amounts = [
        f"{count(data['tokens'])} tokens" if finite(data.get("tokens")) is not None else "",
        f"{whole(data['sequences'])} sequences" if finite(data.get("sequences")) is not None else "",
        f"{whole(data['sequence_length'])} tokens a sequence"
        if finite(data.get("sequence_length")) is not None
        else "",
    ]
    amount = ", ".join(text for text in amounts if text)
    if finite(data.get("examples")) is not None:
        amount = f"{whole(data['examples'])} labelled examples"
    return {"kind": "Data" if "examples" in data else "Text", "sources": sources, "amount": amount}


def _objective_text(settings: JsonObject) -> str:
    terms = nested(settings, "terms")
    if not terms:
        return ""
    weights = listed([f"`{name}` with weight {number(weight)}" for name, weight in terms.items()])
    value = settings.get("temperature")
    temperature = f", at temperature {number(value)}" if "ce" in terms and finite(value) is not None else ""
    return f"Objective: the sum of {weights}{temperature}."


def _settings_text(settings: JsonObject) -> str:
    rate, seed = finite(settings.get("learning_rate")), settings.get("seed")
    clauses = [
        f"peak learning rate {number(rate)}" if rate is not None else "",
        f"{whole(settings['tokens_per_step'])} tokens a step" if "tokens_per_step" in settings else "",
        f"seed {seed}" if isinstance(seed, int) else "",
    ]
    text = ", ".join(clause for clause in clauses if clause)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _settings(config: str) -> JsonObject:
    try:
        return tomllib.loads(config)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"config.toml is not valid TOML: {error}") from None


def _evaluated_text(data: JsonObject) -> str:
    if data.get("evaluation_examples"):
        return f" on {whole(data['evaluation_examples'])} labelled examples"
    sequences = data.get("held_out_sequences")
    return f" on {whole(sequences)} held-out sequences" if finite(sequences) is not None else ""


def quantization_section(measured: Mapping[str, Any]) -> str:
    """Return what a card says about int8, as Markdown.

    Args:
        measured: what :func:`distilbert.quantize` measured.
    """
    table = ModelsTable(
        [metric_name(measured["metric"], measured["task"]), "points"],
        [
            ["fp32", f"{measured['fp32']:.2f}"],
            ["int8", f"{measured['int8']:.2f}"],
            ["drop", f"{measured['drop']:.2f} (allowed: {measured['max_drop']:g})"],
        ],
    )
    return render_markdown("quantization_section.md.j2", table=table, file=QUANTIZATION, **measured)


def shrink_section(measured: Mapping[str, Any]) -> str:
    """Return what a card says about shrinking, as Markdown.

    Args:
        measured: what :func:`distilbert.shrink` measured.
    """
    speeds = measured["examples_per_second"]
    table = ModelsTable(
        ["", "before", "after"],
        [
            [
                metric_name(measured["metric"], measured["task"]),
                f"{measured['before']:.2f}",
                f"{measured['after']:.2f}",
            ],
            ["examples a second", f"{speeds['before']:,.0f}", f"{speeds['after']:,.0f}"],
            ["parameters", f"{measured['parameters_before']:,}", f"{measured['parameters']:,}"],
        ],
    )
    return render_markdown("shrink_section.md.j2", table=table, **measured)
