"""Uploads into datasets as steps: only what is missing is sent, and what fails says so."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from millrace_client.errors import MillraceError, RequestError, UnavailableError
from millrace_client.training import Pause
from millrace_client.uploads import PutPart, upload_dataset
from millrace_client.wire import Reply

PART = 4


class Platform:
    """Answers the steps as the platform and the object store do."""

    def __init__(self, stored: set[int] | None = None, page: int = 100) -> None:
        self.stored = stored or set[int]()
        self.page = page
        self.files: list[dict[str, Any]] = []
        self.sent: list[tuple[int, bytes]] = []
        self.store_answers: list[int | None] = []
        self.state = "open"
        self.completions = 0

    def parts(self, start: int) -> dict[str, Any]:
        numbers = range(1, len(self.files[0]["partDigests"]) + 1)
        items = [
            {
                "file": self.files[0]["name"], "number": number, "url": f"http://store/{number}",
                "sizeBytes": min(PART, self.files[0]["sizeBytes"] - (number - 1) * PART),
                "headers": {"x": str(number)}, "isStored": number in self.stored,
            }
            for number in numbers
        ][start : start + self.page]  # fmt: skip
        end = start + len(items)
        return {"items": items, "nextCursor": str(end) if end < len(numbers) else None}

    def answer(self, step: Any) -> Reply | None:
        if isinstance(step, PutPart):
            status = self.store_answers.pop(0) if self.store_answers else 200
            if status == 200:
                self.sent.append((int(step.headers["x"]), step.body))
            return None if status is None else Reply(status, {}, b"")
        if isinstance(step, Pause):
            self.state = "completed" if self.state == "completing" else self.state
            return None
        return Reply(200, {}, json.dumps(self.body(step)).encode())

    def body(self, step: Any) -> Any:
        if step.path == "/v1/datasets":
            return {"id": "d/1"}
        error = {"code": "checksum_mismatch", "message": "Another file."}
        if step.path.endswith("/uploads"):
            self.files = json.loads(step.body)["files"]
            begun = {"id": "u1", "state": self.state, "versionId": "v1", "error": error}
            return {**begun, "parts": self.parts(0)}
        if "/parts?cursor=" in step.path:
            return self.parts(int(step.path.rpartition("=")[2]))
        if step.path.endswith("/complete"):
            self.completions += 1
            assert step.headers["prefer"] == "respond-async"
            self.state = "completing" if self.state == "open" else self.state
        if "/versions/" in step.path:
            assert step.path == "/v1/datasets/d%2F1/versions/v1"
            return {"id": "v1", "ordinal": 1}
        return {"id": "u1", "state": self.state, "versionId": "v1", "error": error}

    def follow(self, steps: Any) -> Any:
        reply: Reply | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value
            reply = self.answer(step)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,y\n1,2\n3,4")
    return path


def test_a_file_goes_in_parts_page_by_page(file: Path) -> None:
    platform = Platform(page=2)
    assert platform.follow(upload_dataset("spectra", [file], PART)) == {"id": "v1", "ordinal": 1}
    assert platform.sent == [(1, b"x,y\n"), (2, b"1,2\n"), (3, b"3,4")]
    assert platform.files[0]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert platform.files[0]["partDigests"][1] == hashlib.sha256(b"1,2\n").hexdigest()
    assert platform.completions == 1


def test_what_the_store_has_is_not_sent_again(file: Path) -> None:
    platform = Platform(stored={1, 3})
    platform.follow(upload_dataset("spectra", [file], PART))
    assert [number for number, _ in platform.sent] == [2]


def test_files_that_are_a_version_already_are_not_sent(file: Path) -> None:
    platform = Platform()
    platform.state = "completed"
    assert platform.follow(upload_dataset("spectra", [file], PART))["id"] == "v1"
    assert platform.sent == []


def test_a_part_is_sent_again_when_the_store_is_away(file: Path) -> None:
    platform = Platform()
    platform.store_answers = [None, 503, 200, 200, 200]
    platform.follow(upload_dataset("spectra", [file], PART))
    assert [number for number, _ in platform.sent] == [1, 2, 3]
    away = Platform()
    away.store_answers = [None, 500, None, 503]
    with pytest.raises(UnavailableError, match=r"part 1 of a\.csv") as caught:
        away.follow(upload_dataset("spectra", [file], PART))
    assert caught.value.code == "storage_unavailable"


def test_bytes_that_changed_and_an_upload_that_failed_are_told(file: Path) -> None:
    changed = Platform()
    changed.store_answers = [400]
    with pytest.raises(RequestError) as caught:
        changed.follow(upload_dataset("spectra", [file], PART))
    assert caught.value.code == "checksum_mismatch"
    failed = Platform()
    failed.state = "failed"
    with pytest.raises(MillraceError, match="Another file"):
        failed.follow(upload_dataset("spectra", [file], PART))


def test_files_without_bytes_or_of_one_name_are_refused(tmp_path: Path, file: Path) -> None:
    (tmp_path / "empty").touch()
    for files in ([], [file, file], [tmp_path / "empty"]):
        with pytest.raises(RequestError):
            Platform().follow(upload_dataset("spectra", files))
