"""What both clients do when the platform is busy, late or forbids a question."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from millrace_client import AsyncClient, AuthError, Client, RequestError, UnavailableError

FINE = (200, {}, {"model_name": "m", "model_version": "3", "outputs": []})


def busy(status: int, **headers: str) -> tuple[int, dict[str, str], Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"code": "rate_limited" if status == 429 else "queue_full", "error": "busy"}


@dataclass
class Platform:
    """A platform that answers what it is told; the last answer goes on for ever."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list[Any])
    arrivals: list[tuple[float, str, dict[str, str]]] = field(default_factory=list[Any])
    delay_s: float = 0


@pytest.fixture
def platform() -> Iterator[Platform]:
    told = Platform()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            told.arrivals.append((time.monotonic(), self.path, dict(self.headers.items())))
            time.sleep(told.delay_s)
            status, headers, body = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            payload = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = _answer
        do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def ask_sync(url: str, **options: Any) -> Any:
    with Client(url, "mlr_key", **options) as client:
        return client.infer("m", {})


def ask_async(url: str, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(url, "mlr_key", **options) as client:
            return await client.infer("m", {})

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])
Ask = Callable[..., Any]


@both
def test_a_busy_platform_is_asked_again_after_the_time_it_names(platform: Platform, ask: Ask) -> None:
    platform.answers = [busy(503), busy(429, retry_after="1"), FINE]
    assert ask(platform.url).version == "3"
    first, second, third = (at for at, _, _ in platform.arrivals)
    assert 0.09 < second - first < 0.9
    assert third - second > 0.95
    assert platform.arrivals[0][2]["authorization"] == "Bearer mlr_key"


@both
def test_it_is_asked_four_times_at_most(platform: Platform, ask: Ask) -> None:
    platform.answers = [busy(503, retry_after="0")]
    with pytest.raises(UnavailableError) as caught:
        ask(platform.url)
    assert (caught.value.code, caught.value.status) == ("queue_full", 503)
    assert len(platform.arrivals) == 4
    with pytest.raises(UnavailableError):
        ask(platform.url, retries=0)
    assert len(platform.arrivals) == 5


@both
def test_a_wait_that_the_time_left_does_not_allow_is_not_begun(platform: Platform, ask: Ask) -> None:
    platform.answers = [busy(503, retry_after="30")]
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        ask(platform.url, timeout=2)
    assert time.monotonic() - started < 1


@both
def test_a_platform_that_is_late_is_given_up(platform: Platform, ask: Ask) -> None:
    platform.answers = [FINE]
    platform.delay_s = 1
    with pytest.raises(UnavailableError, match="in time") as caught:
        ask(platform.url, timeout=0.2)
    assert caught.value.code == "dependency_unavailable"


@both
def test_other_errors_are_final(platform: Platform, ask: Ask) -> None:
    platform.answers = [(400, {}, {"code": "invalid_shape", "error": "no"})]
    with pytest.raises(RequestError, match="invalid_shape: no"):
        ask(platform.url)
    assert len(platform.arrivals) == 1


def test_a_key_that_may_only_predict_sends_arrays_as_they_are(platform: Platform) -> None:
    forbidden = (403, {}, {"code": "scope_missing", "error": "models:read"})
    platform.answers = [forbidden, FINE]
    with Client(platform.url) as client:
        assert client.predict("m", {"x": np.zeros((1, 2), np.float32)}) == {}
        assert [path for _, path, _ in platform.arrivals] == ["/v2/models/m", "/v2/models/m/infer"]
        platform.answers = [forbidden]
        with pytest.raises(AuthError, match="whole array"):
            client.predict("m", {"x": [1.0, 2.0]})


def test_a_version_that_takes_something_else_is_noticed(platform: Platform) -> None:
    def takes(datatype: str) -> tuple[int, dict[str, str], Any]:
        inputs = [{"name": "x", "datatype": datatype, "shape": [-1]}]
        return 200, {}, {"name": "m", "versions": [], "platform": "", "inputs": inputs, "outputs": []}

    wrong = (400, {}, {"code": "invalid_type", "error": "x takes INT64"})
    platform.answers = [takes("FP32"), FINE, wrong, takes("INT64"), FINE]
    with Client(platform.url) as client:
        client.predict("m", {"x": [1]})
        client.predict("m", {"x": [1]})
    assert [path.rsplit("/", 1)[-1] for _, path, _ in platform.arrivals] == [
        "m",
        "infer",
        "infer",
        "m",
        "infer",
    ]
