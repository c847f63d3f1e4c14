"""``distilbert evaluate``: measures how good a model is on labelled examples, alone or beside another one."""

from __future__ import annotations

from ..training.evaluation.evaluate_config import EvaluateConfig
from .config_options import CONFIG_FILE, with_config_options
from .failures import OK

EXAMPLE = "distilbert evaluate --model models/sentiment --data reviews.csv --output reports/sentiment"


@with_config_options(EvaluateConfig, CONFIG_FILE | {"json": (False, "Print the JSON of the evaluation, not a table.")})
def command(config: EvaluateConfig, json: bool) -> int:
    """Measure a model on labelled examples: metrics with intervals, calibration, speed, the worst errors."""
    from ..core.extras import require

    for module in ("sklearn", "seqeval"):
        require(module, "evaluate")
    if config.output:
        require("matplotlib", "evaluate")
    from ..training.evaluation.evaluator import evaluate
    from ..training.evaluation.result import FILES

    result = evaluate(config)
    values = result.to_dict()
    if json:
        from json import dumps

        print(dumps(values, indent=2, ensure_ascii=False))
        return OK
    from .evaluation_table import print_evaluation

    print_evaluation(values)
    if config.output:
        print(f"{config.output}: {', '.join(FILES)}")
    return OK
