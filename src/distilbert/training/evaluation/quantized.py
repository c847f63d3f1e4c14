"""The folder of a model in int8: the model's own files, what int8 needs to know, and a card that says what it costs."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...core.files import replacing_folder, write_text
from ...engine.quantization import Quantization
from ...models.packaging.contents import CARD, collect
from ..reports.model_card import quantization_section
from ..reports.rendering import escape_markdown


def check_target(target: Path, source: Path, overwrite: bool) -> None:
    """Check, before anything is measured, that a folder may be written.

    Raises:
        InputError: it is a file, the model's own folder, or something is in it and ``overwrite`` is not set.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; a model is written into a folder.")
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the folder of the model itself; name another one for the quantized model.")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise InputError(f"{target} is not empty: choose another folder, or overwrite it.")


def write_quantized(source: Path, target: Path, quantization: Quantization) -> list[str]:
    """Write the folder, or none of it; one that stands at ``target`` is replaced as a whole.

    Args:
        source: the folder of the model, whose weights stay in their type.
        target: where to write.
        quantization: with what was measured.

    Returns:
        The names of the files.

    Raises:
        InputError: ``target`` has files that the new folder has not, and that would be lost.
        TokenizerError: the model has no tokenizer, or not its own.
        WeightsError: a weight is not a finite number.
    """
    with replacing_folder(target) as new:
        contents = collect(source, new, "keep")
        quantization.save(new)
        card = contents.card if contents.card is not None else f"# {escape_markdown(source.resolve().name)}\n"
        write_text(new / CARD, f"{card.rstrip()}\n\n{quantization_section(quantization.measured)}")
        names = sorted(path.name for path in new.iterdir())
        if target.exists():
            _check_replaceable(target, names)
    return names


def _check_replaceable(target: Path, names: list[str]) -> None:
    foreign = sorted({path.name for path in target.iterdir()} - set(names))
    if foreign:
        raise InputError(
            f"{target} holds what the new folder has not, and what would be lost: {', '.join(foreign[:5])}"
            f"{', ...' if len(foreign) > 5 else ''}. Move it away first, or name another folder."
        )
