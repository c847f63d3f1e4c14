"""Rows that cannot be used, and which column is which argument."""

from __future__ import annotations

import gzip
import json

import pytest

from . import fake
from .helpers import Command
from .test_formats import read_back

BAD = {
    "in.csv": ("text,n\none,1\ntwo\nthree,3\n", "in.csv:3: this row has 1 field, but the header names 2: 'text', 'n'"),
    "quote.csv": ('text,n\n"a\nb",1\n"x"y,2\nthree,3\n', "quote.csv:4: this row is broken as CSV"),
    "in.tsv": ("text\tn\none\t1\ntwo\t2\t3\nthree\t3\n", "in.tsv:3: this row has 3 fields"),
    "in.jsonl": ('{"text": "one"}\n\n{"text": oops}\n{"text": "three"}\n', "in.jsonl:3: not JSON: Expecting value"),
    "kind.jsonl": ('{"text": "one"}\n7\n"three"\n', "kind.jsonl:2: an object or a text is expected, got 7"),
    "null.jsonl": (
        '{"text": "one"}\n{"text": null}\n{"text": "three"}\n',
        "null.jsonl:2: 'text' must be text, got null",
    ),
    "gone.jsonl": (
        '{"text": "one"}\n{"txt": 1, "b": 2}\n{"text": "three"}\n',
        "gone.jsonl:2: There is no column 'text'.",
    ),
    "other.jsonl": (
        '{"text": "one"}\n{"label": "x"}\n{"text": "three"}\n',
        "other.jsonl:2: There is no column 'text'.",
    ),
    "in.json": ('["one", {"text": 3}, "three"]', "in.json, item 2: 'text' must be text, got 3 of type int"),
    "in.txt": (b"one\n\xff\xfe\nthree\n", "in.txt:2: not valid UTF-8"),
    "half.jsonl": (
        '{"text": "one"}\n{"text": "\\ud83d"}\n{"text": "three"}\n',
        "half.jsonl:2: a lone surrogate \\ud83d, which is half a character",
    ),
    "task.txt": ("one\nrefuse me\nthree\n", "task.txt:2: the input is refused"),
    "tabs.txt": ("one\na\tb\tc\nthree\n", "tabs.txt:2: 3 fields where a tab separates text, text_pair"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_stops_the_work_with_file_line_and_reason(cli: Command, name: str) -> None:
    content, message = BAD[name]
    done = cli.run("--input", cli.write(name, content), "--on-error", "stop")
    assert done.code == 1
    assert done.err.startswith(f"distilbert: {message}")
    assert "--on-error skip" in done.err
    assert "--on-error null" in done.err
    assert len(done.err.splitlines()) == 1
    assert len(done.answers) == 1, "the rows before it are answered"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_skipped_and_reported(cli: Command, name: str) -> None:
    content, message = BAD[name]
    done = cli.run("--input", cli.write(name, content), "--on-error", "skip")
    assert done.code == 0
    first, last = done.err.splitlines()
    assert first.startswith(f"distilbert: skipped {message}")
    assert last == "distilbert: 1 row was skipped."
    assert [answer["label"] for answer in done.answers] == ["L3", "L5"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_of_a_file_has_the_answer_null(cli: Command, name: str) -> None:
    content, message = BAD[name]
    done = cli.run("--input", cli.write(name, content))
    assert done.code == 0
    first, last = done.err.splitlines()
    assert first.startswith(f"distilbert: no answer for {message}")
    assert last == "distilbert: 1 row has no answer (null) out of 3."
    assert [answer and answer["label"] for answer in done.answers] == ["L3", None, "L5"]


EMPTY = {
    "in.txt": "one\n\nthree\n \n\n",
    "in.csv": "id,text\n1,one\n2,\n3,three\n4,\n5,\n",
    "one.csv": 'text\none\n""\nthree\n""\n""\n',
    "blank.csv": "text\none\n\nthree\n\n\nfive!\n",
    "in.tsv": "text\tid\none\t1\n\t2\nthree\t3\n\t4\n\t5\n",
    "in.jsonl": '"one"\n""\n\n{"text": "three"}\n{"text": null}\n{"text": ""}\n',
    "in.json": '["one", "", "three", null, {"text": ""}]',
    "spaces.csv": 'id,text\n1,one\n2,"   "\n3,three\n4,"\t"\n5,"\u00a0"\n',
    "spaces.jsonl": '{"text": "one"}\n{"text": "  "}\n{"text": "three"}\n{"text": "\\n"}\n{"text": "\\u3000"}\n',
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_an_empty_text_is_a_row_like_another(cli: Command, name: str, ending: str) -> None:
    cli.write(name, EMPTY[name])
    done = cli.run("--input", name, "--output", f"o.{ending}")
    assert done.code == 0
    assert done.err.splitlines()[-1] == "distilbert: 3 rows have no answer (null) out of {}.".format(
        6 if name == "blank.csv" else 5
    )
    labels = [row["label"] if row else None for row in read_back(cli, f"o.{ending}")]
    expected = ["L3", None, "L5", None, None, *(["L5"] if name == "blank.csv" else [])]
    assert [label or None for label in labels] == expected


def test_an_empty_text_keeps_its_row(cli: Command) -> None:
    cli.write("in.csv", "id,text\n1,\n2,two\n")
    assert cli.run("--input", "in.csv", "--keep-input").answers == [
        {"id": "1", "text": "", "result": None},
        {"id": "2", "text": "two", "label": "L3", "score": 1 / 3},
    ]
    cli.run("--input", "in.csv", "--keep-input", "--output", "o.csv")
    assert cli.read("o.csv").splitlines()[:2] == ["id,text,label,score", "1,,,"]
    assert cli.run("--input", "in.csv", "--format", "csv").out.splitlines()[:2] == ["label,score", ","]
    cli.run("--input", "in.csv", "--task", "ner", "--output", "o.csv", "--overwrite")
    cli.write("in.txt", "\nIn Paris\n\n")
    cli.run("--input", "in.txt", "--task", "ner", "--output", "ner.csv")
    assert [line[:4] for line in cli.read("ner.csv").splitlines()] == ["row,", "1,,,", "2,X,", "2,X,", "3,,,"]


def test_rows_without_an_answer_are_named_up_to_a_point(cli: Command) -> None:
    cli.write("in.txt", "\n" * 2000 + "one\n")
    done = cli.run("--input", "in.txt", "--output", "o.jsonl")
    assert len(done.err.splitlines()) == 6
    assert "2,000 rows have no answer (null) out of 2,001." in done.err
    assert cli.read("o.jsonl").split("\n")[1999:2001] == ["null", '{"label": "L3", "score": 0.3333333333333333}']


@pytest.mark.parametrize("options", [(), ("--on-error", "skip"), ("--output", "o.csv"), ("--source", "s")])
@pytest.mark.parametrize("texts", ['""\n""\n', 'refuse me\n""\n'])
def test_if_no_row_could_be_answered_the_exit_code_says_so(cli: Command, texts: str, options: tuple[str, ...]) -> None:
    if "--source" in options:
        texts = '""\n'  # a ranking takes any text that is not empty
    cli.write("in.csv", f"text\n{texts}")
    done = cli.run("--input", "in.csv", *options)
    assert done.code == 1
    assert done.err.splitlines()[-1] == "distilbert: no row could be answered."
    assert ("--output" in options) == (cli.folder / "o.csv").exists()
    cli.write("in.csv", "text\n")
    assert cli.run("--input", "in.csv", *options, *(["--overwrite"] if "--output" in options else [])).code == 0


def test_a_ranking_leaves_empty_texts_out_and_says_so(cli: Command) -> None:
    done = cli.run("--source", "s", "--input", cli.write("in.jsonl", '"one"\n""\n"a"\n'))
    assert [answer["sentence"] for answer in done.answers] == ["a", "one"]
    assert "1 row was skipped" in done.err


def test_a_delimiter_and_an_encoding_are_detected_or_stated(cli: Command) -> None:
    cli.write("in.csv", "id;text;label\n1;a, b;x\n")
    assert [item for window in (cli.run("--input", "in.csv"), cli.task.windows)[1] for item in window] == ["a, b"]
    for name, delimiter in (("a.csv", "|"), ("a.tsv", "|"), ("a.csv", "\\t")):
        between = delimiter.replace("\\t", "\t")
        cli.write(name, f"id{between}text\n1{between}a,b\n")
        assert cli.run("--input", name, "--delimiter", delimiter).code == 0
        assert cli.task.windows == [["a,b"]]
    assert cli.run("--delimiter", "|", stdin="a|b\n").code == 0
    assert cli.task.windows == [[{"text": "a", "text_pair": "b"}]]
    for encoding in ("latin-1", "utf-16", "windows-1252"):
        cli.write("in.txt", "café\n".encode(encoding))
        assert cli.run("--input", "in.txt", "--encoding", encoding).code == 0
        assert cli.task.windows == [["café"]]
        assert cli.run("--encoding", encoding, stdin="café\n".encode(encoding)).code == 0
        assert cli.task.windows == [["café"]]
    cli.write("in.txt", "café\n".encode("latin-1"))
    assert (
        "not valid UTF-8. State the encoding that the text is in, such as --encoding"
        in cli.run("--input", "in.txt").err
    )
    cli.write("in.txt", "café\n".encode("utf-16"))
    done = cli.run("--input", "in.txt")
    assert done.code == 1
    assert "--encoding utf-16" in done.err
    done = cli.run("--input", "in.txt", "--encoding", "latin1x")
    assert done.code == 2
    assert "--encoding must be the name of a text encoding" in done.err


def test_columns_without_a_name_or_with_the_same_name(cli: Command) -> None:
    cli.write("in.csv", "v1,v2,,,\nham,Go,,,\n")
    assert cli.run("--input", "in.csv", "--column", "v2").code == 0
    assert cli.task.windows == [["Go"]]
    done = cli.run("--input", "in.csv")
    assert "Columns found: v1, v2." in done.err
    cli.write("index.csv", ",anything\n0,Go\n")
    assert cli.run("--input", "index.csv").code == 0
    assert cli.task.windows == [["Go"]]
    cli.write("twice.csv", "id,text,id\n1,Go,2\n")
    assert cli.run("--input", "twice.csv").code == 0
    done = cli.run("--input", "twice.csv", "--column", "id")
    assert done.code == 2
    assert "The header has 'id' more than once" in done.err


def test_refused_rows_cost_no_answer_of_others(cli: Command) -> None:
    texts = ["refuse me" if index in (3, 17, 18, 77) else f"{index:03}" for index in range(90)]
    cli.write("in.txt", "\n".join(texts))
    done = cli.run("--input", "in.txt", "--on-error", "skip", "--keep-input")
    assert [answer["text"] for answer in done.answers] == [text for text in texts if text != "refuse me"]
    assert done.err.count("skipped in.txt:") == 4
    assert "4 rows were skipped" in done.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", '{"text": "x"}', "must hold an array"),
        ("in.json", '{"text": "x"}\n{"text": "y"}', "--format jsonl"),
        ("in.json", "[1,", "in.json:1: not JSON"),
        ("in.csv", 'a,text\n1,2\n"1,2\n3,4\n', "in.csv:3: this row is broken as CSV"),
        ("in.parquet", "nonsense", "is not a parquet file"),
        ("in.txt.gz", "nonsense", "is broken as a .gz file"),
        ("in.jsonl.gz", gzip.compress(b'"one"\n' * 99)[:-12], "is broken as a .gz file"),
        ("in.json.gz", gzip.compress(b'["one"]')[:-9], "in.json.gz is broken as a .gz file"),
    ],
)
def test_broken_files(cli: Command, name: str, content: str | bytes, message: str) -> None:
    done = cli.run("--input", cli.write(name, content), "--on-error", "skip")
    assert done.code == 1
    assert message in done.err


def test_unknown_columns_are_refused_with_those_found(cli: Command) -> None:
    cli.write("in.csv", "review,stars\ngood,5\n")
    for arguments, message in (
        ([], "Which column is text? Say so: --column text=COLUMN. Columns found: review, stars."),
        (["--column", "revue"], "There is no column 'revue'. Did you mean 'review'? Columns found: review, stars."),
        (["--column", "txt=review"], "text-classification has no argument 'txt'. Did you mean 'text'?"),
        (["--column", "review,stars,more"], "names 3 columns, but an input of text-classification has 2"),
        (["--column", "review,"], "empty name"),
    ):
        done = cli.run("--task", "text-classification", "--input", "in.csv", *arguments)
        assert done.code == 2
        assert message in done.err
    cli.write("in.jsonl", '{"review": "x", "stars": 1}\n')
    assert cli.run("--input", "in.jsonl").code == 2


@pytest.mark.parametrize(
    ("task", "column", "row", "item"),
    [
        ("text-classification", None, {"text": "a"}, "a"),
        ("text-classification", None, {"only": "a"}, "a"),
        ("text-classification", None, {"sentence": "a", "label": "1"}, "a"),
        ("text-classification", None, {"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": "b"}),
        ("text-classification", None, {"text": "a", "text_pair": ""}, "a"),
        ("text-classification", "p,h", {"p": "a", "h": "b"}, {"text": "a", "text_pair": "b"}),
        ("text-classification", "text_pair=p,text=h", {"p": "a", "h": "b"}, {"text": "b", "text_pair": "a"}),
        ("text-classification", "inputs=p", {"p": "a", "h": "b"}, "a"),
        ("question-answering", None, {"question": "a", "context": "b"}, {"question": "a", "context": "b"}),
        (
            "question-answering",
            "context,question",
            {"question": "a", "context": "b"},
            {"question": "a", "context": "b"},
        ),
        ("question-answering", "q,c", {"q": "a", "c": "b"}, {"question": "a", "context": "b"}),
        ("question-answering", "c,question=q", {"q": "a", "c": "b"}, {"question": "a", "context": "b"}),
        ("sentence-similarity", None, {"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": "b"}),
        (
            "sentence-similarity",
            None,
            {"source_sentence": "a", "sentences": ["b", "c"]},
            {"source_sentence": "a", "sentences": ["b", "c"]},
        ),
        (
            "multiple-choice",
            None,
            {"id": 1, "context": "", "question": "q", "choices": ["a", "b"]},
            {"question": "q", "choices": ["a", "b"]},
        ),
        (
            "multiple-choice",
            "question=x,choices=A,choices=B",
            {"x": "q", "A": "a", "B": "b"},
            {"question": "q", "choices": ["a", "b"]},
        ),
        (
            "multiple-choice",
            "question=x,choices=A+B",
            {"x": "q", "A": "a", "B": "b"},
            {"question": "q", "choices": ["a", "b"]},
        ),
        (
            "multiple-choice",
            "context=c,choices=all",
            {"c": "x", "all": '["a", "b"]'},
            {"context": "x", "choices": ["a", "b"]},
        ),
    ],
)
def test_columns_become_arguments(
    cli: Command, task: str, column: str | None, row: dict[str, str], item: object
) -> None:
    cli.write("in.jsonl", json.dumps(row))
    done = cli.run("--task", task, "--input", "in.jsonl", *(["--column", column] if column else []))
    assert (done.code, done.err) == (0, "")
    got = cli.task.windows[0][0]
    assert got == item


@pytest.mark.parametrize(
    ("task", "line", "item"),
    [
        ("text-classification", "a\tb", {"text": "a", "text_pair": "b"}),
        ("question-answering", "q\tc", {"question": "q", "context": "c"}),
        ("fill-mask", "a\tb", "a\tb"),
        ("multiple-choice", "c\tq\tx\ty\tz", {"context": "c", "question": "q", "choices": ["x", "y", "z"]}),
        ("sentence-similarity", "a\tb", {"text": "a", "text_pair": "b"}),
    ],
)
def test_a_tab_separates_the_arguments_of_a_line(cli: Command, task: str, line: str, item: object) -> None:
    assert cli.run("--task", task, stdin=line + "\r\n\n").code == 0
    assert cli.task.windows == [[item]]


def test_lines_follow_the_order_of_column(cli: Command) -> None:
    assert cli.run("--task", "question-answering", "--column", "context,question", stdin="c\tq\n").code == 0
    assert cli.task.windows == [[{"context": "c", "question": "q"}]]


def test_the_columns_of_a_header_are_checked_before_the_model_is_loaded(cli: Command) -> None:
    cli.write("in.csv", "a,b\n1,2\n")
    assert cli.run("--task", "text-classification", "--input", "in.csv").code == 2
    assert fake.TASKS == []


def test_the_first_row_decides_which_column_is_the_text(cli: Command) -> None:
    cli.write("in.jsonl", '{"id": 1, "sentence": "one"}\n{"text": "two"}\n{"text": "x", "sentence": "three"}\n')
    done = cli.run("--task", "text-classification", "--input", "in.jsonl")
    assert [answer and answer["label"] for answer in done.answers] == ["L3", None, "L5"]
    assert "in.jsonl:2: There is no column 'sentence'. Columns found: text." in done.err


@pytest.mark.parametrize("choices", ["it rained;it shone", ["it rained"]])
def test_fewer_than_two_choices_are_refused(cli: Command, choices: object) -> None:
    cli.write("in.jsonl", json.dumps({"question": "why?", "choices": choices}))
    done = cli.run("--task", "multiple-choice", "--input", "in.jsonl")
    assert (done.code, done.answers) == (1, [None])
    assert "in.jsonl:1: 'choices' has 1 text, and at least 2 are needed: a list such as" in done.err
    assert "--column choices=A+B" in done.err
