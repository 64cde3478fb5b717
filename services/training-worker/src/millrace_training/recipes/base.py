"""What a recipe is: one file that gives parameters, data, model, training, evaluation and export."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from millrace_training.errors import RecipeError
from millrace_training.events import Reporter


class Params(BaseModel):
    """Base of a recipe's parameters: camelCase on the wire, no unknown field, no NaN, no silent
    conversion.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra='forbid',
        allow_inf_nan=False,
        strict=True,
        frozen=True,
        validate_by_name=True,
    )


P = TypeVar('P', bound=Params)


@dataclass(frozen=True)
class Job:
    """Where a training reads and writes, and what it may be resumed from."""

    recipe: str
    dataset_dir: Path
    work_dir: Path
    resume_dir: Path | None
    job_id: str


class Recipe(Protocol):
    """The interface of `recipes/<name>.py`, which a module fulfils by its functions and constants.

    `load` gives what `train` and `evaluate` read, `build` what they work on; what those are is the recipe's
    own affair.
    """

    NAME: str
    VERSION: str
    TITLE: str
    GENERATOR: str
    GENERATOR_VERSION: str
    Params: type[Params]
    DatasetParams: type[Params]

    generate: Callable[[Any, Path, Reporter], dict[str, Any]]
    load: Callable[[Path, Any], Any]
    build: Callable[[Any], Any]
    train: Callable[[Any, Any, Any, Job, Reporter], list[dict[str, float]]]
    evaluate: Callable[[Any, Any, Reporter], dict[str, Any]]
    export: Callable[[Any, Any, Path], Any]


def parse_params(kind: type[P], values: dict[str, Any]) -> P:
    """`values` (camelCase) as parameters; raises `invalid_params` that names each fault."""
    try:
        return kind.model_validate(values, by_name=False)
    except ValidationError as error:
        faults = '; '.join(
            f'{".".join(str(part) for part in fault["loc"]) or "params"}: {fault["msg"]}'
            for fault in error.errors()
        )
        raise RecipeError('invalid_params', f'The parameters are not valid: {faults}.') from error


def json_params(params: Params) -> dict[str, Any]:
    """Parameters as they stand on the wire, complete with defaults."""
    return params.model_dump(mode='json', by_alias=True)


def rounded(value: float, digits: int = 6) -> float:
    """A finite figure for a report; raises ValueError for NaN and infinities."""
    if not math.isfinite(value):
        raise ValueError('a report holds finite figures only')
    return round(value, digits)
