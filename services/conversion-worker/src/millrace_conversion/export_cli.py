"""Stand-alone: `python -m millrace_conversion.export_cli model.safetensors --out DIR`, weights to ONNX."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from .calibration import SAMPLES_DEFAULT
from .convert import OPSET_DEFAULT, OPSET_MAX, OPSET_MIN
from .errors import ConversionError
from .export import ARCHITECTURE_FILE, WEIGHTS_FILE
from .graph_request import GraphRequest
from .parity import SAMPLES_FILE, TOLERANCE_DEFAULT
from .quantisation_request import CALIBRATION_FOLDER, QuantisationRequest
from .quantise import Mode
from .report import Options, run_conversion


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='millrace_conversion.export', description='SafeTensors with an architecture to ONNX.'
    )
    add = parser.add_argument
    add('weights', type=Path, help='SafeTensors file')
    add('--architecture', type=Path, help=f'default: {ARCHITECTURE_FILE} beside it, where there is one')
    add('--hidden-layers', type=_sizes, help='of a plain network without architecture, such as 512,256,128')
    add('--samples', type=Path, help="inputs and the framework's answers (.npz) to compare with")
    add('--out', type=Path, required=True, help='folder for model.onnx, conversion.json and labels.txt')
    add('--opset', type=int, default=OPSET_DEFAULT, help=f'{OPSET_MIN}..{OPSET_MAX}')
    add('--input-name')
    add('--output-name')
    add('--batch-size', type=int, help='rows of a batch; any number unless given')
    add('--no-fuse', action='store_true', help='leave MatMul and Add as they are')
    add('--metadata', action='append', default=[], metavar='KEY=TEXT')
    add('--tolerance', type=float, default=TOLERANCE_DEFAULT, help='largest absolute difference allowed')
    add('--quantize', choices=get_args(Mode))
    add('--calibration', type=Path, action='append', default=[], help='.arrow or .npz file; may be repeated')
    add('--calibration-column', help="column of the input; the input's name unless given")
    add('--calibration-target', help='column of the truth, for the accuracy of both models')
    add('--calibration-samples', type=int, default=SAMPLES_DEFAULT)
    add('--agreement-min', type=float, help='least share of rows decided alike')
    return parser


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(',')] if text else []


def export(asked: argparse.Namespace) -> dict[str, Any]:
    """Runs the export and returns its report. Raises ConversionError."""
    with tempfile.TemporaryDirectory(prefix='millrace-export-') as folder:
        source = Path(folder)
        architecture = asked.architecture
        if architecture is None and asked.hidden_layers is None:
            beside = asked.weights.parent / ARCHITECTURE_FILE
            architecture = beside if beside.is_file() else None
        named = {WEIGHTS_FILE: asked.weights, ARCHITECTURE_FILE: architecture, SAMPLES_FILE: asked.samples}
        for index, path in enumerate(asked.calibration):
            named[f'{CALIBRATION_FOLDER}/{index}{path.suffix}'] = path
        for name, path in named.items():
            if path is not None:
                _place(path, source / name)
        return run_conversion(source, asked.out, _options(asked), lambda _stage: None)


def _place(path: Path, target: Path) -> None:
    if not path.is_file():
        raise ConversionError('conversion_failed', f'There is no file {path}.')
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)


def _options(asked: argparse.Namespace) -> Options:
    pairs = [text.partition('=') for text in asked.metadata]
    graph: dict[str, Any] = {
        'inputName': asked.input_name,
        'outputName': asked.output_name,
        'hiddenLayers': asked.hidden_layers,
        'batchSize': asked.batch_size,
        'fuse': not asked.no_fuse,
        'metadata': {key: text for key, _, text in pairs},
    }
    calibration = {
        'files': [f'{index}{path.suffix}' for index, path in enumerate(asked.calibration)],
        'column': asked.calibration_column,
        'target': asked.calibration_target,
        'samples': asked.calibration_samples,
    }
    quantisation = {
        'mode': asked.quantize,
        'agreementMin': asked.agreement_min,
        'calibration': calibration if asked.calibration else None,
    }
    try:
        request = GraphRequest.model_validate(graph)
        wanted = None if asked.quantize is None else QuantisationRequest.model_validate(quantisation)
    except ValidationError as error:
        faults = '; '.join(f'{fault["loc"][0]}: {fault["msg"]}' for fault in error.errors())
        raise ConversionError('invalid_command', f'An option is not understood: {faults}') from error
    return Options(
        asked.opset,
        tolerance=asked.tolerance,
        source_format='weights',
        build=request.build_options(),
        hidden_layers=request.hiddenLayers,
        quantisation=wanted,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the export; 0 when all is well, 1 with one line on stderr when not."""
    asked = build_parser().parse_args(arguments)
    try:
        report = export(asked)
    except ConversionError as error:
        print(f'ERROR - {error.message} [{error.code}]', file=sys.stderr)
        return 1
    made, parity = report['export'], report['parity']
    print(f'Exported {made["family"]} of {made["parameters"]:,} parameters to {asked.out / "model.onnx"}')
    before = made['nodesBeforeFusion']
    print(f'Nodes: {made["nodes"]}, {before} before {made["fused"]} were fused; opset {report["opset"]}')
    reference = f'{parity["samples"]} samples against {parity["reference"]}'
    print(f'Parity: max {parity["maxAbsDiff"]:.3g} over {reference}')
    print(f'Size: {report["sizes"]["onnxBytes"]:,} bytes, {report["latencyMsP50"]} ms a row on one thread')
    if 'quantization' in report:
        said = report['quantization']
        share = 'none to tell' if said['agreement'] is None else f'{said["agreement"]:.1%}'
        print(f'As {said["mode"]}: {said["bytes"]["float32"]:,} bytes before, decisions alike {share}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
