"""Shards put together are what the command writes into one file, whatever the format and the options."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from distilbert.cluster.shard_outputs import RECORDS, REJECTS, SUCCESS, SUMMARY
from tests.cli.helpers import Command

COUNT = 700
TEXTS = ["" if n % 97 == 5 else f"Text {n} " + "x" * (n % 13) for n in range(COUNT)]


def quoted(text: str) -> str:
    return f'"{text}\nmore"' if len(text) % 5 == 0 and text else text


def write(folder: Path, name: str, texts: list[str] = TEXTS) -> str:
    kind = name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / name, row_group_size=90)
        return name
    content = {
        "txt": "".join(f"{text}\n" for text in texts),
        "jsonl": "".join(json.dumps(row) + "\n" + "\n" * (row["id"] % 31 == 0) for row in rows),
        "json": json.dumps(rows),
        "csv": "id,text\n" + "".join(f"{row['id']},{quoted(row['text'])}\n" for row in rows),
        "tsv": "id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in rows),
    }[kind].encode()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        content = zstandard.compress(content)
    (folder / name).write_bytes(content)
    return name


def shards(folder: Path, format: str = "jsonl") -> list[Path]:
    return sorted(folder.glob(f"shard-*.{format}"))


def joined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in shards(folder))


def summary_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return values


FILES = ["in.txt", "in.jsonl", "in.json", "in.csv", "in.tsv", "in.parquet", "in.jsonl.gz", "in.csv.zst", "in.txt.gz"]


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("options", [[], ["--keep-input"], ["--on-error", "skip", "--keep-input"]], ids=" ".join)
def test_shards_put_together_are_the_one_file(cli: Command, name: str, options: list[str]) -> None:
    write(cli.folder, name)
    assert cli.run("--input", name, "--output", "one.jsonl", *options).code == 0
    done = cli.run("--input", name, "--output", "out/", "--shard-rows", "100", *options)
    assert done.code == 0, done.err
    assert joined(cli.folder / "out") == (cli.folder / "one.jsonl").read_bytes()
    assert len(shards(cli.folder / "out")) >= 6
    assert (cli.folder / "out" / SUCCESS).exists()
    is_blank = name.startswith("in.txt") and "skip" in options  # an empty line is no row then
    assert (cli.folder / "out" / REJECTS).exists() != is_blank
    listed = "" if is_blank else (cli.folder / "out" / REJECTS).read_text()
    rejects = [json.loads(line) for line in listed.splitlines()]
    numbers = [int(reject["row"][len(reject["row"].rstrip("0123456789")) :]) for reject in rejects]
    assert numbers == sorted(numbers)
    summary = summary_of(cli.folder / "out")
    assert summary["answered"] + summary["rejects"] == summary["rows"]
    assert summary["rejects"] == len(rejects) == (0 if is_blank else TEXTS.count(""))


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
def test_every_shard_takes_the_column_that_the_first_row_of_the_file_shows(cli: Command, name: str) -> None:
    rows: list[dict[str, str]] = [{"text": f"Text {number}"} for number in range(64)]
    rows[16] = rows[17] = {"label": "no text"}
    lines = [json.dumps(row) for row in rows]
    (cli.folder / name).write_text("\n".join(lines) if name == "in.jsonl" else f"[{','.join(lines)}]")
    assert cli.run("--input", name, "--output", "out/", "--shard-rows", "16").code == 0
    answers = [json.loads(line) for line in joined(cli.folder / "out").splitlines()]
    assert [number for number, answer in enumerate(answers) if answer is None] == [16, 17]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("b.csv", "text,text\nx,y\n", (), "in/b.csv: The header has 'text' more than once"),
        ("b.csv", "p,q\nx,y\n", (), "in/b.csv: Which column is text?"),
        ("b.csv", "p,q\nx,y\n", ("--column", "text"), "in/b.csv: There is no column 'text'."),
        ("b.jsonl", '\n{"p": "x", "q": "y"}\n', (), "in/b.jsonl:2: Which column is text?"),
    ],
)
def test_of_many_files_the_one_is_named_whose_columns_do_not_fit(
    cli: Command, name: str, content: str, options: tuple[str, ...], message: str
) -> None:
    (cli.folder / "in").mkdir()
    (cli.folder / "in" / "a.csv").write_text("text\nx\n")
    (cli.folder / "in" / name).write_text(content)
    done = cli.run("--task", "text-classification", "--input", "in", "--output", "out/", *options)
    assert done.code == 2
    assert done.err.startswith(f"distilbert: {message}")


@pytest.mark.usefixtures("own_workers")
def test_windows_are_those_of_the_one_file(cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(cli.folder, "in.csv")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    sizes = []
    for output in ("one.jsonl", "out/"):
        assert cli.run("--input", "in.csv", "--output", output, *["--shard-rows", "1"] * (output == "out/")).code == 0
        sizes.append(sorted(int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()))
        (tmp_path / "log").unlink()
    assert sizes[0] == sizes[1]


@pytest.mark.usefixtures("own_workers")
def test_a_folder_and_a_pattern_are_several_files(cli: Command) -> None:
    (cli.folder / "in").mkdir()
    for number in range(3):
        write(cli.folder / "in", f"{number}.jsonl", TEXTS[number * 100 : number * 100 + 100])
        assert cli.run("--input", f"in/{number}.jsonl", "--output", f"{number}.jsonl").code == 0
    (cli.folder / "in" / "_ignored.jsonl").write_text("x")
    (cli.folder / "in" / "notes.md").write_text("x")
    expected = b"".join((cli.folder / f"{number}.jsonl").read_bytes() for number in range(3))
    for input, output in (("in", "a"), ("in/*.jsonl", "b/"), (f"{cli.folder.as_uri()}/in/*.jsonl", "c")):
        done = cli.run("--input", input, "--output", output)
        assert done.code == 0, done.err
        assert joined(cli.folder / output) == expected
        assert summary_of(cli.folder / output)["files"] == 3


@pytest.mark.usefixtures("own_workers")
def test_an_address_to_write_to(cli: Command) -> None:
    write(cli.folder, "in.jsonl")
    assert cli.run("--input", "in.jsonl", "--output", "one.jsonl").code == 0
    address = (cli.folder / "out").as_uri()
    assert cli.run("--input", "in.jsonl", "--output", address, "--shard-rows", "100").code == 0
    assert joined(cli.folder / "out") == (cli.folder / "one.jsonl").read_bytes()
    assert (cli.folder / "out" / SUCCESS).exists()
    assert not [path for path in (cli.folder / "out").rglob("*") if path.name.endswith(".tmp")]
    assert "complete run" in cli.run("--input", "in.jsonl", "--output", address).err


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize("format", ["jsonl.gz", "csv", "tsv", "parquet"])
def test_formats_of_shards(cli: Command, format: str) -> None:
    write(cli.folder, "in.jsonl")
    arguments = ["--task", "token-classification", "--input", "in.jsonl", "--column", "text"]
    if format == "parquet":
        arguments[1] = "text-classification"
    assert cli.run(*arguments, "--output", f"one.{format}").code == 0
    done = cli.run(*arguments, "--output", "out/", "--shard-rows", "100", "--shard-format", format)
    assert done.code == 0, done.err
    files = shards(cli.folder / "out", format)
    assert len(files) >= 6
    one = cli.folder / f"one.{format}"
    if format == "jsonl.gz":
        assert b"".join(gzip.decompress(path.read_bytes()) for path in files) == gzip.decompress(one.read_bytes())
    elif format == "parquet":
        whole = pyarrow.parquet.read_table(one)
        assert pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in files]) == whole
    else:
        header, *rows = one.read_text().splitlines()
        lines = [path.read_text().splitlines() for path in files]
        assert all(first == header for first, *_ in lines)
        assert [row for _, *others in lines for row in others] == rows


@pytest.mark.usefixtures("own_workers")
def test_an_empty_file_has_an_empty_shard(cli: Command) -> None:
    cli.write("in.jsonl", "")
    done = cli.run("--input", "in.jsonl", "--output", "out/")
    assert done.code == 0
    assert [path.read_bytes() for path in shards(cli.folder / "out")] == [b""]
    assert summary_of(cli.folder / "out")["rows"] == 0


@pytest.mark.usefixtures("own_workers")
def test_a_run_that_goes_on_must_be_the_same(cli: Command) -> None:
    write(cli.folder, "in.jsonl")
    arguments = ["--input", "in.jsonl", "--output", "out", "--shard-rows", "100"]
    assert cli.run(*arguments).code == 0
    whole = joined(cli.folder / "out")
    done = cli.run(*arguments)
    assert done.code == 2
    assert "complete run" in done.err
    (cli.folder / "out" / SUCCESS).unlink()
    assert "unfinished run: go on with --resume" in cli.run(*arguments).err
    changed = ["--keep-input", "--param", "stride=3", "--on-error", "skip", "--resume"]
    done = cli.run(*arguments[:-1], "200", *changed)
    assert done.code == 2
    for change in (
        "--shard-rows was 100 and is 200",
        "--keep-input was False and is True",
        "parameters stride was None and is 3",
        "--on-error was 'null' and is 'skip'",
    ):
        assert change in done.err
    second, last = shards(cli.folder / "out")[1], shards(cli.folder / "out")[-1]
    second.write_bytes(second.read_bytes()[:-1] + b" ")
    last.unlink()
    (cli.folder / "out" / ".shard-00001.jsonl.0123.tmp").write_text("half")
    stamps = {path: path.stat().st_mtime_ns for path in shards(cli.folder / "out")}
    done = cli.run(*arguments, "--resume")
    assert done.code == 0
    assert f"{len(stamps) - 1} of {len(stamps) + 1} shards are done already" in done.err
    assert joined(cli.folder / "out") == whole
    assert [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp] == [second]
    assert not list((cli.folder / "out").glob(".*.tmp"))
    write(cli.folder, "in.jsonl", TEXTS[1:])
    done = cli.run(*arguments, "--resume")
    assert done.code == 2
    assert "in.jsonl has another content" in done.err
    assert cli.run(*arguments, "--overwrite").code == 0
    assert joined(cli.folder / "out") != whole


@pytest.mark.usefixtures("own_workers")
def test_a_manifest_that_was_changed_is_refused(cli: Command) -> None:
    write(cli.folder, "in.jsonl")
    arguments = ["--input", "in.jsonl", "--output", "out", "--shard-rows", "100"]
    assert cli.run(*arguments).code == 0
    manifest = cli.folder / "out" / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 1', '"rows": 2', 1))
    done = cli.run(*arguments, "--resume")
    assert done.code == 2
    assert "start again with --overwrite" in done.err


@pytest.mark.usefixtures("own_workers")
def test_a_row_that_is_to_stop_the_work_does(cli: Command) -> None:
    write(cli.folder, "in.jsonl", ["good", "refuse me", "good"])
    done = cli.run("--input", "in.jsonl", "--output", "out/", "--on-error", "stop")
    assert done.code == 1
    assert "in.jsonl:3: the input is refused" in done.err  # a blank line follows the first
    assert "0 of 1 shards are done and kept" in done.err


@pytest.mark.usefixtures("own_workers")
def test_a_file_that_changes_meanwhile_is_noticed(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from .conftest import OwnWorkers

    write(cli.folder, "in.jsonl")
    before = OwnWorkers.run

    def run(self: OwnWorkers, *arguments: Any) -> None:
        write(cli.folder, "in.jsonl", TEXTS[:300])
        before(self, *arguments)

    monkeypatch.setattr(OwnWorkers, "run", run)
    done = cli.run("--input", "in.jsonl", "--output", "out", "--shard-rows", "100")
    assert done.code == 1
    assert "in.jsonl has changed since its shards were fixed" in done.err


@pytest.mark.usefixtures("own_workers")
def test_a_file_of_as_many_rows_that_changes_meanwhile_is_noticed(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards begin at bytes, which are in the middle of a row then."""
    from .conftest import OwnWorkers

    write(cli.folder, "in.jsonl")
    before = OwnWorkers.run

    def afterwards(change: Callable[[Path], object]) -> None:
        def run(self: OwnWorkers, *arguments: Any) -> None:
            before(self, *arguments)
            change(cli.folder / "in.jsonl")

        monkeypatch.setattr(OwnWorkers, "run", run)

    arguments = ("--input", "in.jsonl", "--output", "out", "--shard-rows", "100", "--overwrite")
    afterwards(lambda path: path.write_text(path.read_text().replace("Text", "A text", 1)))
    done = cli.run(*arguments)
    assert done.code == 1
    assert "in.jsonl has changed since its shards were fixed" in done.err
    assert not (cli.folder / "out" / "_SUCCESS").exists()
    done = cli.run(*arguments[:-1], "--resume")
    assert (done.code, "in.jsonl has another content" in done.err) == (2, True)

    def grow(path: Path) -> None:
        with path.open("a") as file:
            file.write('{"text": "one more"}\n')

    afterwards(grow)
    assert cli.run(*arguments).code == 0
    assert (cli.folder / "out" / "_SUCCESS").exists()


