"""Who may import whom, checked on the source and in a running interpreter. CONTRIBUTING.md draws the rooms."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import distilbert

ROOT = Path(distilbert.__file__).parent
# Rooms from left to right. A room imports from those to its left; rooms of one column do not import each other.
COLUMNS = (
    {"core"},
    {"text", "weights"},
    {"engine", "models"},
    {"exporting"},
    {"tasks"},
    {"data"},
    {"embedding"},
    {"training"},
    {"serving", "cluster"},
    {"cli"},
)
ALLOWED = {room: set().union(*COLUMNS[:place]) for place, column in enumerate(COLUMNS) for room in column}
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax"}
SIBLINGS = {
    "models/pytorch": {"torch"},
    "models/keras": {"keras", "tensorflow", "jax"},  # JAX only where Keras itself runs on it
    "models/flax": {"jax", "flax"},
}
# Rooms that compute with PyTorch. Their files listed below do without, so that reading data loads no framework.
ON_PYTORCH = ("exporting/", "training/")
WITHOUT_FRAMEWORK = ("training/corpus/", "training/__init__.py", "training/distill_config.py")
# Borders where a framework is needed to make or read one of its own objects; only inside a function.
BORDERS = {"weights/tensors.py", "text/batch_encoding.py"}
# importlib, and why: everything else is an import statement that this test can read.
LAZY = {
    "__init__.py",  # public names are loaded when they are first used
    "core/extras.py",  # optional libraries, named by the caller
    "models/frameworks.py",  # a framework's room, by the name of the framework
    "models/keras/device.py",  # the version of the backend that Keras runs on
    "models/keras/tflite.py",  # an interpreter that is there on some machines
    "models/pytorch/attention.py",  # flash-attn, where it is installed
}
ONLINE = {"huggingface_hub", "requests", "urllib", "httpx", "socket", "http"}
LISTENING = {"serving/http_server.py"}  # it opens no connection, others open them to it
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
MODULES = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in FILES}
DOTTED = re.compile(r"(?:distilbert\.)?((?:[a-z_0-9]+\.)+[a-z_0-9]+)")


def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports(file: str, *, top_level_only: bool = False) -> Iterator[str]:
    """Yield the absolute names that a file imports, of modules and of what is in them."""
    tree = tree_of(file)
    package = ["distilbert", *Path(file).parent.parts]
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def named_in_strings(file: str) -> Iterator[str]:
    """Yield the modules of this package that strings name, docstrings and messages left aside."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := DOTTED.fullmatch(node.value)):
            module = match[1]
            while module and module not in MODULES:
                module = module.rpartition(".")[0]
            if "." in module:
                yield f"distilbert.{module}"


def own_module(name: str) -> str | None:
    """Return the file of this package that an absolute name belongs to."""
    parts = name.split(".")
    if parts[0] != "distilbert":
        return None
    while len(parts) > 1:
        if ".".join(parts[1:]) in MODULES:
            return MODULES[".".join(parts[1:])]
        parts.pop()
    return None


def libraries(file: str, *, top_level_only: bool = False) -> set[str]:
    return {name.split(".")[0] for name in imports(file, top_level_only=top_level_only)}


@pytest.mark.parametrize("file", [f for f in FILES if "/" in f])
def test_nothing_imports_to_its_right(file: str) -> None:
    room = file.split("/")[0]
    for name in [*imports(file), *named_in_strings(file)]:
        target = own_module(name)
        if target is not None and "/" in target:
            other = target.split("/")[0]
            assert other == room or other in ALLOWED[room], f"{file} names {name}"


def test_every_room_has_its_column() -> None:
    assert {file.split("/")[0] for file in FILES if "/" in file} == set(ALLOWED)


def test_no_two_files_import_each_other() -> None:
    graph = {
        file: {target for name in imports(file) if (target := own_module(name)) not in (None, file)} for file in FILES
    }
    done: set[str] = set()
    path: list[str] = []

    def visit(file: str) -> None:
        assert file not in path, "a cycle: " + " -> ".join([*path[path.index(file) :], file])
        if file not in done:
            path.append(file)
            for target in sorted(graph[file]):
                visit(target)
            done.add(path.pop())

    for file in FILES:
        visit(file)


