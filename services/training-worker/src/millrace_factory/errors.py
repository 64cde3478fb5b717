"""How a run of the factory can end; scripts decide by the exit code."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes; those of sysexits.h where one fits."""

    OK = 0
    DOES_NOT_FIT = 2
    """The model is over its budget, or the device has no kernel for an operator."""
    USAGE = 64
    UNUSABLE_DATA = 65
    NO_DATASET = 66
    UNAVAILABLE = 69
    """The API did not answer, or only with errors of its own; the run can be gone on with."""
    TRAINING_FAILED = 70
    REFUSED = 73
    """The API does not take the model."""
    STOPPED = 75
    """Ctrl-C or SIGTERM; the same command goes on."""
    DATASET_CHANGED = 76
    """The API has other rows now than those that were trained on."""
    NO_PERMISSION = 77
    CONFIGURATION = 78


class FactoryError(Exception):
    """A run that ended without an uploaded model; the message says what to do."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


EXIT_OF_CODE = {
    'invalid_params': ExitCode.CONFIGURATION,
    'dataset_unusable': ExitCode.UNUSABLE_DATA,
    'calibration_unusable': ExitCode.UNUSABLE_DATA,
    'edge_budget_exceeded': ExitCode.DOES_NOT_FIT,
    'edge_operator_unsupported': ExitCode.DOES_NOT_FIT,
}
"""Exit codes of the recipe's own errors; any other is a training that failed."""
