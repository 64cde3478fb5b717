"""Run by the Python of the environment `torch`: nets of the training worker with what PyTorch says of them.

`python torch_reference.py OUT` writes for each family a folder with what a training hands over, and
`dynamo.onnx`, the same net by PyTorch's own exporter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from millrace_training.pytorch.export import Model, architecture, named_weights
from millrace_training.pytorch.net import Net
from millrace_training.pytorch.preprocessing import Preprocessing
from millrace_training.spectra import architectures, preprocessing, steps
from millrace_training.spectra.architectures import cnn1d, mlp, transformer
from safetensors.numpy import save_file

CHANNELS, CLASSES, ROWS = 1024, 15, 12
NARROW, WIDE = {'gain': 2.9, 'offset': -3.0}, {'gain': 3.0, 'offset': 0.0}
STEPS = {
    'mlp': [steps.SquareRoot(), steps.Normalise(method='max')],
    'cnn1d': [
        steps.EnergyCalibration.model_validate({'from': NARROW, 'to': WIDE}),
        steps.NoiseReduction(window=9, order=2),
        steps.RollingBaseline(window=31),
        steps.Normalise(method='standard'),
    ],
    'transformer': [steps.MovingAverage(window=5), steps.Snip(iterations=12), steps.Normalise(method='max')],
}


def spectra(seed: int) -> np.ndarray:
    """Counts on a falling continuum, with a few lines."""
    random = np.random.default_rng(seed)
    channels = np.arange(CHANNELS)
    mean = 80 * np.exp(-channels / 300) + 1
    lines = random.uniform(50, CHANNELS - 50, (ROWS, 4, 1))
    peaks = (400 * np.exp(-((channels - lines) ** 2) / 40)).sum(1)
    return random.poisson(mean + peaks).astype(np.float32)


def main(out: Path) -> None:
    """Writes one folder a family."""
    layers = {
        'mlp': mlp(CHANNELS, CLASSES, (512, 256, 128)),
        'cnn1d': cnn1d(CHANNELS, CLASSES),
        'transformer': transformer(CHANNELS, CLASSES),
    }
    assert set(layers) <= set(vars(architectures))
    for family, stated in layers.items():
        torch.manual_seed(7)
        fitted = preprocessing.fit(STEPS[family], spectra(1))
        net = Net(Preprocessing(fitted, CHANNELS), stated, 0.1).eval()
        with torch.no_grad():
            for name, buffer in net.named_buffers():
                if name.endswith(('running_mean', 'running_var')):
                    buffer.uniform_(0.5, 1.5)
        counts = spectra(2)
        with torch.no_grad():
            answers = net(torch.from_numpy(counts)).numpy()
        classes = tuple(f'isotope {index}' for index in range(CLASSES))
        model = Model(net, family, stated, fitted, classes, CHANNELS)
        folder = out / family
        folder.mkdir(parents=True)
        save_file(named_weights(model), folder / 'model.safetensors')
        (folder / 'architecture.json').write_text(json.dumps(architecture(model)))
        np.savez(folder / 'samples.npz', inputs=counts, outputs=answers)
        torch.onnx.export(
            net,
            (torch.from_numpy(counts),),
            folder / 'dynamo.onnx',
            input_names=['spectrum'],
            output_names=['probabilities'],
            dynamic_shapes=({0: torch.export.Dim('batch')},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


if __name__ == '__main__':
    main(Path(sys.argv[1]))
