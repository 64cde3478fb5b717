"""How long a model takes for one row."""

from __future__ import annotations

import statistics
import time

import numpy as np

from . import parity

LATENCY_RUNS = 20
LATENCY_WARM_UPS = 3


def latency_ms_p50(data: bytes, inputs: parity.Arrays) -> float:
    """Median time of one row of `inputs`, or of a fixed batch, on one thread, in ms.

    Over LATENCY_RUNS runs after LATENCY_WARM_UPS.
    """
    session = parity.open_session(data, threads=1)
    sizes = {value.name: value.shape[0] if value.shape else None for value in session.get_inputs()}
    is_batched = not any(size is None or isinstance(size, int) for size in sizes.values())
    feeds = {
        name: np.ascontiguousarray(values[: 1 if is_batched else sizes[name]])
        if is_batched or isinstance(sizes[name], int)
        else values
        for name, values in inputs.items()
    }
    times: list[float] = []
    for index in range(LATENCY_WARM_UPS + LATENCY_RUNS):
        before = time.perf_counter()
        session.run(None, feeds)
        if index >= LATENCY_WARM_UPS:
            times.append((time.perf_counter() - before) * 1000)
    return round(statistics.median(times), 3)
