"""The three siblings have the same classes in the same order, with the same attributes: a reader can diff them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import distilbert

MODELS = Path(distilbert.__file__).parent / "models"
ROOMS = {"pytorch": "", "keras": "TF", "flax": "Flax"}
# What a framework needs for itself and a checkpoint does not know.
BOOKKEEPING = {"config", "dim", "padding_idx", "gradient_checkpointing", "bias"}
HELPERS = {"TiedProjector"}


def outline(room: str, file: str) -> dict[str, list[str]]:
    """Public and inner classes of a file, in order, with the attributes that their constructors set, in order."""
    tree = ast.parse((MODELS / room / f"{file}.py").read_text(encoding="utf-8"))
    classes = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name in HELPERS or node.name.startswith("_"):
            continue
        attributes: list[str] = []
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                targets = [t for n in ast.walk(method) if isinstance(n, ast.Assign) for t in n.targets]
                attributes += [t.attr for t in targets if isinstance(t, ast.Attribute)]
        kept = dict.fromkeys(name for name in attributes if name not in BOOKKEEPING)
        classes[node.name.removeprefix(ROOMS[room])] = list(kept)
    return classes


@pytest.mark.parametrize("file", ["modeling", "heads"])
@pytest.mark.parametrize("room", ["keras", "flax"])
def test_same_classes_attributes_and_order(room: str, file: str) -> None:
    ours, theirs = outline("pytorch", file), outline(room, file)
    assert list(theirs) == list(ours)
    for name, attributes in ours.items():
        assert theirs[name] == attributes, name


def test_same_files() -> None:
    shared = {"modeling.py", "heads.py", "attention.py", "losses.py", "pretrained.py", "runner.py", "arrays.py"}
    for room in ROOMS:
        assert shared <= {path.name for path in (MODELS / room).glob("*.py")}, room
