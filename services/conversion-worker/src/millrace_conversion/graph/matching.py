"""Whether the tensors of a file are those that an architecture needs."""

from __future__ import annotations

import re

import numpy as np

from millrace_conversion.errors import ConversionError
from millrace_conversion.safetensors_file import Tensor

from .architecture import Architecture
from .layer import Tensors

# A counter of PyTorch's batch normalisation, which plays no part when a model is asked.
_COUNTER = re.compile(r'(^|\.)num_batches_tracked$')
_NAMES_TOLD_MAX = 5


def match_tensors(architecture: Architecture, found: dict[str, Tensor]) -> Tensors:
    """The values by name, in the order of the architecture.

    Raises `missing_tensor`, `extra_tensor`, `tensor_dtype_mismatch`, `tensor_shape_mismatch` and
    `weights_not_finite`, each naming the tensor.
    """
    wanted = architecture.tensors()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ConversionError(
            'missing_tensor', f'The architecture needs {_names(missing)}, which the weights do not hold.'
        )
    extra = sorted(name for name in found if name not in wanted and not _COUNTER.search(name))
    if extra:
        raise ConversionError(
            'extra_tensor', f'No layer of the architecture uses {_names(extra)} of the weights.'
        )
    tensors: Tensors = {}
    for name, shape in wanted.items():
        tensor = found[name]
        if tensor.dtype != 'F32' or tensor.values is None:
            raise ConversionError(
                'tensor_dtype_mismatch',
                f'{name!r} has the type {tensor.dtype}; the graph takes F32 (float32).',
            )
        if tensor.shape != shape:
            raise ConversionError(
                'tensor_shape_mismatch',
                f'{name!r} has shape {list(tensor.shape)}; its layer needs {list(shape)}.',
            )
        if not np.isfinite(tensor.values).all():
            raise ConversionError(
                'weights_not_finite', f'{name!r} holds NaN or Infinity; train the model again.'
            )
        tensors[name] = tensor.values
    return tensors


def _names(names: list[str]) -> str:
    told = ', '.join(repr(name) for name in names[:_NAMES_TOLD_MAX])
    return told if len(names) <= _NAMES_TOLD_MAX else f'{told} and {len(names) - _NAMES_TOLD_MAX} more'
