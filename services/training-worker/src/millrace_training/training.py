# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportUntypedFunctionDecorator=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""The training loop: the same bits whether it runs through or is killed and resumed after any epoch.

Nothing random outlives an epoch: the order of the images comes from (seed, epoch), the augmentation of a
batch from (seed, epoch, batch), the learning rate from the step. So weights, optimiser and epoch number are
the whole state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .checkpoints import Checkpoint, Place, read_checkpoint, write_checkpoint
from .errors import RecipeError
from .events import Reporter

_ORDER, _AUGMENTATION = 1, 2
"""Two streams of random numbers out of one seed."""

EVALUATION_BATCH = 50


@dataclass(frozen=True)
class Examples:
    """Decoded images [n, ...] uint8 and their labels, one row each; for BINARY [n, 1] float32."""

    images: NDArray[np.uint8]
    labels: NDArray[Any]


@dataclass(frozen=True)
class FitOptions:
    """What the loop needs of a job's parameters."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Task:
    """What a loop needs to know of a recipe beyond its model.

    `loss` gives loss and accuracy of one batch inside a TensorFlow function, from (model, images float32,
    labels); `measure` gives both for the validation examples; `order` the indices that an epoch sees, from
    (seed, epoch, examples) and nothing else.
    """

    loss: Callable[[Any, Any, Any], tuple[Any, Any]]
    measure: Callable[[Any, Examples], tuple[float, float]]
    order: Callable[[int, int, Examples], NDArray[np.int64]]


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which epoch `epoch` (from 0) sees the images."""
    return np.random.Generator(np.random.PCG64([_ORDER, seed, epoch])).permutation(count)


def augmentation_seeds(seed: int, epoch: int, batch: int, layers: int) -> NDArray[np.int32]:
    """Seeds [layers, 2] for the random layers of one batch."""
    words = np.random.SeedSequence([_AUGMENTATION, seed, epoch, batch]).generate_state(2 * layers)
    return (words >> 1).astype(np.int32).reshape(layers, 2)


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Half a cosine from `peak` down to 0 over the whole training (Loshchilov and Hutter, SGDR, 2017)."""
    return float(peak * 0.5 * (1 + np.cos(np.pi * step / max(steps, 1))))


def seed_generators(augmentation: Any) -> list[Any]:
    """The state variables of the random layers inside `augmentation`, in a fixed order."""
    return [layer.generator.state for layer in augmentation.layers if hasattr(layer, 'generator')]


def _train_step(model: Any, augmentation: Any, optimizer: Any, task: Task) -> Callable[..., tuple[Any, Any]]:
    states = seed_generators(augmentation)

    @tf.function(reduce_retracing=True)
    def step(images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
        for index, state in enumerate(states):
            state.assign(tf.cast(seeds[index], state.dtype))
        augmented = augmentation(tf.cast(images, tf.float32), training=True)
        with tf.GradientTape() as tape:
            loss, correct = task.loss(model, augmented, labels)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, correct

    return step


def predict(
    model: Any, images: NDArray[np.uint8], tick: Callable[[], None] | None = None
) -> NDArray[np.float32]:
    """The model's output [n, ...] for uint8 images, in batches of EVALUATION_BATCH."""
    outputs: list[NDArray[np.float32]] = []
    for start in range(0, len(images), EVALUATION_BATCH):
        batch = tf.constant(images[start : start + EVALUATION_BATCH], tf.float32)
        outputs.append(model(batch, training=False).numpy())
        if tick:
            tick()
    return np.concatenate(outputs)


def binary_metrics(outputs: NDArray[np.float32], labels: NDArray[np.float32]) -> tuple[float, float]:
    """Mean binary cross entropy and accuracy at the threshold 0.5."""
    clipped = np.clip(outputs.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -np.mean(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped))
    return float(loss), float(np.mean((outputs > 0.5) == (labels > 0.5)))


