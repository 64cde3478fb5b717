"""The heavy libraries, imported once and late, as `Any`: none of them ships types."""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache
from typing import Any


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up notes, GPU probing and oneDNN's reordered sums away; before the first
    import.
    """
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
    os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
    logging.getLogger('tensorflow').setLevel(logging.ERROR)


@cache
def load(name: str) -> Any:
    """The module `name`; TensorFlow's noise is turned down first."""
    quiet_tensorflow()
    return importlib.import_module(name)


def load_all() -> dict[str, str]:
    """Imports everything a conversion needs and returns the versions by tool name."""
    return {
        name: str(load(name).__version__)
        for name in ('tensorflow', 'tf2onnx', 'onnx', 'onnxruntime', 'numpy')
    }
