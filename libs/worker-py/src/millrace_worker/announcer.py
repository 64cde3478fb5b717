"""Tells the owners of jobs that this worker lives; a pool is known by its announcements."""

import asyncio
import hashlib
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from millrace_worker.contracts.models import AnnounceReply, AnnounceRequest
from millrace_worker.errors import MillraceError
from millrace_worker.log import Logger
from millrace_worker.owner import Owner
from millrace_worker.settings import Pool

ANNOUNCE_INTERVAL_S = 10.0
ANNOUNCE_TIMEOUT_S = 2.0


async def announce(
    owners: Mapping[str, Owner],
    service_by_kind: Mapping[str, str],
    *,
    worker_id: str,
    pool: Pool,
    version: str,
    requirements_file: Path,
    devices: Callable[[], list[str]],
    log: Logger,
) -> None:
    """Announces every few seconds until cancelled; a silent owner is logged once until it answers again."""
    digest = hashlib.sha256(await asyncio.to_thread(requirements_file.read_bytes)).hexdigest()
    silent: set[str] = set()
    while True:
        for service, owner in owners.items():
            facts = {
                "workerId": worker_id,
                "pool": pool,
                "kinds": [kind for kind, of in service_by_kind.items() if of == service],
                "devices": devices(),
                "environmentDigest": digest,
                "version": version,
                "host": platform.node(),
            }
            try:
                request = AnnounceRequest.model_validate(facts)
                await owner.call("announce", request, AnnounceReply, timeout_s=ANNOUNCE_TIMEOUT_S)
                silent.discard(service)
            except MillraceError as error:
                if service not in silent:
                    log.warning("could not announce", owner=service, error=error.message)
                silent.add(service)
        await asyncio.sleep(ANNOUNCE_INTERVAL_S)
