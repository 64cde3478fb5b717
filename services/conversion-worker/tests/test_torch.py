"""The graph builder beside PyTorch: its answers, and its own exporter, on nets of the training worker.

Needs the environment `torch`, which is made on first use (`npm run env -- torch`) and not by quickstart.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from millrace_conversion.export import build, read_weights
from millrace_conversion.graph.build import BuildOptions
from millrace_conversion.report import Options, run_conversion

HERE = Path(__file__).parent
TORCH = Path(sys.prefix).parent / 'torch/bin/python'
TIMEOUT_S = 300


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not TORCH.is_file():
        pytest.skip('the environment torch is not there; npm run env -- torch makes it')
    out = tmp_path_factory.mktemp('torch')
    services = HERE.parents[1]
    path = [services / 'training-worker/src', services.parent / 'libs/worker-py/src']
    made = subprocess.run(
        [TORCH, HERE / 'torch_reference.py', out],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, path)), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return out


@pytest.mark.parametrize('family', ['mlp', 'cnn1d', 'transformer'])
def test_the_built_graph_answers_as_pytorch_and_as_its_exporter(
    trained: Path, tmp_path: Path, family: str
) -> None:
    folder = trained / family
    report = run_conversion(folder, tmp_path, Options(source_format='weights'), lambda _: None)
    assert report['parity']['reference'] == 'samples.npz'
    assert report['parity']['maxAbsDiff'] < 1e-5
    assert report['export']['parity']['maxAbsDiff'] < 1e-5
    with np.load(folder / 'samples.npz') as samples:
        counts, answers = samples['inputs'], samples['outputs']
    built = onnxruntime.InferenceSession(tmp_path / 'model.onnx')
    dynamo = onnxruntime.InferenceSession(folder / 'dynamo.onnx')
    for rows in (1, len(counts)):
        given = {'spectrum': counts[:rows]}
        (ours,), (theirs,) = built.run(None, given), dynamo.run(None, given)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_allclose(ours, answers[:rows], atol=1e-5)
    assert answers.std(0).max() > 1e-4, 'the net tells nothing apart, so its answers prove nothing'
    parameters = sum(
        int(np.prod(tensor.dims)) for tensor in onnx.load(folder / 'dynamo.onnx').graph.initializer
    )
    assert abs(parameters - report['export']['parameters']) < 0.05 * parameters
    again = build(read_weights(folder), BuildOptions()).converted.data
    assert again == (tmp_path / 'model.onnx').read_bytes()
