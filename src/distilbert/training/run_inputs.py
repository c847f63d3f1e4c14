"""The identity of what a run reads: hashes by which a run is resumed with the same inputs, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ..core.content_hash import hash_files
from ..core.errors import DataError
from ..core.hub import Kind
from ..data.examples import Example
from ..weights.checkpoint import open_checkpoint


def hash_model(name: str, kind: Kind = "model") -> str:
    """Return a hash of a model's configuration and weights, or with ``kind="config"`` of its configuration alone."""
    checkpoint = open_checkpoint(name, kind=kind)
    weights = checkpoint.weight_files() if kind == "model" else []
    return hash_files([checkpoint.folder / "config.json", *weights])


def hash_examples(examples: Sequence[Example]) -> str:
    """Return a hash of examples in their order, with their labels; the files that they stand in may be elsewhere."""
    content = hashlib.blake2b(digest_size=16)
    for example in examples:
        values = [value for name, value in vars(example).items() if name != "place"]
        content.update(repr(values).encode("utf-8", "surrogatepass"))
    return content.hexdigest()


def check_same_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Check that a run is resumed with the inputs that it had.

    Args:
        before: hashes in the checkpoint, by what messages call the inputs; those that are missing are not checked.
        now: hashes of what was read now.

    Raises:
        DataError: an input has changed.
    """
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    if changed:
        raise DataError(
            f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changed since this run was interrupted, "
            "so it cannot go on where it stopped. Bring back what was there, or start anew."
        )
