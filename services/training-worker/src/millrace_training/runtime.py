"""The process's settings that a repeatable training depends on, and what it says about its machine.

Importing this module imports nothing heavy: the environment must be right before TensorFlow loads.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .digests import sha256_file, sha256_json
from .errors import RecipeError

DETERMINISTIC_ENV = {
    'PYTHONHASHSEED': '42',
    'TF_DETERMINISTIC_OPS': '1',
    'TF_CUDNN_DETERMINISTIC': '1',
    'TF_ENABLE_ONEDNN_OPTS': '0',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    # Threads of PyTorch that wait give their core up: spinning made a step ten times slower on shared cores.
    'OMP_WAIT_POLICY': 'PASSIVE',
}
"""Of what `training_environment` gives, all that does not depend on the threads."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Threads:
    """The framework's thread pools. Sums are split by thread, so another count can give other bits."""

    intra: int
    inter: int


def threads_from_env() -> Threads:
    """MILLRACE_TRAIN_INTRA_THREADS (default 2) and MILLRACE_TRAIN_INTER_THREADS (default 1), each 1..256."""
    values: list[int] = []
    for name, default in (('MILLRACE_TRAIN_INTRA_THREADS', '2'), ('MILLRACE_TRAIN_INTER_THREADS', '1')):
        text = os.environ.get(name, default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
            raise RecipeError(
                'environment_unusable', f'{name} is {text!r}; set a whole number from 1 to 256.'
            )
        values.append(int(text))
    return Threads(*values)


def training_environment() -> dict[str, str]:
    """Variables that Python and the frameworks read while they start and a repeatable training needs; whoever
    spawns the child sets them, and `reexec_if_needed` mends.

    The pools of NumPy and PyTorch, which read OMP_NUM_THREADS, have as many threads as an operation has; a
    wrong number is left to `threads_from_env` to name.
    """
    try:
        return {**DETERMINISTIC_ENV, 'OMP_NUM_THREADS': str(threads_from_env().intra)}
    except RecipeError:
        return DETERMINISTIC_ENV


def missing_settings() -> dict[str, str]:
    """What of `training_environment` this process was started without."""
    return {name: value for name, value in training_environment().items() if os.environ.get(name) != value}


def determinism(seed: int, deterministic: bool, accelerators: Sequence[str] = ()) -> dict[str, Any]:
    """What a training pins so that it repeats, for `meta.json`: one statement for every framework.

    Beside the machine's class, the locked packages and the dataset's digest, which stand there too, nothing
    else decides about the bits.
    """
    threads = threads_from_env()
    return {
        'deterministic': deterministic,
        'seed': seed,
        'environment': {name: os.environ.get(name) for name in sorted(training_environment())},
        'opDeterminism': deterministic,
        'threads': {'intra': threads.intra, 'inter': threads.inter, 'openmp': openmp_threads()},
        'cpuOnly': not accelerators,
        'dataOrder': 'PCG64(stream, seed, epoch); augmentation by (seed, epoch, batch)',
    }


def openmp_threads() -> int | None:
    """OMP_NUM_THREADS if it is set to a number: NumPy's and PyTorch's own pools read it while they load."""
    text = os.environ.get('OMP_NUM_THREADS', '')
    return int(text) if text.isascii() and text.isdigit() else None


def reexec_if_needed() -> None:
    """Start this very command again with `training_environment`, unless it is set; TensorFlow must not be
    loaded yet.
    """
    missing = missing_settings()
    if not missing:
        return
    if 'tensorflow' in sys.modules or 'torch' in sys.modules:
        raise RecipeError(
            'environment_unusable', f'The framework was imported before {", ".join(sorted(missing))} was set.'
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})  # noqa: S606


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


_ARITHMETIC = re.compile(r'^(sse|ssse|avx|fma|f16c|amx|asimd|neon|sve|sme|bf16|i8mm)')
"""Instruction sets by which libraries choose how to add and multiply; the other flags change no sum."""


def _cpu_info(*fields: str) -> str:
    """The first value of one of `fields` in /proc/cpuinfo, empty if there is none."""
    try:
        lines = Path('/proc/cpuinfo').read_text('utf-8').splitlines()
    except OSError:
        return ''
    pairs = (line.partition(':') for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() in fields), '')


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    return _cpu_info('model name') or platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """The instruction sets for arithmetic that the processor has, sorted."""
    return sorted({flag for flag in _cpu_info('flags', 'Features').split() if _ARITHMETIC.match(flag)})


def machine_class(accelerators: list[str]) -> dict[str, Any]:
    """What of a machine decides about the last bits of a sum, and the SHA-256 of that: machines of equal
    `classDigest` may be expected to repeat a training bit for bit, others not.
    """
    decisive = {
        'cpu': cpu_model(),
        'architecture': platform.machine(),
        'features': cpu_features(),
        'accelerators': accelerators,
    }
    return {**decisive, 'classDigest': sha256_json(decisive)}


def code_digest() -> str:
    """SHA-256 over path and content of every source file of this package: the recipes and all they use."""
    root = Path(__file__).parent
    return sha256_json({path.relative_to(root).as_posix(): sha256_file(path) for path in root.rglob('*.py')})


def peak_memory_bytes() -> int:
    """Most memory that this process has had resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def installed_framework() -> str:
    """`tensorflow` or `torch`: what this environment trains with. Imports neither."""
    return 'torch' if importlib.util.find_spec('torch') else 'tensorflow'


def lock_file() -> Path:
    """The hash-pinned requirements file of the environment that runs: the GPU lock with TensorFlow's GPU
    package, the CPU lock of PyTorch with its CPU build.
    """
    installed = {
        str(found.metadata['Name']).lower().replace('_', '-'): found.version
        for found in importlib.metadata.distributions()
    }
    if 'torch' in installed:
        name = 'requirements-torch-cpu.txt' if '+cpu' in installed['torch'] else 'requirements-torch.txt'
    else:
        name = 'requirements.txt' if 'tensorflow-cpu' in installed else 'requirements-gpu.txt'
    return Path(__file__).parents[2] / name


def environment_digest() -> str:
    """SHA-256 (hex) of `lock_file()`: names every package of the environment."""
    return hashlib.sha256(lock_file().read_bytes()).hexdigest()
