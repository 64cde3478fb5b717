# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""PyTorch, imported once and set so that the same job gives the same bits."""

from __future__ import annotations

import time

from millrace_training.runtime import threads_from_env

_started = time.monotonic()
import torch  # noqa: E402

# The optimisers load it at their first step; here a waiting child has it loaded already.
import torch._dynamo  # noqa: E402  # pyright: ignore[reportUnusedImport]

IMPORT_SECONDS = round(time.monotonic() - _started, 3)
"""What importing PyTorch cost this process."""

_is_configured = False


def configure() -> list[str]:
    """Set the threads; returns the devices. Only the first call of a process changes anything."""
    global _is_configured
    if not _is_configured:
        threads = threads_from_env()
        torch.set_num_threads(threads.intra)
        torch.set_num_interop_threads(threads.inter)
        _is_configured = True
    return ['CPU:0']


def accelerators() -> list[str]:
    """None: the recipes of PyTorch train on the processor."""
    return []


def set_determinism(seed: int, deterministic: bool) -> None:
    """Seed torch; with `deterministic` also refuse operations that may not repeat."""
    configure()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic)


def framework_versions() -> dict[str, str]:
    """The versions that a model's file formats depend on."""
    import numpy as np
    import pyarrow
    import safetensors

    return {
        'torch': str(torch.__version__),
        'numpy': np.__version__,
        'pyarrow': str(pyarrow.__version__),
        'safetensors': str(safetensors.__version__),
    }
