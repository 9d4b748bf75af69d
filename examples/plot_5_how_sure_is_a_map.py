"""How sure is a map?
==================

What samples knows its standard error, and stops as soon as it is as precise as was asked.
"""

import matplotlib.pyplot as plt
from skimage.data import chelsea

from napari_saliency import Display, explain, load_model

model, display = load_model("bundled:photos"), Display()
explanation = explain(model, chelsea(), "cat", "smoothgrad", samples=200, precision=0.02)
values, error = explanation.reduced(display), explanation.reduced_error(display)
figure, axes = plt.subplots(1, 2, figsize=(7, 3))
for ax, shown, title in zip(axes, (values, error), ("map", "standard error"), strict=True):
    ax.set_title(f"{title} after {explanation.done} samples")
    ax.imshow(shown, cmap="inferno", vmax=values.max())
plt.show()
