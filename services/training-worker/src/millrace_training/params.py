"""The base of what callers may set: parameters of recipes, of generators and of preprocessing steps."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
