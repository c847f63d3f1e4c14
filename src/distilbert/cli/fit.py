"""``distilbert fit``: a classifier of texts in seconds, from labelled examples."""

from __future__ import annotations

from ..core.counted import counted
from ..core.progress_bar import ProgressBar
from ..training.fit_config import FitConfig
from .config_options import CONFIG_FILE, with_config_options
from .failures import OK

EXAMPLE = "distilbert fit --data intents.csv --output models/intents"


@with_config_options(FitConfig, CONFIG_FILE | {"json": (False, "Print the JSON of what was measured, not a table.")})
def command(config: FitConfig, json: bool) -> int:
    """Fit a linear classifier to vectors of a model that stays as it is; seconds, and often all that is needed."""
    from ..core.extras import require

    require("sklearn", "evaluate")
    from ..training.fitting.fitter import fit

    with ProgressBar("loading ...") as bar:
        result = fit(config, on_progress=bar.update)
    if json:
        from dataclasses import asdict
        from json import dumps

        values = asdict(result) | {"folder": str(result.folder), "advice": result.advice()}
        print(dumps(values, indent=2, ensure_ascii=False))
        return OK
    learned, held_out = result.examples
    if result.metrics:
        print(f"{result.main_metric} on {counted(held_out, 'example that was', 'examples that were')} held out:")
        for name, value in result.table():
            print(f"  {value:.4g}  {name}")
    counts = f"{counted(learned, 'example')}, {counted(len(result.labels), 'label')}"
    print(f"{result.folder}: {counts}, {result.seconds:.1f} s")
    print(result.advice())
    return OK
