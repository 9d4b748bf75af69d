"""Measure speed and memory as ratios to a reference that is measured in the same run.

    python tools/bench.py [MODEL] [--preprocessing tf] [--only engine|methods|memory|cold|window]

Every figure is printed with its target; the exit code is 1 if one is missed. Our times and those of the
reference are measured in turns, so that other load on the machine affects both. Sections that need one run in
a separate process: TensorFlow crashes in a process that has a window.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SECTIONS = ("engine", "methods", "memory", "cold", "window")
HERE = Path(__file__).parent


def in_turns(rounds: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Time functions in turns, after two rounds of warm-up; return milliseconds of each call."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 2):
        for function, taken in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            if number >= 2:
                taken.append((time.perf_counter() - begun) * 1e3)
    return times


def ratio(ours: list[float], limit: list[float]) -> float:
    """Return the median of the ratios of consecutive measurements."""
    return statistics.median(a / b for a, b in zip(ours, limit, strict=True))


def report(name: str, value: float, must: float, unit: str = "", more: str = "") -> bool:
    """Print a figure and its target; return whether it is met."""
    good = value <= must
    print(f"{'ok  ' if good else 'MISS'} {name:<52} {value:8.2f} ≤ {must:g} {unit} {more}", flush=True)
    return good


def engine(source: str, preprocessing: str | None) -> list[bool]:
    """Compare warm calls with the simplest compiled code for the same network."""
    import numpy as np

    from napari_saliency import Target, explain, load_model
    from napari_saliency.core.types import Targets
    from napari_saliency.methods import METHODS

    model = load_model(source, preprocessing=preprocessing)
    height, width = (side or 224 for side in model.info.input.shape)
    x = model.info.input.preprocessing(_photo(height, width))[None]
    weights = np.zeros((1, len(model.info.labels)), np.float32)
    weights[0, int(model.scores(x).argmax())] = 1
    targets = Targets(weights)
    forward, gradient = _compiled(model._raw, x, weights)  # type: ignore[attr-defined] # the very same network

    def run(method: str, x: object = x, **options: object) -> None:
        for _ in METHODS[method].function(model, x, targets, **options):
            pass

    results = []
    plain, limit = in_turns(40, lambda: run("gradient"), gradient)
    results.append(report("plain map / compiled gradient", ratio(plain, limit), 1.05, more=_ms(plain, limit)))

    shifts = count()  # a new image each time, so that no cached activation can be used
    cam, limit = in_turns(30, lambda: run("grad_cam", x + np.float32(1e-6 * next(shifts))), forward)
    results.append(report("Grad-CAM / compiled forward", ratio(cam, limit), 1.3, more=_ms(cam, limit)))
    (other,) = in_turns(30, lambda: run("grad_cam"))
    results.append(report("Grad-CAM, another class", statistics.median(other), 5, "ms"))

    smooth, limit, plain = in_turns(
        3,
        lambda: run("smoothgrad", samples=50),
        lambda: [gradient() for _ in range(50)],
        lambda: [run("gradient") for _ in range(50)],
    )
    results.append(
        report("SmoothGrad 50 / 50 compiled gradients", ratio(smooth, limit), 0.6, more=_ms(smooth, limit))
    )
    print(f"     SmoothGrad 50 / 50 plain maps of ours: {ratio(smooth, plain):.2f}")
    first, plain = in_turns(
        10, lambda: next(METHODS["smoothgrad"].function(model, x, targets)), lambda: run("gradient")
    )
    results.append(
        report("SmoothGrad, first estimate / plain map", ratio(first, plain), 3, more=_ms(first, plain))
    )
    (whole,) = in_turns(10, lambda: explain(model, x[0], Target.of_class(0), "gradient"))
    print(f"     explain() with preparation and prediction: {statistics.median(whole):.0f} ms")
    return results


def _compiled(network, x, weights) -> tuple[Callable[[], object], Callable[[], object]]:  # noqa: ANN001 - Keras
    """Compile the simplest forward pass, and the simplest gradient of a weighted sum of outputs."""
    import tensorflow as tf

    @tf.function
    def forward(x: tf.Tensor) -> tf.Tensor:
        return network(x, training=False)

    @tf.function
    def gradient(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            score = tf.reduce_sum(network(x, training=False) * tf.constant(weights))
        return tape.gradient(score, x)

    tensor = tf.constant(x)
    return lambda: forward(tensor).numpy(), lambda: gradient(tensor).numpy()


def methods(source: str, preprocessing: str | None) -> list[bool]:
    """Compare each method with its calls of the model alone; see `bench_methods.py`."""
    from napari_saliency.engine.process import ENVIRONMENT

    command = [sys.executable, str(HERE / "bench_methods.py"), source, preprocessing or ""]
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    results = []
    for name, _, figures in (line.partition("=") for line in done.stdout.splitlines() if "=" in line):
        ratio, seconds, calls, first = figures.split()
        more = f"{float(seconds):.2f} s, {calls} calls"
        results.append(report(f"{name} / its calls of the model", float(ratio), 1.15, more=more))
        results.append(report(f"{name}, first estimate / plain map", float(first.removeprefix("first=")), 3))
    return results


def memory(source: str, preprocessing: str | None) -> list[bool]:
    """Compare the peak memory of methods with many samples, masks or steps to that with few."""

    def peak(method: str, options: dict[str, object]) -> float:
        given = {"source": source, "preprocessing": preprocessing, "method": method, "options": options}
        return float(_python(_MEMORY.format(**given)).split()[-1])

    results = []
    for method, counted, few, many in COUNTED:
        ends = [peak(method, {counted: count}) for count in (few, many)]
        name = f"peak memory, {method}, {counted} {many} / {few}"
        results.append(report(name, ends[1] / ends[0], 1.1, more=f"{ends[1]:.0f} / {ends[0]:.0f} MB"))
    return results


COUNTED = (
    ("smoothgrad", "samples", 20, 200),
    ("vargrad", "samples", 20, 200),
    ("integrated_gradients", "steps", 50, 500),
    ("blur_ig", "steps", 50, 500),
    ("guided_ig", "steps", 20, 200),
    ("xrai", "steps", 25, 250),
    ("rise", "samples", 400, 4000),
    ("lime", "samples", 400, 4000),
    ("kernel_shap", "samples", 400, 4000),
)
"""Methods, the option that is varied, a small value and a tenfold one."""

_MEMORY = """
import resource
from napari_saliency import load_model
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
import numpy as np
model = load_model({source!r}, preprocessing={preprocessing!r})
taken, method = model.info.input, METHODS[{method!r}]
shape = (1, *(side or 224 for side in taken.shape), taken.channels)
x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
weights = np.eye(1, len(model.info.labels), dtype=np.float32)
for _ in method.function(model, x, Targets(weights), **method.complete({options!r})): pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def cold(source: str, preprocessing: str | None) -> list[bool]:
    """Compare the first map of a cold engine with a plain script."""
    pairs = [(_cold_engine(source, preprocessing), _cold_script(source)) for _ in range(3)]
    best = min(ours / plain for ours, plain in pairs), min(pairs)
    middle = statistics.median(ours / plain for ours, plain in pairs)
    return [
        report(
            "first map after a cold start / plain script",
            middle,
            1.15,
            more=f"{best[1][0]:.1f} / {best[1][1]:.1f} s",
        )
    ]


