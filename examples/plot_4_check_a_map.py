"""Which of two maps to trust
==========================

Both look convincing. The checks tell them apart: one hardly changes when the network's weights are random.
"""

from skimage.data import chelsea

from napari_saliency import check, explain, load_model

model = load_model("bundled:photos")
for method in ("guided_backprop", "grad_cam"):
    explanation = explain(model, chelsea(), "cat", method)
    print(explanation.name)
    print(check(model, chelsea(), explanation, ["model_randomisation", "class_randomisation", "deletion"]))
