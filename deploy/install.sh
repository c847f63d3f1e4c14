#!/bin/sh
# install.sh FOLDER: everything that `distilbert serve` needs, without what a server never uses, into FOLDER.
# Run it in a checkout, with the Python that will run the server. The Dockerfile does, and so does tests/deploy.
set -eu
target=$1
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One wheel with the kernels of every CPU: an image runs on other machines than the one that built it. On a machine that
# is to run what it builds, DISTILBERT_WHEEL= compiles for this one alone, with its own compiler.
DISTILBERT_WHEEL=${DISTILBERT_WHEEL-$(uname -m)}
export DISTILBERT_WHEEL
"$python" -m venv "$work/build"
pip="$work/build/bin/python -m pip --disable-pip-version-check"
$pip install --quiet -c constraints.txt hatchling setuptools wheel
if [ -n "$DISTILBERT_WHEEL" ]; then $pip install --quiet ziglang; fi
$pip wheel --quiet --no-deps --no-build-isolation -w "$work" . packages/*

mkdir -p "$target"
$pip install --quiet --no-compile --target "$target" -c constraints.txt "$work"/distilbert_mini_*.whl \
  "$(echo "$work"/distilbert-0*.whl)[serve]"

# Tests of libraries, headers, type stubs; the client for large files of the hub, since an image never downloads; symbols.
rm -rf "$target"/bin "$target"/hf_xet* "$target"/share
rm -rf "$target"/numpy/_core/tests "$target"/numpy/_core/include "$target"/numpy/f2py "$target"/numpy/typing/tests
find "$target" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
find "$target" \( -name '*.pyi' -o -name '*.h' -o -name '*.pxd' -o -name '*.a' -o -name '*.lib' \) -delete
# What auditwheel has patched, in folders *.libs, does not survive strip: the loader refuses its segments.
if command -v strip >/dev/null; then
  find "$target" -name '*.libs' -prune -o -name '*.so*' -type f -exec strip --strip-unneeded {} + 2>/dev/null || true
fi
# A library that was damaged on the way must fail here, and not in a container.
PYTHONPATH=$target "$python" -S -B -c 'import numpy.linalg, tokenizers, safetensors, httptools, orjson, uvloop, distilbert.serving'
