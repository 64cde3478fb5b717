"""Small SavedModels made by this environment's own TensorFlow, and the committed ones of the training
environment.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from millrace_conversion.runtime import load

FIXTURES = Path(__file__).parent / 'fixtures'

SaveModel = Callable[..., Path]


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a committed fixture into a folder that the test may change."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / name, tmp_path / name))

    return copy


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    """Saves a function as `<folder>/saved_model` with one signature; returns the folder."""
    tf = load('tensorflow')

    def save(function: Callable[..., dict[str, Any]], *specs: Any, name: str = 'model') -> Path:
        module = tf.Module()
        module.serve = tf.function(function, input_signature=list(specs))
        folder = tmp_path / name
        tf.saved_model.save(module, str(folder / 'saved_model'), signatures={'serving_default': module.serve})
        return folder

    return save
