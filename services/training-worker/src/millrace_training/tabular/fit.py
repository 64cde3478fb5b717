# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportUntypedFunctionDecorator=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""The training loop for rows: early stopping with the best weights, and the same bits whether it runs
through or is killed and resumed.

Nothing random outlives an epoch: the order of rows follows from (seed, epoch), dropout from (seed, epoch,
batch). So weights, optimiser, best weights and the metrics so far are the whole state. Batches of a few
microseconds are run by the hundred inside one TensorFlow function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from millrace_training.checkpoints import Checkpoint, Place, read_checkpoint, write_checkpoint
from millrace_training.errors import RecipeError
from millrace_training.events import Reporter

_ORDER, _DROPOUT = 1, 2
"""Two streams of random numbers out of one seed."""

MAX_BATCHES_PER_CALL = 256
"""Batches inside one call; between calls the job can be stopped."""

_PREDICT_ROWS = 8_192


@dataclass(frozen=True)
class Rows:
    """Standardised features [n, f] float32 and labels [n] int64."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FitOptions:
    """What the loop needs of a job's parameters; `patience` 0: no early end."""

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    checkpoint_epochs: int
    seed: int


def epoch_order(seed: int, epoch: int, count: int, batch_size: int) -> NDArray[np.int64]:
    """Rows of each batch of epoch `epoch` (from 0), [batches, size]; the shuffled rest waits for another
    epoch.
    """
    size = min(batch_size, count)
    order = np.random.Generator(np.random.PCG64([_ORDER, seed, epoch])).permutation(count)
    return order[: count // size * size].reshape(-1, size)


def dropout_seeds(seed: int, epoch: int, batches: int, layers: int) -> NDArray[np.int64]:
    """Seeds [batches, layers, 2] for the dropout of one epoch."""
    words = np.random.SeedSequence([_DROPOUT, seed, epoch]).generate_state(2 * batches * layers)
    return (words >> 1).astype(np.int64).reshape(batches, layers, 2)


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Full batches in an epoch."""
    return count // min(batch_size, count)


def best_epoch(history: list[dict[str, float]]) -> int:
    """The first epoch (from 0) of least validation loss; `history` is not empty."""
    return min(range(len(history)), key=lambda index: (history[index]['valLoss'], index))


def is_over(history: list[dict[str, float]], options: FitOptions) -> bool:
    """Whether all epochs are done, or `patience` of them brought no better one."""
    if len(history) >= options.epochs:
        return True
    return bool(options.patience and history) and len(history) - 1 - best_epoch(history) >= options.patience


def predict(model: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [n, classes] float32 of standardised features."""
    parts = [
        model(tf.constant(features[start : start + _PREDICT_ROWS]), training=False).numpy()
        for start in range(0, len(features), _PREDICT_ROWS)
    ]
    return np.concatenate(parts)


def _seed_states(model: Any) -> list[Any]:
    """The state variables of the dropout layers, in the order of the layers."""
    return [
        layer.seed_generator.state
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
    ]


def _make_steps(model: Any, optimizer: Any, rows: Rows) -> Callable[..., tuple[Any, Any]]:
    states = _seed_states(model)
    features, labels = tf.constant(rows.features), tf.constant(rows.labels)
    loss_of: Any = keras.losses.SparseCategoricalCrossentropy()

    @tf.function(reduce_retracing=True)
    def steps(orders: Any, seeds: Any) -> tuple[Any, Any]:
        loss_sum, right_sum = tf.constant(0.0), tf.constant(0.0)
        for batch in tf.range(tf.shape(orders)[0]):
            for index, state in enumerate(states):
                state.assign(tf.cast(seeds[batch, index], state.dtype))
            chosen, expected = tf.gather(features, orders[batch]), tf.gather(labels, orders[batch])
            with tf.GradientTape() as tape:
                predicted = model(chosen, training=True)
                loss: Any = loss_of(expected, predicted)
            gradients: Any = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            right = tf.equal(tf.argmax(predicted, axis=1), expected)
            loss_sum += loss
            right_sum += tf.reduce_mean(tf.cast(right, tf.float32))
        return loss_sum, right_sum

    return steps


def _variables(model: Any, optimizer: Any) -> dict[str, Any]:
    parts = (('model', model.weights), ('optimizer', optimizer.variables))
    return {f'{part}/{i:03d}': item for part, items in parts for i, item in enumerate(items)}


def _restore(variables: dict[str, Any], state: dict[str, Any]) -> None:
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    expected |= {
        f'best/{name}': shape for name, shape in tuple(expected.items()) if name.startswith('model/')
    }
    if expected != {name: value.shape for name, value in state.items()}:
        raise RecipeError(
            'checkpoint_unusable', 'The checkpoint holds other variables than this model; starting anew.'
        )
    for name, variable in variables.items():
        variable.assign(state[name])


def _resume(
    variables: dict[str, Any], place: Place, report: Reporter
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Best weights and history of the checkpoint that the job names; both empty when there is none that
    fits.
    """
    if place.resume_dir is None:
        return {}, []
    try:
        checkpoint = read_checkpoint(place.resume_dir, place.identity)
        _restore(variables, checkpoint.state)
    except RecipeError as error:
        # Such as one of other thread counts: starting anew costs time, going on would cost truth.
        report.log(error.message, 'warning')
        return {}, []
    report.log(f'resumed after epoch {checkpoint.epoch}')
    best = {name: value for name, value in checkpoint.state.items() if name.startswith('best/')}
    return best, list(checkpoint.history)


def fit(
    model: Any, train: Rows, validation: Rows, options: FitOptions, place: Place, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place to its best weights and return the metrics of each epoch.

    A checkpoint is written every `checkpoint_epochs`; one to resume from that does not fit is passed over
    with a warning. Raises Stopped when asked to stop, `training_failed` when the loss is no longer a
    number.
    """
    optimizer = keras.optimizers.Adam(options.learning_rate)
    optimizer.build(model.trainable_variables)
    variables = _variables(model, optimizer)
    weights = {name: variable for name, variable in variables.items() if name.startswith('model/')}
    best, history = _resume(variables, place, report)
    steps = _make_steps(model, optimizer, train)
    layers = len(_seed_states(model))
    batches = batches_per_epoch(len(train), options.batch_size)
    report.step += len(history) * batches
    while not is_over(history, options):
        epoch = len(history)
        report.epoch = epoch + 1
        orders = epoch_order(options.seed, epoch, len(train), options.batch_size)
        seeds = dropout_seeds(options.seed, epoch, batches, layers)
        losses, rights = 0.0, 0.0
        for start in range(0, batches, MAX_BATCHES_PER_CALL):
            report.check_stop()
            part = slice(start, start + MAX_BATCHES_PER_CALL)
            loss, right = steps(tf.constant(orders[part]), tf.constant(seeds[part]))
            losses, rights = losses + float(loss), rights + float(right)
            report.step += len(orders[part])
            report.progress('train', {'loss': losses / (start + len(orders[part]))})
        probabilities = predict(model, validation.features)
        history.append(_metrics(losses / batches, rights / batches, probabilities, validation.labels, epoch))
        report.progress('train', history[-1], force=True)
        if best_epoch(history) == epoch:
            best = {f'best/{name}': variable.numpy() for name, variable in weights.items()}
        if len(history) % options.checkpoint_epochs == 0:
            state = {name: variable.numpy() for name, variable in variables.items()} | best
            checkpoint = Checkpoint(len(history), state, history)
            report.checkpoint(len(history), write_checkpoint(place.work_dir, place.identity, checkpoint))
    for name, variable in weights.items():
        variable.assign(best[f'best/{name}'])
    return history


def _metrics(
    loss: float, accuracy: float, probabilities: NDArray[np.float32], labels: NDArray[np.int64], epoch: int
) -> dict[str, float]:
    chosen = np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-7)
    metrics = {
        'loss': loss,
        'accuracy': accuracy,
        'valLoss': float(-np.log(chosen).mean()),
        'valAccuracy': float((probabilities.argmax(axis=1) == labels).mean()),
    }
    # A maximum passes over NaN, so the outputs themselves are looked at too.
    if not np.isfinite(probabilities).all() or not all(np.isfinite(value) for value in metrics.values()):
        raise RecipeError(
            'training_failed', f'The loss is not a number in epoch {epoch + 1}; lower the learning rate.'
        )
    return metrics
