"""Where did the network look?
===========================

The gradient and Grad-CAM of a photo, with a bundled network of nine classes.
"""

import matplotlib.pyplot as plt
from skimage.data import chelsea

from napari_saliency import Display, explain, load_model

model = load_model("bundled:photos")
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8))
axes[0].imshow(chelsea())
for ax, method in zip(axes[1:], ["gradient", "grad_cam"], strict=True):
    explanation = explain(model, chelsea(), "cat", method)
    ax.imshow(explanation.reduced(Display()), cmap="inferno")  # the largest magnitude of the channels
    ax.set_title(explanation.name)
plt.show()
