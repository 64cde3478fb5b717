"""One conversion from source folder to `model.onnx` and `conversion.json`."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import parity as parity_check
from .convert import (
    MODEL_FILE,
    OPSET_DEFAULT,
    SIGNATURE_DEFAULT,
    TAG_DEFAULT,
    Converted,
    Progress,
)
from .digests import sha256_file, size_bytes
from .graph.build import BuildOptions
from .latency import latency_ms_p50
from .other_forms import compare_forms
from .quantisation_request import QuantisationRequest
from .quantise import Quantised, quantise
from .runtime import load_all
from .sources import Choice, SourceFormat, open_source

REPORT_FILE = 'conversion.json'
REQUIREMENTS_FILE = Path(__file__).resolve().parents[2] / 'requirements.txt'


@dataclass(frozen=True)
class Options:
    """What to convert to; `tolerance` is the largest absolute difference allowed on the samples.

    `build` and `hidden_layers` are for sources of format weights.
    """

    opset: int = OPSET_DEFAULT
    tag: str = TAG_DEFAULT
    signature: str = SIGNATURE_DEFAULT
    tolerance: float = parity_check.TOLERANCE_DEFAULT
    source_format: SourceFormat = 'saved_model'
    build: BuildOptions = field(default_factory=BuildOptions)
    hidden_layers: list[int] | None = None
    quantisation: QuantisationRequest | None = None


def environment_digest() -> str:
    """SHA-256 of the hash-pinned requirements of this environment."""
    return sha256_file(REQUIREMENTS_FILE)


def run_conversion(source_dir: Path, out_dir: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Converts the model of `source_dir`, checks parity, writes both files to `out_dir`, returns the report.

    Nothing is written unless parity holds. Raises `conversion_failed`, `parity_failed`, `unsafe_model`, and
    the codes of weights and of quantisation.
    """
    started, started_at = time.monotonic(), _now()
    choice = Choice(options.opset, options.tag, options.signature, options.build, options.hidden_layers)
    with open_source(source_dir, options.source_format, choice) as source:
        converted = source.convert(progress)
        progress('parity')
        reference = source.reference(converted)
        source_bytes = size_bytes(source.path)
        details, files = source.details, source.files
    parity = parity_check.measure(converted.data, reference, options.tolerance)
    forms = compare_forms(source_dir / parity_check.SAMPLES_FILE, converted, reference)
    progress('measure')
    quantised = _quantise(source_dir, converted, reference, options)
    made = converted if quantised is None else quantised.converted
    report = {
        'format': 'onnx',
        'sourceFormat': options.source_format,
        **describe(made),
        'tag': options.tag,
        'signature': options.signature,
        'strippedLayers': converted.stripped,
        'parity': parity.to_json(),
        **({'forms': forms} if forms else {}),
        'latencyMsP50': latency_ms_p50(made.data, reference.inputs),
        'sizes': {'onnxBytes': len(made.data), 'sourceBytes': source_bytes},
        'digests': {MODEL_FILE: hashlib.sha256(made.data).hexdigest()},
        **details,
        **({} if quantised is None else {'quantization': quantised.report}),
        'tools': load_all(),
        'environmentDigest': environment_digest(),
        'startedAt': started_at,
        'finishedAt': _now(),
        'seconds': round(time.monotonic() - started, 3),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, data in {**files, MODEL_FILE: made.data}.items():
        (out_dir / name).write_bytes(data)
    (out_dir / REPORT_FILE).write_text(json.dumps(report, indent=2, sort_keys=True) + '\n')
    return report


def _quantise(
    source_dir: Path, converted: Converted, reference: parity_check.Reference, options: Options
) -> Quantised | None:
    request = options.quantisation
    if request is None:
        return None
    rows = request.rows(source_dir, converted)
    return quantise(converted, request.mode, rows, reference, request.agreementMin)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec='seconds')


def describe(converted: Converted) -> dict[str, Any]:
    """What the ONNX file itself says: opset, IR version, inputs and outputs."""
    return {
        'opset': converted.opset,
        'irVersion': converted.ir_version,
        'inputs': [info.to_json() for info in converted.inputs],
        'outputs': [info.to_json() for info in converted.outputs],
    }
