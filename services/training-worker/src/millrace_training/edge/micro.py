# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false
# tflite-micro has no types.
"""TensorFlow Lite Micro itself, as the package of PyPI brings it: what a microcontroller would do with a
model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tflite_micro.python.tflite_micro import runtime

from millrace_training.errors import RecipeError

from .int8_model import Int8Model, captured_stderr

ARENA_ALIGNMENT = 16
"""Arenas are a multiple of this, in bytes."""

ARENA_BYTES_MAX = 16 << 20
"""More than any microcontroller that this is for has; a model that needs more is refused."""

_MISSING_KERNEL = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_REFUSED_NODE = re.compile(r'Node (\w+) \(number \d+\) failed')
_RECORDED = re.compile(r'Arena allocation total (\d+) bytes')


@dataclass(frozen=True)
class Arena:
    """Bytes of working memory: the smallest arena in which the model starts and runs, and what of it stays
    in use once it has started, as the allocator of TensorFlow Lite Micro records it.
    """

    needed_bytes: int
    recorded_bytes: int


def _start(model: Int8Model, arena_bytes: int) -> Any:
    """An interpreter with that arena; RuntimeError when it cannot start."""
    return runtime.Interpreter.from_bytes(model.data, arena_size=arena_bytes)


def _fits(model: Int8Model, arena_bytes: int, row: NDArray[np.int8]) -> bool:
    try:
        interpreter = _start(model, arena_bytes)
        interpreter.set_input(row, 0)
        interpreter.invoke()
    except RuntimeError:
        return False
    return True


def assert_kernels(model: Int8Model) -> None:
    """Raises `edge_operator_unsupported`, naming the operator, unless each has a kernel for int8 in
    TensorFlow Lite Micro.

    The kernels themselves are asked: all of them are there, and memory is plenty.
    """
    with captured_stderr() as said:
        try:
            _start(model, ARENA_BYTES_MAX)
        except RuntimeError:
            failed = True
        else:
            failed = False
    if not failed:
        return
    text = '\n'.join(said)
    missing = _MISSING_KERNEL.search(text)
    if missing:
        reason = f'it has no kernel for {missing[1]}'
    else:
        node = _REFUSED_NODE.search(text)
        cause = said[0].strip() if said else 'no reason given'
        reason = f'its kernel {node[1] if node else "of an operator"} does not take the model ({cause[:200]})'
    raise RecipeError(
        'edge_operator_unsupported',
        f'TensorFlow Lite Micro cannot run the model: {reason}. Choose another activation, such as relu.',
    )


def _recorded_bytes(model: Int8Model, row: NDArray[np.int8]) -> int:
    """What the allocator says after a run with plenty of memory."""
    interpreter = _start(model, ARENA_BYTES_MAX)
    interpreter.set_input(row, 0)
    interpreter.invoke()
    with captured_stderr() as said:
        interpreter.print_allocations()
    recorded = _RECORDED.search('\n'.join(said))
    if recorded is None:
        raise RuntimeError(f'tflite-micro printed no allocations: {said}')
    return int(recorded[1])


def measure_arena(model: Int8Model, features: int) -> Arena:
    """Finds the smallest arena by trying, from what the allocator records on: starting takes a little more.

    Structures hold pointers, so that a 32-bit device needs a little less than the 64-bit host that measures.
    Sizes below the record are not tried: in the smallest ones the interpreter crashes instead of refusing.
    """
    row = np.zeros((1, features), np.int8)
    recorded = _recorded_bytes(model, row)
    with captured_stderr():
        most = -(-recorded // ARENA_ALIGNMENT) * ARENA_ALIGNMENT
        least, step = most - ARENA_ALIGNMENT, ARENA_ALIGNMENT
        while not _fits(model, most, row):
            least, most, step = most, most + step, 2 * step
        while most - least > ARENA_ALIGNMENT:
            middle = (least + most) // 2 // ARENA_ALIGNMENT * ARENA_ALIGNMENT
            least, most = (least, middle) if _fits(model, middle, row) else (middle, most)
    return Arena(most, recorded)


def run_micro(model: Int8Model, inputs: NDArray[np.int8], arena_bytes: int) -> NDArray[np.int8]:
    """Outputs [n, classes] of inputs [n, features], a row at a time on TensorFlow Lite Micro with that
    arena.
    """
    interpreter = _start(model, arena_bytes)
    outputs: list[NDArray[np.int8]] = []
    for row in inputs:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        outputs.append(np.array(interpreter.get_output(0))[0])
    return np.array(outputs, np.int8)
