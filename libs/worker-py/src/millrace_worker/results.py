"""Uploads what a job made."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.errors import MillraceError
from millrace_worker.paths import refuse_links, safe_join
from millrace_worker.storage import ObjectStore, digest_of

MAX_RESULT_FILES = 10_000


async def upload_result(
    store: ObjectStore, folder: Path, files: list[ArtifactRef], touch: Callable[[], None]
) -> list[ArtifactRef]:
    """Uploads every named file of `folder`, after checking that it has the digest that the child gave.

    Raises:
        MillraceError: `invalid_artifact_path`, `artifact_corrupt` for a file that is not what the child said,
            or the store's.
    """
    if not 0 < len(files) <= MAX_RESULT_FILES:
        raise MillraceError(
            "invalid_request", f"A result has 1 to {MAX_RESULT_FILES} files, not {len(files)}."
        )
    if len({file.path for file in files}) != len(files):
        raise MillraceError("invalid_artifact_path", "Two files of the result have the same path.")

    async def upload(file: ArtifactRef) -> None:
        source = safe_join(folder, file.path)
        refuse_links(folder, source)
        found = await asyncio.to_thread(digest_of, source)
        if found != (file.sha256, file.size_bytes):
            raise MillraceError("artifact_corrupt", f"{file.path} is not the file that the job made.")
        await store.upload_blob(source, file.sha256, file.size_bytes)
        touch()

    await asyncio.gather(*(upload(file) for file in files))
    return files
