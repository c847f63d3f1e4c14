"""Who may import whom, as ARCHITECTURE in CONTRIBUTING.md draws it, checked on the source and on a running import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import distilbert

ROOT = Path(distilbert.__file__).parent
ALLOWED = {
    "core": set(),
    "text": {"core"},
    "weights": {"core"},
    "models": {"core", "text", "weights"},
    "tasks": {"core", "text", "weights", "models"},
    "engine": {"core", "text", "weights", "models", "tasks"},
    "training": {"core", "text", "weights", "models", "tasks", "engine"},
    "cli": {"core", "text", "weights", "models", "tasks", "engine", "training"},
}
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax"}
ROOMS = {
    "models/pytorch": {"torch"},
    "models/keras": {"keras", "tensorflow", "jax"},  # JAX only where Keras itself runs on it
    "models/flax": {"jax", "flax"},
}
# Borders where a framework is needed to make or read one of its own objects; only inside a function.
BORDERS = {"text/tensors.py", "weights/tensors.py", "text/batch_encoding.py"}
CORE_MAY_USE = {"numpy", *sys.stdlib_module_names}

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
# Training runs on PyTorch alone; its data part on no framework at all, so that reading a corpus loads none.
FRAMEWORK_FREE = {f for f in FILES if f.startswith("training/data/")} | {"training/__init__.py", "training/config.py"}


def imports(file: str, *, top_level_only: bool = False) -> list[str]:
    """Absolute names of the modules that a file imports."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    package = ["distilbert", *Path(file).parent.parts]
    names = []
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names += (
                [".".join([*base, *(node.module or "").split(".")]).strip(".")]
                if node.module
                else [".".join([*base, alias.name]) for alias in node.names]
            )
    return names


@pytest.mark.parametrize("file", [f for f in FILES if "/" in f])
def test_nothing_imports_to_its_right(file: str) -> None:
    room = file.split("/")[0]
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "distilbert" and len(parts) > 1 and parts[1] in ALLOWED:
            assert parts[1] == room or parts[1] in ALLOWED[room], f"{file} imports {name}"


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith(("training/", "engine/"))])
def test_training_and_the_engine_know_no_framework_but_pytorch(file: str) -> None:
    allowed = set() if file in FRAMEWORK_FREE else {"torch"}
    used = {name.split(".")[0] for name in imports(file)} & FRAMEWORKS
    assert used <= allowed, f"{file} imports {used - allowed}"
    rooms = ("distilbert.models",) if file in FRAMEWORK_FREE else ("distilbert.models.keras", "distilbert.models.flax")
    others = [name for name in imports(file) if name.startswith(rooms)]
    assert not others, f"{file} imports {others}"


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith(("training/", "engine/"))])
def test_frameworks_stay_in_their_rooms(file: str) -> None:
    room = "/".join(file.split("/")[:2])
    if room in ROOMS:
        used = {name.split(".")[0] for name in imports(file)} & FRAMEWORKS
        assert used <= ROOMS[room]
        others = {f"distilbert.{other.replace('/', '.')}" for other in ROOMS if other != room}
        assert not [name for name in imports(file) if name.startswith(tuple(others))], (
            "siblings never import each other"
        )
        return
    at_import = {name.split(".")[0] for name in imports(file, top_level_only=True)} & FRAMEWORKS
    assert not at_import, f"{file} imports {at_import} when it is imported"
    if file not in BORDERS:
        anywhere = {name.split(".")[0] for name in imports(file)} & FRAMEWORKS
        assert not anywhere, f"{file} imports {anywhere}"


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("core/")])
def test_core_needs_only_numpy(file: str) -> None:
    for name in imports(file):
        assert name.split(".")[0] in CORE_MAY_USE | {"distilbert"}, f"{file} imports {name}"


def test_only_the_hub_may_open_a_connection() -> None:
    for file in FILES:
        online = {"huggingface_hub", "requests", "urllib", "httpx", "socket", "http"}
        used = {name.split(".")[0] for name in imports(file)} & online
        assert not used or file == "weights/hub.py", f"{file} imports {used}"


@pytest.mark.parametrize(
    "code",
    [
        "import distilbert",
        "from distilbert import DistilBertConfig, DistilBertTokenizer; DistilBertConfig()",
        "from distilbert import DistilBertTokenizerFast, AutoTokenizer, AutoModel, TFAutoModel, FlaxAutoModel",
        "from distilbert.training import config; from distilbert.training.data import batches",
    ],
)
def test_no_framework_is_loaded_unasked(code: str) -> None:
    watched = FRAMEWORKS | {"transformers", "huggingface_hub"}
    script = f"{code}\nimport sys; print(*(set(sys.modules) & {watched!r}))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("DistilBertModel", {"torch"}),
        ("TFDistilBertModel", {"keras", "tensorflow", "jax"}),  # TensorFlow imports JAX where it is installed
        ("FlaxDistilBertModel", {"jax", "flax"}),
    ],
)
def test_a_framework_loads_no_other(name: str, own: set[str]) -> None:
    script = f"from distilbert import {name}\nimport sys; print(*(set(sys.modules) & {FRAMEWORKS - own!r}))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_importing_the_package_loads_nothing_but_itself() -> None:
    script = "import distilbert, sys; print(*{'numpy', 'tokenizers', 'typer'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == ""
    )


def test_every_public_name_is_there() -> None:
    for name in distilbert.__all__:
        assert getattr(distilbert, name) is not None
    assert set(distilbert.__all__) <= set(dir(distilbert))
    with pytest.raises(AttributeError, match="no attribute 'DistilBert'"):
        distilbert.DistilBert
