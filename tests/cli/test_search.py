"""``distilbert index`` and ``distilbert search`` on a tiny encoder: rows in, entries out, and every refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distilbert import Index, pipeline
from distilbert.cli import index_building, invoke
from distilbert.core.installed import find_installed
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
    call = TextEncoder.__call__

    def interrupted(self: TextEncoder, texts: list[str]) -> np.ndarray:
        if len(encoded) == 4:
            raise KeyboardInterrupt
        encoded.append(len(texts))
        return call(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "__call__", interrupted)
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
    encoded.clear()
    monkeypatch.setattr(TextEncoder, "__call__", lambda self, texts: encoded.append(len(texts)) or call(self, texts))
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
    hash_files = index_building.hash_files
    monkeypatch.setattr(index_building, "hash_files", lambda paths: hashed.extend(map(str, paths)) or hash_files(paths))
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
    call = TextEncoder.__call__

    def changing(self: TextEncoder, texts: list[str]) -> np.ndarray:
        if "note 16 of many" in texts:  # the second window, after which the first 48 rows are kept
            Path("many.txt").write_text(content.replace("note 0", "note 9"))
        if "note 48 of many" in texts and ending != "complete":
            raise KeyboardInterrupt if ending == "interrupted" else MemoryError
        return call(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "__call__", changing)
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
    keep = index_building.keep

    def keep_and_write(*arguments: Any) -> None:
        keep(*arguments)
        Path("notes.part/letter.txt").write_text("dear")

    monkeypatch.setattr(index_building, "keep", keep_and_write)
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
