"""The architecture of a plain network, found by the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from millrace_conversion.errors import ConversionError
from millrace_conversion.safetensors_file import Tensor

from .architecture import Architecture, parse_architecture_object

INPUT_NAME = 'input'
OUTPUT_NAME = 'probabilities'
_NUMBER = re.compile(r'(\d+)')


class _Pair(NamedTuple):
    """A matrix and its bias under one prefix."""

    prefix: str
    weight: str
    bias: str | None
    shape: tuple[int, int]
    bias_size: int | None


def detect(
    found: dict[str, Tensor],
    *,
    input_size: int | None = None,
    hidden_layers: Sequence[int] | None = None,
    output_size: int | None = None,
) -> Architecture:
    """Linear layers with ReLU between them and softmax at the end, in the natural order of their names.

    Sizes that are given must be those of the tensors. Matrices may all lie as [out, in] (PyTorch, Candle) or
    all as [in, out]; where both would fit, the first is meant. Raises `architecture_mismatch` when tensors
    are not pairs of matrix and bias, or their sizes form no chain or are others than those given.
    """
    pairs = _pairs(found)
    stated = [input_size, *(hidden_layers or [None] * (len(pairs) - 1)), output_size]
    fitting = [
        (is_transposed, sizes)
        for is_transposed in (False, True)
        if (sizes := _chain(pairs, is_transposed)) is not None and _agrees(sizes, stated)
    ]
    if not fitting:
        raise _mismatch(_why(pairs, stated))
    is_transposed, sizes = fitting[0]
    return parse_architecture_object(_describe(pairs, sizes, is_transposed))


def _pairs(found: dict[str, Tensor]) -> list[_Pair]:
    biases = {name.removesuffix('bias'): name for name in found if name.endswith('bias')}
    pairs: list[_Pair] = []
    used: set[str] = set()
    for name, tensor in found.items():
        if len(tensor.shape) != 2 or not name.endswith('weight'):
            continue
        prefix = name.removesuffix('weight')
        bias = biases.get(prefix)
        shape = None if bias is None else found[bias].shape
        if shape is not None and len(shape) != 1:
            raise _mismatch(f'{bias!r} has shape {list(shape)}, which is no bias')
        pairs.append(
            _Pair(prefix, name, bias, (tensor.shape[0], tensor.shape[1]), shape[0] if shape else None)
        )
        used.update([name] if bias is None else [name, bias])
    others = sorted(set(found) - used)
    if others:
        raise _mismatch(
            f'{others[0]!r} of shape {list(found[others[0]].shape)} belongs to no linear layer, so names '
            'and shapes do not say what is computed; send architecture.json'
        )
    return sorted(pairs, key=lambda pair: _natural(pair.prefix))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts `layers.10` behind `layers.9`."""
    return [(1, int(part), '') if part.isdigit() else (0, 0, part) for part in _NUMBER.split(text)]


def _chain(pairs: list[_Pair], is_transposed: bool) -> list[int] | None:
    """Sizes from the input to the output, or None when a layer does not take what the one before gives."""
    sizes: list[int] = []
    for pair in pairs:
        before, after = pair.shape if is_transposed else pair.shape[::-1]
        if (sizes and sizes[-1] != before) or pair.bias_size not in (None, after):
            return None
        sizes += [after] if sizes else [before, after]
    return sizes


def _agrees(sizes: list[int], stated: Sequence[int | None]) -> bool:
    return len(sizes) == len(stated) and all(
        wanted in (None, size) for size, wanted in zip(sizes, stated, strict=True)
    )


def _why(pairs: list[_Pair], stated: Sequence[int | None]) -> str:
    chains = [sizes for flag in (False, True) if (sizes := _chain(pairs, flag)) is not None]
    if not chains:
        shapes = ', '.join(f'{pair.weight} {list(pair.shape)}' for pair in pairs)
        return f'the layers do not take what those before them give: {shapes[:500]}'
    wanted = [size for size in stated if size is not None]
    return f'the tensors make layers of {chains[0]}, not those asked for ({wanted})'


def _describe(pairs: list[_Pair], sizes: list[int], is_transposed: bool) -> dict[str, Any]:
    layers: list[dict[str, Any]] = []
    for index, pair in enumerate(pairs):
        layers += [{'type': 'relu'}] if layers else []
        layers.append(
            {
                'type': 'linear',
                'in': sizes[index],
                'out': sizes[index + 1],
                'weight': pair.weight,
                'bias': pair.bias,
                'transposed': is_transposed,
            }
        )
    return {
        'format': 1,
        'family': 'mlp',
        'input': {'name': INPUT_NAME, 'shape': [None, sizes[0]]},
        'output': {'name': OUTPUT_NAME},
        'layers': [*layers, {'type': 'softmax'}],
    }


def _mismatch(reason: str) -> ConversionError:
    return ConversionError('architecture_mismatch', f'No network of linear layers: {reason}.')
