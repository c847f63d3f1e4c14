"""Every format that is read, and every format that is written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .helpers import Command

TEXTS = ["one", 'two "2", 2', "drei é 中\u2028x"]
EXPECTED = [{"label": f"L{len(text)}", "score": 1 / len(text)} for text in TEXTS]
ROWS = [{"id": str(index), "text": text} for index, text in enumerate(TEXTS)]


def content(name: str) -> bytes:
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "csv":
        quoted = [text.replace('"', '""') for text in TEXTS]
        text = "\ufeffid,text\r\n" + "".join(f'{index},"{x}"\r\n' for index, x in enumerate(quoted))
    elif kind == "tsv":
        text = "id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in ROWS)
    elif kind == "json":
        text = json.dumps(ROWS)
    elif kind in ("jsonl", "ndjson"):
        text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    else:
        text = "\n".join([*TEXTS[:1], "", *TEXTS[1:]])
    data = text.encode()
    return gzip.compress(data) if name.endswith(".gz") else data


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "ndjson", "txt"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_text_format_is_read(cli: Command, kind: str, packed: str) -> None:
    name = cli.write(f"in.{kind}{packed}", content(f"in.{kind}{packed}"))
    done = cli.run("--input", name, "--on-error", "stop")
    assert (done.code, done.err) == (0, "")
    assert done.answers == EXPECTED
    done = cli.run("--input", name)
    assert done.answers == (EXPECTED if kind != "txt" else [EXPECTED[0], None, *EXPECTED[1:]])


def test_parquet_is_read_by_column(cli: Command) -> None:
    table = pa.table({"text": TEXTS, "blob": [b"\xff"] * 3, "when": pa.array([0, 1, None], pa.timestamp("s"))})
    pq.write_table(table, cli.folder / "in.parquet", row_group_size=1)
    assert cli.run("--input", "in.parquet").answers == EXPECTED
    kept = cli.run("--input", "in.parquet", "--keep-input").answers
    assert kept[1] == {"text": TEXTS[1], "blob": "b'\\xff'", "when": "1970-01-01 00:00:01", **EXPECTED[1]}


def test_json_texts_and_lists_are_rows_too(cli: Command) -> None:
    assert cli.run("--input", cli.write("in.json", json.dumps(TEXTS))).answers == EXPECTED
    cli.write("in.jsonl", '"one"\n["one", "two"]\n')
    assert [a["label"] for a in cli.run("--input", "in.jsonl").answers] == ["L3", "L9"]


def read_back(cli: Command, name: str) -> list[dict[str, Any]]:
    data = (cli.folder / name).read_bytes()
    if name.endswith(".parquet"):
        return pq.read_table(cli.folder / name).to_pylist()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "json":
        return json.loads(text)
    if kind == "jsonl":
        return [json.loads(line) for line in text.split("\n")[:-1]]
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return list(csv.DictReader(text.split("\n")[:-1], delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize(
    "name", ["o.json", "o.jsonl", "o.csv", "o.tsv", "o.parquet", "o.json.gz", "o.jsonl.gz", "o.csv.gz"]
)
@pytest.mark.parametrize("keep", [False, True])
def test_every_format_is_written(cli: Command, name: str, keep: bool) -> None:
    cli.write("in.csv", content("in.csv"))
    done = cli.run("--input", "in.csv", "--output", name, *(["--keep-input"] if keep else []))
    assert (done.code, done.out, done.err) == (0, "", "")
    expected: list[dict[str, Any]] = [
        {**row, **answer} if keep else answer for row, answer in zip(ROWS, EXPECTED, strict=True)
    ]
    if ".csv" in name or ".tsv" in name:
        expected = [{key: str(value) for key, value in row.items()} for row in expected]
    if ".csv" in name:
        expected = json.loads(json.dumps(expected))
    assert read_back(cli, name) == expected
    assert sorted(path.name for path in cli.folder.iterdir()) == sorted([".stdin", "in.csv", name])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"in.{ending}", b"") for ending in ("txt", "csv", "tsv", "json", "jsonl", "parquet")),
        *((f"in.{ending}.gz", gzip.compress(b"")) for ending in ("txt", "csv", "tsv", "json", "jsonl")),
        ("in.csv", b"text\n"),
        ("in.csv", b"\n\n"),
        ("in.json", b"[]"),
    ],
)
def test_an_empty_input_gives_an_empty_output(cli: Command, name: str, content: bytes) -> None:
    cli.write(name, content)
    done = cli.run("--task", "text-classification", "--input", name)
    assert (done.code, done.out, done.err) == (0, "", f"distilbert: {name} has no rows.\n")
    for output, expected in (("o.json", "[]\n"), ("o.jsonl", ""), ("o.csv", "")):
        assert cli.run("--input", name, "--output", output).code == 0
        assert cli.read(output) == expected
    assert cli.run("--input", name, "--output", "o.parquet").code == 0
    assert pq.read_table(cli.folder / "o.parquet").num_rows == 0


def test_a_pipe_without_a_line_is_said_to_have_no_rows(cli: Command) -> None:
    done = cli.run()
    assert (done.code, done.out, done.err) == (0, "", "distilbert: standard input has no rows.\n")


def test_several_answers_a_row_become_rows_of_a_table(cli: Command) -> None:
    cli.write("in.txt", "Anna met Bob\nnobody\nCarl\n")
    arguments = ("--task", "ner", "--input", "in.txt", "--output")
    assert cli.run(*arguments, "o.csv", "--keep-input").code == 0
    assert cli.read("o.csv").splitlines() == [
        "row,text,entity,score,word,start",
        "1,Anna met Bob,X,0.5,Anna,0",
        "1,Anna met Bob,X,0.5,Bob,9",
        "2,nobody,,,,",
        "3,Carl,X,0.5,Carl,0",
    ]
    assert cli.run(*arguments, "o.json", "--keep-input").code == 0
    assert read_back(cli, "o.json")[1] == {"text": "nobody", "result": []}
    assert cli.run(*arguments, "o.parquet").code == 0
    assert [len(row["result"]) for row in read_back(cli, "o.parquet")] == [2, 0, 1]


def test_labels_side_by_side_become_rows_and_nested_numbers_json(cli: Command) -> None:
    cli.write("in.txt", "x\n")
    task = ("--task", "zero-shot-classification", "--candidate-labels", "a,b")
    assert cli.run(*task, "--input", "in.txt", "--output", "o.tsv").code == 0
    assert cli.read("o.tsv") == "row\tsequence\tlabel\tscore\n1\tx\ta\t0.75\n1\tx\tb\t0.25\n"
    assert cli.run("--task", "feature-extraction", "--input", "in.txt", "--output", "o.csv").code == 0
    assert cli.read("o.csv") == 'result\n"[[[0.5, 1.0]]]"\n'


def test_an_answer_never_hides_a_column(cli: Command) -> None:
    cli.write("in.csv", "text,label\none,gold\n")
    done = cli.run("--input", "in.csv", "--keep-input")
    assert done.answers == [{"text": "one", "label": "gold", "result_label": "L3", "score": 1 / 3}]


def test_tabs_and_breaks_in_a_tsv_cell_become_spaces(cli: Command) -> None:
    cli.write("in.jsonl", json.dumps({"text": "a\tb\nc"}))
    cli.run("--input", "in.jsonl", "--output", "o.tsv", "--keep-input")
    assert cli.read("o.tsv").splitlines()[1].startswith("a b c\t")


def test_columns_that_come_late_are_in_the_header(cli: Command) -> None:
    rows = [{"text": "x"}] * 40 + [{"text": "y", "late": 2}, {"text": "z", "late": 2.5}]
    cli.write("in.jsonl", "\n".join(map(json.dumps, rows)))
    assert cli.run("--input", "in.jsonl", "--output", "o.csv", "--keep-input").code == 0
    assert cli.read("o.csv").startswith("text,label,score,late\nx,L1,1.0,\n")
    assert cli.run("--input", "in.jsonl", "--output", "o.parquet", "--keep-input").code == 0
    assert [row["late"] for row in read_back(cli, "o.parquet")][-3:] == [None, 2.0, 2.5]
    assert (
        cli.run("--input", "in.jsonl", "--format", "csv", "--on-error", "stop").code == 1
    )  # stated: read as CSV, it has odd rows


def test_parquet_that_cannot_hold_the_results_keeps_them(cli: Command) -> None:
    cli.write("in.jsonl", '{"text": "x", "a": 1}\n{"text": "y", "a": "b"}\n')
    done = cli.run("--input", "in.jsonl", "--output", "o.parquet", "--keep-input")
    assert done.code == 1
    assert "write .jsonl" in done.err
    assert done.err.endswith(" All results are kept in o.parquet.part, as JSON lines.\n")
    assert not (cli.folder / "o.parquet").exists()
    assert len(cli.read("o.parquet.part").splitlines()) == 2


@pytest.mark.parametrize("name", ["o.json", "o.jsonl", "o.jsonl.gz", "o.csv", "o.csv.gz", "o.tsv", "o.parquet"])
def test_half_an_emoji_in_a_nested_value_ends_no_run(cli: Command, name: str) -> None:
    cli.write("in.jsonl", '{"text": "one", "user": {"name": "Ann \\ud83d"}}\n')
    done = cli.run("--input", "in.jsonl", "--output", name, "--keep-input")
    assert (done.code, done.err) == (0, "")
    ((user, written),) = [(row["user"], row["text"]) for row in read_back(cli, name)]
    assert written == "one"
    half = "\ufffd" if name.endswith("parquet") else chr(0xD83D)
    assert (json.loads(user) if isinstance(user, str) else user) == {"name": f"Ann {half}"}


@pytest.mark.parametrize("name", ["o.json", "o.jsonl", "o.csv", "o.tsv", "o.parquet"])
def test_numbers_that_are_not_finite_become_null(cli: Command, name: str) -> None:
    columns = {"text": TEXTS, "number": [float("nan"), float("inf"), 1.5], "list": [[1.0, float("-inf")], [], None]}
    pq.write_table(pa.table(columns), cli.folder / "in.parquet")
    assert cli.run("--input", "in.parquet", "--output", name, "--keep-input").code == 0
    if not name.endswith("parquet"):
        assert not re.search("nan|inf", cli.read(name), re.IGNORECASE)
    rows = [(row["number"] or None, row["list"] or None) for row in read_back(cli, name)]
    as_text = name in ("o.csv", "o.tsv")
    expected = [(None, [1.0, None]), (None, None), (1.5, None)]
    assert rows == ([(None, "[1.0, null]"), (None, "[]"), ("1.5", None)] if as_text else expected)


def test_csv_on_standard_output(cli: Command) -> None:
    done = cli.run("--format", "csv", "--keep-input", stdin="text\none\ntwo!\n")
    assert done.out == "text,label,score\none,L3,0.3333333333333333\ntwo!,L4,0.25\n"


def test_format_json_prints_json_whatever_is_read(cli: Command) -> None:
    cli.write("in.csv", "text\none\n")
    assert cli.run("--input", "in.csv", "--format", "json").answers == EXPECTED[:1]
    assert cli.run("--format", "json", stdin="one\n").answers == EXPECTED[:1]
    assert cli.run("--format", "pipe", stdin="one\n").answers == EXPECTED[:1]
    assert cli.run("--format", "jsonl", stdin='{"text": "one"}\n').answers == EXPECTED[:1]
    cli.write("in.data", '["one"]')
    assert cli.run("--input", "in.data", "--format", "json").answers == EXPECTED[:1]
