"""Predictions of both clients on the real service."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
from millrace_client import AsyncClient, Client, MillraceError, NotFoundError, RequestError, UnavailableError

ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
ROWS = np.array([ROW, ROW[::-1]], dtype=np.float32)
FORMATS: tuple[Literal["binary", "json"], ...] = ("binary", "json")


@pytest.fixture
def client(url: str) -> Client:
    return Client(url)


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name]) for name in left
    )


def test_arrays_go_in_and_come_out(client: Client) -> None:
    outputs = client.predict("classifier", {"float_input": ROWS})
    assert outputs["output_label"].dtype == np.int64
    assert outputs["output_label"].shape == (2,)
    assert outputs["output_probability"].dtype == np.float32
    assert np.allclose(outputs["output_probability"].sum(axis=1), 1)
    outputs["output_probability"][0, 0] = 7  # it is the caller's own


def test_every_form_of_an_input_gives_the_same_as_bytes_and_as_json(client: Client) -> None:
    wanted = client.predict("classifier", {"float_input": ROWS})
    forms: list[Any] = [
        ROWS.astype(np.float64),
        ROWS.tolist(),
        ROWS.ravel().tolist(),
        ROWS.astype(">f4"),
        np.asfortranarray(ROWS),
        np.repeat(ROWS, 2, axis=0)[::2],
    ]
    for form in forms:
        for format in FORMATS:
            assert same(client.predict("classifier", {"float_input": form}, format=format), wanted)
    one = client.predict("classifier", {"float_input": ROW}, outputs=["output_label"], version="1")
    assert list(one) == ["output_label"]
    assert one["output_label"].shape == (1,)


def test_every_type_comes_back_as_it_went(client: Client) -> None:
    values: dict[str, Any] = {
        "BOOL": np.array([False, True]),
        "INT8": np.array([-128, 127], np.int8),
        "INT16": np.array([-32_768, 1], np.int16),
        "INT32": np.array([-(2**31), 7], np.int32),
        "INT64": np.array([-(2**63), 2**53 + 1], np.int64),
        "UINT8": np.array([0, 255], np.uint8),
        "UINT16": np.array([0, 65_535], np.uint16),
        "UINT32": np.array([0, 2**32 - 1], np.uint32),
        "UINT64": np.array([0, 2**64 - 1], np.uint64),
        "FP16": np.array([1.5, -0.25], np.float16),
        "FP32": np.array([0.1, -1e30], np.float32),
        "FP64": np.array([0.1, 1e300]),
        "BYTES": np.array(["", "ü—日本"]),
    }
    metadata = client.model_metadata("types")
    inputs = {one.name: values[one.datatype].reshape(1, 2) for one in metadata.inputs}
    reply = client.infer("types", inputs, request_id="all")
    assert (reply.model, reply.version, reply.id) == ("types", "1", "all")
    sent = list(inputs.values())
    for array, output in zip(sent, reply.outputs.values(), strict=True):
        assert output.tolist() == array.tolist()
        assert array.dtype.kind == "U" or output.dtype == array.dtype
    with pytest.raises(RequestError, match="FP16"):
        client.infer("types", inputs, format="json")


def test_texts_go_as_json_too(client: Client) -> None:
    name = client.model_metadata("texts").inputs[0].name
    texts = ["", "ü", "日本", "plain"]
    for format in FORMATS:
        (output,) = client.predict("texts", {name: texts}, format=format).values()
        assert output.tolist() == texts


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([1.0, 2.0], "invalid_shape"),
        ([[1.0], [2.0, 3.0]], "invalid_shape"),
        (np.zeros((1, 1, 10), np.float32), "invalid_shape"),
        (["a"] * 10, "invalid_type"),
        ([True] * 10, "invalid_type"),
        (np.array([1e39] * 10), "invalid_type"),
        (np.array([2**24 + 1] * 10), "invalid_type"),
        (np.array([1j] * 10), "invalid_type"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_before_it_is_sent(
    client: Client, value: Any, code: str
) -> None:
    with pytest.raises(RequestError) as caught:
        client.predict("classifier", {"float_input": value})
    assert caught.value.code == code
    assert caught.value.status is None


def test_errors_of_the_platform_have_their_type_and_code(client: Client) -> None:
    cases: list[tuple[type[MillraceError], str, Any]] = [
        (NotFoundError, "model_not_found", lambda: client.predict("absent", {"x": [1]})),
        (
            NotFoundError,
            "version_not_found",
            lambda: client.predict("classifier", {"float_input": ROW}, version="9"),
        ),
        (RequestError, "missing_input", lambda: client.predict("classifier", {})),
        (RequestError, "extra_input", lambda: client.predict("classifier", {"other": ROW})),
        (RequestError, "not_finite", lambda: client.predict("classifier", {"float_input": [np.nan] * 10})),
        (RequestError, "invalid_name", lambda: client.predict("a/b", {"x": [1]})),
    ]
    for kind, code, call in cases:
        with pytest.raises(MillraceError) as caught:
            call()
        assert (type(caught.value), caught.value.code) == (kind, code)
        assert str(caught.value).startswith(f"{code}: ")


def test_health_and_metadata(client: Client) -> None:
    assert client.is_live()
    assert client.is_ready()
    assert client.is_model_ready("classifier")
    assert not client.is_model_ready("absent")
    assert "binary_tensor_data" in client.server_metadata().extensions
    assert client.model_metadata("classifier", "1").inputs[0].shape == (-1, 10)


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9", timeout=5) as client, pytest.raises(UnavailableError) as caught:
        client.is_live()
    assert caught.value.code == "dependency_unavailable"


def test_many_threads_use_one_client(client: Client) -> None:
    wanted = client.predict("classifier", {"float_input": ROWS})
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: client.predict("classifier", {"float_input": ROWS}), range(64))
        assert all(same(one, wanted) for one in found)


async def test_the_client_for_asyncio_does_the_same(url: str) -> None:
    with Client(url) as client:
        wanted = client.predict("classifier", {"float_input": ROWS})
    async with AsyncClient(url) as client:
        found = await asyncio.gather(
            *(client.predict("classifier", {"float_input": ROWS}, format=format) for format in FORMATS * 8)
        )
        assert all(same(one, wanted) for one in found)
        reply = await client.infer(
            "classifier", {"float_input": ROWS}, user_id="ada", session_id="s", priority=1, queue_timeout=5
        )
        assert same(reply.outputs, wanted)
        assert await client.is_live()
        assert await client.is_ready()
        assert await client.is_model_ready("classifier")
        assert (await client.server_metadata()).name == "millrace"
        assert (await client.model_metadata("classifier")).name == "classifier"
        with pytest.raises(NotFoundError):
            await client.predict("absent", {"x": [1]})
