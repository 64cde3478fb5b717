"""The client for asyncio."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import httpx

from . import features, flows, training, uploads
from .arrays import Array, ArrayLike
from .protocol import Format, InferReply, ModelMetadata, ServerMetadata, model_path, no_answer
from .training import TrainingConfig, TrainingRun
from .wire import RETRIES, TIMEOUT_S, Attempts, Reply, Request

T = TypeVar("T")


class AsyncClient:
    """As Client, for asyncio; a cancelled task gives its request up.

    `timeout` is in seconds for all attempts of a call; `retries` is how often a request that a busy platform
    refused (429, 503) is sent again.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._models = flows.Models()
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(headers=headers, transport=transport)

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        format: Format = "binary",
        user_id: str | None = None,
        session_id: str | None = None,
        priority: int | None = None,
        queue_timeout: float | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Asks a model; inputs and outputs by name.

        Inputs are arrays or nested sequences and take the type and shape that the model says: no value is
        rounded or cut to fit, but doubles become floats. `queue_timeout`: a request that waits for the model
        longer is not run (seconds). Raises MillraceError.
        """
        parameters = flows.parameters_of(user_id, session_id, priority, queue_timeout)
        flow = self._models.predict(
            model, inputs, version=version, outputs=outputs, format=format, parameters=parameters
        )
        return await self._run(flow, timeout)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        format: Format = "binary",
        request_id: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        priority: int | None = None,
        queue_timeout: float | None = None,
        timeout: float | None = None,
    ) -> InferReply:
        """Sends arrays as they are and says which version answered. Raises MillraceError."""
        flow = flows.infer(
            model,
            version,
            inputs,
            outputs=outputs,
            format=format,
            request_id=request_id,
            parameters=flows.parameters_of(user_id, session_id, priority, queue_timeout),
        )
        return await self._run(flow, timeout)

    async def model_metadata(self, model: str, version: str | None = None) -> ModelMetadata:
        """What a model takes and gives; needs the scope `models:read`."""
        return await self._run(flows.model_metadata(model, version), None)

    async def server_metadata(self) -> ServerMetadata:
        """The server and its extensions."""
        return await self._run(flows.server_metadata(), None)

    async def is_live(self) -> bool:
        """Whether the server runs; raises UnavailableError when nobody answers."""
        return await self._run(flows.probe("/v2/health/live"), None)

    async def is_ready(self) -> bool:
        """Whether everything that predictions need answers."""
        return await self._run(flows.probe("/v2/health/ready"), None)

    async def is_model_ready(self, model: str, version: str | None = None) -> bool:
        """Whether a version can be asked; loads it if need be."""
        return await self._run(flows.probe(f"{model_path(model, version)}/ready"), None)

    async def run_training_job(self, config: TrainingConfig) -> TrainingRun:
        """Ingests if need be, trains, converts, registers and loads; answers when the version is served.

        Raises the error of the stage that failed.
        """
        return await self._run_steps(training.run_training_job(config))

    async def list_model_versions(self, model: str) -> list[dict[str, Any]]:
        """Every version of a model, newest first, as the registry shows them."""
        return await self._run_steps(training.list_model_versions(model))

    async def load_model_version(self, model: str, version: str) -> dict[str, Any]:
        """A version's details, once inference has it in memory; raises UnavailableError if it does not."""
        return await self._run_steps(training.load_model_version(model, version))

    async def upload_dataset(self, name: str, files: Sequence[str | Path]) -> dict[str, Any]:
        """A dataset version that holds `files`; called again after a break it sends only what is missing.

        Raises MillraceError.
        """
        return await self._run_steps(uploads.upload_dataset(name, [Path(file) for file in files]))

    async def put_features(
        self, view: str, rows: Sequence[Mapping[str, Any]], *, created_times: Literal["now", "event"] = "now"
    ) -> features.FeaturesWritten:
        """Writes rows of a feature view, a thousand at a time, each thousand whole or not at all.

        A row is `{"entity", "eventTime", "values"}`, with `createdTime` if it became known at another time
        than `created_times` says. Raises MillraceError.
        """
        return await self._run(features.put_features(view, rows, created_times), None)

    async def get_features(self, view: str, entities: Sequence[str | int]) -> list[features.FeatureValues]:
        """The values of entities now; those past their TTL are None."""
        return await self._run(features.get_features(view, entities), None)

    async def training_rows(
        self, request: Mapping[str, Any], *, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Rows with the values that each would have been given at its time, such as a DataFrame takes."""
        return await self._run(features.training_rows(request), timeout)

    async def training_set(
        self, request: Mapping[str, Any], into: str, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """The same as a version of a dataset; equal bytes are the version there is."""
        return await self._run(features.training_set(request, into), timeout)

    async def _run_steps(self, steps: training.Steps[T] | Generator[Any, Reply | None, T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, training.Pause):
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                elif isinstance(step, uploads.PutPart):
                    step = steps.send(await self._put(step))
                else:
                    step = steps.send(await self._send(step, self._timeout))
        except StopIteration as end:
            return end.value

    async def _put(self, part: uploads.PutPart) -> Reply | None:
        """Sends a part to the object store, which is told nothing of the platform's key."""
        try:
            async with httpx.AsyncClient(timeout=uploads.PART_TIMEOUT_S) as store:
                response = await store.put(part.url, content=part.body, headers=dict(part.headers))
        except httpx.HTTPError:
            return None
        return Reply(response.status_code, response.headers, response.content)

    async def _run(self, flow: flows.Flow[T], timeout: float | None) -> T:
        seconds = self._timeout if timeout is None else timeout
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._send(request, seconds))
        except StopIteration as end:
            return end.value

    async def _send(self, request: Request, timeout: float) -> Reply:
        attempts = Attempts(request, self._retries, timeout)
        while True:
            try:
                response = await self._http.request(
                    request.method,
                    self.url + request.path,
                    content=request.body,
                    headers=dict(request.headers),
                    timeout=attempts.time_left(),
                )
            except httpx.HTTPError as error:
                is_late = isinstance(error, httpx.TimeoutException)
                raise no_answer(self.url, error, is_late=is_late) from error
            reply = Reply(response.status_code, response.headers, response.content)
            wait = attempts.wait_after(reply)
            if wait is None:
                return reply
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Closes the connections that are kept open."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
