"""How a job asks for its model to be quantised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from . import calibration
from .convert import Converted
from .quantise import Mode

CALIBRATION_FOLDER = 'calibration'
_PATH = r'^[^/\\][^\\]*$'


class CalibrationRequest(BaseModel):
    """Files under `calibration/` of the source folder, and what of them is read."""

    model_config = ConfigDict(extra='forbid')

    files: Annotated[list[Annotated[str, Field(pattern=_PATH)]], Field(min_length=1, max_length=100)]
    column: str | None = None
    target: str | None = None
    samples: Annotated[int, Field(ge=1, le=calibration.SAMPLES_MAX)] = calibration.SAMPLES_DEFAULT


class QuantisationRequest(BaseModel):
    """The `quantization` of a conversion."""

    model_config = ConfigDict(extra='forbid')

    mode: Mode
    calibration: CalibrationRequest | None = None
    agreementMin: Annotated[float | None, Field(ge=0, le=1)] = None

    def rows(self, source_dir: Path, converted: Converted) -> calibration.Rows | None:
        """Rows of the calibration files, else the samples of the source, else None.

        Raises `calibration_unusable`, also for a model of several inputs.
        """
        asked = self.calibration
        paths = (
            calibration.samples_of_source(source_dir)
            if asked is None
            else [source_dir / CALIBRATION_FOLDER / path for path in asked.files]
        )
        if not paths:
            return None
        if len(converted.inputs) != 1:
            raise calibration.unusable(f'the model has {len(converted.inputs)} inputs')
        if asked is None:
            return calibration.read_rows(paths, converted.inputs[0])
        return calibration.read_rows(
            paths,
            converted.inputs[0],
            column=asked.column,
            target=asked.target,
            classes=_classes(converted),
            samples=asked.samples,
        )


def _classes(converted: Converted) -> list[str] | None:
    """Names of the classes, where the model carries them."""
    found = [entry.value for entry in converted.model.metadata_props if entry.key == 'classes']
    names: Any = json.loads(found[0]) if found else None
    return names
