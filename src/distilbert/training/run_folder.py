"""The folder of a run: what it may already contain, what is written first, and the model in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..core.errors import ConfigError, InputError, UnknownArgumentError
from ..core.files import check_output_folder
from ..text.tokenizer_base import TokenizerBase
from . import checkpoints
from .config_fields import Settings
from .distill_config import TrainingConfig
from .processes import Tensors

CONFIG, SUMMARY, FAILED = "config.toml", "summary.json", "failed.json"
# What a run writes beside it and its model.
WRITTEN = ("metrics.jsonl", "summary.json", "report.html", "tokenizer.json", "vocab.txt", "checkpoints")


def open_run(
    config: TrainingConfig, models: Iterable[str], resume: bool, overwrite: bool, notice: Callable[[str], None]
) -> tuple[Path, checkpoints.TrainingCheckpoint | None]:
    """Check what the output folder contains, and find the checkpoint to resume from.

    Arguments and errors are those of :func:`open_run_folder`.

    Returns:
        The folder, which may not exist yet, and the newest checkpoint of the run to resume, if any.

    Raises:
        WeightsError: the newest checkpoint is damaged.
    """
    folder, goes_on = open_run_folder(config, models, resume, overwrite, notice)
    if not goes_on:
        return folder, None
    checkpoint = checkpoints.newest(folder / "checkpoints")
    if checkpoint is None:
        notice(f"the run in {folder} has no checkpoint yet: it starts again at the first step")
    else:
        checkpoint.check_files()
    return folder, checkpoint


def open_run_folder(
    config: TrainingConfig, models: Iterable[str], resume: bool, overwrite: bool, notice: Callable[[str], None]
) -> tuple[Path, bool]:
    """Check what the output folder contains.

    Args:
        config: settings of the run.
        models: those that the run reads; it must not replace or remove them. Empty names pass.
        resume: continue the run that is in the folder.
        overwrite: start over, whatever the folder contains.
        notice: called with a line, where there is nothing to resume.

    Returns:
        The folder, which may not exist yet, and whether it holds the run to resume.

    Raises:
        InputError: the folder holds a model, or a run, and neither ``resume`` nor ``overwrite`` says what to do.
        ConfigError: the run in the folder had other settings.
    """
    if resume and overwrite:
        raise InputError("resume goes on with a run and overwrite starts it anew: choose one.")
    folder = check_output_folder(config.output)
    for model in filter(None, models):
        path = Path(model).resolve()
        if path == folder.resolve():
            raise InputError(
                f"output must be another folder than that of the model, {model}, which the run would replace."
            )
        if path.is_relative_to(folder.resolve() / "checkpoints"):
            raise InputError(
                f"{model} is a checkpoint of the run in {folder}, which a new run there would remove; name another "
                "output."
            )
    if not (folder / CONFIG).is_file():
        if any((folder / name).exists() for name in ("config.json", "model.safetensors")) and not overwrite:
            raise InputError(f"{folder} holds a model; name another folder, or overwrite it.")
        if not overwrite and (others := [name for name in WRITTEN if (folder / name).exists()]):
            raise InputError(
                f"{folder} holds no run, but files that a run would replace: {', '.join(others)}. Name another folder, "
                "or overwrite them."
            )
        if resume:
            notice(f"{folder} holds no run to resume: this one starts at the first step")
        return folder, False
    if resume:
        check_same_settings(config, folder)
    elif not overwrite:
        raise InputError(f"{folder} holds a run; go on with it (resume), start it anew (overwrite), or name another.")
    return folder, resume


def check_same_settings(config: Settings, folder: Path) -> None:
    """Check that the run in a folder had the same settings, so that it can be resumed with them.

    Raises:
        ConfigError: it had others, or it is another command's.
    """
    try:
        earlier = type(config).load(folder / CONFIG)
    except (ConfigError, UnknownArgumentError) as error:
        raise ConfigError(
            f"{folder} holds no run that can be resumed so; is it another command's, or another version's? {error}"
        ) from None
    changed = config.differences(earlier)
    if changed:
        raise ConfigError(
            f"{folder} holds a run with other settings, so it cannot be resumed with these. Before -> now:\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nResume with the settings of then, or start anew (overwrite) or in another folder."
        )


def start_run(
    config: TrainingConfig, folder: Path, checkpoint: checkpoints.TrainingCheckpoint | None, accelerator: Accelerator
) -> None:
    """Write the settings into the folder; a run that starts at step 0 first removes what an earlier one left.

    The model and the reports of an earlier run stay until there are new ones.
    """
    accelerator.wait_for_everyone()  # until each process has looked into the folder
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        if checkpoint is None:
            clear_progress(folder)
        config.save(folder / CONFIG)
    accelerator.wait_for_everyone()


def discard_run(folder: Path) -> None:
    """Make a folder one that holds no run. A model in it and other files stay until a run replaces them."""
    if (folder / CONFIG).is_file():
        clear_progress(folder)
        (folder / FAILED).unlink(missing_ok=True)
        (folder / CONFIG).unlink()


def is_finished(config: TrainingConfig) -> bool:
    """Say whether a run has its results, or failed for good.

    Raises:
        ConfigError: these are the results of a run with other settings.
    """
    folder = Path(config.output)
    if not any((folder / name).is_file() for name in (SUMMARY, FAILED)):
        return False
    check_same_settings(config, folder)
    return True


def clear_progress(folder: Path) -> None:
    """Remove the summary of a run, by which it counts as finished, and its checkpoints and events."""
    (folder / SUMMARY).unlink(missing_ok=True)
    checkpoints.clear(folder / "checkpoints")
    for events in (folder / "tensorboard").glob("events.out.*"):
        events.unlink()


@dataclass(frozen=True)
class ModelFiles:
    """Saves and loads the student of an objective as a model folder."""

    student: Any
    tokenizer: TokenizerBase

    def save(self, path: Path, state: Tensors) -> None:
        """Write a model folder, given the state of the objective."""
        weights = {name.removeprefix("student."): t for name, t in state.items() if name.startswith("student.")}
        self.student.save_pretrained(path, state_dict=weights)
        self.tokenizer.save_pretrained(path)

    def load(self, path: Path) -> None:
        """Load the weights of a folder that :meth:`save` wrote."""
        self.student.load_state_dict(type(self.student).from_pretrained(path).state_dict())
