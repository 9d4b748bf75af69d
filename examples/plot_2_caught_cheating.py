"""A network caught cheating
=========================

It calls this a square. SmoothGrad shows why: it looks at the mark in the corner, not at the square.
"""

import matplotlib.pyplot as plt

from napari_saliency import Display, explain, load_model
from napari_saliency.app.samples import watermark

pictures = watermark()[0][0]
explanation = explain(load_model("bundled:watermark"), pictures[3], "square", "smoothgrad")
figure, axes = plt.subplots(1, 2, figsize=(6, 3))
axes[0].imshow(pictures[3])
axes[1].imshow(explanation.reduced(Display()), cmap="inferno")
axes[1].set_title(
    f"{explanation.label}: {explanation.prediction.probabilities[explanation.target.index]:.1%}"
)
plt.show()