def _cold_script(source: str) -> float:
    """Time import, loading and the first traced call of a script; networks of keras.applications are built."""
    code = f"""
import time; begun = time.perf_counter()
import tensorflow as tf, numpy as np, keras
source = {source!r}
if source.startswith("keras:"):
    network = getattr(keras.applications, source[6:].partition("?")[0])(weights=None)
else:
    network = keras.saving.load_model(source, compile=False)
@tf.function
def gradient(x, weights):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        score = tf.reduce_sum(network(x, training=False) * weights)
    return tape.gradient(score, x)
x = np.random.default_rng(0).random((1, *network.input_shape[1:]), np.float32)
weights = np.eye(1, network.output_shape[-1], dtype=np.float32)
gradient(tf.constant(x), tf.constant(weights)).numpy()
print(time.perf_counter() - begun)
"""
    return float(_python(code).split()[-1])


def _cold_engine(source: str, preprocessing: str | None) -> float:
    code = f"""
import queue, time
import numpy as np
from napari_saliency.engine.process import start_engine
from napari_saliency.models import Settings
from napari_saliency.session.session import Session
from napari_saliency.session.state import SourceImage
if __name__ == "__main__":
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    answers = queue.Queue()
    begun = time.perf_counter()
    session = Session(start_engine, answers.put)
    session.start()
    session.open_model({source!r}, Settings(preprocessing={preprocessing!r}))
    session.set_picture(SourceImage(1, "noise", lambda: (image, None)))
    session.explain()
    while session.explanation is None:
        answers.get()()
    print(time.perf_counter() - begun)
    session.close()
"""
    return float(_python(code).split()[-1])


