# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""A net asked without being changed: probabilities, and loss and accuracy of a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from millrace_training.spectra.files import Split

EVALUATION_BATCH = 256
"""Spectra in a step; their number changes no result."""


def predict(net: nn.Module, spectra: Any, tick: Callable[[], None] | None = None) -> Any:
    """Probabilities [n, classes] float32 for raw counts [n, channels], in batches."""
    net.eval()
    outputs: list[Any] = []
    with torch.inference_mode():
        for start in range(0, len(spectra), EVALUATION_BATCH):
            outputs.append(net(torch.from_numpy(spectra[start : start + EVALUATION_BATCH])).numpy())
            if tick:
                tick()
    return np.concatenate(outputs)


def validate(net: Any, split: Split) -> tuple[float, float]:
    """Mean cross entropy and accuracy."""
    net.eval()
    loss, correct = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(split), EVALUATION_BATCH):
            labels = torch.from_numpy(split.labels[start : start + EVALUATION_BATCH])
            logits = net.logits(torch.from_numpy(split.spectra[start : start + EVALUATION_BATCH]))
            loss += float(functional.cross_entropy(logits, labels, reduction='sum'))
            correct += int((logits.argmax(1) == labels).sum())
    return loss / len(split), correct / len(split)
