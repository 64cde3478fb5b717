"""The recipes that this worker knows, by name. Importing them imports no framework."""

from __future__ import annotations

from typing import cast

from millrace_training.errors import RecipeError

from . import isotope, verichain
from .base import Recipe

_RECIPES: dict[str, Recipe] = {
    isotope.NAME: cast('Recipe', isotope),
    verichain.NAME: cast('Recipe', verichain),
}


def recipe_names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(_RECIPES)


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`; raises `unknown_recipe`."""
    recipe = _RECIPES.get(name)
    if recipe is None:
        raise RecipeError(
            'unknown_recipe', f'There is no recipe {name!r}; known are {", ".join(recipe_names())}.'
        )
    return recipe
