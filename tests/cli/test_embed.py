"""``distilbert embed`` on a tiny encoder: arrays, tables and lines, and every refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from distilbert import Encoder
from distilbert.cli import invoke
from distilbert.cli.run import partial_output
from tests.behaviour.make_models import make

TABLE = "text,kind\na fine film,film\nthe weather,news\nrain,news\n"
TEXTS = ["a fine film", "the weather", "rain"]
CommandLine = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("models"), "encoder"))


@pytest.fixture
def embed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """The command in this process, in a folder with two tables of texts; its exit code and standard error."""
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text(TABLE)
    Path("gaps.csv").write_text(TABLE.replace("the weather,", ","))

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        code = invoke(["embed", *arguments, "--model", model, "--precision", "fp32"])
        return code, capfd.readouterr().err

    return run


def expected(model: str, texts: list[str] = TEXTS, **options: object) -> np.ndarray:
    vectors: np.ndarray = Encoder(model, precision="fp32").encode(texts, **options)
    return vectors


def test_an_array_of_all_vectors(embed: CommandLine, model: str) -> None:
    assert embed("texts.csv", "--output", "texts.npy") == (0, "")
    vectors = np.load("texts.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(model), atol=1e-6)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["gaps.csv", "texts.csv", "texts.npy"]


def test_pooling_and_length(embed: CommandLine, model: str) -> None:
    assert embed("texts.csv", "--output", "texts.npy", "--pooling", "cls", "--no-normalize")[0] == 0
    wanted = expected(model, pooling="cls", normalize=False)
    np.testing.assert_allclose(np.load("texts.npy"), wanted, atol=1e-5)
    assert not np.allclose(np.linalg.norm(wanted, axis=1), 1)


def test_columns_beside_the_vectors(embed: CommandLine, model: str) -> None:
    assert embed("gaps.csv", "--output", "texts.parquet", "--keep-input")[0] == 0
    table = pyarrow.parquet.read_table("texts.parquet")
    assert table.column_names == ["text", "kind", "embedding"]
    assert str(table.schema.field("embedding").type) in ("list<item: float>", "list<element: float>")
    rows = table.to_pylist()
    assert [row["kind"] for row in rows] == ["film", "news", "news"]
    assert rows[1]["embedding"] is None
    vectors = np.array([rows[0]["embedding"], rows[2]["embedding"]], np.float32)
    np.testing.assert_allclose(vectors, expected(model, ["a fine film", "rain"]), atol=1e-6)


def test_lines(embed: CommandLine, model: str) -> None:
    assert embed("texts.csv", "--output", "texts.jsonl")[0] == 0
    rows = [json.loads(line) for line in Path("texts.jsonl").read_text().splitlines()]
    assert all(list(row) == ["embedding"] for row in rows)
    vectors = np.array([row["embedding"] for row in rows])
    np.testing.assert_allclose(vectors, expected(model), atol=1e-6)


def test_rows_without_a_text(embed: CommandLine, model: str) -> None:
    code, err = embed("gaps.csv", "--output", "texts.npy")
    assert code == 1
    assert "gaps.csv:3: the input is an empty text. (--on-error skip leaves such rows out.) " in err
    assert "null" not in err
    code, err = embed("gaps.csv", "--output", "texts.npy", "--on-error", "skip", "--overwrite")
    assert code == 0
    assert "1 row was skipped" in err
    np.testing.assert_allclose(np.load("texts.npy"), expected(model, ["a fine film", "rain"]), atol=1e-6)


def test_no_rows_at_all(embed: CommandLine) -> None:
    Path("none.csv").write_text("text\n")
    assert embed("none.csv", "--output", "none.npy")[0] == 0
    assert np.load("none.npy").shape == (0, 0)


@pytest.mark.parametrize("ending", ["npy", "parquet", "jsonl"])
def test_a_run_that_died_goes_on(embed: CommandLine, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    Path("many.txt").write_text("".join(f"{TEXTS[number % 3]} {number}\n" for number in range(60)))
    assert embed("many.txt", "--output", f"whole.{ending}")[0] == 0
    written = []

    def write(self: partial_output.PartialOutput, results: list[object], refused: list[int]) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(results)
        original(self, results, refused)

    original = partial_output.PartialOutput.write
    with monkeypatch.context() as patch:
        patch.setattr(partial_output.PartialOutput, "write", write)
        code, err = embed("many.txt", "--output", f"out.{ending}")
    assert code == 130
    assert "--resume goes on from there" in err
    assert not Path(f"out.{ending}").exists()
    assert embed("many.txt", "--output", f"out.{ending}", "--pooling", "cls", "--resume")[0] == 2
    assert embed("many.txt", "--output", f"out.{ending}", "--resume")[0] == 0
    assert Path(f"out.{ending}").read_bytes() == Path(f"whole.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "x.csv"], "must end in .npy, .parquet, .jsonl"),
        (["--output", "x.npy", "--keep-input"], "an array has no columns"),
        (["--output", "x.npy", "--on-error", "null"], "an array has no null"),
        (["--output", "x.npy", "--column", "txt"], "There is no column 'txt'"),
        (["--output", "texts.csv.npy", "--resume", "--pooling", "median"], "median"),
    ],
)
def test_refusals(embed: CommandLine, options: list[str], message: str) -> None:
    code, err = embed("texts.csv", *options)
    assert code == 2
    assert message in err