@pytest.mark.usefixtures("own_workers")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "in.jsonl", "--output", "out.jsonl", "--workers", "2"], "writes a folder, and 'out.jsonl' is the"),
        (["--input", "in.jsonl", "--workers", "2"], "writes a folder: name it with --output"),
        (["--output", "out/"], "reads files: name them with --input"),
        (["--input", "no/*.csv", "--output", "out/"], "There is no file 'no/*.csv'"),
        (["--input", "empty", "--output", "out/"], "The folder 'empty' holds no file that ends in"),
        (["--input", "in.jsonl", "--output", "in.jsonl/"], "is a file; a sharded run writes a folder"),
        (["--input", "in.jsonl", "--output", "full"], "full holds other files"),
        (["--input", "in.jsonl", "--output", "out/", "--column", "none"], "There is no column 'none'"),
        (["--input", "in.jsonl", "--output", "out/", "--param", "nothing=1"], "unknown argument 'nothing'"),
        (["--input", "in.jsonl", "--output", "out/", "--shard-rows", "0"], "--shard-rows must be at least 1"),
        (["--input", "in.jsonl", "--output", "out/", "--source", "s"], "--source ranks"),
        (["--input", "in.data", "--output", "out/"], "does not tell its format"),
        (["--input", "none://a/b.csv", "--output", "out/"], "none://a/b.csv cannot be opened"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(cli: Command, arguments: list[str], message: str) -> None:
    write(cli.folder, "in.jsonl")
    cli.write("in.data", "x")
    (cli.folder / "empty").mkdir()
    (cli.folder / "full").mkdir()
    cli.write("full/notes.txt", "x")
    done = cli.run(*arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert not (cli.folder / "out").exists()


def test_records_are_in_a_folder_of_their_own(cli: Command) -> None:
    write(cli.folder, "in.jsonl", TEXTS[:50])
    done = cli.run("--input", "in.jsonl", "--output", "out/", "--workers", "1")
    assert done.code == 0, done.err
    record = json.loads((cli.folder / "out" / RECORDS / "00000.json").read_text())
    assert record["rows"] == 50
    assert record["worker"] == "1"
