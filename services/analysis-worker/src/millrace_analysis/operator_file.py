"""MILLRACE_SOURCES_FILE: what the operator of this worker lets ingestions read, and with which keys."""

from __future__ import annotations

import ipaddress
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import IngestError
from .limits import Limits

VARIABLE = 'MILLRACE_SOURCES_FILE'


class _Entry(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)

    tenants: list[str] | None = None
    """Tenants that may use it; all without."""
    buckets: list[str] = Field(default_factory=lambda: ['*'])
    """Buckets or containers, with * for any characters."""


class S3Credentials(_Entry):
    """Keys of an S3 server; without keys requests are not signed."""

    type: Literal['s3']
    endpoint: str | None = None
    region: str = 'us-east-1'
    accessKeyId: str | None = None
    secretAccessKey: str | None = Field(default=None, repr=False)


class GcsCredentials(_Entry):
    """Google Cloud Storage: `token` is a key file's path, `anon` or `google_default`, as gcsfs takes it."""

    type: Literal['gs']
    endpoint: str | None = None
    token: str = Field(default='anon', repr=False)
    project: str | None = None


class AzureCredentials(_Entry):
    """An Azure storage account."""

    type: Literal['az']
    connectionString: str = Field(repr=False)


class HuggingFaceCredentials(_Entry):
    """A hub: its address, and a token for repositories that are not public."""

    type: Literal['hugging_face']
    endpoint: str = 'https://huggingface.co'
    token: str | None = Field(default=None, repr=False)


Credentials = Annotated[
    S3Credentials | GcsCredentials | AzureCredentials | HuggingFaceCredentials, Field(discriminator='type')
]


class OperatorFile(BaseModel):
    """The whole file; an empty one allows public HTTP addresses and the public hub, and nothing else."""

    model_config = ConfigDict(extra='forbid', frozen=True, hide_input_in_errors=True)

    folders: list[Path] = Field(default_factory=list[Path])
    networks: list[str] = Field(default_factory=list[str])
    """Private networks that HTTP sources may be in, such as 10.2.0.0/16 or 127.0.0.1/32."""
    credentials: dict[str, Credentials] = Field(default_factory=dict[str, Credentials])
    limits: Limits = Limits()

    @field_validator('networks')
    @classmethod
    def _are_networks(cls, values: list[str]) -> list[str]:
        for value in values:
            ipaddress.ip_network(value)
        return values

    def find(self, kind: str, name: str | None, tenant: str, bucket: str | None = None) -> Credentials:
        """The entry `name`, `default-<kind>` without a name; raises `source_not_allowed`."""
        wanted = name or f'default-{kind}'
        entry = self.credentials.get(wanted)
        if entry is None and kind == 'hugging_face' and name is None:
            return HuggingFaceCredentials(type='hugging_face', token=None)
        # One sentence for all refusals, so that nobody learns the names that others may use.
        refusal = (
            f"The credentials '{wanted}' of type {kind} are not there or not for this bucket and tenant."
        )
        if entry is None or entry.type != kind:
            raise IngestError('source_not_allowed', refusal)
        if entry.tenants is not None and tenant not in entry.tenants:
            raise IngestError('source_not_allowed', refusal)
        if bucket is not None and not any(fnmatchcase(bucket, pattern) for pattern in entry.buckets):
            raise IngestError('source_not_allowed', refusal)
        return entry


def read_operator_file() -> OperatorFile:
    """Reads the file that the variable names; raises ValueError with every fault of it, never its keys."""
    path = os.environ.get(VARIABLE, '')
    if not path:
        return OperatorFile()
    try:
        return OperatorFile.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f'{VARIABLE} cannot be read: {error.strerror}.') from error
    except ValidationError as error:
        faults = '; '.join(
            f'{".".join(str(part) for part in fault["loc"])}: {fault["msg"]}' for fault in error.errors()
        )
        raise ValueError(f'{VARIABLE} is not valid: {faults}') from None
