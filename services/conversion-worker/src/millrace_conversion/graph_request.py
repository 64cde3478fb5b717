"""How a job asks for a graph to be built from weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .graph.build import BuildOptions

_NAME = r'^[A-Za-z_][A-Za-z0-9_.]*$'
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=_NAME)]


class GraphRequest(BaseModel):
    """The `graph` of a conversion; everything has a default."""

    model_config = ConfigDict(extra='forbid')

    inputName: Name | None = None
    outputName: Name | None = None
    hiddenLayers: Annotated[list[int] | None, Field(max_length=256)] = None
    batchSize: Annotated[int | None, Field(ge=1, le=65_536)] = None
    fuse: bool = True
    metadata: Annotated[dict[str, str], Field(max_length=64)] = Field(default_factory=dict[str, str])

    def build_options(self) -> BuildOptions:
        """For the graph builder; the opset is that of the conversion."""
        return BuildOptions(
            input_name=self.inputName,
            output_name=self.outputName,
            batch_size=self.batchSize,
            fuse=self.fuse,
            metadata=self.metadata,
        )
