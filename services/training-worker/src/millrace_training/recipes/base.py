"""What a recipe is: one file that gives parameters, data, model, training, evaluation and export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import ValidationError

from millrace_training.errors import RecipeError
from millrace_training.events import Reporter
from millrace_training.params import Params
from millrace_training.runtime import threads_from_env

if TYPE_CHECKING:
    from millrace_training.checkpoints import Place

P = TypeVar('P', bound=Params)

Framework = Literal['tensorflow', 'torch']
"""What a recipe trains with; decides about the environment that it needs."""


@dataclass(frozen=True)
class Job:
    """Where a training reads and writes, and what it may be resumed from."""

    recipe: str
    dataset_dir: Path
    work_dir: Path
    resume_dir: Path | None
    job_id: str
    dataset_id: str = ''


class Recipe(Protocol):
    """The interface of `recipes/<name>.py`, which a module fulfils by its functions and constants.

    `load` gives what `train` and `evaluate` read, `build` what they work on; what those are is the recipe's
    own affair.
    """

    NAME: str
    VERSION: str
    TITLE: str
    FRAMEWORK: Framework
    POOL: str
    GENERATOR: str
    GENERATOR_VERSION: str
    GENERATED: str
    Params: type[Params]
    DatasetParams: type[Params]

    generate: Callable[[Any, Path, Reporter], dict[str, Any]]
    load: Callable[[Path, Any], Any]
    batches_per_epoch: Callable[[Any, Any], int]
    build: Callable[[Any, Any], Any]
    train: Callable[[Any, Any, Any, Job, Reporter], list[dict[str, float]]]
    evaluate: Callable[[Any, Any, Reporter], dict[str, Any]]
    export: Callable[[Any, Any, Path], Any]
    write_report: Callable[[Any, Any, Any, dict[str, Any], Path], None]


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


def place_of(job: Job, recipe: str, params: Params, dataset: str) -> Place:
    """Where `job` keeps checkpoints, and what one of them must share to be resumed from: `recipe`
    (name@version), parameters, the dataset's digest and the threads.
    """
    from millrace_training.checkpoints import Place

    threads = threads_from_env()
    identity = {
        'recipe': recipe,
        'params': json_params(params),
        'dataset': dataset,
        'threads': [threads.intra, threads.inter],
    }
    return Place(job.work_dir, job.resume_dir, identity)


def json_params(params: Params) -> dict[str, Any]:
    """Parameters as they stand on the wire, complete with defaults."""
    return params.model_dump(mode='json', by_alias=True)
