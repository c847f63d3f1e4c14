"""``distilbert quantize``: makes a model that runs in int8 and loses no more than is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import GateError, UsageError
from .config_options import parse_pairs
from .failures import OK, warn

if TYPE_CHECKING:
    from ..engine.quantization_search import ScoredSetting

EXAMPLE = r"""
distilbert quantize models/sentiment --calibration texts.csv --metric-data dev.csv \
  --max-drop 0.5 --output models/sentiment-int8
"""


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A fine-tuned model: a folder, or a name.", show_default=False)
    ],
    calibration: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Texts such as the model will see, labelled or not; the first 512 are used.",
            show_default=False,
        ),
    ],
    metric_data: Annotated[
        str,
        typer.Option(metavar="FILE", help="Labelled examples to measure the drop on, at least 50.", show_default=False),
    ],
    output: Annotated[str, typer.Option(metavar="FOLDER", help="Folder to write.", show_default=False)],
    max_drop: Annotated[float, typer.Option(help="Points of the metric that it may lose against fp32.")] = 0.5,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task. Default: what the model was made for; of an encoder sentence-similarity.", show_default=False
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Columns of both files, where they have other names: text=sentence,label=class.")
    ] = "",
    delimiter: Annotated[
        str, typer.Option(help="Separator of columns. Default: the one that the file's format or its header shows.")
    ] = "",
    encoding: Annotated[
        str, typer.Option(help="Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    ] = "",
    threads: Annotated[int | None, typer.Option(help="Threads.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a quantized model in FOLDER.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON of what was measured, not a table.")] = False,
) -> int:
    """Quantize a model: int8 where it costs little, bf16 or fp32 elsewhere, measured on your data.

    The folder loads like any other, and then runs in int8. If int8 costs more than is allowed, whatever stays in
    floats, nothing is written.
    """
    if not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop {max_drop:g}: points of the metric, from 0 to 100, are expected.")
    columns_by_role = parse_pairs("columns", columns) or None
    from ..core.extras import require

    for module in ("sklearn", "seqeval"):
        require(module, "evaluate")
    from ..core.progress_bar import ProgressBar
    from ..training.evaluation.quantizer import quantize

    try:
        with ProgressBar("loading ...") as bar:
            result = quantize(
                model,
                calibration=calibration,
                metric_data=metric_data,
                output=output,
                max_drop=max_drop,
                task=task,
                columns=columns_by_role,
                delimiter=delimiter,
                encoding=encoding,
                threads=threads,
                overwrite=overwrite,
                on_progress=bar.update,
            )
    except GateError as error:
        if not json:
            _print_trials(error.fp32_score, error.settings)
        raise
    if json:
        from json import dumps

        trail = [setting.to_dict() for setting in result.settings]
        values = {"folder": str(result.folder), "files": result.files, **result.measured, "trail": trail}
        print(dumps(values, indent=2, ensure_ascii=False))
        return OK
    _print_data(result.measured)
    _print_trials(result.measured["fp32"], result.settings)
    print(f"written to {result.folder}: {', '.join(result.files)}")
    return OK


def _print_data(measured: dict[str, Any]) -> None:
    """Print what was measured, on what, and which products stay in floats."""
    data, calibration, changed = measured["data"], measured["calibration"], measured["changed"]
    answers = f"; {changed['answers']:,} of {changed['of']:,} answers change" if changed else ""
    print(f"{measured['metric']} on {data['examples']:,} examples of {data['name']}{answers}")
    print(f"calibrated on {calibration['texts']:,} texts ({calibration['tokens']:,} tokens) of {calibration['name']}")
    if measured["floats"]:
        print(f"left in {measured['beside']}: {', '.join(measured['floats'])}")
    if (points_each := 100 / data["examples"]) > measured["max_drop"] > 0:
        worth = f"one of {data['examples']} examples is worth {points_each:.2f} points"
        warn(f"{worth}; more would measure a small drop better")


def _print_trials(full: float, trail: tuple[ScoredSetting, ...]) -> None:
    """Print a row for each choice of products in int8 that was tried."""
    products = trail[0].int8_products + len(trail[0].float_products)
    rows = [("setting", "products in int8", "score", "drop"), ("fp32", f"0 of {products}", f"{full:.2f}", "")]
    for trial in trail:
        name = f"without the {len(trial.float_products)} worst" if trial.float_products else "int8"
        rows.append((name, f"{trial.int8_products} of {products}", f"{trial.score:.2f}", f"{trial.drop:+.2f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        columns = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *columns]).rstrip())
