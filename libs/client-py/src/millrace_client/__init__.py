"""Typed client of the Millrace ML platform: numpy arrays in, numpy arrays out."""

from .async_client import AsyncClient
from .client import Client
from .errors import (
    AuthError,
    MillraceError,
    NotFoundError,
    RequestError,
    ServerError,
    UnavailableError,
)
from .features import FeaturesWritten, FeatureValues
from .protocol import InferReply, ModelMetadata, ServerMetadata, TensorMetadata
from .training import TrainingConfig, TrainingRun

__all__ = [
    "AsyncClient",
    "AuthError",
    "Client",
    "FeatureValues",
    "FeaturesWritten",
    "InferReply",
    "MillraceError",
    "ModelMetadata",
    "NotFoundError",
    "RequestError",
    "ServerError",
    "ServerMetadata",
    "TensorMetadata",
    "TrainingConfig",
    "TrainingRun",
    "UnavailableError",
]