def _binary_loss(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    predicted = model(images, training=True)
    loss = keras.losses.BinaryCrossentropy()(labels, predicted)
    return loss, tf.reduce_mean(tf.cast(tf.equal(predicted > 0.5, labels > 0.5), tf.float32))


BINARY = Task(
    _binary_loss,
    lambda model, examples: binary_metrics(predict(model, examples.images), examples.labels),
    lambda seed, epoch, examples: epoch_order(seed, epoch, len(examples.images)),
)
"""One probability [n, 1] against labels 0 and 1."""


def _state(model: Any, optimizer: Any) -> dict[str, Any]:
    variables = [('model', model.weights), ('optimizer', optimizer.variables)]
    return {f'{part}/{i:03d}': item.numpy() for part, items in variables for i, item in enumerate(items)}


def _restore(model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    variables = [('model', model.weights), ('optimizer', optimizer.variables)]
    targets = {f'{part}/{i:03d}': item for part, items in variables for i, item in enumerate(items)}
    if targets.keys() != state.keys() or any(tuple(targets[k].shape) != state[k].shape for k in targets):
        raise RecipeError(
            'checkpoint_unusable', 'The checkpoint holds other variables than this model; starting anew.'
        )
    for name, variable in targets.items():
        variable.assign(state[name])


def fit(
    model: Any,
    augmentation: Any,
    train: Examples,
    validation: Examples,
    options: FitOptions,
    place: Place,
    report: Reporter,
    task: Task = BINARY,
) -> list[dict[str, float]]:
    """Train `model` in place and return the metrics of each epoch.

    Writes a checkpoint after each epoch; one to resume from that does not fit is passed over with a warning.
    Raises Stopped between batches when asked to stop, `training_failed` when the loss is no longer a number.
    """
    optimizer = keras.optimizers.Adam(options.learning_rate)
    optimizer.build(model.trainable_variables)
    step_of = _train_step(model, augmentation, optimizer, task)
    history: list[dict[str, float]] = []
    if place.resume_dir is not None:
        try:
            checkpoint = read_checkpoint(place.resume_dir, place.identity)
            _restore(model, optimizer, checkpoint.state)
            history = list(checkpoint.history)
            report.log(f'resumed after epoch {checkpoint.epoch} of {options.epochs}')
        except RecipeError as error:
            # Such as one of a machine with other thread counts: starting anew costs time, going on would cost
            # truth.
            report.log(error.message, 'warning')
    batches = batches_per_epoch(len(train.images), options.batch_size)
    report.step += len(history) * batches
    for epoch in range(len(history), options.epochs):
        report.epoch = epoch + 1
        order = task.order(options.seed, epoch, train)
        losses, accuracies = _epoch(
            step_of, optimizer, train, options, epoch, order, report, seed_count(augmentation)
        )
        val_loss, val_accuracy = task.measure(model, validation)
        metrics = {
            'loss': float(np.mean(losses)),
            'accuracy': float(np.mean(accuracies)),
            'valLoss': val_loss,
            'valAccuracy': val_accuracy,
        }
        if not all(np.isfinite(value) for value in metrics.values()):
            raise RecipeError(
                'training_failed', f'The loss is not a number in epoch {epoch + 1}; lower the learning rate.'
            )
        history.append(metrics)
        report.progress('train', metrics, force=True)
        state = Checkpoint(epoch + 1, _state(model, optimizer), history)
        report.checkpoint(epoch + 1, write_checkpoint(place.work_dir, place.identity, state))
    return history


def seed_count(augmentation: Any) -> int:
    """How many random layers `augmentation` has."""
    return len(seed_generators(augmentation))


def batches_per_epoch(count: int, batch_size: int) -> int:
    """Full batches in an epoch; the shuffled rest waits for the next epoch."""
    return max(1, count // min(batch_size, count))


def _epoch(
    step_of: Callable[..., tuple[Any, Any]],
    optimizer: Any,
    train: Examples,
    options: FitOptions,
    epoch: int,
    order: NDArray[np.int64],
    report: Reporter,
    layers: int,
) -> tuple[list[float], list[float]]:
    """One pass over the training images; returns loss and accuracy of each batch."""
    count = len(train.images)
    size = min(options.batch_size, count)
    batches = batches_per_epoch(count, options.batch_size)
    losses: list[float] = []
    accuracies: list[float] = []
    for batch in range(batches):
        report.check_stop()
        chosen = order[batch * size : (batch + 1) * size]
        rate = learning_rate_at(epoch * batches + batch, options.epochs * batches, options.learning_rate)
        optimizer.learning_rate.assign(rate)
        seeds = tf.constant(augmentation_seeds(options.seed, epoch, batch, layers))
        loss, accuracy = step_of(tf.constant(train.images[chosen]), tf.constant(train.labels[chosen]), seeds)
        losses.append(float(loss))
        accuracies.append(float(accuracy))
        report.step += 1
        report.progress('train', {'loss': float(np.mean(losses)), 'accuracy': float(np.mean(accuracies))})
    return losses, accuracies
