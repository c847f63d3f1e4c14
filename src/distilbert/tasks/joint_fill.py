"""Fill several masks together: beam search from left to right, p(a, b) = p(a) p(b | a). Legend: V vocabulary.

Masks scored one by one (as in transformers) ignore each other: "[MASK] [MASK] is a city" proposes "new" and "los" for
the first, "york" and "angeles" for the second, and cannot say which go together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.runner_protocol import Runner
from .batching import Work, run_works
from .scores import largest, softmax

Beam = tuple[list[int], list[int], float]  # ids with masks filled so far, the tokens filled in, their probability


def fill_jointly(
    texts: list[list[int]],
    masks: list[list[int]],
    view: Callable[[list[int], int], tuple[list[int], int]],
    runner: Runner,
    budget: tuple[int, int | None],
    top_k: int,
    targets: list[int] | None,
) -> list[list[Beam]]:
    """Return for every text its ``top_k`` fillings, likeliest first.

    Args:
        texts: ids of each text, special tokens included.
        masks: positions of the masks of each text.
        view: what the model sees of a text for one mask, and the place of the mask in it.
        runner: a masked language model.
        budget: batch_tokens and batch_size.
        top_k: fillings to return, and with at least 5 the partial fillings kept at every mask.
        targets: ids that may be filled in; None: all.
    """
    width = max(top_k, 5)
    beams: list[list[Beam]] = [[(ids, [], 1.0)] for ids in texts]
    for turn in range(max(map(len, masks))):
        works = []
        for text, positions in enumerate(masks):
            for beam in beams[text] if turn < len(positions) else ():
                sequence, row = view(beam[0], positions[turn])
                works.append(Work([sequence], (text, beam), [[row]]))
        longer: dict[int, list[Beam]] = {}
        for index, outputs in run_works(works, runner, *budget):
            text, beam = works[index].context
            found = _extend(beam, masks[text][turn], outputs[0]["logits"][0], width, targets)
            longer.setdefault(text, []).extend(found)
        for text, found in longer.items():
            beams[text] = sorted(found, key=lambda beam: (-beam[2], beam[1]))[:width]
    return [kept[:top_k] for kept in beams]


def _extend(beam: Beam, mask: int, logits: Any, width: int, targets: list[int] | None) -> list[Beam]:
    """Return ``beam`` with each of the ``width`` likeliest tokens at ``mask``; logits are (V,)."""
    ids, tokens, probability = beam
    scores = softmax(logits)
    best = largest(scores, width) if targets is None else [targets[i] for i in largest(scores[targets], width)]
    return [([*ids[:mask], t, *ids[mask + 1 :]], [*tokens, t], probability * float(scores[t])) for t in best]
