"""Made-up answers of an engine: a prediction, what is known of a model, a map."""

import numpy as np

from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Prediction, Target
from napari_saliency.maps.explanation import Explanation
from napari_saliency.models import InputSpec, Layer, ModelInfo


def prediction(count=1000, seed=3, best=None):
    """Return a prediction of ``count`` classes, some of them likely."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count).astype(np.float32)
    if best is not None:
        logits[best] = logits.max() + 1
    powers = np.exp(logits - logits.max())
    return Prediction(
        logits,
        powers / powers.sum(),
        np.log(powers / powers.sum()),
        tuple(f"class number {n}" for n in range(count)),
    )


def info(labels=("cat", "dog", "fish"), **changes):
    """Return what is known of a model."""
    values = {
        "source": "fake:net",
        "name": "net",
        "input": InputSpec((224, 224), 3),
        "labels": tuple(labels),
        "layers": (Layer("early", (56, 56), 8), Layer("late", (7, 7), 64)),
        "cam_layer": "late",
        "fingerprint": "f",
    }
    return ModelInfo(**values | changes)


def explanation(index=0, values=None, predicted=None, placement=None, **changes):
    """Return a finished map of one class."""
    predicted = predicted or prediction(3)
    values = np.arange(12, dtype=np.float32).reshape(3, 4) * (index + 1) if values is None else values
    fields = {
        "values": values,
        "placement": placement or Placement((1.0, 1.0), (0.0, 0.0)),
        "target": Target.of_class(index),
        "label": predicted.labels[index],
        "score": float(predicted.logits[index]),
        "method": "gradient",
        "title": "Gradient",
        "options": {},
        "prediction": predicted,
        "done": 1,
        "total": 1,
        "stderr": None,
        "diagnostics": {},
        "notes": (),
        "provenance": {},
    }
    return Explanation(**fields | changes)
