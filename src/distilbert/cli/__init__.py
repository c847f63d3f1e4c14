"""The command ``distilbert``: a file a command, and the folder ``run`` for the one that has parts.

Whatever is heavy is imported inside the command that needs it, so that help is quick. Beside the commands stand what
several of them share: ``failures`` (exit codes and messages), ``argument_forms`` (other ways to write arguments),
``config_options`` (options made from settings), ``training_command``, ``text_output``; and what one of them prints:
``environment`` and ``model_summary`` (``info``), ``evaluation_table`` (``evaluate``).
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from .. import __version__
from ..core.errors import DistilBertError, UsageError
from . import (
    convert,
    distill,
    embed,
    evaluate,
    export,
    finetune,
    fit,
    index,
    info,
    pack,
    package,
    prepare,
    pretrain,
    push,
    quantize,
    run,
    search,
    serve,
    shrink,
    tokenize,
)
from .argument_forms import in_one_form
from .failures import (
    BROKEN_PIPE,
    FAILED,
    OK,
    USAGE,
    explain,
    flush_output,
    in_options,
    interrupted,
    name_standard_output,
    open_closed_streams,
    option_of,
    silence,
    warn,
)

DEBUG = "DISTILBERT_DEBUG"
READ_ONCE = ("input", "calibration", "metric_data")  # where an option of these takes one file
NEVER_EMPTY = ("input", "output", "model", "cache", "folder")

app = typer.Typer(
    name="distilbert",
    rich_markup_mode=None,  # plain help: rich alone takes as long to import as everything else here
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _epilog(example: str) -> str:
    """Return help that shows an example on lines of its own. They are never wrapped, so they can be copied."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines())


def _deferred(command: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """Return a command that only collects its arguments; it runs after Typer, which would catch Ctrl-C itself."""

    @wraps(command)
    def collect(**arguments: Any) -> Callable[[], int]:
        for name in NEVER_EMPTY:
            if arguments.get(name) == "":
                raise UsageError(f"{option_of(name)} is empty: name a file or a folder, or leave the option out.")
        return partial(command, **arguments)

    return collect


class _Command(typer.core.TyperCommand):
    """A command that refuses a second file where it reads one; click would silently take the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            if option.name in READ_ONCE and not option.multiple and given.count(option) > 1:
                raise UsageError(f"{option.opts[0]} is given more than once, but takes one file.")
        return super().parse_args(ctx, args)


COMMANDS = {
    "run": run, "serve": serve, "fit": fit, "finetune": finetune, "evaluate": evaluate, "distill": distill,
    "pretrain": pretrain, "quantize": quantize, "shrink": shrink, "convert": convert, "export": export,
    "package": package, "pack": pack, "push": push, "tokenize": tokenize, "prepare": prepare, "info": info,
    "embed": embed, "index": index, "search": search,
}  # fmt: skip
for name, module in COMMANDS.items():
    app.command(name, cls=_Command, epilog=_epilog(module.EXAMPLE))(_deferred(module.command))


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"distilbert {__version__}")
        raise typer.Exit


@app.callback(epilog=_epilog("distilbert info"))
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """DistilBERT: answers from texts, files and pipes; models to distil, train, convert and inspect."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    It is 0 after success, 1 after a failure, 2 after wrong usage, 130 after Ctrl-C, 141 where the reader of a pipe has
    gone, and 143 after SIGTERM. ``serve`` first answers what waits: it is 0 after SIGTERM and after the first Ctrl-C.

    Args:
        arguments: those after the program's name; None takes them from ``sys.argv``.
    """
    open_closed_streams()
    name_standard_output()
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, *details: Any, **options: Any) -> None:
        if Path(filename).is_relative_to(Path(__file__).parents[1]):
            warn(str(message))
        else:
            show_others(message, category, filename, *details, **options)

    warnings.showwarning = show  # warnings of this package are messages of the command
    code = invoke(sys.argv[1:] if arguments is None else list(arguments))
    if arguments is None and "torch" in sys.modules:
        # All files are closed by now, and PyTorch's clean-up takes a tenth of the time to a first answer.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every expected failure is one plain message.

    The environment variable ``DISTILBERT_DEBUG`` adds the traceback.
    """
    try:
        code = _run(arguments)
        if failure := flush_output():
            warn(failure)
            return FAILED
        return code
    except BrokenPipeError:
        silence(sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt as error:
        warn(str(error) or "interrupted")
        return interrupted(error)
    except (DistilBertError, OSError) as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        message = in_options(explain(error), _options_of(arguments))
        warn(flush_output() or message)
        return USAGE if isinstance(error, UsageError) or message.startswith("--") else FAILED


def _options_of(arguments: Sequence[str]) -> list[str]:
    """Return the names of the options of the command that is run."""
    module = COMMANDS.get(arguments[0]) if arguments else None
    return list(inspect.signature(module.command).parameters) if module is not None else []


def normalized(arguments: Sequence[str]) -> list[str]:
    """Return a command line in the form that Typer reads; see :func:`.argument_forms.in_one_form`."""
    if not arguments or arguments[0] not in COMMANDS:
        return list(arguments)
    command: Any = COMMANDS[arguments[0]].command
    options = [option_of(name) for name in _options_of(arguments)]
    files, argument = getattr(command, "file_options", ()), getattr(command, "argument", "")
    return [arguments[0], *in_one_form(arguments[1:], options, files, argument)]


def _run(arguments: Sequence[str]) -> int:
    try:
        result: Any = app(normalized(arguments), standalone_mode=False, prog_name="distilbert")
    except Exception as error:
        # Some versions of Typer bring their own copy of click, so its errors are recognized by what they can do.
        if not hasattr(error, "format_message"):
            raise
        context: Any = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return USAGE
        name = arguments[0] if arguments and arguments[0] in COMMANDS else ""
        path = context.command_path if context else f"distilbert {name}".rstrip()
        message = error.format_message().replace(": Value error, ", ": ")  # which some versions of Typer put in
        warn(f"{message}\nTry '{path} --help'.")
        return USAGE
    return result() if callable(result) else result if isinstance(result, int) else OK
