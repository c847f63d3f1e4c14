"""The stages of the GPU run, in order of importance: what is left when the time is up is named as not run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage; it runs in a process of its own.

    Attributes:
        name: in the result file.
        function: ``"module:function"``; called with a :class:`~benchmarks.gpu.setting.Setting`, returns its figures.
        seconds: its time limit.
        arguments: further arguments of the function.
    """

    name: str
    function: str
    seconds: float
    arguments: tuple[str, ...] = ()


def _checks(name: str, seconds: float) -> Stage:
    return Stage(f"check {name}", "benchmarks.gpu.checks:run", seconds, (f"tests/gpu/test_{name}.py",))


STAGES = (
    _checks("attention", 60),
    _checks("tasks", 60),
    _checks("heads", 60),
    _checks("documentation", 45),
    Stage("texts to labels", "benchmarks.gpu.texts_to_labels:run", 90),
    Stage("ids to logits", "benchmarks.gpu.ids_to_logits:run", 45),
    _checks("training", 60),
    Stage("distillation step", "benchmarks.gpu.distillation:run", 60),
    Stage("fine-tuning step", "benchmarks.gpu.finetuning:run", 45),
    _checks("compile", 60),
    Stage("siblings", "benchmarks.gpu.siblings:run", 60),
)
