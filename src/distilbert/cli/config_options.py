"""Options made from a class of settings, one for each field, so that a file, Python and the shell never differ."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ..core.errors import ConfigError, UnknownArgumentError, UsageError, reject_unknown
from ..training.config_fields import REQUIRED, Settings, names_files, read_toml
from ..training.distill_config import TrainingConfig
from .failures import option_of
from .name_completion import complete_model, complete_task

C = TypeVar("C", bound=Settings)
PLAIN = (str, int, float, bool)
AUTO, EMPTY = "auto", '""'  # how the empty choice is called here, and in messages of settings
COMPLETION: dict[str, Callable[..., Any]] = {"task": complete_task, "model": complete_model}
CONFIG_FILE: dict[str, tuple[str | bool | int, str]] = {
    "config": ("", "TOML file of settings; options on the command line win over it.")
}
TRAINING_RUN = CONFIG_FILE | {
    "resume": (False, "Go on from the newest checkpoint in OUTPUT, with its settings."),
    "overwrite": (False, "Start anew in a folder that holds a run."),
    "ray": ("", "Train on this Ray cluster: its address, or local to start one on this machine."),
    "workers": (1, "Processes on the Ray cluster, each with a copy of the model."),
    "gpus_per_worker": (0, "GPUs of a process on the Ray cluster: 0 or 1."),
}


def with_config_options(
    settings: type[C],
    options: Mapping[str, tuple[str | bool | int, str]] = TRAINING_RUN,
    argument: str = "",
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command an option for each field of ``settings``.

    Args:
        settings: the class of the settings.
        options: default and help of the options that are not settings; ``"config"`` is a file of settings.
        argument: the field that is stated without the name of an option; a file of settings may have it instead.

    The decorated function gets the settings and, by name, the other options except ``config``.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        def take(**stated: Any) -> int:
            others = {name: stated.pop(name) for name in options}
            config = others.pop("config")
            return command(_collect(settings, stated, config, others.get("resume", False), argument), **others)

        parameters = [_plain_option(name, *options[name]) for name in options]
        hints = get_type_hints(settings)
        shared = {field.name for field in dataclasses.fields(TrainingConfig)}
        own_first = sorted(dataclasses.fields(settings), key=lambda field: field.name in shared)
        if argument:
            field = next(field for field in own_first if field.name == argument)
            own_first.remove(field)
            parameters.append(_argument(field))
        parameters += [_option(field, hints[field.name]) for field in own_first]
        if "data" in hints:
            more = typer.Argument(metavar="[FILES]...", help="More of --data: --data a.txt b.txt.", show_default=False)
            parameters.append(_parameter("more", Annotated[list[str] | None, more], None))
        take.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        take.__doc__ = command.__doc__
        take.file_options = [option_of(name) for name in hints if names_files(name)]  # type: ignore[attr-defined]
        take.argument = argument  # type: ignore[attr-defined]
        return take

    return decorate


def _collect(settings: type[C], stated: dict[str, Any], config: str, resume: bool, argument: str) -> C:
    """Merge the settings of a file, or of the run to be resumed, with those of the command line, which win.

    Raises:
        UsageError: a setting is missing or unknown, or has a value that cannot work.
    """
    if more := stated.pop("more", None):
        stated["data"] = [*(stated.get("data") or []), *more]
    stated = {name: value for name, value in stated.items() if value is not None}
    if not config and resume and "output" in stated and (file := Path(stated["output"]) / "config.toml").is_file():
        config = str(file)
    hints = get_type_hints(settings)
    values = {name: _parse(name, value, hints[name]) for name, value in stated.items()}
    of_file: dict[str, Any] = {}
    try:
        if config:
            of_file = read_toml(config)
            reject_unknown(of_file, hints, config)
        values = of_file | values
        missing = [f.name for f in dataclasses.fields(settings) if f.default is REQUIRED is f.default_factory]
        if resume and not config and any(name not in values for name in missing) and "output" in stated:
            raise UsageError(f"{stated['output']} holds no run to resume; leave --resume out and state all settings.")
        if argument in missing and argument not in values:
            raise UsageError(f"Missing argument {argument.upper()}; give it here, or in a file for --config.")
        missing = [option_of(name) for name in missing if name not in values]
        if missing:
            raise UsageError(f"Missing option {', '.join(missing)}; give it here, or in a file for --config.")
        fields = {field.name: field for field in dataclasses.fields(settings)}
        values = {name: _chosen(fields[name], value) for name, value in values.items()}
        return settings.from_dict(values, where=config)
    except (ConfigError, UnknownArgumentError) as error:
        name, _, rest = str(error).replace(f"one of {EMPTY}, ", f"one of {AUTO}, ").partition(" ")
        if name in of_file and name not in stated:
            raise UsageError(f"{config}: {name!r} {rest}") from None
        raise UsageError(f"{name} {rest}") from None


def _chosen(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return a value, with the empty choice for ``auto``, which is easier to type and to read."""
    choices = field.metadata["choices"]
    return "" if value == AUTO and "" in choices and AUTO not in choices else value


def _argument(field: dataclasses.Field[Any]) -> inspect.Parameter:
    argument = typer.Argument(
        metavar=f"[{field.name.upper()}]",
        autocompletion=COMPLETION.get(field.name),
        help=field.metadata["help"],
        show_default=False,
    )
    return _parameter(field.name, Annotated[str | None, argument], None)


def _option(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    kind = list[str] if names_files(field.name) else hint if hint in PLAIN else str
    text = field.metadata["help"] + _default(field)
    choices = field.metadata["choices"]
    flag = option_of(field.name)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        autocompletion=COMPLETION.get(field.name),
        help=text,
        show_default=False,
        metavar="|".join(choice or AUTO for choice in choices) if choices else None,
    )
    return _parameter(field.name, Annotated[kind | None, option], None)


def _plain_option(name: str, default: str | bool | int, text: str) -> inspect.Parameter:
    option = typer.Option(option_of(name), help=text, show_default=False)
    return _parameter(name, Annotated[type(default), option], default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is REQUIRED is field.default_factory:
        return " Required."
    value = field.default if field.default_factory is REQUIRED else field.default_factory()
    if isinstance(value, bool) or value in ("", [], 0):
        return ""
    if isinstance(value, Mapping):
        value = ",".join(f"{key}={number:g}" for key, number in value.items())
    elif isinstance(value, list):
        value = ",".join(map(str, value))
    return f" [default: {value}]"


def _parse(name: str, value: Any, hint: Any) -> Any:
    """Turn the text of an option into the type of its field: ``a=1,b=2`` for a table, ``1,2`` for a list."""
    if hint in PLAIN or names_files(name):
        return value
    items = [item.strip() for item in value.split(",") if item.strip()]
    if hint.__origin__ is list:
        return items if hint.__args__[0] is str else [_number(name, item) for item in items]
    if hint.__args__[1] is str:
        return parse_pairs(name, value)
    return {key: _number(name, number) for key, number in parse_pairs(name, value, "ce=5,mlm=2").items()}


def parse_pairs(name: str, text: str, example: str = "text=review,label=stars") -> dict[str, str]:
    """Return the pairs that an option states, such as ``a=1,b=2``.

    Args:
        name: the option, without dashes.
        text: its value.
        example: pairs for the message.

    Raises:
        UsageError: it is of another form.
    """
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not all(sign for _, sign, _ in pairs):
        raise UsageError(f"{option_of(name)} {text!r}: pairs such as {example} are expected.")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option_of(name)}: {text!r} is not a number.") from None
