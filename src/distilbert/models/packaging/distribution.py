"""What a package says about itself: name, version and licence, checked; and the texts that carry them."""

from __future__ import annotations

import json
import keyword
import re
import sys
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.installed import FOLDER, GROUP, NAME, canonical

REQUIRES_PYTHON = ">=3.8"
CLASSIFIERS = (
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
)
FRONT_MATTER = re.compile(r"\A---\n.*?^---\n+", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Distribution:
    """One package.

    Attributes:
        name: in the canonical spelling, such as ``"distilbert-mini-sst2"``.
        version: in the canonical spelling, such as ``"1.0.0"``.
        license: an SPDX expression, or None where nothing is said.
        summary: one line.
        readme: Markdown.
        licenses: names of the files with licences.
    """

    name: str
    version: str
    license: str | None = None
    summary: str = ""
    readme: str = ""
    licenses: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The name of the module: what ``import`` takes."""
        return self.name.replace("-", "_")

    @property
    def wheel(self) -> str:
        """The name of the wheel's file."""
        return f"{self.module}-{self.version}-py3-none-any.whl"

    @property
    def dist_info(self) -> str:
        """The wheel's folder of metadata."""
        return f"{self.module}-{self.version}.dist-info"


def describe(name: str, version: str, license: str | None) -> Distribution:
    """Return a package with these names, in the spelling that pip shows.

    Raises:
        InputError: a name, a version or a licence that no package can have.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    from packaging.version import InvalidVersion, Version

    if not NAME.fullmatch(name):
        raise InputError(
            f"A package's name is letters, digits, '-', '_' and '.', with a letter or digit at both ends; got {name!r}."
        )
    found = canonical(name)
    module = found.replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module):
        raise InputError(
            f"The name {name!r} would be the module {module!r}, which Python cannot import: choose another."
        )
    if module == "distilbert" or module in sys.stdlib_module_names:
        raise InputError(f"The name {name!r} would hide Python's module {module!r}: choose another.")
    try:
        number = str(Version(version))
    except InvalidVersion:
        raise InputError(f"A version is numbers such as '1.0.0' or '2.1rc1', got {version!r}.") from None
    try:
        terms = None if license is None else str(canonicalize_license_expression(license))
    except InvalidLicenseExpression:
        raise InputError(
            f"A licence is an SPDX expression such as 'Apache-2.0' or 'MIT OR Apache-2.0', got {license!r}."
        ) from None
    return Distribution(found, number, terms)


def readme(card: str | None, name: str) -> str:
    """Return the text that package indexes show: the model card without the hub's front matter, or a few lines."""
    if card is not None and (text := FRONT_MATTER.sub("", card.replace("\r\n", "\n")).strip()):
        return text + "\n"
    return (
        f"# {name}\n\nA model as a Python package. Once it is installed, its name loads it:\n\n"
        f"```python\nfrom distilbert import pipeline\n\ntask = pipeline(model={json.dumps(name)})\n```\n"
    )


def init_py(made: Distribution) -> str:
    """Return the code of the package: where its files are, and nothing else."""
    return (
        f'"""The model {made.name}: a folder of files, for distilbert and whatever else reads such folders."""\n\n'
        "from pathlib import Path\n\n"
        f'__version__ = "{made.version}"\n'
        f'MODEL = Path(__file__).parent / "{FOLDER}"\n'
    )


def metadata(made: Distribution) -> str:
    """Return the file METADATA (core metadata 2.4)."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {made.name}",
        f"Version: {made.version}",
        f"Summary: {made.summary}",
        *([f"License-Expression: {made.license}"] if made.license else []),
        *(f"License-File: {name}" for name in made.licenses),
        *(f"Classifier: {line}" for line in CLASSIFIERS),
        f"Requires-Python: {REQUIRES_PYTHON}",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + f"\n\n{made.readme}"


def entry_points(made: Distribution) -> str:
    """Return the file entry_points.txt, by which the model is found."""
    return f"[{GROUP}]\n{made.name} = {made.module}\n"


def pyproject(made: Distribution) -> str:
    """Return the file pyproject.toml of a source tree, whose module is under ``src/``."""
    # A JSON string of printable ASCII is a TOML string too.
    values = {
        "name": made.name,
        "version": made.version,
        "description": made.summary,
        "readme": "README.md",
        "requires-python": REQUIRES_PYTHON,
        **({"license": made.license} if made.license else {}),
        "license-files": list(made.licenses),
        "classifiers": list(CLASSIFIERS),
    }
    return "\n".join(
        [
            "[build-system]",
            'requires = ["setuptools>=77"]',
            'build-backend = "setuptools.build_meta"',
            "",
            "[project]",
            *(f"{key} = {json.dumps(value)}" for key, value in values.items()),
            "",
            f'[project.entry-points."{GROUP}"]',
            f'{made.name} = "{made.module}"',
            "",
            "[tool.setuptools]",
            f'packages = ["{made.module}"]',
            'package-dir = {"" = "src"}',
            "",
            "[tool.setuptools.package-data]",
            f'{made.module} = ["{FOLDER}/*"]',
            "",
        ]
    )
