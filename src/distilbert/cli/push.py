"""``distilbert push``: uploads a model folder to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import DataError, UsageError
from .failures import OK, warn
from .name_completion import complete_model

EXAMPLE = "distilbert push models/reviews user/reviews --private"


def command(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="Folder of the model.", show_default=False, autocompletion=complete_model
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="Its name on the hub.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Only you can see it, if it is created now.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch to upload to. Default: main.", show_default=False)
    ] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.", show_default=False)] = None,
) -> int:
    """Upload a model, its tokenizer, its card and its report to the hub, and print the address of the commit.

    Checkpoints, TensorBoard's files, caches, the further runs of a sweep and packed weights stay here. The token is
    the one that `hf auth login` stored, or HF_TOKEN.
    """
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise UsageError(f"{folder} is no folder of a model: there is no config.json in it.")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UsageError(f"USER/NAME is expected, such as user/{path.resolve().name}; got {name!r}.")
    if not (path / "README.md").is_file():
        warn(f"{folder} has no card, README.md: the page of the model on the hub will be empty")
    from ..core.hub import LOCAL_FOLDERS, push

    ignored = [f"{parent}{name}/*" for name in LOCAL_FOLDERS for parent in ("", "*/")]
    try:
        print(
            push(
                path,
                name,
                private=private or None,
                revision=revision,
                commit_message=message,
                ignore_patterns=ignored,
            )
        )
    except Exception as error:  # the hub library has many: for the network, for rights, for names
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{folder} cannot be uploaded to {name}: {reason}") from error
    return OK
