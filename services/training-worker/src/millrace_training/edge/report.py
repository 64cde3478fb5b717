"""The truth about a quantised model: on the whole test split, against the float32 model it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace_training.rounding import rounded

from .budget import EdgeBudget, assert_within
from .int8_model import Int8Model, latency_micros, run_int8
from .micro import Arena, assert_kernels, measure_arena, run_micro

TOLERANCE_MIN = 2
"""Int8 steps; requantisation in three layers rounds three times."""


@dataclass(frozen=True)
class EdgeReport:
    """Figures of a model for devices, and its outputs [n, classes] on the test split: float32 as LiteRT
    answers, and int8 as TensorFlow Lite Micro does. `tolerance` is how many int8 steps kernels that round
    otherwise may differ.
    """

    arena: Arena
    figures: dict[str, Any]
    outputs: NDArray[np.float32]
    micro_outputs: NDArray[np.int8]
    tolerance: int


def check_costs(model: Int8Model, features: int, budget: EdgeBudget | None) -> Arena:
    """What can be known before a training, for it depends on no weight: kernels, size and arena.

    Raises `edge_operator_unsupported` and `edge_budget_exceeded`.
    """
    assert_kernels(model)
    arena = measure_arena(model, features)
    assert_within(budget, {'model_bytes': len(model.data), 'arena_bytes': arena.needed_bytes})
    return arena


def report_edge(
    model: Int8Model,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    float_outputs: NDArray[np.float32],
    budget: EdgeBudget | None,
) -> EdgeReport:
    """Runs standardised test rows [n, features] through LiteRT and TensorFlow Lite Micro and compares.

    `float_outputs` are the probabilities [n, classes] of the float32 model. Raises `edge_budget_exceeded`.
    """
    arena = check_costs(model, inputs.shape[1], budget)
    rows = model.input.to_int8(inputs)
    raw = run_int8(model, rows)
    micro = run_micro(model, rows, arena.needed_bytes)
    outputs = model.output.to_float(raw)
    said, float_said = raw.argmax(axis=1), float_outputs.argmax(axis=1)
    accuracy = {
        'float32': float((float_said == labels).mean()),
        'int8': float((said == labels).mean()),
    }
    latency = latency_micros(model, rows)
    cost = accuracy['float32'] - accuracy['int8']
    assert_within(budget, {'latency_micros': latency['p50'], 'accuracy_cost': cost})
    steps = int(np.abs(micro.astype(np.int16) - raw.astype(np.int16)).max())
    outside = (inputs < model.input.to_float(np.array([-128], np.int8))) | (
        inputs > model.input.to_float(np.array([127], np.int8))
    )
    figures: dict[str, Any] = {
        'samples': len(labels),
        'accuracy': {name: rounded(value) for name, value in accuracy.items()},
        'accuracyCost': rounded(cost),
        'agreementWithFloat': rounded(float((said == float_said).mean())),
        'maxAbsDifference': rounded(float(np.abs(outputs - float_outputs).max())),
        'saturatedInputs': rounded(float(outside.mean())),
        'microEqualsLiteRt': rounded(float((micro == raw).all(axis=1).mean())),
        'microMaxSteps': steps,
        'microAgreement': rounded(float((micro.argmax(axis=1) == said).mean())),
        'modelBytes': len(model.data),
        'arenaBytes': arena.needed_bytes,
        'arenaRecordedBytes': arena.recorded_bytes,
        'operators': list(model.operators),
        'latencyMicros': latency,
    }
    return EdgeReport(arena, figures, outputs, micro, max(TOLERANCE_MIN, steps))
