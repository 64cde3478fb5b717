"""Quantised models: they decide as before, repeat bit for bit, and say what they cost and gain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pyarrow as pa
import pytest
from millrace_conversion import calibration, parity
from millrace_conversion.convert import Converted, TensorInfo
from millrace_conversion.errors import ConversionError
from millrace_conversion.export import ExportReport, build, definitions, read_weights
from millrace_conversion.graph.architecture import parse_architecture_object
from millrace_conversion.graph.build import BuildOptions
from millrace_conversion.quantisation_request import QuantisationRequest
from millrace_conversion.quantise import quantise
from millrace_conversion.report import Options, run_conversion
from numpy.typing import NDArray

ROWS = 96
MODES = ['int8_dynamic', 'int8_static', 'float16']
OPERATORS = {'int8_dynamic': 'DynamicQuantizeLinear', 'int8_static': 'QuantizeLinear', 'float16': 'Cast'}


def trained(tmp_path: Path, family: str, ridge: float = 0.1) -> Path:
    """A network whose last layer is fitted to its seeded features, so that it tells the classes apart; the
    smaller `ridge`, the more it hangs on single digits.
    """
    stated = networks.FAMILIES[family]()
    parsed = parse_architecture_object(stated)
    tensors = networks.weights(parsed.tensors())
    spectra = networks.spectra(400, seed=9)
    body = parsed.model_copy(update={'layers': parsed.layers[:-2]})
    features = body.answer(spectra.astype(np.float64), tensors)
    mean = features.mean(0)
    covariance = (features - mean).T @ (features - mean)
    damped = covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    solved = np.linalg.solve(damped, (features - mean).T @ (np.eye(5)[np.arange(400) % 5] - 0.2))
    last: Any = parsed.layers[-2]
    tensors[last.weight] = np.ascontiguousarray(12 * solved.T, np.float32)
    tensors[last.bias] = (-12 * mean @ solved).astype(np.float32)
    return networks.write(tmp_path / family, stated, tensors)


def arrow(path: Path, spectra: NDArray[np.float32], names: list[str]) -> Path:
    """A file of a dataset version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = pa.array(spectra.reshape(-1), pa.float32())
    table = pa.table(
        {'spectrum': pa.FixedSizeListArray.from_arrays(flat, spectra.shape[1]), 'isotope': names}
    )
    with pa.OSFile(str(path), 'wb') as stream, pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=25)
    return path


def truth(rows: int) -> list[str]:
    return [f'class {index % 5}' for index in range(rows)]


def exported(folder: Path) -> tuple[ExportReport, parity.Reference]:
    weights = read_weights(folder)
    report = build(weights, BuildOptions())
    return report, definitions(weights, report.converted, None)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('family', list(networks.FAMILIES))
