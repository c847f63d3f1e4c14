"""``distilbert prepare``: tokenizes text for distillation and pretraining, on several processes or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.counted import counted
from ..core.errors import UsageError
from .failures import OK
from .name_completion import complete_model
from .text_options import Encoding

EXAMPLE = """
distilbert prepare text --tokenizer models/minilm --cache models/cache --workers 2
"""


def command(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...",
            help="Files (.txt .jsonl, also .gz; .parquet), folders of them, addresses, or names of `datasets`.",
        ),
    ],
    tokenizer: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Folder or name of the model whose tokenizer is used: the teacher.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    cache: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder of caches, the --cache of the runs.", show_default=False)
    ],
    column: Annotated[str, typer.Option(help="Column of the text, where there are columns.")] = "text",
    encoding: Encoding = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes. Default: one for each core.", show_default=False)
    ] = None,
    ray: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Tokenize on a Ray cluster; local: one on this machine.")
    ] = "",
) -> int:
    """Tokenize text once, in parallel, for `distilbert distill` and `distilbert pretrain` with the same --cache.

    The cache equals that which a run would make by itself. If this command is stopped, the next call goes on where it
    was.
    """
    from ..cluster.corpus_preparation import prepare
    from ..core.progress_bar import ProgressBar

    if Path(cache).exists() and not Path(cache).is_dir():
        raise UsageError(f"--cache {cache} is a file; name a folder.")

    def described(documents: int, tokens: int) -> str:
        return f"{counted(documents, 'document')}, {counted(tokens, 'token')}"

    with ProgressBar("tokenizing", countable=False) as bar:
        made = prepare(
            data, tokenizer, cache, workers=workers, ray=ray, column=column, encoding=encoding,
            on_tokenized=lambda documents, tokens: bar.update(described(documents, tokens)),
        )  # fmt: skip
    there = " (was there already)" if made.reused < 0 else f" in {made.seconds:.0f} s"
    print(f"{made.folder}: {described(made.documents, made.tokens)}{there}")
    return OK
