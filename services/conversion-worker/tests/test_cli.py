"""The stand-alone commands print what the guide promises and fail with a line that names the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from millrace_conversion.cli import main

Job = Callable[[str], Path]


def test_convert_then_validate(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    models = job('augmented')
    assert main(['convert', '--models', str(models), '--opset', '16']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f'INFO - Successfully converted TensorFlow model {models}/saved_model to ONNX' in lines
    assert "INFO - Model inputs: ['input']" in lines
    assert "INFO - Model outputs: ['output_0']" in lines
    assert any('Took out augmentation layer' in line for line in lines)
    assert main(['validate', '--models', str(models)]) == 0
    text = capsys.readouterr().out
    assert 'ONNX checker passed (opset 16, IR 8)' in text
    assert 'over 20 samples against samples.npz' in text
    assert 'within 3,000,000' in text


def test_each_fault_is_one_line_that_names_the_fix(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    models = job('plain')
    assert main(['validate', '--models', str(models)]) == 1
    assert 'npm run ml:convert' in capsys.readouterr().err
    assert main(['convert', '--models', str(models / 'none')]) == 1
    assert 'npm run ml:train:quick' in capsys.readouterr().err
    (models / 'model.onnx').write_bytes(b'<html>not a model</html>')
    assert main(['validate', '--models', str(models)]) == 1
    assert 'is not a valid ONNX model' in capsys.readouterr().err
    assert main(['convert', '--models', str(models), '--opset', '12']) == 1
    assert '[conversion_failed]' in capsys.readouterr().err
