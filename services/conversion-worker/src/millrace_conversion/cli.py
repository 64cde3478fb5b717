"""Stand-alone: `python -m millrace_conversion.cli convert|validate` on the trainer's `ml/train/models/`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto

from . import parity
from .convert import (
    MODEL_FILE,
    OPSET_DEFAULT,
    OPSET_MAX,
    OPSET_MIN,
    SIGNATURE_DEFAULT,
    TAG_DEFAULT,
    Converted,
    tensor_infos,
)
from .errors import ConversionError
from .latency import latency_ms_p50
from .report import Options, run_conversion
from .runtime import load
from .sources import SAVED_MODEL_FOLDER, saved_model_reference

MODELS_DEFAULT = Path('ml/train/models')
BYTES_MAX = 3_000_000
LATENCY_MS_MAX = 5.0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='millrace_conversion', description='SavedModel to ONNX, and its check.'
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in (
        ('convert', 'convert saved_model/ to model.onnx'),
        ('validate', 'check model.onnx: format, onnxruntime, parity with the framework, size, latency'),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            '--models', type=Path, default=MODELS_DEFAULT, help=f'folder (default {MODELS_DEFAULT})'
        )
        command.add_argument('--opset', type=int, default=OPSET_DEFAULT, help=f'{OPSET_MIN}..{OPSET_MAX}')
        command.add_argument('--tag', default=TAG_DEFAULT)
        command.add_argument('--signature', '--signature_def', default=SIGNATURE_DEFAULT)
        command.add_argument(
            '--tolerance',
            type=float,
            default=parity.TOLERANCE_DEFAULT,
            help='largest absolute difference allowed',
        )
    return parser


def convert(models: Path, options: Options) -> None:
    """Writes `model.onnx` and `conversion.json` beside the SavedModel."""
    if not (models / SAVED_MODEL_FOLDER).is_dir():
        raise ConversionError(
            'conversion_failed',
            f'{models / SAVED_MODEL_FOLDER} is not there; train first (npm run ml:train:quick).',
        )
    report = run_conversion(models, models, options, lambda stage: _say(f'{stage} ...'))
    for layer in report['strippedLayers']:
        _say(f'Took out augmentation layer {layer}')
    _say(f'Successfully converted TensorFlow model {models / SAVED_MODEL_FOLDER} to ONNX')
    _say(f'Model inputs: {[info["name"] for info in report["inputs"]]}')
    _say(f'Model outputs: {[info["name"] for info in report["outputs"]]}')
    _say(f'ONNX model is saved at {models / MODEL_FILE} ({report["sizes"]["onnxBytes"]:,} bytes)')
    _say_parity(report['parity'])


def validate(models: Path, options: Options) -> None:
    """Checks `model.onnx` as it lies there; raises ConversionError at the first fault."""
    path = models / MODEL_FILE
    if not path.is_file():
        raise ConversionError(
            'conversion_failed', f'{path} is not there; convert first (npm run ml:convert).'
        )
    data = path.read_bytes()
    try:
        model = ModelProto.FromString(data)
        load('onnx.checker').check_model(model, full_check=True)
    except Exception as error:
        raise ConversionError(
            'conversion_failed', f'{path} is not a valid ONNX model: {str(error)[:500]}'
        ) from error
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    _say(f'{path}: ONNX checker passed (opset {opset}, IR {model.ir_version})')
    inputs, outputs = tensor_infos(model)
    converted = Converted(model, data, opset, inputs, outputs, [])
    reference = saved_model_reference(models, options.tag, options.signature, converted)
    measured = parity.measure(data, reference, options.tolerance)
    _say(f'onnxruntime {load("onnxruntime").__version__}: inputs {[i.name for i in inputs]}')
    _say_parity(measured.to_json())
    latency = latency_ms_p50(data, reference.inputs)
    _say(f'Size: {len(data):,} bytes ({_verdict(len(data) <= BYTES_MAX)} {BYTES_MAX:,})')
    verdict = _verdict(latency <= LATENCY_MS_MAX)
    _say(f'Latency: {latency} ms median on one thread ({verdict} {LATENCY_MS_MAX} ms)')


def _verdict(holds: bool) -> str:
    return 'within' if holds else 'over the goal of'


def _say_parity(values: dict[str, object]) -> None:
    _say(
        f'Parity: max {values["maxAbsDiff"]:.3g}, mean {values["meanAbsDiff"]:.3g} '
        f'over {values["samples"]} samples against {values["reference"]} '
        f'(tolerance {values["tolerance"]:.3g}, onnxruntime {values["onnxruntimeVersion"]})'
    )


def _say(message: str) -> None:
    print(f'INFO - {message}', flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when all is well, 1 with one line on stderr when not."""
    options = build_parser().parse_args(arguments)
    action = convert if options.command == 'convert' else validate
    try:
        action(options.models, Options(options.opset, options.tag, options.signature, options.tolerance))
    except ConversionError as error:
        print(f'ERROR - {error.message} [{error.code}]', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
