"""The one exception that this package raises for a model that cannot be converted."""

from __future__ import annotations


class ConversionError(Exception):
    """A failure with a stable `code`; the message says what to do about it.

    Codes: `conversion_failed` (the source cannot become ONNX), `parity_failed` (it became ONNX but answers
    differently), `unsafe_model` (it holds code or operations that touch files), `invalid_command` (the child
    was asked for something it does not know), those of weights (`invalid_safetensors`, `missing_tensor`, …)
    and of quantisation. None is retryable: the same input fails again.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = False
