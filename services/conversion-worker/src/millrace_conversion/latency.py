"""How long a model takes for one row."""

from __future__ import annotations

import statistics
import time

import numpy as np

from . import parity

LATENCY_RUNS = 20
LATENCY_WARM_UPS = 3


def latency_ms_p50(data: bytes, inputs: parity.Arrays) -> float:
    """Median time of one row of `inputs` on one thread, in ms, over LATENCY_RUNS runs after warm-up."""
    session = parity.open_session(data, threads=1)
    is_batched = all(value.shape and not isinstance(value.shape[0], int) for value in session.get_inputs())
    feeds = {name: np.ascontiguousarray(v[:1]) if is_batched else v for name, v in inputs.items()}
    times: list[float] = []
    for index in range(LATENCY_WARM_UPS + LATENCY_RUNS):
        before = time.perf_counter()
        session.run(None, feeds)
        if index >= LATENCY_WARM_UPS:
            times.append((time.perf_counter() - before) * 1000)
    return round(statistics.median(times), 3)
