# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""Augmentation of raw counts, batch by batch: another gain, another size, more noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class AugmentationOptions:
    """How far a batch is changed; 0 leaves that out."""

    gain_shift: float
    """Largest relative error of the gain, to both sides."""
    offset_shift: float
    """Largest move of the energy axis, in channels."""
    scaling: float
    """Largest relative change of the number of counts, as a factor e^±scaling."""
    noise: float
    """Size of added noise in units of each channel's Poisson deviation."""


def augment(spectra: Any, options: AugmentationOptions, generator: Any) -> Any:
    """Spectra [n, channels] of counts, changed at random; counts are kept by a move of the axis."""
    n, channels = spectra.shape

    def between(size: float) -> Any:
        return (torch.rand(n, 1, generator=generator) * 2 - 1) * size

    if options.gain_shift or options.offset_shift:
        spectra = _shift(spectra, 1 + between(options.gain_shift), between(options.offset_shift))
    if options.scaling:
        spectra = spectra * torch.exp(between(options.scaling))
    if options.noise:
        deviation = torch.sqrt(torch.relu(spectra)) * options.noise
        spectra = spectra + torch.randn(n, channels, generator=generator) * deviation
        spectra = torch.relu(spectra)
    return spectra


def _shift(spectra: Any, gain: Any, offset: Any) -> Any:
    """Counts as a detector of relative `gain` [n, 1] and `offset` [n, 1] in channels would have sorted them.

    Channel c takes what lies between the edges offset + gain · c and the next; inside a channel counts are
    taken as evenly spread. Done on cumulative sums, so that no count is lost or made except at both ends.
    """
    channels = spectra.shape[1]
    zero = torch.zeros(spectra.shape[0], 1, dtype=spectra.dtype)
    cumulative = torch.cat([zero, torch.cumsum(spectra.double(), dim=1).to(spectra.dtype)], dim=1)
    edges = (offset + gain * torch.arange(channels + 1, dtype=spectra.dtype)).clamp(0, channels)
    low = edges.floor().clamp(max=channels - 1).long()
    share = edges - low
    at = torch.gather(cumulative, 1, low) * (1 - share) + torch.gather(cumulative, 1, low + 1) * share
    return torch.relu(at[:, 1:] - at[:, :-1])
