"""Other forms of a model, whose answers come with the samples, against the ONNX model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from millrace_conversion.errors import ConversionError
from millrace_conversion.report import Options, run_conversion

Job = Callable[[str], Path]


def _samples(folder: Path, **more: Any) -> Any:
    with np.load(folder / 'samples.npz') as archive:
        inputs, outputs = archive['inputs'], archive['outputs']
    np.savez(folder / 'samples.npz', inputs=inputs, outputs=outputs, **more)
    return outputs


def _convert(folder: Path, out: Path) -> dict[str, Any]:
    return run_conversion(folder, out, Options(), lambda _stage: None)


def test_an_int8_form_is_compared_row_by_row(job: Job, tmp_path: Path) -> None:
    folder = job('plain')
    outputs = _samples(folder)
    int8 = outputs + np.float32(0.25)
    labels = np.zeros(len(outputs), np.int64)
    _samples(folder, outputs_int8=int8, labels=labels)
    form = _convert(folder, tmp_path / 'out')['forms']['int8']
    assert (form['samples'], form['agreement']) == (len(outputs), 1.0)
    assert form['maxAbsDiff'] == pytest.approx(0.25, abs=1e-4)
    assert form['accuracy'] == form['onnxAccuracy'] == (outputs.argmax(axis=-1) == 0).mean()


def test_samples_without_other_forms_report_none(job: Job, tmp_path: Path) -> None:
    assert 'forms' not in _convert(job('plain'), tmp_path / 'out')


def test_a_form_of_another_shape_is_refused(job: Job, tmp_path: Path) -> None:
    folder = job('plain')
    outputs = _samples(folder)
    _samples(folder, outputs_int8=outputs[1:])
    with pytest.raises(ConversionError, match='"outputs_int8" has shape'):
        _convert(folder, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