def window(source: str, preprocessing: str | None) -> list[bool]:
    """Compare the window's freezes with those of napari when it adds and changes a layer itself."""
    pairs = [(_window(source, preprocessing or ""), _window()) for _ in range(3)]
    ours, alone = (
        {name: statistics.median(pair[n][name] for pair in pairs) for name in pairs[0][n]} for n in (0, 1)
    )
    names = {
        "freeze": "longest freeze of the window",
        "painting": "freeze of a class switch, painted",
        "switch": "switch to a known class",
    }
    return [
        report(
            f"{text} / napari's own",
            ours[name] / alone[name],
            1.15,
            more=f"{ours[name]:.0f} / {alone[name]:.0f} ms",
        )
        for name, text in names.items()
    ]


def _window(*model: str) -> dict[str, float]:
    """Run `bench_window.py` with fresh settings, since the panel remembers the last choices."""
    command = [sys.executable, str(HERE / "bench_window.py"), *model]
    with tempfile.TemporaryDirectory() as home:
        own = {**os.environ, "XDG_CONFIG_HOME": home, "NAPARI_CONFIG": str(Path(home, "napari.yaml"))}
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=own).stdout
    lines = output.splitlines()
    figures = (line.split("=") for line in lines if "=" in line)
    return {name: float(value) for name, value in figures if name != "worst"}


def _photo(height: int, width: int):  # noqa: ANN202 - numpy is imported in the sections only
    from skimage.data import chelsea
    from skimage.transform import resize

    return resize(chelsea()[:, 75:375], (height, width), preserve_range=True).astype("float32")


def _python(code: str) -> str:
    """Run code in a fresh interpreter; return its output."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _ms(ours: list[float], limit: list[float]) -> str:
    return f"{statistics.median(ours):.1f} / {statistics.median(limit):.1f} ms"


def main() -> int:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = Path(os.environ.get("NAPARI_SALIENCY_TEST_DATA", HERE.parents[1] / "shared" / "data"))
    real = data / "imagenet" / "mobilenet_v2.keras"
    parser.add_argument(
        "model", nargs="?", default=str(real) if real.exists() else "keras:MobileNetV2?weights=none"
    )
    parser.add_argument("--preprocessing", default="tf")
    parser.add_argument("--only", choices=SECTIONS)
    chosen = parser.parse_args()
    print(f"{chosen.model}, {os.cpu_count()} cores")
    results: list[bool] = []
    for section in [chosen.only] if chosen.only else SECTIONS:
        results += globals()[section](chosen.model, chosen.preprocessing)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
