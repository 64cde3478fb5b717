"""What a model for devices may cost, and the gate that a job has to pass."""

from __future__ import annotations

from pydantic import Field

from millrace_training.errors import RecipeError
from millrace_training.params import Params


class EdgeBudget(Params):
    """Bounds of a device; one that is null is not looked at."""

    model_bytes: int | None = Field(None, ge=1, le=2**31, description='Size of model.tflite')
    arena_bytes: int | None = Field(None, ge=1, le=2**31, description='Arena of TensorFlow Lite Micro')
    latency_micros: float | None = Field(
        None, gt=0, le=1e9, description='Median of one inference on the host that trains, in microseconds'
    )
    accuracy_cost: float | None = Field(
        None, ge=0, le=1, description='Test accuracy that int8 may lose against float32, as a share'
    )


def assert_within(budget: EdgeBudget | None, costs: dict[str, float]) -> None:
    """Raises `edge_budget_exceeded`, saying by how much, when one of `costs` (by field of EdgeBudget) is
    over its bound.
    """
    if budget is None:
        return
    words = {
        'model_bytes': ('model.tflite has', 'bytes'),
        'arena_bytes': ('The arena needs', 'bytes'),
        'latency_micros': ('An inference takes', 'microseconds'),
        'accuracy_cost': ('Quantisation costs', 'of the accuracy'),
    }
    faults: list[str] = []
    for name, cost in costs.items():
        bound = getattr(budget, name)
        if bound is not None and cost > bound:
            what, unit = words[name]
            faults.append(f'{what} {cost:g} {unit}, {cost - bound:g} over the budget of {bound:g}.')
    if faults:
        raise RecipeError('edge_budget_exceeded', ' '.join(faults))