def test_a_job_quantises_and_compares_on_a_dataset_version(tmp_path: Path, family: str, mode: Any) -> None:
    folder = trained(tmp_path, family)
    arrow(folder / 'calibration/train.arrow', networks.spectra(ROWS), truth(ROWS))
    request = QuantisationRequest.model_validate(
        {'mode': mode, 'agreementMin': 0.9, 'calibration': {'files': ['train.arrow'], 'target': 'isotope'}}
    )
    options = Options(source_format='weights', quantisation=request)
    first, again = (run_conversion(folder, tmp_path / name, options, lambda _: None) for name in ('a', 'b'))
    data = (tmp_path / 'a/model.onnx').read_bytes()
    assert data == (tmp_path / 'b/model.onnx').read_bytes()
    said = first['quantization']
    assert (said['mode'], said['rows'], said['samples']) == (mode, ROWS // 2, 'train.arrow')
    assert said['calibrationRows'] == (ROWS // 2 if mode == 'int8_static' else 0)
    assert said['agreement'] >= 0.9
    assert said['accuracy']['float32'] > 0.65
    assert abs(said['accuracy']['float32'] - said['accuracy']['quantised']) <= 0.1
    assert said['bytes'] == {'float32': first['export']['bytes'], 'quantised': len(data)}
    assert said['latencyMsP50'].keys() == {'float32', 'quantised'}
    assert OPERATORS[mode] in said['operators']
    assert 0 < said['maxAbsDiff'] < 0.7
    assert first['parity']['maxAbsDiff'] < 1e-4
    assert first['digests'] == again['digests']
    model = onnx.load_from_string(data)
    assert {entry.key for entry in model.metadata_props} == {'classes', 'family', 'preprocessing'}
    assert (model.producer_name, model.ir_version) == ('millrace', 8)
    assert (tmp_path / 'a/labels.txt').read_text().splitlines() == [f'class {index}' for index in range(5)]


def test_int8_weights_take_a_quarter(tmp_path: Path) -> None:
    stated = networks.mlp(1024, (512, 256, 128), 15)
    tensors = networks.weights(parse_architecture_object(stated).tensors())
    report, reference = exported(networks.write(tmp_path / 'job', stated, tensors))
    sizes = {
        mode: len(quantise(report.converted, mode, None, reference, None).converted.data)
        for mode in MODES[::2]
    }
    assert sizes['int8_dynamic'] < 0.27 * len(report.converted.data)
    assert sizes['float16'] < 0.52 * len(report.converted.data)


@pytest.mark.parametrize('mode', MODES)
def test_the_bytes_do_not_depend_on_the_process(tmp_path: Path, mode: str) -> None:
    folder = trained(tmp_path, 'mlp')
    np.savez(
        folder / 'samples.npz',
        inputs=networks.spectra(20),
        outputs=exported(folder)[1].outputs['probabilities'][:0],
    )
    code = (
        'import sys, hashlib; from pathlib import Path\n'
        'from millrace_conversion.export import *\n'
        'from millrace_conversion.graph.build import BuildOptions\n'
        'from millrace_conversion.calibration import read_rows\n'
        'from millrace_conversion.quantise import quantise\n'
        'folder = Path(sys.argv[1]); weights = read_weights(folder)\n'
        'report = build(weights, BuildOptions())\n'
        'rows = read_rows([folder / "samples.npz"], report.converted.inputs[0])\n'
        'reference = definitions(weights, report.converted, None)\n'
        'data = quantise(report.converted, sys.argv[2], rows, reference, 0.0).converted.data\n'
        'print(hashlib.sha256(data).hexdigest())\n'
    )
    digests = {
        subprocess.run(
            [sys.executable, '-c', code, str(folder), mode],
            env={**os.environ, 'PYTHONHASHSEED': seed, 'TMPDIR': str(tmp_path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ('1', '77')
    }
    assert len(digests) == 1


def test_a_model_of_a_fixed_batch_takes_its_rows_by_batches(tmp_path: Path) -> None:
    weights = read_weights(trained(tmp_path, 'mlp'))
    report = build(weights, BuildOptions(batch_size=3))
    reference = definitions(weights, report.converted, 3)
    truth = np.arange(23) % 5
    rows = calibration.Rows(networks.spectra(23), truth, 'here')
    said = quantise(report.converted, 'int8_static', rows, reference, None).report
    # 12 rows for the ranges; 11 for the comparison, of which nine fill batches
    assert (said['calibrationRows'], said['rows'], said['accuracy']['float32']) == (12, 9, 1.0)
    few = calibration.Rows(networks.spectra(4), None, 'here')
    with pytest.raises(ConversionError, match='do not fill a batch of 3'):
        quantise(report.converted, 'float16', few, reference, None)


def test_a_model_that_decides_otherwise_is_refused(tmp_path: Path) -> None:
    report, reference = exported(trained(tmp_path, 'transformer', ridge=1e-4))
    rows = calibration.Rows(networks.spectra(64), None, 'here')
    with pytest.raises(ConversionError, match=r'% of 32 rows; 100.0% are asked for') as caught:
        quantise(report.converted, 'int8_static', rows, reference, 1.0)
    assert caught.value.code == 'quantization_failed'


def test_static_ranges_need_rows_and_something_must_be_there_to_quantise(tmp_path: Path) -> None:
    report, reference = exported(trained(tmp_path, 'mlp'))
    with pytest.raises(ConversionError, match='there are none') as caught:
        quantise(report.converted, 'int8_static', None, reference, None)
    assert caught.value.code == 'calibration_unusable'
    standard = {'step': 'normalise', 'method': 'standard', 'mean': 'mean', 'std': 'std'}
    stated = networks.network('mlp', 5, [], 5, [standard])
    ones = {'mean': np.ones(5, np.float32), 'std': np.ones(5, np.float32)}
    bare, answers = exported(networks.write(tmp_path / 'bare', stated, ones))
    with pytest.raises(ConversionError, match='has no MatMul, Gemm, Conv') as nothing:
        quantise(bare.converted, 'int8_dynamic', None, answers, None)
    assert nothing.value.code == 'quantization_failed'


INFO = TensorInfo('spectrum', 'float32', [None, 64])


def table(path: Path, columns: dict[str, Any]) -> Path:
    with pa.OSFile(str(path), 'wb') as stream:
        made = pa.table(columns)
        with pa.ipc.new_file(stream, made.schema) as writer:
            writer.write_table(made)
    return path


def test_rows_come_at_even_distances_and_halves_share_none(tmp_path: Path) -> None:
    spectra = np.repeat(np.arange(100, dtype=np.float32)[:, None], 64, 1)
    paths = [
        arrow(tmp_path / f'{name}.arrow', spectra[part], truth(50))
        for name, part in (('a', slice(0, 50)), ('b', slice(50, 100)))
    ]
    names = [f'class {index}' for index in range(4)]
    rows = calibration.read_rows(paths, INFO, target='isotope', classes=names, samples=10)
    ranges, compared = rows.halves()
    assert len(ranges) == len(compared.inputs) == 10
    assert not set(ranges[:, 0]) & set(compared.inputs[:, 0])
    assert (ranges[0, 0], compared.inputs[-1, 0], rows.source) == (0, 99, 'a.arrow, b.arrow')
    assert compared.truth is not None
    expected = [index % 50 % 5 for index in compared.inputs[:, 0].astype(int)]
    assert list(compared.truth) == [-1 if index == 4 else index for index in expected]
    one = calibration.read_rows([arrow(tmp_path / 'one.arrow', spectra[:1], truth(1))], INFO)
    assert one.halves()[0] is one.halves()[1].inputs


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    spectra = networks.spectra(3)
    whole = pa.FixedSizeListArray.from_arrays(pa.array(spectra.reshape(-1)), 64)
    broken = arrow(tmp_path / 'broken.arrow', spectra, truth(3))
    broken.write_bytes(broken.read_bytes()[:-40])
    (tmp_path / 'rows.csv').write_text('1,2\n')
    np.savez(tmp_path / 'other.npz', counts=spectra)
    # what its directory says is believed before anything is unpacked
    bomb = bytearray((tmp_path / 'other.npz').read_bytes())
    at = bomb.index(b'PK\x01\x02') + 24
    bomb[at : at + 4] = (1 << 31).to_bytes(4, 'little')
    (tmp_path / 'bomb.npz').write_bytes(bomb)
    np.savez(tmp_path / 'wide.npz', inputs=spectra[:, :5])
    np.savez(tmp_path / 'nan.npz', inputs=np.full((2, 64), np.nan))
    np.savez(tmp_path / 'empty.npz', inputs=spectra[:0])
    np.savez(tmp_path / 'pickled.npz', inputs=np.array([object()], dtype=object))
    table(tmp_path / 'lists.arrow', {'spectrum': pa.array([[1.0], [2.0, 3.0]])})
    table(tmp_path / 'missing.arrow', {'spectrum': pa.array([None, [1.0] * 64], pa.list_(pa.float32(), 64))})
    table(tmp_path / 'named.arrow', {'counts': whole})
    for name, text in {
        'broken.arrow': 'cannot be read',
        'rows.csv': 'neither an .arrow',
        'other.npz': "neither an array 'spectrum'",
        'wide.npz': r'rows of shape \[5\]',
        'nan.npz': 'NaN',
        'empty.npz': 'no rows',
        'pickled.npz': 'cannot be read',
        'lists.arrow': 'not vectors of one size',
        'missing.arrow': 'missing values',
        'named.arrow': "no column 'spectrum'",
        'absent.npz': 'cannot be read',
        'bomb.npz': 'bytes unpacked; at most 1073741824',
    }.items():
        with pytest.raises(ConversionError, match=text) as caught:
            calibration.read_rows([tmp_path / name], INFO)
        assert caught.value.code == 'calibration_unusable'
    with pytest.raises(ConversionError, match="no column 'isotope'"):
        calibration.read_rows([tmp_path / 'named.arrow'], INFO, column='counts', target='isotope')


def test_the_samples_of_the_source_serve_where_no_files_are_named(tmp_path: Path) -> None:
    folder = trained(tmp_path, 'mlp')
    report, reference = exported(folder)
    request = QuantisationRequest(mode='int8_static')
    assert request.rows(folder, report.converted) is None
    np.savez(folder / 'samples.npz', inputs=networks.spectra(8), outputs=np.ones((8, 5)))
    rows = request.rows(folder, report.converted)
    assert rows is not None
    assert (len(rows.inputs), rows.source) == (8, 'samples.npz')
    said = quantise(report.converted, 'int8_static', rows, reference, None).report
    assert (said['agreementMin'], said['calibrationRows'], said['rows']) == (0.95, 4, 4)
    two = Converted(report.converted.model, b'', 17, [INFO, INFO], report.converted.outputs, [])
    with pytest.raises(ConversionError, match='the model has 2 inputs'):
        request.rows(folder, two)
    assert json.dumps(said)
