"""The base of every message model."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A message: snake_case here, camelCase on the wire; unknown fields are ignored: owners may add some."""

    model_config = ConfigDict(
        extra="ignore", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )
