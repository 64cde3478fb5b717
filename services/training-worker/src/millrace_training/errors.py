"""The one exception that this package raises for a caller's mistake or a failed job."""

from __future__ import annotations


class RecipeError(Exception):
    """A failure with a stable `code`; the message says what to do about it.

    Codes: `invalid_params`, `unknown_recipe`, `dataset_unusable`, `training_failed`,
    `environment_unusable`, `invalid_command`, `calibration_unusable`, `edge_operator_unsupported`,
    `edge_budget_exceeded`; `checkpoint_unusable` never leaves a job, which then starts anew. `retryable`
    says whether another attempt may succeed.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Stopped(Exception):
    """Training ended early because it was asked to; everything up to the last checkpoint is on disk."""
