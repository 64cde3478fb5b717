# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""A trained net as files: weights, what is done with them, and samples to check a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from millrace_training.digests import canonical_json, sha256_file
from millrace_training.exported import Exported
from millrace_training.spectra import preprocessing
from millrace_training.spectra.architectures import tensor_names, with_tensor_names
from millrace_training.spectra.files import Split
from millrace_training.spectra.preprocessing import FittedStep
from millrace_training.weights import weights_digest

from .net import Layer

FORMAT = 1
WEIGHTS_FILE = 'model.safetensors'
ARCHITECTURE_FILE = 'architecture.json'
SAMPLES_FILE = 'samples.npz'
EXAMPLES_FILE = 'examples.json'
INPUT_NAME, OUTPUT_NAME = 'spectrum', 'probabilities'


@dataclass(frozen=True)
class Model:
    """A net with everything that names and feeds it."""

    net: Any
    family: str
    layers: list[Layer]
    fitted: list[FittedStep]
    classes: tuple[str, ...]
    channels: int


def architecture(model: Model) -> dict[str, Any]:
    """The content of `architecture.json`."""
    return {
        'format': FORMAT,
        'family': model.family,
        'input': {'name': INPUT_NAME, 'shape': [None, model.channels]},
        'output': {
            'name': OUTPUT_NAME,
            'shape': [None, len(model.classes)],
            'classes': list(model.classes),
        },
        'preprocessing': preprocessing.describe(model.fitted),
        'layers': with_tensor_names(model.layers),
    }


def named_weights(model: Model) -> dict[str, NDArray[Any]]:
    """Every tensor that the architecture names, float32, sorted by name."""
    state = model.net.state_dict()
    names = tensor_names(with_tensor_names(model.layers))
    weights = {name: state[name].detach().numpy() for name in names}
    weights |= preprocessing.tensors(model.fitted)
    return {name: np.ascontiguousarray(weights[name], np.float32) for name in sorted(weights)}


def export_model(
    model: Model, folder: Path, samples: Split, outputs: NDArray[np.float32], examples: int
) -> Exported:
    """Write every file of the model into `folder` (made if missing); equal models give equal bytes.

    torch's `outputs` [n, classes] for the `samples` go with them; the first `examples` are also written as
    JSON, for showing. `labels.txt` names the classes to whoever serves the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = named_weights(model)
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / ARCHITECTURE_FILE).write_bytes(canonical_json(architecture(model)) + b'\n')
    np.savez(folder / SAMPLES_FILE, inputs=samples.spectra, outputs=outputs)
    shown: list[dict[str, Any]] = [
        {
            'isotope': model.classes[int(samples.labels[row])],
            'condition': str(samples.conditions[row]),
            'spectrum': samples.spectra[row].tolist(),
        }
        for row in range(min(examples, len(samples)))
    ]
    (folder / EXAMPLES_FILE).write_bytes(canonical_json({'examples': shown}) + b'\n')
    sizes = {name: (folder / name).stat().st_size for name in (WEIGHTS_FILE, ARCHITECTURE_FILE, SAMPLES_FILE)}
    graphs = {'architectureDigest': sha256_file(folder / ARCHITECTURE_FILE)}
    return Exported(weights_digest(weights), graphs, sizes)
