"""Model packages for tests: built from a tiny model, and installed by unpacking the wheel, which is what pip does."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from distilbert.models.packaging import package
from tests.behaviour.make_models import make

NAME = "tiny-labels"


def folder_of_a_training_run(folder: Path, model: str = "labels") -> Path:
    """A model folder with a card and licences, and with many files that do not belong into a package."""
    output = make(folder, model)
    (output / "README.md").write_text("---\nlicense: mit\ntags:\n- a\n---\n\n# Labels\n\nFive feelings: 😀.\n", "utf-8")
    (output / "LICENSE").write_text("Do what you like.\n")
    (output / "NOTICE.txt").write_text("Made by nobody.\n")
    for name in ("checkpoints/step-1/model.safetensors", "tensorboard/events", "1_Pooling/config.json"):
        (output / name).parent.mkdir(parents=True)
        (output / name).write_text("{}")
    for name in ("metrics.jsonl", "modeling.py", "optimizer.bin", ".cache", "LICENSES.csv"):
        (output / name).write_text("raise SystemExit('code of a model folder ran')")
    return output


def install(wheel: Path, site: Path) -> Path:
    """Unpack a wheel into ``site``, and replace the package's code by code that fails if it is imported."""
    with ZipFile(wheel) as archive:
        archive.extractall(site)
        code = next(name for name in archive.namelist() if name.endswith("/__init__.py"))
    (site / code).write_text("raise AssertionError('the package was imported')")
    return site


def installed(folder: Path, name: str = NAME, model: str = "labels") -> Path:
    """A folder for ``sys.path`` in which a tiny model is installed as ``name``."""
    wheel = package(make(folder / "source", model), name=name, output=folder / "dist")
    return install(wheel, folder / "site")
