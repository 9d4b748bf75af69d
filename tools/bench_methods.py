"""Measure the overhead of each method over the model calls that it needs.

    python tools/bench_methods.py MODEL PREPROCESSING [METHOD ...]

A method is run once to record its model calls; then the method and the same calls alone, on prepared arrays, are timed
in turns. The excess of their ratio over 1 is the method's own work: masks, noise, sums. The time until the first
estimate, with default options, is given in units of a plain gradient map. Prints
``METHOD=RATIO seconds calls first=PLAIN MAPS``.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.data import chelsea
from skimage.transform import resize

from napari_saliency import load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.models import Model

ROUNDS, LONG = 9, 5.0
"""Minimum number of rounds, and minimum time in seconds: fast methods are measured more often."""

MOST_SAMPLES = 400
"""Limit for methods whose default is thousands, so that each takes seconds; all other options are defaults."""

_fresh = count(1)


def calls_of(model: Model, run: Callable[[], None]) -> list[Callable[[], object]]:
    """Record the model calls of a run; return functions that repeat them on arrays of the same shapes."""
    seen: list[Callable[[], object]] = []
    names = ("scores", "gradient", "tap")
    calls = {name: getattr(model, name) for name in names}

    def ask(name: str, x: Any, *rest: Any, **options: Any) -> Any:
        seen.append(partial(_again, calls[name], x.shape, rest, options))
        before = len(seen)
        result = calls[name](x, *rest, **options)
        del seen[before:]  # calls that the model makes itself
        return result

    for name in names:
        setattr(model, name, partial(ask, name))
    try:
        run()
    finally:
        for name in names:
            delattr(model, name)
    return seen


def _again(
    call: Callable[..., object], shape: tuple[int, ...], rest: tuple[Any, ...], options: dict[str, Any]
) -> object:
    return call(_pictures(shape), *rest, **options)


def _pictures(shape: tuple[int, ...]) -> Any:
    """Return prepared photos, never the same twice, since models cache their last results."""
    if shape not in _READY:
        photo = np.asarray(resize(chelsea(), shape[1:]), np.float32)
        _READY[shape] = np.repeat(2 * photo[None] - 1, shape[0], axis=0)
    _READY[shape].flat[0] = next(_fresh)
    return _READY[shape]


_READY: dict[tuple[int, ...], Any] = {}


def measure(model: Model, name: str) -> tuple[float, float, int]:
    """Return the ratio of a method's time to that of its calls, its seconds, and the number of calls."""
    shape, method = _shape(model), METHODS[name]
    options = method.complete({})
    if "samples" in options:
        options["samples"] = min(options["samples"], MOST_SAMPLES)

    def run() -> None:
        for _ in method.function(model, _pictures(shape).copy(), _one_class(model), **options):
            pass

    calls = calls_of(model, run)
    ratios, seconds = list[float](), list[float]()
    while len(ratios) < ROUNDS or sum(seconds) < LONG:
        begun = time.perf_counter()
        run()
        between = time.perf_counter()
        for call in calls:
            call()
        seconds.append(between - begun)
        ratios.append(seconds[-1] / (time.perf_counter() - between))
    return statistics.median(ratios), statistics.median(seconds), len(calls)


def until_first(model: Model, name: str) -> float:
    """Return the time until the first estimate, in units of one gradient, without help from caches."""
    shape = _shape(model)
    method, targets = METHODS[name], _one_class(model)
    ratios = []
    for _ in range(1 + 2 * ROUNDS):  # the first round compiles
        begun = time.perf_counter()
        run = method.function(model, _pictures(shape).copy(), targets, **method.complete({}))
        next(run)
        between = time.perf_counter()
        run.close()  # type: ignore[attr-defined] # every method is a generator
        middle = time.perf_counter()
        model.gradient(_pictures(shape), targets)
        ratios.append((between - begun) / (time.perf_counter() - middle))
    return statistics.median(ratios[1:])


def _shape(model: Model) -> tuple[int, ...]:
    return (1, *(side or 224 for side in model.info.input.shape), model.info.input.channels)


def _one_class(model: Model) -> Targets:
    return Targets(np.eye(1, len(model.info.labels), dtype=np.float32))


def main(source: str, preprocessing: str, *names: str) -> None:
    """Print a line for each method that the model supports."""
    model = load_model(
        source, preprocessing=preprocessing or None, trust=True
    )  # named on the command line, so trusted
    for name in names or METHODS:
        try:
            ratio, seconds, calls = measure(model, name)
            first = until_first(model, name) if "gradient" in model.info.gives else float("nan")
        except ModelError as error:
            print(f"{name}: {error}", flush=True)
        else:
            print(f"{name}={ratio:.3f} {seconds:.2f} {calls} first={first:.1f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
