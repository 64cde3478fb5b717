"""When a prepared child exists, seen by the real processes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from millrace_worker.child_pool import ChildPool
from millrace_worker.log import create_logger

TESTS = Path(__file__).parent
IDLE_S = 1.0


def children() -> set[int]:
    """Scripted children of this process that run."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in pids if b"scripted_child" in Path(f"/proc/{pid}/cmdline").read_bytes()}


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def pool_with(idle_s: float | None) -> ChildPool:
    environment = {"PYTHONPATH": str(TESTS)}
    return ChildPool("scripted_child", environment, create_logger("test", "error"), 0.1, idle_s)


async def test_a_child_is_prepared_from_the_start() -> None:
    pool = pool_with(None)
    pool.start()
    try:
        await until(lambda: len(children()) == 1)
    finally:
        await pool.close()
    assert children() == set()


async def test_a_child_is_prepared_when_a_job_is_expected_and_ends_when_none_comes() -> None:
    pool = pool_with(IDLE_S)
    pool.start()
    try:
        await asyncio.sleep(0.3)
        assert children() == set()
        pool.warm()
        await until(lambda: len(children()) == 1)
        [first] = children()
        await asyncio.sleep(IDLE_S * 0.7)
        pool.warm()
        await asyncio.sleep(IDLE_S * 0.7)
        assert children() == {first}
        await until(lambda: children() == set())
        pool.warm()
        await until(lambda: len(children()) == 1)
    finally:
        await pool.close()
    assert children() == set()


async def test_the_expected_job_gets_the_prepared_child_and_keeps_it() -> None:
    pool = pool_with(IDLE_S)
    pool.warm()
    try:
        await until(lambda: len(children()) == 1)
        prepared = children()
        child = await pool.take()
        await asyncio.sleep(IDLE_S * 1.3)
        assert children() == prepared
        await child.stop(0.5)
        pool.replenish()
        await asyncio.sleep(0.4)
        assert children() == set()
    finally:
        await pool.close()
