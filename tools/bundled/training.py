"""One training loop for all bundled models: AdamW, a cosine schedule and averaged weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from numpy.typing import NDArray

Report = Callable[[int, Any], None]


@dataclass(frozen=True)
class Recipe:
    """Training schedule.

    Attributes
    ----------
    steps : int
        Number of optimiser steps; the learning rate has fallen to zero at the last.
    rate : float
        Highest learning rate.
    warmup : int
        Steps over which the rate rises from zero to `rate`.
    decay : float
        Weight decay of AdamW, for kernels only.
    average : float
        Momentum of the running average of all weights, which is the model kept.
    smoothing : float
        Share of each label spread evenly over all classes.
    """

    steps: int
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.02
    average: float = 0.998
    smoothing: float = 0.0


def train(
    model: Any, batches: Iterable[tuple[Any, Any]], recipe: Recipe, report: Report | None = None
) -> None:
    """Train a model in place and leave the running average of its weights in it.

    Parameters
    ----------
    model : keras.Model
        From pictures 0..255 to logits.
    batches : iterable of (pictures, labels)
        Pictures (n, height, width, channels), 0..255, and labels (n, classes) that sum to one.
    recipe : Recipe
        Length, rates and averaging.
    report : callable, optional
        Called about twenty times with the step and the model, which then holds the averaged weights.
    """
    optimizer = _optimizer(model, recipe)
    kept = [w for w in model.weights if w.dtype.startswith("float")]
    averages = [tf.Variable(w.value, trainable=False) for w in kept]
    step_function = _step_function(model, optimizer, list(zip(averages, kept, strict=True)), recipe)
    every = max(1, recipe.steps // 20)
    start = time.monotonic()
    losses = []
    for step, (pictures, labels) in enumerate(batches, start=1):
        momentum = min(recipe.average, step / (step + 10))
        losses.append(float(step_function(pictures, labels, tf.constant(momentum, tf.float32))))
        if step % every == 0:
            _log(step, recipe.steps, float(np.mean(losses[-every:])), time.monotonic() - start)
            if report is not None:
                _with_averages(kept, averages, partial(report, step, model))
        if step == recipe.steps:
            break
    for weight, average in zip(kept, averages, strict=True):
        weight.assign(average)


def _optimizer(model: Any, recipe: Recipe) -> Any:
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.steps - recipe.warmup, warmup_target=recipe.rate, warmup_steps=recipe.warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    return optimizer


def _step_function(model: Any, optimizer: Any, pairs: list[tuple[Any, Any]], recipe: Recipe) -> Any:
    variables = model.trainable_variables

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(pictures: Any, labels: Any, momentum: Any) -> Any:
        classes = tf.cast(tf.shape(labels)[1], tf.float32)
        labels = tf.cast(labels, tf.float32) * (1 - recipe.smoothing) + recipe.smoothing / classes
        with tf.GradientTape() as tape:
            logits = model(pictures, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        for average, weight in pairs:
            average.assign_add((1 - momentum) * (weight.value - average))
        return loss

    return step


def _with_averages(kept: list[Any], averages: list[Any], call: Callable[[], None]) -> None:
    """Swap in the averaged weights for the duration of a block, then restore the trained ones."""
    trained = [w.numpy() for w in kept]
    for weight, average in zip(kept, averages, strict=True):
        weight.assign(average)
    call()
    for weight, value in zip(kept, trained, strict=True):
        weight.assign(value)


def _log(step: int, steps: int, loss: float, seconds: float) -> None:
    sys.stderr.write(f"step {step}/{steps}  loss {loss:.4f}  {seconds / 60:.1f} min\n")
    sys.stderr.flush()


def predict(model: Any, pictures: NDArray[Any], batch: int = 100) -> NDArray[np.float32]:
    """Run a model on many images, in inference mode.

    Parameters
    ----------
    model : keras.Model
        The model.
    pictures : array
        Shape (n, height, width, channels), 0..255.
    batch : int
        Pictures at a time.

    Returns
    -------
    array
        Outputs, float32, shape (n, classes).
    """
    run = tf.function(lambda x: model(x, training=False))
    starts = range(0, len(pictures), batch)
    parts = [run(tf.constant(pictures[i : i + batch], tf.float32)).numpy() for i in starts]
    return np.concatenate(parts).astype(np.float32)


def accuracy(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the accuracy: the share of images whose highest output is their label.

    Parameters
    ----------
    outputs : array
        Shape (n, classes).
    labels : array of int
        Shape (n,).

    Returns
    -------
    float
        0..1.
    """
    return float(np.mean(outputs.argmax(1) == labels))
