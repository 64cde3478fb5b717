# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""The net for rows: dense layers with dropout, twice around the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .dataset import TabularDataset

if TYPE_CHECKING:
    from millrace_training.recipes.crowdmind import CrowdMindParams


def build_net(data: TabularDataset, params: CrowdMindParams, name: str) -> tuple[Any, Any]:
    """The served model, of raw rows [n, features], and its core, of standardised ones; both give [n,
    classes].

    They share weights, which follow from the seed.
    """
    layers, features = keras.layers, len(data.feature_names)

    def initial(index: int) -> Any:
        return keras.initializers.GlorotUniform(seed=(params.seed + index) % 2**31)

    parts: list[Any] = []
    for index, size in enumerate(params.hidden_layers, start=1):
        parts.append(
            layers.Dense(
                size, activation=params.activation, kernel_initializer=initial(index), name=f'dense_{index}'
            )
        )
        if params.dropout_rate > 0:
            parts.append(
                layers.Dropout(params.dropout_rate, seed=params.seed % 2**31, name=f'dropout_{index}')
            )
    parts.append(
        layers.Dense(len(data.classes), activation='softmax', kernel_initializer=initial(0), name='output_0')
    )
    standard = keras.Input((features,), name='standardised')
    raw = keras.Input((features,), name='input')
    scaled = layers.Normalization(
        mean=data.mean.astype(np.float32), variance=np.square(data.scale).astype(np.float32), name='scaler'
    )(raw)
    core, served = standard, scaled
    for part in parts:
        core, served = part(core), part(served)
    return keras.Model(raw, served, name=name), keras.Model(standard, core, name=f'{name}_core')