@pytest.mark.parametrize("file", FILES)
def test_importlib_is_used_only_where_it_must_be(file: str) -> None:
    dynamic = any(
        (isinstance(node, ast.Attribute) and node.attr == "import_module")
        or (isinstance(node, ast.Name) and node.id in ("import_module", "__import__"))
        for node in ast.walk(tree_of(file))
    )  # fmt: skip
    assert dynamic == (file in LAZY)


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith(ON_PYTORCH)])
def test_rooms_on_pytorch_know_no_other_framework(file: str) -> None:
    free = file.startswith(WITHOUT_FRAMEWORK)
    used = libraries(file) & FRAMEWORKS
    assert used <= (set() if free else {"torch"}), f"{file} imports {used}"
    rooms = ("distilbert.models",) if free else ("distilbert.models.keras", "distilbert.models.flax")
    others = [name for name in imports(file) if name.startswith(rooms)]
    assert not others, f"{file} imports {others}"


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith(ON_PYTORCH)])
def test_frameworks_stay_in_their_rooms(file: str) -> None:
    room = "/".join(file.split("/")[:2])
    if room in SIBLINGS:
        assert libraries(file) & FRAMEWORKS <= SIBLINGS[room]
        others = tuple(f"distilbert.{other.replace('/', '.')}" for other in SIBLINGS if other != room)
        assert not [name for name in imports(file) if name.startswith(others)], "siblings never import each other"
        return
    at_import = libraries(file, top_level_only=True) & FRAMEWORKS
    assert not at_import, f"{file} imports {at_import} when it is imported"
    if file not in BORDERS:
        assert not libraries(file) & FRAMEWORKS, f"{file} imports {libraries(file) & FRAMEWORKS}"


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("core/")])
def test_core_needs_only_numpy(file: str) -> None:
    of_file = {"core/hub.py": {"huggingface_hub"}, "core/progress_bar.py": {"rich"}}
    allowed = {"numpy", "distilbert", *sys.stdlib_module_names} | of_file.get(file, set())
    assert libraries(file) <= allowed, f"{file} imports {libraries(file) - allowed}"


@pytest.mark.parametrize("file", FILES)
def test_only_the_hub_may_open_a_connection(file: str) -> None:
    used = libraries(file) & ONLINE
    if file == "training/reports/model_card.py":  # the front matter of a card, by classes that only hold values
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        imports = [line for line in lines if "huggingface_hub" in line and "import" in line]
        assert imports == ["from huggingface_hub import EvalResult, ModelCardData"]
        used = used - {"huggingface_hub"}
    if file in LISTENING:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert ".listen(" in text
        assert not re.search(r"\.connect\(|create_connection|open_connection", text)
        used = used - {"socket"}
    assert not used or file == "core/hub.py", f"{file} imports {used}"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import distilbert",
        "from distilbert import DistilBertConfig, DistilBertTokenizer; DistilBertConfig()",
        "from distilbert import DistilBertTokenizerFast, AutoTokenizer, AutoModel, TFAutoModel, FlaxAutoModel",
        "from distilbert.training import distill_config; from distilbert.training.corpus import text_batches",
    ],
)
def test_no_framework_is_loaded_unasked(code: str) -> None:
    watched = FRAMEWORKS | {"transformers", "huggingface_hub"}
    assert run(f"{code}\nimport sys; print(*(set(sys.modules) & {watched!r}))") == ""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("DistilBertModel", {"torch"}),
        ("TFDistilBertModel", {"keras", "tensorflow", "jax"}),  # TensorFlow imports JAX where it is installed
        ("FlaxDistilBertModel", {"jax", "flax"}),
    ],
)
def test_a_framework_loads_no_other(name: str, own: set[str]) -> None:
    assert run(f"from distilbert import {name}\nimport sys; print(*(set(sys.modules) & {FRAMEWORKS - own!r}))") == ""


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert run("import distilbert, sys; print(*{'numpy', 'tokenizers', 'typer'} & set(sys.modules))") == ""


def test_every_public_name_is_there() -> None:
    for name in distilbert.__all__:
        assert getattr(distilbert, name) is not None
    assert set(distilbert.__all__) <= set(dir(distilbert))
    with pytest.raises(AttributeError, match="no attribute 'DistilBert'"):
        distilbert.DistilBert


@pytest.mark.parametrize("path", sorted(set(distilbert._EARLIER_PATHS) - {"engine.export"}))  # a folder without names
def test_paths_of_earlier_documentation_give_what_stands_elsewhere_now(path: str) -> None:
    earlier = importlib.import_module(f"distilbert.{path}")
    now = importlib.import_module(f"distilbert.{distilbert._EARLIER_PATHS[path]}")
    name = next(name for name, value in vars(now).items() if getattr(value, "__module__", "") == now.__name__)
    assert getattr(earlier, name) is getattr(now, name)
    with pytest.raises(AttributeError):
        _ = earlier.no_such_name
