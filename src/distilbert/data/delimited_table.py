"""Tables of text: a header and rows under it, with a delimiter between the fields (.csv, .tsv).

The delimiter is the usual one of the format, unless the header and the first rows show another one.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

from ..core.counted import counted
from ..core.errors import DataError
from .messages import listed
from .text_lines import LONGEST_LINE, split_at_returns

DELIMITERS = (",", "\t", ";", "|")  # those that are detected
USUAL = {"csv": ",", "tsv": "\t"}
WRITTEN = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}  # --delimiter '\t'
LINES_TO_DETECT = 50  # read ahead to detect the delimiter
LEAST_SHARE = 0.5  # of the rows must have as many fields as the header, with a delimiter that is not the usual one
LONGEST_QUOTED = 1000  # lines of one quoted field of a .tsv file
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # Excel states the delimiter on a line of its own


class DelimitedRow(NamedTuple):
    """A row under the header.

    Attributes:
        number: of its first line.
        value: its fields by column; None where the row cannot be used, or is blank.
        problem: why it cannot be used; empty for a row that can be, and for a blank line.
    """

    number: int
    value: dict[str, str] | None
    problem: str


@dataclass
class DelimitedTable:
    """A table whose header is read already.

    Attributes:
        columns: names of the columns, each of them once. One without a name gets ``column_`` and its number; one with
            the name of an earlier column gets that name, ``_`` and its number.
        rows: those under the header; they can be read once.
        unnamed: columns to which the header gives no name.
        repeated: names that the header has more than once.
    """

    columns: list[str]
    rows: Iterator[DelimitedRow]
    unnamed: frozenset[str] = field(default_factory=frozenset)
    repeated: frozenset[str] = field(default_factory=frozenset)


def written_delimiter(text: str) -> str:
    """Return the delimiter that an option states: itself, or a name or escape that is easier to type."""
    return WRITTEN.get(text, text)


def read_delimited(
    lines: Iterable[str],
    format: str,
    name: str,
    delimiter: str = "",
    ahead: int = 0,
    later: NumberedLines | None = None,
    *,
    may_be_empty: bool = False,
) -> DelimitedTable:
    """Read the header of a table.

    Args:
        lines: the lines of the file.
        format: ``"csv"``: fields may be quoted and hold line breaks. ``"tsv"``: a quotation mark is a character like
            others, unless a field is quoted for a reason, as pandas does: it holds a tab, a line break or ``""``.
        name: the file, for messages.
        delimiter: between fields; empty to detect it.
        ahead: how many lines below the header may be read to detect the delimiter.
        later: the rows to read, in place of those below the header: lines further down with their numbers.
        may_be_empty: of no lines, return a table without columns.

    Raises:
        DataError: there is no header, or the delimiter cannot be used.
    """
    delimiter = written_delimiter(delimiter)
    if format == "csv" and len(delimiter or ",") != 1:
        raise DataError(f"{name}: the delimiter of a .csv file is one character, got {delimiter!r}.")
    iterator = iter(lines)
    before = 0  # lines above the header
    header_line = ""
    for line in iterator:
        if match := _SEPARATOR_LINE.fullmatch(line):
            delimiter = delimiter or match[1]
        elif line.strip("\r\n"):
            header_line = line
            break
        before += 1
    if header_line:
        iterator = split_at_returns(chain([header_line], iterator))
        header_line = next(iterator)
    peeked = list(islice(iterator, ahead)) if not delimiter else []
    detected = delimiter or detect_delimiter(header_line, peeked, USUAL[format])
    numbered = enumerate(chain([header_line] if header_line else [], peeked, iterator), before + 1)
    # A .tsv file with commas is a .csv file with the wrong name.
    is_csv = format == "csv" or (not delimiter and detected != "\t") or _is_all_quoted(header_line, detected)
    if is_csv:
        spaced = _has_spaces_after(header_line, detected)
        records = _csv_records(numbered, detected, name, spaced)
        _, header, problem = next(records, (before + 1, [], ""))
        if problem:
            raise DataError(f"{name}:{before + 1}: {problem}")
        if later is not None:
            records = _csv_records(later, detected, name, spaced)
    else:
        header = header_line.rstrip("\r\n").split(detected) if header_line else []
        next(numbered, None)
        records = _tsv_records(numbered if later is None else later, detected, len(header))
    if not header and may_be_empty:
        return DelimitedTable([], iter(()))
    if not header:
        raise DataError(f"{name} is empty: a header with the names of the columns and rows below it are expected.")
    table = _named(header, name, before + 1)
    advice = "" if is_csv else " In a .tsv file a field that holds a tab must be in quotation marks."
    table.rows = _rows_under(table, records, advice)
    return table


def detect_delimiter(header: str, rows: Sequence[str], usual: str) -> str:
    """Return the delimiter between the fields of a table.

    It is the usual one if the header has it and the rows have as many fields as the header. Otherwise it is the one
    of ``DELIMITERS`` with which most rows have as many fields as the header, more than one.

    Args:
        header: the first line.
        rows: lines below it; the last ones may be incomplete.
        usual: the usual delimiter.
    """
    best, best_fit = usual, (0.0, 0, False)
    for delimiter in (usual, *DELIMITERS):
        if delimiter not in header:
            continue
        widths = _widths([header, *rows], delimiter)
        if not widths:
            continue
        if len(widths) > 2 and len(rows) == LINES_TO_DETECT:
            del widths[-1]  # its end may not have been read
        below = widths[1:]
        share = sum(width == widths[0] for width in below) / len(below) if below else 1.0
        if delimiter == usual and widths[0] > 1 and share == 1:
            return usual
        fit = (share, widths[0], delimiter == usual)
        if widths[0] > 1 and (share >= LEAST_SHARE or delimiter == usual) and fit > best_fit:
            best, best_fit = delimiter, fit
    return best


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    """Return how many fields each row has, from the header to the first that is broken as CSV."""
    if delimiter == "\t":  # a quotation mark may be a character like others
        return [line.count(delimiter) + 1 for line in lines if line.strip("\r\n")]
    widths: list[int] = []
    try:
        widths += (len(record) for record in csv.reader(lines, delimiter=delimiter) if record)
    except csv.Error:
        widths.append(0)
    return widths


def _named(header: list[str], name: str, number: int) -> DelimitedTable:
    """Return a table with a name of its own for each column."""
    stripped = [column.strip() for column in header]
    if not any(stripped):
        raise DataError(f"{name}:{number}: the header names no column.")
    columns: list[str] = []
    unnamed: set[str] = set()
    repeated: set[str] = set()
    for place, column in enumerate(stripped, 1):
        unique = column or f"column_{place}"
        if unique in columns:
            repeated.add(column)
            unique = f"{column}_{place}"
        while unique in columns or (unique != column and unique in stripped):
            unique += "_"
        if not column:
            unnamed.add(unique)
        columns.append(unique)
    return DelimitedTable(columns, iter(()), frozenset(unnamed), frozenset(repeated))


# Records: the fields of a row.

Record = tuple[int, list[str], str]  # the number of its first line, its fields, and what is wrong with it
NumberedLines = Iterator[tuple[int, str]]


def _is_all_quoted(header: str, delimiter: str) -> bool:
    fields = header.rstrip("\r\n").split(delimiter)
    return all(len(field) > 1 and field[0] == field[-1] == '"' for field in fields)


def _has_spaces_after(header: str, delimiter: str) -> bool:
    """Tell whether every delimiter of a header has a space behind it, as in ``text, label``."""
    fields = header.rstrip("\r\n").split(delimiter)[1:]
    return delimiter != " " and bool(fields) and all(field.startswith(" ") and field.strip() for field in fields)


def _csv_records(lines: NumberedLines, delimiter: str, name: str, skip_spaces: bool) -> Iterator[Record]:
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for last, line in lines:  # noqa: B007
            yield line

    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(texts(), delimiter=delimiter, strict=True, skipinitialspace=skip_spaces)
    first = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number = first + 1 if first else max(1, last - reader.line_num + 1)
            problem = f"this row is broken as CSV: {error}."
            if "unexpected end of data" in str(error):  # whatever follows the quotation mark is lost
                raise DataError(
                    f"{name}:{number}: {problem} A field is quoted here, and the quotation never ends."
                ) from None
            yield number, [], problem
        else:
            yield first + 1 if first else max(1, last - reader.line_num + 1), fields, ""
        first = last


def _tsv_records(lines: NumberedLines, delimiter: str, width: int) -> Iterator[Record]:
    """Yield the fields of lines in which a field is quoted only where it has to be.

    Args:
        lines: those below the header.
        delimiter: between fields.
        width: how many fields a row has. It decides whether a quotation mark opens a field that goes on behind a
            delimiter or on the next line.
    """
    quoting = _Quoting(delimiter)
    waiting: deque[tuple[int, str]] = deque()  # lines that were read ahead and belong to no row yet
    goes_on = False  # a quoted field with a line break was seen
    while True:
        number, line = waiting.popleft() if waiting else next(lines, (0, ""))
        if not number:
            return
        content = line.rstrip("\r\n")
        fields = content.split(delimiter) if content else []
        if '"' not in content:
            yield number, fields, ""
            continue
        parsed, is_open = quoting.parse(content)
        if is_open and (goes_on or len(fields) != width or _is_short(waiting, lines, delimiter, width)):
            joined = line
            ahead: list[tuple[int, str]] = []
            while is_open and len(ahead) < LONGEST_QUOTED and (following := _following(waiting, lines)):
                ahead.append(following)
                joined += following[1]
                if '"' in following[1]:
                    parsed, is_open = quoting.parse(joined.rstrip("\r\n"))
            if not is_open and len(parsed) == width:
                goes_on = True
                yield number, parsed, ""
                continue
            waiting.extendleft(reversed(ahead))
        elif not is_open and len(parsed) == width:
            fields = parsed
        yield number, fields, ""


def _following(waiting: deque[tuple[int, str]], lines: NumberedLines) -> tuple[int, str] | None:
    return waiting.popleft() if waiting else next(lines, None)


def _is_short(waiting: deque[tuple[int, str]], lines: NumberedLines, delimiter: str, width: int) -> bool:
    """Tell whether the next line has too few fields, so that it goes on from the line before it."""
    following = _following(waiting, lines)
    if following is None:
        return False
    waiting.appendleft(following)
    return len(following[1].split(delimiter)) < width


class _Quoting:
    """Fields that are quoted for a reason."""

    def __init__(self, delimiter: str) -> None:
        end = re.escape(delimiter)
        self._delimiter = delimiter
        self._closed = re.compile(rf'"((?:[^"]|"")*)"(?={end}|\Z)')
        self._literal = re.compile(r'"(?:[^"]|"")*"(?!")')

    def parse(self, content: str) -> tuple[list[str], bool]:
        """Return the fields of a row, and whether a quoted field is still open at its end."""
        fields: list[str] = []
        position = 0
        while True:
            end = content.find(self._delimiter, position)
            end = len(content) if end < 0 else end
            if content.startswith('"', position):
                if match := self._closed.match(content, position):
                    end, inner = match.end(), match[1]
                    needed = not inner or '""' in inner or self._delimiter in inner or "\n" in inner or "\r" in inner
                    fields.append(inner.replace('""', '"') if needed else match[0])
                elif self._literal.match(content, position):  # text follows the closing mark: it is part of the text
                    fields.append(content[position:end])
                else:
                    return fields, True
            else:
                fields.append(content[position:end])
            if end >= len(content):
                return fields, False
            position = end + len(self._delimiter)


def _rows_under(table: DelimitedTable, records: Iterable[Record], advice: str) -> Iterator[DelimitedRow]:
    columns = table.columns
    width = len(columns)
    named = max(place for place, column in enumerate(columns, 1) if column not in table.unnamed)
    blank: list[int] = []  # lines of a table of one column: each is an empty text, unless only such lines follow
    for number, fields, problem in records:
        if width == 1 and not fields and not problem:
            blank.append(number)
            continue
        for line in blank:
            yield DelimitedRow(line, {columns[0]: ""}, "")
        blank = []
        if len(fields) > width and not any(field.strip() for field in fields[width:]):
            fields = fields[:width]
        elif named <= len(fields) < width:
            fields = [*fields, *[""] * (width - len(fields))]
        if len(fields) == width:
            yield DelimitedRow(number, dict(zip(columns, fields, strict=True)), "")
        elif problem or not fields:
            yield DelimitedRow(number, None, problem)
        else:
            count = counted(len(fields), "field")
            names = f"the header names {width}: {listed(columns)}"
            yield DelimitedRow(number, None, f"this row has {count}, but {names}.{advice}")
    for line in blank:
        yield DelimitedRow(line, None, "")
