"""`npm run ml:export`: the committed weights, their digests, and one line for each fault."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from conftest import FIXTURES
from millrace_conversion.export_cli import main

WEIGHTS = FIXTURES / 'weights'
# The same on every machine: nothing is computed but the order of bytes.
DIGESTS = {
    13: 'a0a2804f6e724d4b11ab0b3c3a9147c741da67b9c9b0c473d484f06a7c48a401',
    17: '588e5480b15b7c9faccf89cf5cd0953788c594c8f971939808f2a40f7571aadc',
}


@pytest.mark.parametrize('opset', list(DIGESTS))
def test_the_committed_weights_give_the_committed_digest(tmp_path: Path, opset: int) -> None:
    assert main([str(WEIGHTS / 'model.safetensors'), '--out', str(tmp_path), '--opset', str(opset)]) == 0
    assert hashlib.sha256((tmp_path / 'model.onnx').read_bytes()).hexdigest() == DIGESTS[opset]


def test_it_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(
        [
            str(WEIGHTS / 'model.safetensors'),
            *('--samples', str(WEIGHTS / 'samples.npz'), '--out', str(tmp_path / 'out')),
            *(
                '--input-name',
                'counts',
                '--output-name',
                'p',
                '--metadata',
                'author=me',
                '--metadata',
                'note=a=b',
            ),
            *('--quantize', 'int8_static', '--calibration', str(WEIGHTS / 'validation.arrow')),
            *(
                '--calibration-column',
                'spectrum',
                '--calibration-target',
                'isotope',
                '--agreement-min',
                '0.9',
            ),
        ]
    )
    assert status == 0
    text = capsys.readouterr().out
    assert 'Exported mlp of 2,693 parameters' in text
    assert 'Nodes: 11, 14 before 3 were fused; opset 17' in text
    assert 'over 12 samples against samples.npz' in text
    assert 'As int8_static' in text
    model = onnx.load(tmp_path / 'out/model.onnx')
    assert (model.graph.input[0].name, model.graph.output[0].name) == ('counts', 'p')
    assert {(entry.key, entry.value) for entry in model.metadata_props} >= {('author', 'me'), ('note', 'a=b')}
    report = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert report['quantization']['accuracy']['float32'] == 1.0
    assert report['quantization']['rows'] == 30
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'conversion.json',
        'labels.txt',
        'model.onnx',
    ]


def test_a_plain_network_needs_only_its_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(WEIGHTS / 'model.safetensors'), '--out', str(tmp_path), '--no-fuse', '--batch-size', '2']
    assert main([*arguments, '--hidden-layers', '32,16']) == 0
    report = json.loads((tmp_path / 'conversion.json').read_text())
    assert report['export']['isDetected']
    assert report['export']['operators'] == {'Add': 3, 'MatMul': 3, 'Relu': 2, 'Softmax': 1}
    assert report['inputs'] == [{'name': 'input', 'dtype': 'float32', 'shape': [2, 64]}]
    assert main([*arguments, '--hidden-layers', '16,32']) == 1
    assert '[architecture_mismatch]' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('more', 'code'),
    [
        (['--opset', '12'], 'conversion_failed'),
        (['--input-name', '9'], 'invalid_command'),
        (['--calibration', 'none.arrow', '--quantize', 'int8_static'], 'conversion_failed'),
        (['--quantize', 'float16', '--agreement-min', '2'], 'invalid_command'),
        (['--quantize', 'int8_static'], 'calibration_unusable'),
        (['--architecture', str(WEIGHTS / 'samples.npz')], 'invalid_architecture'),
        (['--metadata', 'classes=x'], 'conversion_failed'),
        (['--samples', str(WEIGHTS / 'validation.arrow')], 'conversion_failed'),
    ],
)
def test_each_fault_is_one_line(
    tmp_path: Path, more: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(WEIGHTS / 'model.safetensors'), '--out', str(tmp_path), *more]) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert f'[{code}]' in error
    assert not (tmp_path / 'model.onnx').exists()
