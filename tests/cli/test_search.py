"""``distilbert index`` and ``distilbert search`` on a tiny encoder: rows in, entries out, and every refusal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distilbert import Encoder, Index, pipeline
from distilbert.cli import index_building, index_snapshot, invoke
from distilbert.core.installed import find_installed
from distilbert.embedding import index_folder, vector_index
from distilbert.embedding.index_encoder import TextEncoder
from tests.behaviour.make_models import make

TABLE = "text,kind,key\na fine film,film,a\nthe weather,news,b\n,film,c\nrain,news,d\n"
CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("models"), "encoder"))


@pytest.fixture
def distilbert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """The command in this process, in a folder with a table of texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(index_building, "KEEP_SECONDS", float("inf"))  # the clock decides nothing
    Path("texts.csv").write_text(TABLE)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        Path(".stdin").write_text(stdin)
        capfd.readouterr()
        with Path(".stdin").open() as file, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", file)
            code = invoke(arguments)
        return code, *capfd.readouterr()

    return run


def records(folder: str) -> list[tuple[object, str | None, dict[str, object]]]:
    return [(record["id"], record["text"], record["metadata"]) for record in Index.load(folder)]


def test_a_table_is_indexed_and_searched(distilbert: CommandLine, model: str) -> None:
    code, out, err = distilbert("index", "texts.csv", "--model", model, "--output", "notes")
    assert (code, out) == (0, "")
    assert err.splitlines()[0].endswith("skipped texts.csv:4: an empty text")
    assert err.endswith("notes: 3 entries.\n")
    assert records("notes") == [
        (0, "a fine film", {"kind": "film", "key": "a"}),
        (1, "the weather", {"kind": "news", "key": "b"}),
        (2, "rain", {"kind": "news", "key": "d"}),
    ]
    code, out, _ = distilbert("search", "notes", "rain", "the weather", "--k", "1")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [(answer["query"], answer["hits"][0]["id"]) for answer in answers] == [("rain", 2), ("the weather", 1)]
    assert answers[0]["hits"][0]["score"] == pytest.approx(1)
    assert distilbert("search", "notes", "-k", "1", stdin="rain\n\nthe weather\n") == (0, out, "")
    _, out, _ = distilbert("search", "notes", "rain", "--where", "kind=film")
    assert [hit["id"] for hit in json.loads(out)["hits"]] == [0]
    _, out, _ = distilbert("search", "notes", "rain", "--where", "kind=film", "--where", "kind=news")
    assert len(json.loads(out)["hits"]) == 3
    code, out, _ = distilbert("search", "notes", "rain", "--format", "table", "--k", "1")
    assert out.splitlines()[0] == "rain"
    assert out.splitlines()[2].split() == ["1.0000", "2", "rain", "kind:", "news,", "key:", "d"]


def test_columns_are_chosen(distilbert: CommandLine, model: str) -> None:
    arguments = ("--model", model, "--output", "notes")
    assert distilbert("index", "texts.csv", *arguments, "--id", "key", "--metadata", "kind")[0] == 0
    assert records("notes")[2] == ("d", "rain", {"kind": "news"})
    assert distilbert("index", "texts.csv", *arguments, "--metadata", "", "--column", "kind", "--overwrite")[0] == 0
    assert records("notes")[3] == (3, "news", {})
    for option, name in (("--id", "kee"), ("--metadata", "kid"), ("--column", "txt")):
        code, _, err = distilbert("index", "texts.csv", *arguments, option, name, "--overwrite")
        assert code == 2
        assert f"There is no column {name!r}" in err
    code, _, err = distilbert("index", "texts.csv", *arguments, "--id", "kind", "--overwrite")
    assert (code, "The id 'news' is there twice" in err) == (1, True)


