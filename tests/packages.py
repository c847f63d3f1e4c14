"""Model packages for tests: made of a tiny model, and installed into a folder by unpacking, which is what pip does."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from distilbert.models.packaging import package
from tests.behaviour.make_models import make

NAME = "tiny-labels"


def tiny_folder(folder: Path, model: str = "labels") -> Path:
    """A model folder as a training run leaves it: with a card and licences, and much that is not the model."""
    made = make(folder, model)
    (made / "README.md").write_text("---\nlicense: mit\ntags:\n- a\n---\n\n# Labels\n\nFive feelings: 😀.\n", "utf-8")
    (made / "LICENSE").write_text("Do what you like.\n")
    (made / "NOTICE.txt").write_text("Made by nobody.\n")
    for name in ("checkpoints/step-1/model.safetensors", "tensorboard/events", "1_Pooling/config.json"):
        (made / name).parent.mkdir(parents=True)
        (made / name).write_text("{}")
    for name in ("metrics.jsonl", "modeling.py", "optimizer.bin", ".cache", "LICENSES.csv"):
        (made / name).write_text("raise SystemExit('code of a model folder ran')")
    return made


def install(wheel: Path, site: Path) -> Path:
    """Unpack a wheel, and make the package's code fail if it ever runs."""
    with ZipFile(wheel) as archive:
        archive.extractall(site)
        code = next(name for name in archive.namelist() if name.endswith("/__init__.py"))
    (site / code).write_text("raise AssertionError('the package was imported')")
    return site


def installed(folder: Path, name: str = NAME, model: str = "labels") -> Path:
    """A folder for Python's path in which a tiny model is installed as ``name``."""
    wheel = package(make(folder / "source", model), name=name, output=folder / "dist")
    return install(wheel, folder / "site")
