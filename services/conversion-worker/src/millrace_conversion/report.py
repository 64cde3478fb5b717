"""One conversion from source folder to `model.onnx` and `conversion.json`."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

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
from .runtime import load_all
from .sources import Choice, SourceFormat, open_source

REPORT_FILE = 'conversion.json'
REQUIREMENTS_FILE = Path(__file__).resolve().parents[2] / 'requirements.txt'
LATENCY_RUNS = 20
LATENCY_WARM_UPS = 3


@dataclass(frozen=True)
class Options:
    """What to convert to; `tolerance` is the largest absolute difference allowed on the samples."""

    opset: int = OPSET_DEFAULT
    tag: str = TAG_DEFAULT
    signature: str = SIGNATURE_DEFAULT
    tolerance: float = parity_check.TOLERANCE_DEFAULT
    source_format: SourceFormat = 'saved_model'


def environment_digest() -> str:
    """SHA-256 of the hash-pinned requirements of this environment."""
    return sha256_file(REQUIREMENTS_FILE)


def run_conversion(source_dir: Path, out_dir: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Converts the model of `source_dir`, checks parity, writes both files to `out_dir`, returns the report.

    Nothing is written unless parity holds. Raises `conversion_failed`, `parity_failed` and `unsafe_model`.
    """
    started, started_at = time.monotonic(), _now()
    choice = Choice(options.opset, options.tag, options.signature)
    with open_source(source_dir, options.source_format, choice) as source:
        converted = source.convert(progress)
        progress('parity')
        reference = source.reference(converted)
        source_bytes = size_bytes(source.path)
    parity = parity_check.measure(converted.data, reference, options.tolerance)
    progress('measure')
    report = {
        'format': 'onnx',
        'sourceFormat': options.source_format,
        **describe(converted),
        'tag': options.tag,
        'signature': options.signature,
        'strippedLayers': converted.stripped,
        'parity': parity.to_json(),
        'latencyMsP50': latency_ms_p50(converted.data, reference),
        'sizes': {'onnxBytes': len(converted.data), 'sourceBytes': source_bytes},
        'digests': {MODEL_FILE: hashlib.sha256(converted.data).hexdigest()},
        'tools': load_all(),
        'environmentDigest': environment_digest(),
        'startedAt': started_at,
        'finishedAt': _now(),
        'seconds': round(time.monotonic() - started, 3),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / MODEL_FILE).write_bytes(converted.data)
    (out_dir / REPORT_FILE).write_text(json.dumps(report, indent=2, sort_keys=True) + '\n')
    return report


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


def latency_ms_p50(data: bytes, reference: parity_check.Reference) -> float:
    """Median time of one row on one thread, in ms, over LATENCY_RUNS runs after warm-up."""
    session = parity_check.open_session(data, threads=1)
    is_batched = all(value.shape and not isinstance(value.shape[0], int) for value in session.get_inputs())
    feeds = {name: np.ascontiguousarray(v[:1]) if is_batched else v for name, v in reference.inputs.items()}
    times: list[float] = []
    for index in range(LATENCY_WARM_UPS + LATENCY_RUNS):
        before = time.perf_counter()
        session.run(None, feeds)
        if index >= LATENCY_WARM_UPS:
            times.append((time.perf_counter() - before) * 1000)
    return round(statistics.median(times), 3)
