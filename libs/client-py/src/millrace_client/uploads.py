"""Files into a dataset, in parts straight to the object store; what was cut off goes on where it was."""

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from .errors import MillraceError, RequestError, UnavailableError
from .flows import checked
from .training import POLL_S, Json, Pause
from .wire import Reply, Request

MIB = 1 << 20
#: Bytes of a part unless there would be too many; one at a time is in memory.
PART_BYTES = 16 * MIB
#: Parts of all files of an upload.
PARTS_MAX = 10_000
#: Attempts to send a part.
ATTEMPTS_MAX = 4
#: Seconds that a part may take.
PART_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class PutPart:
    """A step that sends bytes to an address of the object store; its answer is None when nobody answered."""

    url: str
    headers: Mapping[str, str]
    body: bytes


#: Yields requests, parts and pauses, is sent the answers, returns the version.
UploadSteps = Generator[Request | Pause | PutPart, Reply | None, Json]


def upload_dataset(name: str, files: Sequence[Path], part_bytes: int = PART_BYTES) -> UploadSteps:
    """A version of the dataset `name` (made if need be) that holds `files` under their own names.

    Called again after a break it sends only what is missing; files that are a version already are not sent.
    Raises RequestError, UnavailableError, or the platform's error.
    """
    names = [file.name for file in files]
    if not files or len(set(names)) != len(names):
        raise RequestError("invalid_request", "Name one file or more, each of another name.")
    size = _part_size(files, part_bytes)
    described = [_describe(file, size) for file in files]
    dataset = yield from _ask("POST", "/v1/datasets", {"name": name})
    home = f"/v1/datasets/{quote(dataset['id'], safe='')}"
    upload = yield from _ask("POST", f"{home}/uploads", {"files": described})
    path = f"{home}/uploads/{quote(str(upload['id']), safe='')}"
    if upload["state"] == "open":
        page = cast("Json", upload["parts"])
        while True:
            for part in page["items"]:
                if not part["isStored"]:
                    yield from _send(part, files[names.index(part["file"])], size)
            if page["nextCursor"] is None:
                break
            page = yield from _ask("GET", f"{path}/parts?cursor={quote(page['nextCursor'], safe='')}")
    while upload["state"] != "completed":
        if upload["state"] == "failed":
            error = cast("Json", upload["error"])
            raise MillraceError(str(error["code"]), str(error["message"]))
        if upload["state"] == "completing":
            yield Pause(POLL_S)
            upload = yield from _ask("GET", path)
        else:
            upload = yield from _ask("POST", f"{path}/complete", {}, {"prefer": "respond-async"})
    return (yield from _ask("GET", f"{home}/versions/{upload['versionId']}"))


def _send(part: Json, file: Path, size: int) -> Generator[Request | Pause | PutPart, Reply | None, None]:
    with file.open("rb") as stream:
        stream.seek((part["number"] - 1) * size)
        body = stream.read(part["sizeBytes"])
    for attempt in range(1, ATTEMPTS_MAX + 1):
        reply = yield PutPart(part["url"], part["headers"], body)
        if reply is not None and reply.status == 200:
            return
        if reply is not None and reply.status == 400:
            text = f"{file.name} changed while it was sent; upload it again."
            raise RequestError("checksum_mismatch", text)
        if attempt < ATTEMPTS_MAX:
            yield Pause(0.25 * 2**attempt)
    text = f"The object store did not take part {part['number']} of {file.name}; upload again to go on."
    raise UnavailableError("storage_unavailable", text)


def _part_size(files: Sequence[Path], wanted: int) -> int:
    total = sum(file.stat().st_size for file in files)
    least = -(-total // max(1, PARTS_MAX - len(files)))
    return wanted if least <= wanted else -(-least // MIB) * MIB


def _describe(file: Path, size: int) -> Json:
    whole, parts, length = hashlib.sha256(), list[str](), 0
    with file.open("rb") as stream:
        while piece := stream.read(size):
            whole.update(piece)
            parts.append(hashlib.sha256(piece).hexdigest())
            length += len(piece)
    if length == 0:
        raise RequestError("invalid_request", f"{file.name} is empty.")
    return {
        "name": file.name, "sizeBytes": length, "sha256": whole.hexdigest(),
        "partSizeBytes": size, "partDigests": parts,
    }  # fmt: skip


def _ask(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Generator[Request | Pause | PutPart, Reply | None, Json]:
    content = b"" if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"content-type": "application/json"}
    reply = yield Request(method, path, content, {**kind, **(headers or {})})
    assert reply is not None
    return cast("Json", json.loads(checked(reply).body))
