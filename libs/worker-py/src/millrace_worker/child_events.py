"""What a child process says, one JSON line an event."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.model import Model


class Ready(Model):
    type: Literal["ready"]
    import_seconds: Annotated[float, Field(alias="importSeconds")] = 0.0
    devices: Annotated[list[str], Field(default_factory=list)]


class Progress(Model):
    type: Literal["progress"]
    stage: str
    step: Annotated[int, Field(ge=0)]
    total_steps: Annotated[int, Field(alias="totalSteps", ge=0)]
    epoch: int | None = None
    epochs: int | None = None
    metrics: Annotated[dict[str, float | None], Field(default_factory=dict)]


class CheckpointMade(Model):
    """A folder of files that the child will not change; it may delete it two checkpoints later."""

    type: Literal["checkpoint"]
    step: Annotated[int, Field(ge=0)]
    dir: str


class Line(Model):
    type: Literal["log"]
    level: str = "info"
    message: str


class Result(Model):
    type: Literal["result"]
    out_dir: Annotated[str, Field(alias="outDir")]
    files: list[ArtifactRef]
    meta: Annotated[dict[str, Any], Field(default_factory=dict)]


class Failed(Model):
    type: Literal["error"]
    code: str
    message: str
    retryable: bool | None = None


class Stopped(Model):
    type: Literal["stopped"]


Event = Ready | Progress | CheckpointMade | Line | Result | Failed | Stopped

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def parse_event(line: bytes) -> Event:
    """Raises ValueError for a line that is no event."""
    return _EVENT.validate_json(line)
