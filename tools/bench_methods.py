"""Measure what each method takes beside the model passes that it cannot do without.

    python tools/bench_methods.py MODEL PREPROCESSING [METHOD ...]

A method is run once to see what it asks of the model; then, in turns, the method and the same calls alone, of ready
arrays. What the ratio is above 1 is the method's own work: masks, noise, sums. Prints ``METHOD=RATIO own calls``.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency import load_model
from napari_saliency._types import ModelError, Targets
from napari_saliency.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.models import Model

ROUNDS = 3
FEW = {"samples": 40, "steps": 40, "window": 56, "stride": 28}
"""Options of the methods that have them, so that each takes seconds."""

_fresh = count(1)


def calls_of(model: Model, run: Callable[[], None]) -> list[Callable[[], object]]:
    """What a run asks of a model, to be asked again of arrays of the same shapes."""
    seen: list[Callable[[], object]] = []
    names = ("scores", "gradient", "tap", "propagate")
    calls = {name: getattr(model, name) for name in names}

    def ask(name: str, x: Any, *rest: Any, **options: Any) -> Any:
        seen.append(partial(_again, calls[name], x.shape, rest, options))
        before = len(seen)
        found = calls[name](x, *rest, **options)
        del seen[before:]  # what the model asks of itself on the way
        return found

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
    """Ready pictures; never the same twice, as a model may know its answer to those before."""
    if shape not in _READY:
        _READY[shape] = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    _READY[shape].flat[0] = next(_fresh)
    return _READY[shape]


_READY: dict[tuple[int, ...], Any] = {}


def measure(model: Model, name: str) -> tuple[float, float, int]:
    """Seconds of a method over those of its calls, seconds of the method, and how many calls there are."""
    shape = (1, *(side or 224 for side in model.info.input.shape), model.info.input.channels)
    weights = np.eye(1, len(model.info.labels), dtype=np.float32)
    method = METHODS[name]
    few = {option.name: FEW[option.name] for option in method.options if option.name in FEW}
    options = method.complete(few)

    def run() -> None:
        for _ in method.function(model, _pictures(shape).copy(), Targets(weights), **options):
            pass

    calls = calls_of(model, run)
    ratios, seconds = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        between = time.perf_counter()
        for call in calls:
            call()
        seconds.append(between - begun)
        ratios.append(seconds[-1] / (time.perf_counter() - between))
    return statistics.median(ratios), statistics.median(seconds), len(calls)


def main(source: str, preprocessing: str, *names: str) -> None:
    """Print a line for each method that the model can answer."""
    model = load_model(source, preprocessing=preprocessing or None)
    for name in names or METHODS:
        try:
            ratio, seconds, calls = measure(model, name)
        except ModelError as error:
            print(f"{name}: {error}", flush=True)
        else:
            print(f"{name}={ratio:.3f} {seconds:.2f} {calls}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
