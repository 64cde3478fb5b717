"""`python -m millrace_training.describe`: all recipes as JSON, for whoever checks parameters without Python.

Nothing heavy is imported, so this takes a fraction of a second.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel

from .recipes import get_recipe, recipe_names
from .recipes.base import json_params


def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of `kind` without the titles that pydantic derives from the names."""
    schema = kind.model_json_schema(by_alias=True)
    for part in [schema, *schema.get('$defs', {}).values()]:
        for field in part.get('properties', {}).values():
            field.pop('title', None)
    return schema


def describe() -> dict[str, Any]:
    """Name, version, JSON Schemas (2020-12) and defaults of each recipe, in a fixed order."""
    recipes: list[dict[str, Any]] = []
    for name in recipe_names():
        recipe = get_recipe(name)
        recipes.append(
            {
                'name': recipe.NAME,
                'version': recipe.VERSION,
                'title': recipe.TITLE,
                'framework': recipe.FRAMEWORK,
                'pool': recipe.POOL,
                'params': _schema(recipe.Params),
                'defaults': json_params(recipe.Params()),
                'dataset': {
                    'generator': recipe.GENERATOR,
                    'version': recipe.GENERATOR_VERSION,
                    'params': _schema(recipe.DatasetParams),
                    'defaults': json_params(recipe.DatasetParams()),
                },
            }
        )
    return {'recipes': recipes}


if __name__ == '__main__':
    json.dump(describe(), sys.stdout, indent=2)
    sys.stdout.write('\n')
