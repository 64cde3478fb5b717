# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportUntypedFunctionDecorator=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""TensorFlow, imported once and set so that the same job gives the same bits."""

from __future__ import annotations

import os
import time
from typing import Any

from .runtime import threads_from_env

_started = time.monotonic()
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

IMPORT_SECONDS = round(time.monotonic() - _started, 3)
"""What importing TensorFlow and Keras cost this process."""


def configure() -> list[str]:
    """Set threads and GPU memory growth; returns the devices, such as `CPU:0`. Call once, before any tensor
    is made.
    """
    threads = threads_from_env()
    tf.config.threading.set_intra_op_parallelism_threads(threads.intra)
    tf.config.threading.set_inter_op_parallelism_threads(threads.inter)
    for device in tf.config.list_physical_devices('GPU'):
        # Otherwise TensorFlow takes the whole card, and a second worker finds none.
        tf.config.experimental.set_memory_growth(device, True)
    return [device.name.removeprefix('/physical_device:') for device in tf.config.list_physical_devices()]


def accelerators() -> list[str]:
    """The names of the graphics cards that TensorFlow sees."""
    return [
        str(tf.config.experimental.get_device_details(device).get('device_name', device.name))
        for device in tf.config.list_physical_devices('GPU')
    ]


def set_determinism(seed: int, deterministic: bool) -> None:
    """Seed Python, numpy and Keras; with `deterministic` also refuse TensorFlow operations that may not
    repeat.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    elif os.environ.get('TF_DETERMINISTIC_OPS') != '1':
        tf.config.experimental.disable_op_determinism()


def framework_versions() -> dict[str, str]:
    """The versions that a model's file formats depend on."""
    import h5py
    import numpy as np

    return {
        'tensorflow': tf.__version__,
        'keras': keras.__version__,
        'numpy': np.__version__,
        'h5py': str(h5py.__version__),
    }


def model_weights(model: Any) -> dict[str, Any]:
    """A model's weights by variable path, as arrays; the states of random layers are not among a Keras
    model's weights.
    """
    return {variable.path: variable.numpy() for variable in model.weights}
