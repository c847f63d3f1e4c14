"""What int8 needs to know of a model, found on texts of its user; kept as a file beside the weights.

Legend: T tokens kept, K input features, M output features.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from ..core.errors import InputError, WeightsError
from ..core.files import replacing
from ..core.runner_protocol import Batch
from ..weights.folder import QUANTIZATION
from .encoder import SITES
from .model import PytorchModel
from .precision import DTYPES
from .products import Scale, quantize_weight

KEPT_TOKENS = 512  # a site; the rest is only looked at for its largest values
SMOOTHINGS = (0.0, 0.3, 0.5, 0.7)
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Quantization:
    """Scales of the products that run in int8.

    Attributes:
        scales: ``"LAYER.SITE"`` -> scale of its input; products that are missing run in ``beside``.
        beside: ``"bf16"`` or ``"fp32"``, the precision of everything else.
        measured: what was measured when it was made, for the model card.
    """

    scales: Mapping[str, Scale]
    beside: str = "bf16"
    measured: Mapping[str, Any] = field(default_factory=dict)

    def without(self, *sites: str) -> Quantization:
        """Return the same with some products left in floats."""
        kept = {name: scale for name, scale in self.scales.items() if name not in sites}
        return Quantization(kept, self.beside, self.measured)

    def save(self, folder: Path) -> None:
        """Write the file into ``folder``."""
        tensors = {f"{name}.smooth": scale.smooth.numpy() for name, scale in self.scales.items()}
        tensors |= {
            f"{name}.range": np.array([scale.low, scale.high], dtype=np.float32) for name, scale in self.scales.items()
        }
        about = {"format": "distilbert", "beside": self.beside, "measured": json.dumps(dict(self.measured))}
        with replacing(folder / QUANTIZATION) as temporary:
            save_file(tensors, temporary, about)

    @classmethod
    def load(cls, folder: Path) -> Quantization | None:
        """Read the file of ``folder``; None where there is none.

        Raises:
            WeightsError: it is damaged.
        """
        path = folder / QUANTIZATION
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            names = [name.removesuffix(".range") for name in tensors if name.endswith(".range")]
            scales = {name: Scale(tensors[f"{name}.smooth"], *tensors[f"{name}.range"].tolist()) for name in names}
            if about["beside"] not in DTYPES:
                raise ValueError(f"there is no precision {about['beside']!r}")
            return cls(scales, about["beside"], json.loads(about["measured"]))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"{path} is damaged ({error}); run `distilbert quantize` again.") from error


class _Site:
    """What goes into one product: the largest values of all tokens, and some tokens to try scales on."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.low, self.high, self.seen = 0.0, 0.0, 0

    def hook(self, _: Any, inputs: tuple[Tensor, ...]) -> None:
        """Look at the input of a linear map, as a hook of PyTorch's."""
        self.look(inputs[0].flatten(0, -2))

    def look(self, x: Tensor) -> None:
        self.low = min(self.low, float(x.min()))
        self.high = max(self.high, float(x.max()))
        self.seen += len(x)
        self.rows.append(x[torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seen))[:64]].clone())

    def sample(self) -> Tensor:
        rows = torch.cat(self.rows)
        return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:KEPT_TOKENS]]


def calibrate(model: PytorchModel, batches: Iterable[Batch], beside: str = "bf16") -> Quantization:
    """Find the scales of every product from what ``batches`` send through the model.

    For each product the smoothing of channels and the range are those with the least error of the product itself.

    Args:
        model: in fp32.
        batches: texts like those that the model is for; some hundreds are enough.
        beside: precision of everything that is not a product in int8.

    Raises:
        InputError: no tokens at all.
    """
    modules: dict[str, list[Any]] = {}
    for index, block in enumerate(model.base_model.transformer.layer):
        attention, ffn = block.attention, block.ffn
        projections = [attention.q_lin, attention.k_lin, attention.v_lin]
        groups = (projections, [attention.out_lin], [ffn.lin1], [ffn.lin2])
        modules |= {f"{index}.{site}": group for site, group in zip(SITES, groups, strict=True)}
    sites = {name: _Site() for name in modules}
    hooks = [group[0].register_forward_pre_hook(sites[name].hook) for name, group in modules.items()]
    try:
        with torch.inference_mode():
            for batch in batches:
                rows = batch.rows if model.head_spec.per_token else batch.offsets[:-1]
                model.base_model.forward_packed(
                    torch.from_numpy(batch.input_ids),
                    batch.lengths.tolist(),
                    None if rows is None else torch.from_numpy(rows),
                )
    finally:
        for hook in hooks:
            hook.remove()
    if not all(site.seen for site in sites.values()):
        raise InputError("There is no text to calibrate on.")
    with torch.inference_mode():
        scales = {
            name: _best_scale(sites[name], torch.cat([lin.weight for lin in lins]), smoothed=not name.endswith("lin2"))
            for name, lins in modules.items()
        }
    return Quantization(scales, beside)


def _best_scale(site: _Site, weight: Tensor, smoothed: bool) -> Scale:
    """Try smoothings, then ranges, on the kept tokens."""
    x = site.sample().float()
    weight = weight.float()
    exact = x @ weight.T
    tried: list[tuple[float, Scale]] = []
    for power in SMOOTHINGS if smoothed else SMOOTHINGS[:1]:
        scale = _scale(x, weight, power, site)
        tried.append((_error(x, weight, exact, scale), scale))
    base = min(tried, key=lambda pair: pair[0])[1]
    for share in SHARES[1:]:
        scale = Scale(base.smooth, base.low * share, base.high * share)
        tried.append((_error(x, weight, exact, scale), scale))
    return min(tried, key=lambda pair: pair[0])[1]


def _scale(x: Tensor, weight: Tensor, power: float, site: _Site) -> Scale:
    """Move a part of each channel's size into the weights; the range is that of all tokens seen."""
    if power == 0.0:
        return Scale(torch.ones(x.shape[1]), site.low, max(site.high, site.low + 1e-6))
    sizes, weights = (part.abs().amax(dim=0).clamp(min=1e-5) for part in (x, weight))
    smooth = sizes**power / weights ** (1 - power)
    smooth = (smooth / smooth.log().mean().exp()).contiguous()
    moved = x / smooth
    return Scale(smooth, min(0.0, float(moved.min())), max(float(moved.max()), 1e-6))


def _error(x: Tensor, weight: Tensor, exact: Tensor, scale: Scale) -> float:
    numbers, steps = quantize_weight(weight * scale.smooth)
    inputs = (scale.quantizer()(x).float() - scale.zero) * scale.step
    return float((inputs @ (numbers.float() * steps[:, None]).T - exact).square().mean())
