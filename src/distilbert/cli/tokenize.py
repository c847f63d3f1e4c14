"""``distilbert tokenize``: shows what a model sees of a text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ..core.errors import InputError, UsageError
from .failures import OK

EXAMPLE = "distilbert tokenize 'Hello, world!' --model models/minilm"


class TokenFormat(StrEnum):
    """Values of ``--format``."""

    table = "table"
    json = "json"


def command(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT...]", help="Texts. Default: lines of standard input.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of the tokenizer, or a name on the hub.", show_default=False)
    ] = None,
    vocab: Annotated[str | None, typer.Option(help="A vocab.txt instead of a model.", show_default=False)] = None,
    pair: Annotated[
        bool, typer.Option("--pair", help="Two texts are one input; on a line, a tab separates them.")
    ] = False,
    delimiter: Annotated[
        str, typer.Option(help="What separates the two texts of a line. Default: a tab.", show_default=False)
    ] = "",
    encoding: Annotated[str, typer.Option(help="Encoding of standard input. Default: utf-8.", show_default=False)] = "",
    slow: Annotated[bool, typer.Option("--slow", help="The tokenizer in plain Python instead of Rust.")] = False,
    format: Annotated[
        TokenFormat | None,
        typer.Option(help="table (default on a terminal), or json: an object a line.", show_default=False),
    ] = None,
) -> int:
    """Show the tokens of texts: ids, entries of the vocabulary, and the characters each one stands for."""
    import sys

    tokenizer = _load(model, vocab, slow)
    table = format is TokenFormat.table or (format is None and sys.stdout.isatty())
    for first, second in _inputs(texts or [], pair, delimiter, encoding):
        encoded = tokenizer(first, second, return_offsets_mapping=True, verbose=False)
        tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        if table:
            _print_table(first, second, encoded, tokens)
            continue
        from ..data.json_lines import encode_lines

        text = {"text": first} if second is None else {"text": first, "text_pair": second}
        offsets = [list(span) for span in encoded["offset_mapping"]]
        record = {**text, "ids": list(encoded["input_ids"]), "tokens": tokens, "offsets": offsets}
        sys.stdout.buffer.write(encode_lines([record]))
        sys.stdout.buffer.flush()
    return OK


def _load(model: str | None, vocab: str | None, slow: bool) -> Any:
    if (model is None) == (vocab is None):
        raise UsageError("Give one of --model FOLDER and --vocab vocab.txt.")
    if model is not None:
        from ..models.auto import AutoTokenizer

        return AutoTokenizer.from_pretrained(model, use_fast=not slow)
    if slow:
        from ..text.tokenizer import DistilBertTokenizer

        return DistilBertTokenizer(vocab)
    from ..text.fast import DistilBertTokenizerFast

    return DistilBertTokenizerFast(vocab)


def _inputs(texts: list[str], pair: bool, delimiter: str, encoding: str) -> Any:
    """Yield (text, second text or None)."""
    if texts and pair:
        if len(texts) % 2:
            raise UsageError(f"--pair takes texts two by two, got {len(texts)}.")
        yield from zip(texts[::2], texts[1::2], strict=True)
    elif texts:
        yield from ((text, None) for text in texts)
    else:
        import sys

        from ..data.delimited_table import written_delimiter
        from ..data.text_lines import PipeLines, check_encoding

        if sys.stdin is None:
            raise UsageError("Standard input is closed; give texts as arguments.")
        between = written_delimiter(delimiter) or "\t"
        for number, line in enumerate(PipeLines(sys.stdin.fileno(), check_encoding(encoding)), 1):
            content = line.rstrip("\r\n")
            first, separator, second = content.partition(between) if pair else (content, "", "")
            if pair and not separator:
                name = "a tab" if between == "\t" else repr(between)
                raise InputError(f"standard input:{number}: {name} between two texts is expected (--pair).")
            yield first, second if pair else None


def _print_table(first: str, second: str | None, encoding: Any, tokens: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from .text_output import clean, plain_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("id", "right"), ("token", "left"), ("characters", "right"), ("text", "left")):
        table.add_column(name, justify="right" if side == "right" else "left")
    sequences = encoding.sequence_ids()
    for index, (token, (start, stop)) in enumerate(zip(tokens, encoding["offset_mapping"], strict=True)):
        sequence = sequences[index]
        text = "" if sequence is None else (second or "" if sequence else first)[start:stop]
        span = "" if sequence is None else f"{start}-{stop}"
        table.add_row(str(encoding["input_ids"][index]), Text(clean(token)), span, Text(clean(text)))
    console = plain_console()
    console.print(table)
    console.print(f"{len(tokens)} tokens")
