"""What a package says about itself: its name, version and licence, checked, and the files that hold them."""

from __future__ import annotations

import json
import keyword
import re
import sys
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.installed import FOLDER, GROUP, NAME, canonical, installed_models

REQUIRES_PYTHON = ">=3.8"
CLASSIFIERS = (
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
)
FRONT_MATTER = re.compile(r"\A---\n.*?^---\n+", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Distribution:
    """Name, version and texts of one package.

    Attributes:
        name: in the canonical spelling, such as ``"distilbert-mini-sst2"``.
        version: in the canonical spelling, such as ``"1.0.0"``.
        license: an SPDX expression, or None.
        summary: one line.
        readme: Markdown.
        licenses: names of the licence files.
    """

    name: str
    version: str
    license: str | None = None
    summary: str = ""
    readme: str = ""
    licenses: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The name to import."""
        return self.name.replace("-", "_")

    @property
    def wheel(self) -> str:
        """The file name of the wheel."""
        return f"{self.module}-{self.version}-py3-none-any.whl"

    @property
    def dist_info(self) -> str:
        """The name of the metadata folder in the wheel."""
        return f"{self.module}-{self.version}.dist-info"


def describe(name: str, version: str, license: str | None, force: bool = False) -> Distribution:
    """Check a name, a version and a licence, and return them in the canonical spelling.

    Args:
        name: of the package.
        version: of the package.
        license: an SPDX expression, or None.
        force: take the name of an installed package that is no model.

    Raises:
        InputError: a name, version or licence is not allowed.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    from packaging.version import InvalidVersion, Version

    if not NAME.fullmatch(name):
        raise InputError(
            f"A package's name is letters, digits, '-', '_' and '.', with a letter or digit at both ends; got {name!r}."
        )
    canonical_name = canonical(name)
    module = canonical_name.replace("-", "_")
    if not module.isidentifier() or keyword.iskeyword(module):
        raise InputError(
            f"The name {name!r} would be the module {module!r}, which Python cannot import: choose another."
        )
    if module == "distilbert" or module in sys.stdlib_module_names:
        raise InputError(f"The name {name!r} would hide Python's module {module!r}: choose another.")
    if not force and _is_other_package(canonical_name, module):
        raise InputError(
            f"The name {name!r} is that of an installed package, which the model would replace: choose another, or "
            "take it with force=True."
        )
    try:
        canonical_version = str(Version(version))
    except InvalidVersion:
        raise InputError(f"A version is numbers such as '1.0.0' or '2.1rc1', got {version!r}.") from None
    try:
        expression = None if license is None else str(canonicalize_license_expression(license))
    except InvalidLicenseExpression:
        raise InputError(
            f"A licence is an SPDX expression such as 'Apache-2.0' or 'MIT OR Apache-2.0', got {license!r}."
        ) from None
    return Distribution(canonical_name, canonical_version, expression)


def _is_other_package(name: str, module: str) -> bool:
    """Say whether a package or a module of that name is installed that is not a model itself."""
    from importlib.metadata import PackageNotFoundError, distribution
    from importlib.util import find_spec

    try:
        return not any(point.group == GROUP for point in distribution(name).entry_points)
    except PackageNotFoundError:
        return find_spec(module) is not None and canonical(name) not in map(canonical, installed_models())


def readme(card: str | None, name: str) -> str:
    """Return the text that package indexes show: the card without its front matter, else a few lines."""
    if card is not None and (text := FRONT_MATTER.sub("", card.replace("\r\n", "\n")).strip()):
        return text + "\n"
    return (
        f"# {name}\n\nA model as a Python package. Once it is installed, its name loads it:\n\n"
        f"```python\nfrom distilbert import pipeline\n\ntask = pipeline(model={json.dumps(name)})\n```\n"
    )


def init_py(distribution: Distribution) -> str:
    """Return the code of the package, which only says where its files are."""
    title = f"The model {distribution.name}: a folder of files, for distilbert and whatever else reads such folders."
    return (
        f'"""{title}"""\n\n'
        "from pathlib import Path\n\n"
        f'__version__ = "{distribution.version}"\n'
        f'MODEL = Path(__file__).parent / "{FOLDER}"\n'
    )


def metadata(distribution: Distribution) -> str:
    """Return the content of METADATA (core metadata 2.4)."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {distribution.name}",
        f"Version: {distribution.version}",
        f"Summary: {distribution.summary}",
        *([f"License-Expression: {distribution.license}"] if distribution.license else []),
        *(f"License-File: {name}" for name in distribution.licenses),
        *(f"Classifier: {line}" for line in CLASSIFIERS),
        f"Requires-Python: {REQUIRES_PYTHON}",
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + f"\n\n{distribution.readme}"


def entry_points(distribution: Distribution) -> str:
    """Return the content of entry_points.txt, by which the model is found."""
    return f"[{GROUP}]\n{distribution.name} = {distribution.module}\n"


def pyproject(distribution: Distribution) -> str:
    """Return the content of pyproject.toml for a source tree with its module under ``src/``."""
    # These values are written as JSON, which is valid TOML for strings and lists of strings.
    values = {
        "name": distribution.name,
        "version": distribution.version,
        "description": distribution.summary,
        "readme": "README.md",
        "requires-python": REQUIRES_PYTHON,
        **({"license": distribution.license} if distribution.license else {}),
        "license-files": list(distribution.licenses),
        "classifiers": list(CLASSIFIERS),
    }
    return "\n".join(
        [
            "[build-system]",
            'requires = ["hatchling>=1.27"]',
            'build-backend = "hatchling.build"',
            "",
            "[project]",
            *(f"{key} = {json.dumps(value)}" for key, value in values.items()),
            "",
            f'[project.entry-points."{GROUP}"]',
            f'{distribution.name} = "{distribution.module}"',
            "",
            "[tool.hatch.build.targets.wheel]",
            f'packages = ["src/{distribution.module}"]',
            "",
        ]
    )
