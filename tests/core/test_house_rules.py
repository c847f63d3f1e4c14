"""Names are unique in the whole package, and exceptions stand in one file."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import distilbert

ROOT = Path(distilbert.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
SIBLINGS = tuple(Path("models", framework) for framework in ("pytorch", "keras", "flax"))


def is_sibling(file: Path) -> bool:
    """The three implementations of the model have the same files and classes on purpose."""
    return file.parent in SIBLINGS


def classes(file: Path) -> list[ast.ClassDef]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def test_no_two_files_have_the_same_name() -> None:
    places = defaultdict(list)
    for file in FILES:
        if file.name != "__init__.py":
            places[file.name].append("a sibling" if is_sibling(file) else file.as_posix())
    assert not {name: sorted(set(files)) for name, files in places.items() if len(set(files)) > 1}


def test_no_two_classes_have_the_same_name() -> None:
    places = defaultdict(set)
    for file in FILES:
        for node in classes(file):
            places[node.name].add("a sibling" if is_sibling(file) else file.as_posix())
    assert not {name: sorted(files) for name, files in places.items() if len(files) > 1}


def test_no_exception_is_defined_outside_of_core_errors() -> None:
    for file in FILES:
        for node in classes(file):
            bases = [ast.unparse(base) for base in node.bases]
            assert file == Path("core/errors.py") or not [
                base for base in bases if base.endswith(("Error", "Exception"))
            ], f"{file}: {node.name}"
