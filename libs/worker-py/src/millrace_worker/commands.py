"""What a job of each kind reads and what its child is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from millrace_worker.contracts.models import (
    ArtifactRef,
    ClaimedJob,
    ConvertSpec,
    IngestSpec,
    SourceIngestSpec,
    TrainSpec,
)
from millrace_worker.errors import MillraceError

# Below the folder of a conversion's input.
CALIBRATION_FOLDER = "calibration"
# What a failure is called when the child names no known code.
FAILURE_CODE = {"train": "training_failed", "convert": "conversion_failed", "ingest": "internal"}


@dataclass(frozen=True)
class Folders:
    """Folders of one attempt, all inside the first."""

    root: Path

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def resume(self) -> Path:
        return self.root / "resume"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def staging(self) -> Path:
        return self.root / "staging"


@dataclass(frozen=True)
class Plan:
    """Files to fetch and the command of the child, complete but for `resumeDir`."""

    inputs: list[ArtifactRef]
    command: dict[str, Any]


def plan_job(job: ClaimedJob, folders: Folders) -> Plan:
    """Raises MillraceError `invalid_request` for a spec that does not fit its kind."""
    try:
        return _plan(job, folders)
    except ValueError as error:
        raise MillraceError(
            "invalid_request", f"The spec of the {job.kind} job is not valid: {error}"
        ) from error


def _plan(job: ClaimedJob, folders: Folders) -> Plan:
    match job.kind:
        case "train":
            train = TrainSpec.model_validate(job.spec)
            return Plan(
                train.dataset.files,
                {
                    "type": "train", "jobId": job.job_id, "recipe": train.recipe, "params": train.params,
                    "datasetDir": str(folders.input), "datasetId": str(train.dataset.dataset_id),
                    "workDir": str(folders.work), "resumeDir": None,
                },
            )  # fmt: skip
        case "ingest" if "source" in job.spec:
            foreign = SourceIngestSpec.model_validate(job.spec)
            return Plan(
                foreign.files,
                {
                    "type": "ingest", "jobId": job.job_id, "spec": job.spec,
                    "inputDir": str(folders.input), "workDir": str(folders.work),
                },
            )  # fmt: skip
        case "ingest":
            ingest = IngestSpec.model_validate(job.spec)
            return Plan(
                [],
                {
                    "type": "generate", "jobId": job.job_id, "recipe": ingest.recipe, "params": ingest.params,
                    "outDir": str(folders.work),
                },
            )  # fmt: skip
        case "convert":
            convert = ConvertSpec.model_validate(job.spec)
            calibration = _calibration(convert)
            return Plan(
                [*convert.source.files, *calibration],
                {
                    "type": "convert", "jobId": job.job_id, "sourceDir": str(folders.input),
                    "format": convert.source.format or "saved_model",
                    "outDir": str(folders.work), "opset": convert.opset, "tag": convert.tag,
                    "signature": convert.signature, "tolerance": convert.tolerance,
                    "graph": _graph(convert), "quantization": _quantization(convert, calibration),
                },
            )  # fmt: skip
        case _:
            assert_never(job.kind)


def _graph(spec: ConvertSpec) -> dict[str, Any]:
    return {} if spec.graph is None else spec.graph.model_dump(by_alias=True, exclude_none=True)


def _calibration(spec: ConvertSpec) -> list[ArtifactRef]:
    """The files for calibration, in a folder of their own."""
    asked = None if spec.quantization is None else spec.quantization.calibration
    files = [] if asked is None else asked.files
    return [file.model_copy(update={"path": f"{CALIBRATION_FOLDER}/{file.path}"}) for file in files]


def _quantization(spec: ConvertSpec, calibration: list[ArtifactRef]) -> dict[str, Any] | None:
    if spec.quantization is None:
        return None
    asked = spec.quantization.model_dump(by_alias=True, exclude_none=True)
    if calibration:
        asked["calibration"]["files"] = [
            file.path.removeprefix(f"{CALIBRATION_FOLDER}/") for file in calibration
        ]
    return asked
