"""The command ``distilbert``: one file a command; whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..core.errors import DistilBertError, UsageError
from . import convert, distill, evaluate, export, finetune, info, package, pretrain, quantize, run, tokenize
from .failures import BROKEN_PIPE, FAILED, INTERRUPTED, OK, USAGE, explain, silence, warn

DEBUG = "DISTILBERT_DEBUG"

app = typer.Typer(
    name="distilbert",
    rich_markup_mode=None,  # plain help: rich alone takes as long to import as everything else here
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _epilog(example: str) -> str:
    """Show an example on lines of its own, which are never wrapped, so that they can be copied."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines())


def _deferred(command: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """Return a command that only takes its arguments, so that Ctrl-C and a closed pipe do not end inside Typer."""

    @wraps(command)
    def take(**arguments: Any) -> Callable[[], int]:
        return partial(command, **arguments)

    return take


COMMANDS = {
    "run": run, "finetune": finetune, "evaluate": evaluate, "distill": distill, "pretrain": pretrain,
    "quantize": quantize, "convert": convert, "export": export, "package": package, "tokenize": tokenize, "info": info,
}  # fmt: skip
for name, room in COMMANDS.items():
    app.command(name, epilog=_epilog(room.EXAMPLE))(_deferred(room.command))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"distilbert {__version__}")
        raise typer.Exit


@app.callback(epilog=_epilog("distilbert info"))
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """DistilBERT: answers from texts, files and pipes; models distilled, trained, converted and looked into."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C, 141 no reader.

    Args:
        arguments: those after the program's name; None takes them from ``sys.argv``.
    """
    code = invoke(sys.argv[1:] if arguments is None else list(arguments))
    if arguments is None and "torch" in sys.modules:
        # Everything is closed by now, and taking PyTorch apart costs a tenth of the time to a first answer.
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
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        silence(sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt as error:
        warn(str(error) or "interrupted")
        return INTERRUPTED
    except (DistilBertError, OSError, ImportError) as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        warn(explain(error))
        return USAGE if isinstance(error, UsageError) else FAILED


def _run(arguments: Sequence[str]) -> int:
    # Typer carries its own copy of click in some versions and not in others: its errors are known by what they can do.
    try:
        result: Any = app(list(arguments), standalone_mode=False, prog_name="distilbert")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        context: Any = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return USAGE
        path = context.command_path if context else "distilbert"
        warn(f"{error.format_message()}\nTry '{path} --help'.")
        return USAGE
    return result() if callable(result) else result if isinstance(result, int) else OK