def test_other_formats(distilbert: CommandLine, model: str) -> None:
    rows = [{"text": "rain", "year": 2024, "tags": ["a"]}, {"text": "a fine film", "year": None, "tags": []}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("lines.txt").write_text("rain\na fine film\n")
    for name, metadata in (("rows.parquet", rows[0]), ("rows.jsonl", rows[0]), ("lines.txt", {"text": "rain"})):
        assert distilbert("index", name, "--model", model, "--output", f"{name}.index")[0] == 0
        expected = {key: value for key, value in metadata.items() if key != "text"}
        assert records(f"{name}.index")[0] == (0, "rain", expected)
    assert distilbert("index", "--model", model, "--output", "piped", stdin="rain\nsnow\n")[0] == 0
    assert [text for _, text, _ in records("piped")] == ["rain", "snow"]
    _, out, _ = distilbert("search", "rows.parquet.index", "rain", "--where", "year=2024")
    assert [hit["id"] for hit in json.loads(out)["hits"]] == [0], "a number of JSON"


def test_the_column_of_the_text_is_left_out_and_no_equal_one(distilbert: CommandLine, model: str) -> None:
    row = {"title": "cold snow", "text": "cold snow", "n": 1}
    other = {"n": 2, "text": "rain", "label": "rain"}
    Path("rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (row, other, "snow")))
    assert distilbert("index", "rows.jsonl", "--model", model, "--output", "notes")[0] == 0
    assert [metadata for _, _, metadata in records("notes")] == [
        {"title": "cold snow", "n": 1},
        {"n": 2, "label": "rain"},
        {},
    ]
    Path("row.json").write_text(json.dumps([row]))
    for column in ("title", "text=title"):
        arguments = ("--model", model, "--output", "titles", "--column", column, "--overwrite")
        assert distilbert("index", "row.json", *arguments)[0] == 0
        assert records("titles") == [(0, "cold snow", {"text": "cold snow", "n": 1})]


def test_the_encoder_of_an_index_is_made_again(distilbert: CommandLine, model: str) -> None:
    encoder = Encoder(model, truncation=True, max_length=4, prompts={"query": "the ", "document": "a "})
    index = Index.build(["rain in the night", "a fine film"], encoder)
    index.save("notes")
    expected = index.search("the weather in the night")
    _, out, _ = distilbert("search", "notes", "the weather in the night")
    assert json.loads(out)["hits"] == expected
    Path("more.txt").write_text("the snow of the night\n")
    assert distilbert("index", "more.txt", "--output", "notes", "--add")[0] == 0
    index.add(["the snow of the night"])
    np.testing.assert_allclose(*(np.concatenate(list(each.vectors())) for each in (Index.load("notes"), index)))


def test_rows_are_added(distilbert: CommandLine, model: str) -> None:
    distilbert("index", "texts.csv", "--model", model, "--output", "notes", "--id", "key")
    Path("more.csv").write_text("text,kind,key\nsnow,news,e\n")
    code, _, err = distilbert("index", "more.csv", "--output", "notes", "--add", "--id", "key")
    assert (code, err) == (0, "distilbert: notes: 4 entries.\n"), "the model is that of the index"
    code, _, err = distilbert("index", "more.csv", "--output", "notes", "--add", "--id", "key")
    assert (code, "more.csv:2: the id 'e' is in the index already" in err) == (1, True)
    assert len(records("notes")) == 4
    assert distilbert("index", "more.csv", "--output", "notes", "--add")[0] == 0
    assert records("notes")[4] == (0, "snow", {"kind": "news", "key": "e"})


def test_an_interrupted_run_goes_on(distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "KEEP_ROWS", 16)
    Path("many.txt").write_text("".join(f"note {number} of many\n" for number in range(150)))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    assert distilbert(*arguments)[0] == 0
    expected = np.concatenate(list(Index.load("notes").vectors()))
    encoded: list[int] = []
    call = TextEncoder.encode_document

    def interrupted(self: TextEncoder, texts: list[str]) -> np.ndarray:
        if len(encoded) == 4:
            raise KeyboardInterrupt
        encoded.append(len(texts))
        return call(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "encode_document", interrupted)
        code, _, err = distilbert(*arguments, "--overwrite")
    assert code == 130
    assert "48 rows are done and kept in notes.part: the same command with --resume goes on from there" in err
    assert len(Index.load("notes")) == 150, "the index of before is still there"
    code, _, err = distilbert(*arguments)
    assert (code, "notes exists. --add adds to it" in err) == (2, True)
    code, _, err = distilbert("index", "texts.csv", "--model", model, "--output", "notes", "--resume")
    assert (code, "--resume: the run before had another input" in err) == (2, True)
    code, _, err = distilbert(*arguments, "--column", "text", "--resume")
    assert (code, "had another column" in err) == (2, True)
    code, _, err = distilbert(*arguments, "--method", "hnsw", "--resume")
    assert (code, "--resume: the run before had another method. --overwrite starts again" in err) == (2, True)
    encoded.clear()
    monkeypatch.setattr(
        TextEncoder, "encode_document", lambda self, texts: encoded.append(len(texts)) or call(self, texts)
    )
    assert distilbert(*arguments, "--resume")[0] == 0
    assert sum(size for size in encoded if size > 1) == 102, "no row is encoded twice"
    np.testing.assert_allclose(np.concatenate(list(Index.load("notes").vectors())), expected, atol=1e-6)
    assert not Path("notes.part").exists()
    code, _, err = distilbert(*arguments, "--resume")
    assert (code, "There is nothing to resume: notes.part does not exist" in err) == (2, True)


def test_the_input_is_hashed_before_and_after(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "KEEP_ROWS", 16)
    Path("many.txt").write_text("".join(f"note {number} of many\n" for number in range(150)))
    hashed: list[str] = []
    hash_of = index_snapshot._hash_of
    monkeypatch.setattr(index_snapshot, "_hash_of", lambda path, size: hashed.append(path) or hash_of(path, size))
    assert distilbert("index", "many.txt", "--model", model, "--output", "notes")[0] == 0
    assert hashed == ["many.txt", "many.txt"]


@pytest.mark.parametrize("ending", ["complete", "interrupted", "killed"])
def test_an_input_that_changes_while_it_is_read(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(index_building, "KEEP_ROWS", 16)
    content = "".join(f"note {number} of many\n" for number in range(150))
    Path("many.txt").write_text(content)
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    assert distilbert(*arguments)[0] == 0
    call = TextEncoder.encode_document

    def changing(self: TextEncoder, texts: list[str]) -> np.ndarray:
        if "note 16 of many" in texts:  # the second window, after which the first 48 rows are kept
            Path("many.txt").write_text(content.replace("note 0", "note 9"))
        if "note 48 of many" in texts and ending != "complete":
            raise KeyboardInterrupt if ending == "interrupted" else MemoryError
        return call(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "encode_document", changing)
        if ending == "killed":  # nothing can be done any more
            with pytest.raises(MemoryError):
                distilbert(*arguments, "--overwrite")
        else:
            code, _, err = distilbert(*arguments, "--overwrite")
            assert code == (1 if ending == "complete" else 130)
            assert "many.txt was changed while it was read. Nothing was written: index it again." in err
    assert len(records("notes")) == 150, "the index of before is still there"
    assert Path("notes.part").exists() == (ending == "killed")
    code, _, err = distilbert(*arguments, "--resume")
    assert code == 2
    assert ("another content of the input" if ending == "killed" else "There is nothing to resume") in err


def encode_with(monkeypatch: pytest.MonkeyPatch, happening: Callable[[list[str]], object]) -> None:
    """Let something happen before each call of the encoder."""
    call = TextEncoder.encode_document
    monkeypatch.setattr(TextEncoder, "encode_document", lambda self, texts: (happening(texts), call(self, texts))[1])


@pytest.mark.parametrize("ending", ["complete", "interrupted"])
@pytest.mark.parametrize("name", ["many.txt", "many.jsonl", "many.csv"])
def test_an_input_that_only_grows(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch, name: str, ending: str
) -> None:
    monkeypatch.setattr(index_building, "KEEP_ROWS", 16)
    texts = [f"note {number} of many" for number in range(150)]
    line = '{{"text": "{}"}}\n' if name.endswith("jsonl") else "{}\n"
    content = ("text\n" if name.endswith("csv") else "") + "".join(map(line.format, texts))
    Path(name).write_text(content + line.format("later")[:3])  # a program is writing the last line
    size = Path(name).stat().st_size
    arguments = ("index", name, "--model", model, "--output", "notes")

    def grow(texts: list[str]) -> None:
        with Path(name).open("a") as file:
            file.write(line.format("later")[3:] if Path(name).stat().st_size == size else line.format("much later"))
        if "note 48 of many" in texts and ending == "interrupted":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        encode_with(patch, grow)
        code, _, err = distilbert(*arguments)
    if ending == "interrupted":
        assert (code, "48 rows are done and kept in notes.part" in err) == (130, True)
        code, _, err = distilbert(*arguments, "--resume")
    assert code == 0
    assert f"{name} has grown since the work began: the index holds the rows of its first {size:,} bytes" in err
    assert [text for _, text, _ in records("notes")] == [*texts, "later"], "the rows that began at that time"
    assert not Path("notes.part").exists()


def test_other_inputs_that_grow(distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not known which rows are new, an input that grows counts as changed."""
    Path("many.tsv").write_text("text\tkey\n" + "".join(f"note {number}\t{number}\n" for number in range(150)))

    def grow(texts: list[str]) -> None:
        with Path("many.tsv").open("a") as file:
            file.write("more\t1\n")

    encode_with(monkeypatch, grow)
    code, _, err = distilbert("index", "many.tsv", "--model", model, "--output", "notes")
    assert (code, "many.tsv was changed while it was read. Nothing was written" in err) == (1, True)


def test_a_short_table_that_grew_is_not_gone_on_with(distilbert: CommandLine, model: str) -> None:
    Path("few.csv").write_text("text,key\n" + "".join(f"note {number},{number}\n" for number in range(20)) + "snow,\n")
    arguments = ("index", "few.csv", "--model", model, "--output", "notes", "--id", "key")
    assert distilbert(*arguments)[0] == 1
    with Path("few.csv").open("a") as file:
        file.write("rain,21\n")
    code, _, err = distilbert(*arguments, "--resume")
    assert code == 1
    assert "few.csv has grown, and it is so short that its new rows cannot be told from the others" in err


# Work that is kept.

SIGNALLED = """
import os, signal, sys
from distilbert.cli import main
from distilbert.embedding.index_encoder import TextEncoder
call, number = TextEncoder.encode_document, int(sys.argv.pop(1))

def signalled(self, texts):
    if "note 48 of many" in texts:
        os.kill(os.getpid(), number)
    return call(self, texts)

TextEncoder.encode_document = signalled
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_work_be_kept(distilbert: CommandLine, model: str, number: int, code: int) -> None:
    Path("many.txt").write_text("".join(f"note {number} of many\n" for number in range(150)))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    process = [sys.executable, "-c", SIGNALLED, str(int(number)), *arguments]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "interrupted. 48 rows are done and kept in notes.part: the same command with --resume goes on" in done.stderr
    assert distilbert(*arguments, "--resume")[0] == 0
    assert len(records("notes")) == 150


@pytest.mark.parametrize("place", ["adding", "keeping", "saving"])
def test_a_signal_at_a_bad_moment(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Rows are counted if and only if they are in the index, and a save that has begun ends."""
    monkeypatch.setattr(index_building, "KEEP_ROWS", 16)
    texts = [f"note {number} of many" for number in range(150)]
    Path("many.txt").write_text("\n".join(texts))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    add, save = Index.add, index_folder.commit

    def signalled_add(self: Index, *values: Any, **others: Any) -> Any:
        ids = add(self, *values, **others)
        if place == "adding" and len(self) == 48:
            signal.raise_signal(signal.SIGINT)
        return ids

    def signalled_save(folder: Path, state: index_folder.IndexState) -> None:
        save(folder, state)
        if state.source.get("rows") == 48 if place == "keeping" else folder.name == "notes":
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # as ``timeout`` sends it

    with monkeypatch.context() as patch:
        patch.setattr(Index, "add", signalled_add)
        if place != "adding":
            patch.setattr(vector_index, "commit", signalled_save)
        code, _, err = distilbert(*arguments)
    if place == "saving":
        assert (code, err) == (0, "distilbert: notes: 150 entries.\n")
    else:
        assert (code, "48 rows are done and kept in notes.part" in err) == (130, True)
        assert distilbert(*arguments, "--resume")[0] == 0
    assert [text for _, text, _ in records("notes")] == texts
    assert not Path("notes.part").exists()


def test_work_is_kept_by_the_clock(distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "KEEP_SECONDS", 0)
    texts = [f"note {number} of many" for number in range(150)]
    Path("many.txt").write_text("\n".join(texts))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")

    def die(texts: list[str]) -> None:
        if "note 16 of many" in texts:
            raise MemoryError  # nothing can be done any more

    with monkeypatch.context() as patch:
        encode_with(patch, die)
        with pytest.raises(MemoryError):
            distilbert(*arguments)
    assert len(records("notes.part")) == 16
    assert distilbert(*arguments, "--resume")[0] == 0
    assert [text for _, text, _ in records("notes")] == texts


def test_a_refused_save_loses_nothing(distilbert: CommandLine, model: str) -> None:
    Path("many.txt").write_text("".join(f"note {number} of many\n" for number in range(150)))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    with index_folder.locked(Path("notes")):
        code, _, err = distilbert(*arguments)
    assert code == 1
    assert "Another process is saving an index in notes. Wait until it has ended, then save. 150 rows are done" in err
    assert "kept in notes.part: the same command with --resume goes on from there" in err
    assert distilbert(*arguments, "--resume")[0] == 0
    assert len(records("notes")) == 150
    assert not Path("notes.part").exists()


def test_the_work_of_another_command_stays(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands with one output: neither replaces or deletes what the other one keeps."""
    Path("many.txt").write_text("".join(f"note {number} of many\n" for number in range(150)))
    arguments = ("index", "many.txt", "--model", model, "--output", "notes")
    encode_with(monkeypatch, lambda _: Path("notes.part").exists() or Index.from_vectors(np.eye(3)).save("notes.part"))
    with monkeypatch.context() as patch:
        patch.setattr(index_building, "KEEP_ROWS", 16)
        code, _, err = distilbert(*arguments)
    assert (code, "Another command keeps its work for notes in notes.part. Wait for it" in err) == (2, True)
    Path("notes.part").rename("before")
    assert distilbert(*arguments)[0] == 0
    assert len(records("notes.part")) == 3


def test_rows_are_added_to_an_index_that_changes_meanwhile(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilbert("index", "texts.csv", "--model", model, "--output", "notes")
    Path("more.csv").write_text("text,kind,key\nsnow,news,e\n")
    arguments = ("index", "more.csv", "--output", "notes", "--add")

    def save_another(texts: list[str]) -> None:
        if texts == ["snow"]:
            other = Index.load("notes")
            other.add(["hail"], vectors=np.ones((1, other.dim)))
            other.save("notes")

    with monkeypatch.context() as patch:
        encode_with(patch, save_another)
        code, _, err = distilbert(*arguments)
    assert code == 1
    assert "notes has been changed by another process" in err
    assert "1 row is done and kept in notes.part: the same command with --resume goes on" in err
    assert distilbert(*arguments, "--resume")[0] == 0
    assert [text for _, text, _ in records("notes")][3:] == ["hail", "snow"]


@pytest.mark.parametrize("ids", [(), ("--id", "key")])
def test_rows_are_added_once_by_a_command_that_was_killed_after_it_had_saved(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...]
) -> None:
    class Killed(BaseException):
        pass

    def killed(self: index_building.IndexWork) -> None:
        raise Killed

    monkeypatch.setattr(index_building, "KEEP_ROWS", 1)
    distilbert("index", "texts.csv", "--model", model, "--output", "notes", *ids)
    Path("more.csv").write_text("text,kind,key\nsnow,news,e\nhail,news,f\n")
    arguments = ("index", "more.csv", "--output", "notes", "--add", *ids)
    with monkeypatch.context() as patch:
        patch.setattr(index_building.IndexWork, "forget", killed)
        with pytest.raises(Killed):
            distilbert(*arguments)
    assert Path("notes.part").exists()
    code, _, err = distilbert(*arguments, "--resume")
    assert (code, err) == (0, "distilbert: notes: 5 entries.\n")
    assert [text for _, text, _ in records("notes")][3:] == ["snow", "hail"]
    assert not Path("notes.part").exists()
    if not ids:  # the same rows again, on purpose
        assert distilbert(*arguments)[2] == "distilbert: notes: 7 entries.\n"


def test_files_of_others_stay(distilbert: CommandLine, model: str) -> None:
    Path("many.csv").write_text("text,key\n" + "".join(f"note {number},{number}\n" for number in range(20)) + "snow,\n")
    arguments = ("index", "many.csv", "--model", model, "--output", "notes", "--id", "key")
    Index.from_vectors(np.eye(3)).save("notes")
    letters = [Path("notes/letter.txt"), Path("notes.part/letter.txt")]
    letters[0].write_text("dear")
    code, _, err = distilbert(*arguments, "--overwrite")
    assert (code, "16 rows are done and kept in notes.part" in err) == (1, True), "the last row has no id"
    letters[1].write_text("dear")
    code, _, err = distilbert(*arguments, "--overwrite")
    assert (code, "notes.part holds other files, and what is done would be kept there" in err) == (2, True)
    assert [path.name for path in Path("notes.part").iterdir()] == ["letter.txt"]
    letters[1].unlink()
    assert distilbert(*arguments[:-2])[0] == 2
    assert distilbert(*arguments[:-2], "--overwrite")[0] == 0
    assert len(records("notes")) == 21
    assert letters[0].read_text() == "dear"


def test_files_of_others_stay_in_the_folder_of_unfinished_work(
    distilbert: CommandLine, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "KEEP_ROWS", 1)
    keep = index_building.IndexWork.keep

    def keep_and_write(work: index_building.IndexWork) -> None:
        keep(work)
        Path("notes.part/letter.txt").write_text("dear")

    monkeypatch.setattr(index_building.IndexWork, "keep", keep_and_write)
    assert distilbert("index", "texts.csv", "--model", model, "--output", "notes")[0] == 0
    assert len(records("notes")) == 3
    assert [path.name for path in Path("notes.part").iterdir()] == ["letter.txt"]


def test_what_a_killed_save_left_is_no_obstacle(distilbert: CommandLine, model: str) -> None:
    for name in ("notes", "notes.part"):
        Path(name).mkdir()
        Path(name, "000001-01234567.records.jsonl").write_text("{")
        Path(name, "index.lock").touch()
    arguments = ("index", "texts.csv", "--model", model, "--output", "notes")
    code, _, err = distilbert(*arguments, "--resume")
    assert (code, "There is nothing to resume" in err) == (2, True)
    assert distilbert(*arguments)[0] == 0
    assert len(records("notes")) == 3
    assert not Path("notes.part").exists()


def test_an_index_is_exported(distilbert: CommandLine, model: str) -> None:
    distilbert("index", "texts.csv", "--model", model, "--output", "notes")
    for name in ("notes.parquet", "notes.copy", "notes.jsonl"):
        code, _, err = distilbert("index", "notes", "--export", name)
        assert (code, err) == (0, f"distilbert: {name}: 3 entries.\n")
        assert distilbert("index", "notes", "--export", name)[0] == 2
        assert distilbert("index", "notes", "--export", name, "--overwrite")[0] == 0
    code, _, err = distilbert("index", "notes", "--export", "notes.csv")
    assert (code, "is of no known format: end the name in .parquet" in err) == (2, True)
    assert distilbert("index", "texts.csv", "--export", "a.parquet")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "texts.csv"], "Name the folder of the index: --output FOLDER"),
        (["index", "texts.csv", "--output", "new", "--add"], "There is no index in new to add to"),
        (["index", "no.csv", "--output", "new", "--model", "m"], "There is no file 'no.csv' to read"),
        (["index", "texts.csv", "--output", "texts.csv", "--model", "m"], "texts.csv is not the folder of an index"),
        (["index", "--output", "new", "--model", "m", "--resume"], "--resume needs a file"),
        (["index", "texts.csv", "--output", "n", "--add", "--overwrite"], "--add and --overwrite exclude each other"),
        (["index", "--export", "a.parquet"], "--export goes with the folder of an index alone"),
        (["search", "."], ". is no folder of an index"),
        (["search", "nowhere", "query"], "nowhere does not exist. An index is made with"),
    ],
)
def test_refusals(distilbert: CommandLine, arguments: list[str], message: str) -> None:
    code, out, err = distilbert(*arguments)
    assert code in (1, 2)
    assert message in err
    assert (out, len(err.splitlines())) == ("", 1)


def test_an_index_without_a_named_model_has_the_default_one(distilbert: CommandLine) -> None:
    if find_installed("distilbert-mini-embed") is None:
        pytest.skip("the model distilbert-mini-embed is not installed")
    code, _, err = distilbert("index", "texts.csv", "--output", "named")
    assert code == 0
    assert "no --model, so the default of feature-extraction is used: distilbert-mini-embed" in err
    code, out, _ = distilbert("search", "named", "a query", "--k", "1", "--format", "json")
    assert code == 0
    assert len(out.splitlines()) == 1


def test_search_refuses_what_it_cannot_do(distilbert: CommandLine, model: str) -> None:
    distilbert("index", "texts.csv", "--model", model, "--output", "notes")
    for arguments, message in (
        (["--where", "kind"], "--where 'kind' is not of the form NAME=VALUE"),
        (["--where", "kid=film"], "No entry has metadata called 'kid'. Did you mean 'kind'?"),
        (["--k", "0"], "Invalid value for '--k'"),
        (["--model", "nowhere"], "nowhere"),
    ):
        code, _, err = distilbert("search", "notes", "rain", *arguments)
        assert code != 0
        assert message in err
    Index.from_vectors(np.eye(3)).save("bare")
    code, _, err = distilbert("search", "bare", "rain")
    assert (code, "bare does not know its model: name it with --model" in err) == (2, True)
    assert distilbert("index", "texts.csv", "--output", "bare", "--add")[2].endswith("name it with --model.\n")
    code, _, err = distilbert("search", "notes", "")
    assert (code, err) == (1, "distilbert: The query is an empty text: leave it out, or give at least one character.\n")
    Index.build(["rain"], lambda texts: np.ones((len(texts), 3))).save("function")
    for command in (["search", "function", "rain"], ["index", "texts.csv", "--output", "function", "--add"]):
        code, _, err = distilbert(*command)
        assert code == 2
        assert "<lambda>, which is no model that a command can load. Use Index.load(folder, encoder=...)" in err


def test_a_row_that_stops_the_work_is_told_what_works(distilbert: CommandLine, model: str) -> None:
    arguments = ("index", "texts.csv", "--model", model, "--output", "notes", "--on-error")
    code, _, err = distilbert(*arguments, "stop")
    assert code == 1
    assert "texts.csv:4: an empty text. (--on-error skip leaves such rows out.) Nothing was written." in err
    Path("many.csv").write_text("text,key\n" + "".join(f"note {number},{number}\n" for number in range(20)) + ",20\n")
    arguments = ("index", "many.csv", "--model", model, "--output", "others", "--on-error")
    code, _, err = distilbert(*arguments, "stop")
    assert (code, "16 rows are done and kept in others.part" in err) == (1, True)
    assert distilbert(*arguments, "skip", "--resume")[0] == 0
    assert len(records("others")) == 20


def test_another_model_is_refused(distilbert: CommandLine, model: str, tmp_path: Path) -> None:
    other = make(tmp_path / "other", "labels")
    distilbert("index", "texts.csv", "--model", model, "--output", "notes")
    code, _, err = distilbert("search", "notes", "rain", "--model", str(other))
    assert code == 1
    assert f"The index was made with {model}" in err
    assert "which gives other vectors" in err


def test_an_encoder_that_knows_its_folder_is_remembered(model: str, tmp_path: Path) -> None:
    class FolderEncoder:
        folder, pooling = Path(model), "mean"

        def encode(self, texts: list[str]) -> np.ndarray:
            task = pipeline("feature-extraction", self.folder, pooling="mean", normalize=True, return_tensors="np")
            return np.stack(task(texts))

    Index.build(["rain", "a fine film"], FolderEncoder()).save(tmp_path / "notes")
    loaded = Index.load(tmp_path / "notes")
    assert (loaded.encoder_name, loaded.pooling) == (model, "mean")
    assert loaded.search("rain", k=1)[0]["id"] == 0, "the model is found again by its folder"
    assert Index.load(tmp_path / "notes", FolderEncoder()).search("rain", k=1)[0]["id"] == 0
