"""Names of packages: the rules of packaging, and what Python can import."""

from __future__ import annotations

import keyword
import sys
import tomllib

from hypothesis import example, given
from hypothesis import strategies as st
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from distilbert import InputError
from distilbert.core.installed import canonical
from distilbert.models.packaging.distribution import describe, init_py, pyproject, readme


@given(st.text(st.sampled_from("aZ09-_.é \n/"), max_size=8) | st.text(max_size=5))
@example("a\n")
@example("1")
@example("Distilbert.Mini__SST-2")
def test_a_name_is_taken_exactly_where_packaging_takes_it(name: str) -> None:
    try:
        expected = canonicalize_name(name, validate=True)
    except InvalidName:
        expected = None
    module = (expected or "").replace("-", "_")
    importable = module.isidentifier() and not keyword.iskeyword(module) and module not in sys.stdlib_module_names
    try:
        distribution = describe(name, "1.0", None, force=True)  # hypothesis knows the names of installed packages
    except InputError:
        assert expected is None or not importable
        return
    assert importable
    assert (distribution.name, distribution.module) == (expected, module)
    assert canonical(distribution.name) == distribution.name
    assert tomllib.loads(pyproject(distribution))["project"]["entry-points"] == {
        "distilbert.models": {distribution.name: module}
    }
    compile(init_py(distribution), "__init__.py", "exec")


@given(st.text(st.sampled_from("0123v.-+rcdevpostab! x"), max_size=8))
@example("1!2.0rc1.post2.dev3+local.1")
def test_a_version_is_taken_exactly_where_packaging_takes_it(version: str) -> None:
    try:
        expected = str(Version(version))
    except InvalidVersion:
        expected = None
    try:
        distribution = describe("x", version, None)
    except InputError:
        assert expected is None
        return
    assert distribution.version == expected
    assert distribution.wheel == f"x-{expected}-py3-none-any.whl"


def test_the_front_matter_of_a_card_is_left_out() -> None:
    assert readme("---\nlicense: mit\n---\n\n# Title\n\n---\n\nrest\n", "x") == "# Title\n\n---\n\nrest\n"
    assert readme("# Title\n\n---\nnot front matter\n---\n", "x") == "# Title\n\n---\nnot front matter\n---\n"
    assert readme("---\r\nlicense: mit\r\n---\r\n# Title\r\n", "x") == "# Title\n"
    assert readme("---\nlicense: mit\n---\n", "my-model") == readme(None, "my-model")
    assert "my-model" in readme(None, "my-model")
