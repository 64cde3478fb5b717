"""The canonical weights digest: the identity of what a training has learned.

Definition, version 1. Take the model's weights (those it predicts with, moving averages included,
augmentation and optimiser excluded), each with its variable path such as `conv_1/kernel`, sort by path as
UTF-8 bytes, and hash with SHA-256, in this order:

1. the line `millrace-weights-v1\\n`;
2. for each weight the line `<canonical JSON of [path, dtype, shape]>\\n` (JSON without spaces, UTF-8, for
example `["conv_1/kernel","float32",[6,6,3,24]]`), then its elements in C order, little-endian, with nothing
after them.

Two runs with the same seed, data, packages, processor class and thread counts have the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .digests import canonical_json

_HEADER = b'millrace-weights-v1\n'


def weights_digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """The canonical weights digest (64 hex digits) of `weights`, by path; an empty mapping is a
    ValueError.
    """
    if not weights:
        raise ValueError('a model without weights has no identity')
    digest = hashlib.sha256(_HEADER)
    for path in sorted(weights, key=lambda name: name.encode()):
        value = np.asarray(weights[path])
        line = canonical_json([path, value.dtype.name, list(value.shape)])
        digest.update(line + b'\n')
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder('<')).tobytes())
    return digest.hexdigest()
