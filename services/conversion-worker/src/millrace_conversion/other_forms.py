"""How the ONNX model agrees with other forms of the same model, such as the int8 one of devices.

A training may add to `samples.npz` what such a form answers to the same inputs, as `outputs_<form>`, and
the true `labels`. Nothing here passes or fails: the figures stand in conversion.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .convert import Converted
from .errors import ConversionError
from .parity import Arrays, Reference, answers_of, check_size, open_session

PREFIX = 'outputs_'
_LABELS = 'labels'


def compare_forms(samples: Path, converted: Converted, reference: Reference) -> dict[str, Any]:
    """By form: `samples`, share of rows with the same most probable class (`agreement`), `maxAbsDiff`, and
    the accuracy of both where labels are there. Empty without a file or forms.

    Raises `conversion_failed` when a form has another shape than the model's output.
    """
    if not samples.exists():
        return {}
    with np.load(samples, allow_pickle=False) as archive:
        names = [name for name in archive.files if name.startswith(PREFIX) or name == _LABELS]
        check_size(samples, names)
        arrays: Arrays = {name: archive[name] for name in names}
    labels = arrays.pop(_LABELS, None)
    if not arrays:
        return {}
    [answers] = answers_of(open_session(converted.data), reference).values()
    compared: dict[str, Any] = {}
    for name, outputs in sorted(arrays.items()):
        if outputs.shape != answers.shape:
            raise ConversionError(
                'conversion_failed',
                f'{samples.name}: "{name}" has shape {outputs.shape}, the model answers {answers.shape}.',
            )
        compared[name.removeprefix(PREFIX)] = _compare(answers, outputs, labels)
    return compared


def _compare(answers: NDArray[Any], outputs: NDArray[Any], labels: NDArray[Any] | None) -> dict[str, Any]:
    said, other = answers.argmax(axis=-1), outputs.argmax(axis=-1)
    difference = np.abs(answers.astype(np.float64) - outputs.astype(np.float64))
    figures: dict[str, Any] = {
        'samples': len(answers),
        'agreement': float((said == other).mean()),
        'maxAbsDiff': float(np.nan_to_num(difference, nan=float(np.finfo(np.float64).max)).max()),
    }
    if labels is not None and labels.shape == said.shape:
        figures['accuracy'] = float((other == labels).mean())
        figures['onnxAccuracy'] = float((said == labels).mean())
    return figures
