# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""Which channels speak for a class: SHAP values of the framework's model, by expected gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from millrace_training.spectra.files import Split

BACKGROUND_SAMPLES = 60
"""Training spectra that "without this channel" is an average over."""
PER_CLASS = 3
"""Test spectra explained of each class, those of the smallest number first."""
GRADIENT_SAMPLES = 80
"""Points between a spectrum and the background whose gradients are averaged."""


class _Logits(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, spectra: Any) -> Any:
        return self.net.logits(spectra)


def explain(net: Any, train: Split, heldout: Split, classes: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Mean SHAP value of each channel for the logit of each class, over raw counts, preprocessing included:
    {class: [channels]}.

    Expected gradients as python `shap` computes them (Erion et al., Nature Machine Intelligence 3, 2021).
    """
    with warnings.catch_warnings():
        # shap warns of optional packages that it does not find.
        warnings.simplefilter('ignore')
        import shap
    net.eval()
    spread = np.linspace(0, len(train) - 1, min(BACKGROUND_SAMPLES, len(train))).astype(np.int64)
    explainer = shap.GradientExplainer(_Logits(net), torch.from_numpy(train.spectra[spread]))
    values: dict[str, Any] = {}
    for index, name in enumerate(classes):
        rows = np.flatnonzero(heldout.labels == index)[:PER_CLASS]
        if not len(rows):
            continue
        probabilities = net(torch.from_numpy(heldout.spectra[rows])).detach().numpy()
        # The explainer gives the outputs that it ranks highest; those that name the class are kept.
        found, ranks = explainer.shap_values(
            torch.from_numpy(heldout.spectra[rows]), nsamples=GRADIENT_SAMPLES, ranked_outputs=1, rseed=seed
        )
        kept = _of_class(np.asarray(found), np.asarray(ranks), index)
        if kept is not None:
            values[name] = {
                'values': [round(float(value), 6) for value in kept.mean(axis=0)],
                'spectrum': [round(float(value), 3) for value in heldout.spectra[rows].mean(axis=0)],
                'samples': len(kept),
                'probability': round(float(probabilities[:, index].mean()), 6),
            }
    return values


def _of_class(found: NDArray[Any], ranks: NDArray[Any], index: int) -> NDArray[Any] | None:
    """SHAP values [k, channels] of the samples whose highest output is `index`, None without one."""
    values = found.reshape(found.shape[0], found.shape[1]) if found.ndim == 3 else found
    kept = values[ranks[:, 0] == index]
    return kept if len(kept) else None
