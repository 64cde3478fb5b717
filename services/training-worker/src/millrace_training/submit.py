"""`--platform`: hand the job to a running Millrace over HTTP."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

from .errors import RecipeError

REQUEST_TIMEOUT_S = 30.0


def read_connection() -> dict[str, Any]:
    """The running platform's `connection.json` (MILLRACE_HOME, else .millrace of the repository).

    Raises `platform_unavailable` when there is none.
    """
    home = Path(os.environ.get('MILLRACE_HOME') or Path(__file__).parents[4] / '.millrace')
    try:
        return cast('dict[str, Any]', json.loads((home / 'connection.json').read_text('utf-8')))
    except (OSError, ValueError) as error:
        raise RecipeError(
            'platform_unavailable', 'No platform is running here; start one: npm run up'
        ) from error


def submit_pipeline(recipe: str, params: dict[str, Any]) -> str:
    """Submit train, convert and register as one pipeline; returns a sentence with its id."""
    connection = read_connection()
    body = {'recipe': recipe, 'params': params, 'model': {'name': recipe}}
    request = urllib.request.Request(  # noqa: S310 - the address is the local platform's own
        f'{connection["gateway"]}/v1/pipelines',
        json.dumps(body).encode(),
        {'content-type': 'application/json', 'authorization': f'Bearer {connection["token"]}'},
    )
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310
            pipeline = json.load(response)
    except urllib.error.HTTPError as error:
        problem = error.read().decode(errors='replace')
        raise RecipeError('platform_refused', f'The platform answered {error.code}: {problem}') from error
    except OSError as error:
        raise RecipeError('platform_unavailable', f'The platform does not answer: {error}') from error
    return f'submitted pipeline {pipeline["id"]}; follow it: npm run millrace -- jobs'
