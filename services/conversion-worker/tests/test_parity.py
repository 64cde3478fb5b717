"""Parity: measured on real samples, failing by number, never passing on NaN or on shapes that differ."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FIXTURES, SaveModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millrace_conversion.convert import Converted, convert_saved_model
from millrace_conversion.errors import ConversionError
from millrace_conversion.parity import Reference, ask_framework, measure, open_session, read_samples
from millrace_conversion.report import Options, environment_digest, run_conversion
from millrace_conversion.runtime import load

Job = Callable[[str], Path]


@pytest.fixture(scope='module')
def plain() -> Converted:
    return convert_saved_model(FIXTURES / 'plain' / 'saved_model')


@pytest.fixture(scope='module')
def samples(plain: Converted) -> Reference:
    return read_samples(FIXTURES / 'plain' / 'samples.npz', plain)


def stages() -> tuple[list[str], Callable[[str], None]]:
    seen: list[str] = []
    return seen, seen.append


def test_the_report_holds_what_was_measured_and_the_files_are_there(job: Job, tmp_path: Path) -> None:
    seen, progress = stages()
    report = run_conversion(job('plain'), tmp_path / 'out', Options(), progress)
    assert seen == ['load', 'convert', 'check', 'parity', 'measure']
    assert report['parity']['samples'] == 20
    assert 0 <= report['parity']['meanAbsDiff'] <= report['parity']['maxAbsDiff'] <= 1e-5
    assert report['parity']['onnxruntimeVersion'] == '1.30.0'
    assert report['latencyMsP50'] > 0
    assert report['environmentDigest'] == environment_digest()
    assert report['startedAt'] <= report['finishedAt']
    assert report['sizes']['onnxBytes'] == (tmp_path / 'out' / 'model.onnx').stat().st_size
    assert json.loads((tmp_path / 'out' / 'conversion.json').read_text()) == report


def test_answers_over_the_tolerance_fail_by_how_much_and_write_nothing(job: Job, tmp_path: Path) -> None:
    folder = job('plain')
    with np.load(folder / 'samples.npz') as archive:
        inputs, outputs = archive['inputs'], archive['outputs']
    outputs[11, 0] += 0.25
    np.savez(folder / 'samples.npz', inputs=inputs, outputs=outputs)
    with pytest.raises(ConversionError, match=r'up to 0\.25 over 20 samples') as caught:
        run_conversion(folder, tmp_path / 'out', Options(), lambda _stage: None)
    assert caught.value.code == 'parity_failed'
    assert not (tmp_path / 'out').exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 19), shift=st.floats(2e-4, 1e3) | st.just(float('nan')) | st.just(float('inf')))
def test_one_wrong_answer_anywhere_fails(
    plain: Converted, samples: Reference, row: int, shift: float
) -> None:
    outputs = samples.outputs['output_0'].copy()
    outputs[row, 0] += np.float32(shift)
    with pytest.raises(ConversionError) as caught:
        measure(plain.data, Reference(samples.inputs, {'output_0': outputs}, 'test'), 1e-4)
    assert caught.value.code == 'parity_failed'


def test_the_mean_is_over_all_outputs(plain: Converted, samples: Reference) -> None:
    exact = open_session(plain.data).run(None, samples.inputs)[0]
    shifted = exact + np.where(np.arange(20)[:, None] < 10, 0.5, 0.0)
    parity = measure(plain.data, Reference(samples.inputs, {'output_0': shifted}, 'test'), 1.0)
    assert parity.max_abs_diff == pytest.approx(0.5, abs=1e-6)
    assert parity.mean_abs_diff == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(
    ('arrays', 'reason'),
    [
        ({'inputs': np.zeros((2, 16, 16, 3))}, 'no readable arrays'),
        ({'inputs': np.zeros((2, 16, 16, 3)), 'outputs': np.zeros((3, 1))}, 'in both arrays'),
        ({'inputs': np.zeros((0, 16, 16, 3)), 'outputs': np.zeros((0, 1))}, 'must hold 1 to 4096 rows'),
        ({'inputs': np.array(['a'], dtype=object), 'outputs': np.zeros((1, 1))}, 'no readable arrays'),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(
    plain: Converted, tmp_path: Path, arrays: dict[str, Any], reason: str
) -> None:
    np.savez(tmp_path / 'samples.npz', **arrays)
    with pytest.raises(ConversionError, match=reason) as caught:
        read_samples(tmp_path / 'samples.npz', plain)
    assert caught.value.code == 'conversion_failed'


def test_samples_that_would_fill_the_memory_are_refused_before_room_is_made(
    plain: Converted, tmp_path: Path
) -> None:
    # 4 TiB in the header, a few bytes on disk: an archive can say anything.
    header = io.BytesIO()
    described = {'descr': '<f8', 'fortran_order': False, 'shape': (2, 1 << 38)}
    np.lib.format.write_array_header_1_0(header, described)
    answers = io.BytesIO()
    np.save(answers, np.zeros((2, 1)))
    with zipfile.ZipFile(tmp_path / 'samples.npz', 'w') as archive:
        archive.writestr('inputs.npy', header.getvalue())
        archive.writestr('outputs.npy', answers.getvalue())
    with pytest.raises(ConversionError, match='at most 536870912 are read') as caught:
        read_samples(tmp_path / 'samples.npz', plain)
    assert caught.value.code == 'conversion_failed'


def test_answers_of_another_shape_or_inputs_that_do_not_fit_are_refused(
    plain: Converted, samples: Reference
) -> None:
    with pytest.raises(ConversionError, match='has shape'):
        measure(plain.data, Reference(samples.inputs, {'output_0': np.zeros((20, 2))}, 'test'), 1e-4)
    small = {'input': np.zeros((2, 8, 8, 1), np.float32)}
    with pytest.raises(ConversionError, match='could not run the samples'):
        measure(plain.data, Reference(small, samples.outputs, 'test'), 1e-4)


def test_a_source_without_samples_is_compared_with_the_saved_model_itself(job: Job, tmp_path: Path) -> None:
    folder = job('plain')
    (folder / 'samples.npz').unlink()
    report = run_conversion(folder, tmp_path / 'out', Options(), lambda _stage: None)
    assert report['parity']['reference'] == 'SavedModel in TensorFlow 2.17.1'
    assert report['parity']['samples'] == 8


def test_integer_and_several_inputs_are_compared_too(save_model: SaveModel, tmp_path: Path) -> None:
    tf = load('tensorflow')

    def scaled(ids: Any, scale: Any) -> dict[str, Any]:
        return {'a': tf.cast(ids, tf.float32) * scale, 'b': ids + 1}

    folder = save_model(
        scaled,
        tf.TensorSpec([None, 3], tf.int64, name='ids'),
        tf.TensorSpec([None, 3], tf.float32, name='scale'),
    )
    report = run_conversion(folder, tmp_path / 'out', Options(), lambda _stage: None)
    assert report['parity']['maxAbsDiff'] == 0
    np.savez(folder / 'samples.npz', inputs=np.zeros((1, 3)), outputs=np.zeros((1, 3)))
    with pytest.raises(ConversionError, match='one input and one output'):
        run_conversion(folder, tmp_path / 'out', Options(), lambda _stage: None)


def test_text_inputs_are_refused(save_model: SaveModel, tmp_path: Path) -> None:
    tf = load('tensorflow')

    def same(words: Any) -> dict[str, Any]:
        return {'same': tf.identity(words)}

    folder = save_model(same, tf.TensorSpec([None], tf.string, name='words'))
    with pytest.raises(ConversionError, match='only numbers'):
        run_conversion(folder, tmp_path / 'out', Options(), lambda _stage: None)


def test_a_stripped_model_without_samples_is_not_compared_with_random_answers() -> None:
    source = FIXTURES / 'augmented' / 'saved_model'
    with pytest.raises(ConversionError, match=r'add samples\.npz') as caught:
        ask_framework(source, 'serve', 'serving_default', convert_saved_model(source))
    assert caught.value.code == 'conversion_failed'


def test_bytes_that_are_no_model_are_refused_by_the_runtime() -> None:
    with pytest.raises(ConversionError, match=r'onnxruntime 1\.30\.0 refuses'):
        open_session(b'\x08\x08not a model')
