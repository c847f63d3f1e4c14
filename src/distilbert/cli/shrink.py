"""``distilbert shrink``: makes a fine-tuned model faster by a stated factor, and measures what that costs."""

from __future__ import annotations

from typing import Any

from ..training.shrink_config import ShrinkConfig
from .config_options import CONFIG_FILE, with_config_options
from .failures import OK

EXAMPLE = r"""
distilbert shrink models/sentiment --data train.csv --metric-data dev.csv \
  --target-speedup 3 --max-drop 1 --output models/sentiment-small
"""
OPTIONS = CONFIG_FILE | {
    "resume": (False, "Go on with the run in OUTPUT, with its settings; judge a finished one anew."),
    "overwrite": (False, "Start anew in a folder that holds a run."),
    "json": (False, "Print the JSON of what was measured, not a table."),
}


@with_config_options(ShrinkConfig, OPTIONS, argument="model")
def command(config: ShrinkConfig, resume: bool, overwrite: bool, json: bool) -> int:
    """Shrink a fine-tuned model: fewer layers and columns, as fast as you ask for; measure what it loses.

    What is left learns from the model's answers. If it loses more than is allowed, no model is written.
    """
    import sys

    from ..core.extras import require

    for module in ("sklearn", "seqeval"):
        require(module, "evaluate")
    from ..training.shrinking.shrinker import shrink

    result = shrink(
        config, resume=resume, overwrite=overwrite, on_progress=lambda line: print(line, file=sys.stderr, flush=True)
    )
    if json:
        from json import dumps

        print(dumps(result.measured | {"folder": str(result.folder)}, indent=2, ensure_ascii=False))
        return OK
    print_table(result.measured)
    print(f"written to {result.folder}")
    return OK


def print_table(measured: dict[str, Any]) -> None:
    """Show what was measured."""
    speeds = measured["examples_per_second"]
    rows = [
        ("", "before", "after"),
        (measured["metric"], f"{measured['before']:.2f}", f"{measured['after']:.2f}"),
        ("examples a second", f"{speeds['before']:,.0f}", f"{speeds['after']:,.0f}"),
        ("parameters", f"{measured['parameters_before']:,}", f"{measured['parameters']:,}"),
    ]
    for name, *values in rows:
        print(f"{name:<20}" + "".join(f"{value:>14}" for value in values))
    target = measured["target_speedup"]
    missed = target is not None and measured["speedup"] < target
    asked = f" ({target:.2f} were asked for; measure again where nothing else runs)" if missed else ""
    print(f"{measured['speedup']:.2f} times as fast{asked}, with a drop of {measured['drop']:.2f} points on "
          f"{measured['data']['examples']:,} examples")  # fmt: skip
