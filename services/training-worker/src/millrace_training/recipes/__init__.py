"""The recipes that this worker knows, by name. Importing them imports no framework."""

from __future__ import annotations

from typing import cast

from millrace_training.errors import RecipeError

from . import crowdmind, isotope, veid_face, veid_liveness, veid_ocr, verichain
from .base import Recipe

_RECIPES: dict[str, Recipe] = {
    crowdmind.NAME: cast('Recipe', crowdmind),
    isotope.NAME: cast('Recipe', isotope),
    veid_face.NAME: cast('Recipe', veid_face),
    veid_liveness.NAME: cast('Recipe', veid_liveness),
    veid_ocr.NAME: cast('Recipe', veid_ocr),
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
