"""What a layer is: its fields, the tensors it needs, the shape it gives, its ONNX nodes and, apart from
them, its definition in NumPy, by which the graph is checked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from millrace_conversion.errors import ConversionError

from .emitter import Emitter

# A shape without the batch.
Shape = tuple[int, ...]
# Weights by name, float32; the definitions in NumPy compute in float64.
Tensors = dict[str, NDArray[Any]]
Values = NDArray[np.float64]

SIZE_MAX = 1 << 20
RANK_MAX = 4
# Values that one row may be while it is computed; also window times length, and tokens squared times heads.
VALUES_MAX = 1 << 22
Size = Annotated[int, Field(strict=True, ge=1, le=SIZE_MAX)]
TensorName = Annotated[str, Field(min_length=1, max_length=256)]
Epsilon = Annotated[float, Field(gt=0, lt=1)]


class Layer(BaseModel, ABC):
    """One entry of `layers` or `preprocessing`; unknown fields are refused."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    def tensors(self, _given: Shape, /) -> dict[str, Shape]:
        """Names and shapes of the tensors that it reads when its input has the shape `_given`."""
        return {}

    def shape(self, given: Shape, _place: str, /) -> Shape:
        """The shape it gives for an input of shape `given`; `invalid_architecture` when that does not fit."""
        return given

    @abstractmethod
    def emit(self, graph: Emitter, value: str, place: str, given: Shape, tensors: Tensors, /) -> str:
        """Adds its nodes, which read `value`, and returns the name of what they give."""

    @abstractmethod
    def answer(self, values: Values, tensors: Tensors, /) -> Values:
        """Its definition: what it gives for `values` [n, …given]."""


def misfit(place: str, reason: str) -> ConversionError:
    """`invalid_architecture` that names the entry."""
    return ConversionError(
        'invalid_architecture', f'architecture.json does not fit together: {place} {reason}.'
    )


def expect(place: str, is_fitting: bool, reason: str) -> None:
    """Raises `misfit` unless it fits."""
    if not is_fitting:
        raise misfit(place, reason)


def wide(values: NDArray[Any]) -> Values:
    """In float64."""
    return values.astype(np.float64)
