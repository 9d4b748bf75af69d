"""This rather than that
=====================

What makes a digit a 4 rather than a 9? Red pixels speak for the 4, blue ones for the 9.
"""

import matplotlib.pyplot as plt

from napari_saliency import Display, explain, load_model
from napari_saliency.app.samples import digits

four = digits()[0][0][8]
explanation = explain(load_model("bundled:digits"), four, "4 - 9", "integrated_gradients")
values = explanation.reduced(Display(reduction="sum", sign="signed"))
figure, axes = plt.subplots(1, 2, figsize=(6, 3))
axes[0].imshow(four, cmap="gray")
axes[1].imshow(values, cmap="RdBu_r", vmin=-abs(values).max(), vmax=abs(values).max())
axes[1].set_title(explanation.label)
plt.show()
